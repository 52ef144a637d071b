// The overloads of analytics.js: anything may be left out, a function ends the list and is the callback, and an
// object in the first place is what the missing string would have been followed by.

import type { Fields, Result } from '../core/index.js'

/** A callback of analytics.js; it is called once, when the event has a fate or after 300 ms. */
export type Callback = (result?: Result) => void

/** A call with its arguments in their places; strings holds those in front of the first object. */
export interface Call {
  strings: (string | null)[]
  fields: Fields
  options: Fields
  callback: Callback | undefined
}

/** Sorts the arguments of a call that takes at most max strings, then an object of fields, then one of options. */
export function sort(args: ArrayLike<unknown>, max: number): Call {
  const strings: (string | null)[] = []
  const objects: unknown[] = []
  let callback: Callback | undefined
  for (const arg of Array.from(args)) {
    if (typeof arg === 'function') {
      callback = arg as Callback
      break
    }
    const isObject = typeof arg === 'object' && arg !== null
    if (!isObject && !objects.length && strings.length < max) strings.push(arg == null ? null : String(arg))
    else objects.push(isObject ? arg : {})
  }
  return { strings, fields: (objects[0] || {}) as Fields, options: (objects[1] || {}) as Fields, callback }
}
