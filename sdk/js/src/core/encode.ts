const MAX_DEPTH = 200

/** Thrown for an event whose text would be longer than the limit; the bytes can only be more. */
export class TooLarge extends Error {}

// One encoding runs at a time: the state of it needs no object per call.
let room = 0
let coerced = 0

/**
 * Returns value as JSON, and how many numbers became null. It follows JSON.stringify, but keeps every digit of a
 * bigint and throws for cycles and for more than 200 levels. Encoding stops as soon as the text exceeds max.
 */
export function encode(value: unknown, max: number): [text: string, coerced: number] {
  room = max
  coerced = 0
  const text = write(value, '', 1) as string
  return [text, coerced]
}

function write(value: any, key: string, depth: number): string | undefined {
  if (value && typeof value === 'object') {
    if (typeof value.toJSON === 'function') {
      if (value instanceof Date && isNaN(+value)) coerced++
      value = value.toJSON(key)
    } else if (typeof value.valueOf === 'function') {
      value = value.valueOf() // new Number(1) and its like
    }
  }
  switch (typeof value) {
    case 'string':
      return take(quote(value))
    case 'number':
      if (!isFinite(value)) {
        coerced++
        value = null
      }
      return take('' + value)
    case 'boolean':
    case 'bigint':
      return take('' + value)
    case 'object':
      return value ? writeMembers(value, depth) : take('null')
  }
  return undefined
}

function writeMembers(value: any, depth: number): string {
  if (depth > MAX_DEPTH) throw Error('more than 200 levels, or a cycle')
  take('{}')
  let text = ''
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) text += (i ? ',' : '') + (write(value[i], '' + i, depth + 1) || take('null'))
    return '[' + text + ']'
  }
  for (const key of Object.keys(value)) {
    const member = write(value[key], key, depth + 1)
    if (member) text += (text ? ',' : '') + take(quote(key)) + ':' + member
  }
  return '{' + text + '}'
}

/** Most strings need no escapes, and to see that is cheaper than to call JSON.stringify. */
function quote(text: string): string {
  return /[^ !#-[\]-\ud7ff\ue000-\uffff]/.test(text) ? JSON.stringify(text) : '"' + text + '"'
}

function take(text: string): string {
  if ((room -= text.length) < 0) throw new TooLarge()
  return text
}
