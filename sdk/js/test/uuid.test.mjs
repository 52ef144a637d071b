import assert from 'node:assert/strict'
import { randomFillSync } from 'node:crypto'
import { test } from 'node:test'
import { uuids } from '../dist/test/parts.mjs'

const random = randomFillSync
const valid = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

test('ten thousand ids of one millisecond are valid, distinct and rising', () => {
  const next = uuids(random)
  const ids = Array.from({ length: 10_000 }, () => next(1772359200000))
  assert.ok(ids.every(id => valid.test(id)))
  assert.equal(new Set(ids).size, ids.length)
  assert.deepEqual([...ids].sort(), ids)
})

test('an id tells its millisecond', () => {
  const id = uuids(random)(0x0123456789ab)
  assert.equal(id.slice(0, 13), '01234567-89ab')
})

test('ids go on rising when the clock goes back', () => {
  const next = uuids(random)
  const before = next(2_000_000)
  assert.ok(next(1_000_000) > before)
})

test('the counter begins below 2048 and a full one borrows the next millisecond', () => {
  const next = uuids(bytes => bytes.fill(255))
  assert.equal(next(1).slice(9, 18), '0001-77ff')
  for (let i = 0; i < 2048; i++) next(1)
  assert.equal(next(1).slice(9, 18), '0002-77ff')
})

test('two makers do not draw the same ids', () => {
  assert.notEqual(uuids(random)(5), uuids(random)(5))
})
