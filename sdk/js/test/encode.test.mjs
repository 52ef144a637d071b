import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encode, TooLarge } from '../dist/test/parts.mjs'

const MAX = 256 * 1024
const text = (value, max = MAX) => encode(value, max)[0]

test('what JSON has is written as JSON.stringify writes it', () => {
  const values = [
    null, true, 0, -0, 1.5e300, 1e21, 5e-324, '', 'plain', 'quote " backslash \\ tab \t nul \0 del \x7f', 'é€😀', '\ud800 alone \udfff',
    'line\u2028separator', [], {}, [undefined, () => 1, Symbol('s'), null], { u: undefined, f() {}, s: Symbol('s'), [Symbol('k')]: 1, ok: 1 },
    new Date('2026-03-01T12:00:00.123+02:00'), { toJSON: key => `by ${key}` }, { a: { toJSON: () => undefined } }, [{ toJSON: () => undefined }],
    new Map([[1, 2]]), new Set([1]), /x/, new Error('e'), new Number(3), new String('s'), new Boolean(false), Object.create({ inherited: 1 }),
    // eslint-disable-next-line no-sparse-arrays
    [1, , 3], new Uint8Array([1, 2]), { '': 1, 'key "q"': 2, 1: 'one' }, Object.assign(Object.create(null), { bare: 1 }),
  ]
  for (const value of values) assert.equal(text({ value }), JSON.stringify({ value }))
})

test('random values are written as JSON.stringify writes them', () => {
  const chars = ['a', '"', '\\', '\n', 'é', '😀', '\ud83d', '\u2029', ' ']
  const pick = list => list[Math.floor(Math.random() * list.length)]
  const word = () => Array.from({ length: Math.random() * 6 }, () => pick(chars)).join('')
  const value = depth => pick([
    word, () => Math.random() * 10 ** Math.floor(Math.random() * 40 - 20), () => Math.floor(Math.random() * 1e6), () => null, () => undefined, () => true,
    () => (depth ? Array.from({ length: Math.random() * 4 }, () => value(depth - 1)) : 1),
    () => (depth ? Object.fromEntries(Array.from({ length: Math.random() * 4 }, () => [word(), value(depth - 1)])) : 's'),
  ])()
  for (let i = 0; i < 3000; i++) {
    const one = { v: value(4) }
    assert.equal(text(one), JSON.stringify(one))
  }
})

test('integers keep every digit', () => {
  assert.equal(text({ a: 9007199254740993n, b: [-(2n ** 80n)] }), '{"a":9007199254740993,"b":[-1208925819614629174706176]}')
  BigInt.prototype.toJSON = () => 'a hack that many applications have'
  try {
    assert.equal(text({ a: 9007199254740993n }), '{"a":9007199254740993}')
  } finally {
    delete BigInt.prototype.toJSON
  }
})

test('numbers that JSON does not have become null and are counted', () => {
  assert.deepEqual(encode({ a: NaN, b: [Infinity, -Infinity], c: new Date(NaN), d: 1 }, MAX), ['{"a":null,"b":[null,null],"c":null,"d":1}', 4])
  assert.equal(encode({ a: null }, MAX)[1], 0)
})

test('two hundred levels pass, one more is refused, and so is a cycle', () => {
  const nest = levels => (levels === 1 ? {} : { d: nest(levels - 1) })
  assert.equal(text(nest(200)), JSON.stringify(nest(200)))
  assert.throws(() => text(nest(201)), /200 levels/)
  const list = [[]]
  for (let i = 0; i < 199; i++) list[0] = [list[0]]
  assert.throws(() => text(list), /200 levels/)
  const cycle = { name: 'c', list: [] }
  cycle.list.push({ cycle })
  assert.throws(() => text(cycle), /200 levels/)
})

test('an object that many members share costs no more than the limit allows', () => {
  let shared = { leaf: 1 }
  for (let i = 0; i < 60; i++) shared = { a: shared, b: shared }
  const from = performance.now()
  assert.throws(() => text(shared), TooLarge)
  assert.ok(performance.now() - from < 5000)
})

test('the limit counts what is written', () => {
  assert.equal(text({ a: 'xx' }, 10), '{"a":"xx"}')
  assert.throws(() => text({ a: 'x'.repeat(300) }, 100), TooLarge)
})
