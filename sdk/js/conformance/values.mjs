// What case files say that JSON has no word for (see "Events and values" in FORMAT.md).

const escapes = {
  $int: text => BigInt(text),
  $decimal: text => ({ toJSON: () => Number(text) }),
  $float: text => Number(text),
  $time: text => new Date(text),
  $repeat: ([text, times]) => text.repeat(times),
  $n: (_, n) => n,
  $cycle() {
    const cycle = {}
    cycle.self = cycle
    return cycle
  },
  $depth(depth) {
    let value = {}
    for (let i = 1; i < depth; i++) value = { d: value }
    return value
  },
  $func: () => () => undefined,
}

/** Replaces the escapes within value; n is the number of the call. */
export function decode(value, n) {
  if (Array.isArray(value)) return value.map(element => decode(element, n))
  if (value === null || typeof value !== 'object') return value
  const keys = Object.keys(value)
  if (keys.length === 1 && keys[0].startsWith('$')) {
    const make = escapes[keys[0]]
    if (!make) throw new Error(`unknown escape ${keys[0]}`)
    return make(value[keys[0]], n)
  }
  return Object.fromEntries(keys.map(key => [key, decode(value[key], n)]))
}

/** Does to a call's objects what an application might, once the call has returned. */
export function mutate(call) {
  for (const part of [call.properties, call.traits, call.context]) {
    if (!part) continue
    for (const value of Object.values(part)) {
      if (Array.isArray(value)) value.push('mutated')
      else if (value && typeof value === 'object') value.mutated = true
    }
    part.mutated = true
  }
}

export const middleware = {
  drop_email(event) {
    for (const part of [event.properties, event.traits]) if (part) delete part.email
    return event
  },
  refuse: event => (event.event === 'Refused' ? null : event),
  throw(event) {
    if (event.event === 'Thrown') throw new Error('thrown by the middleware')
    return event
  },
}
