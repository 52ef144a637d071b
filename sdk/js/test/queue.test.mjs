import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MemoryQueue } from '../dist/test/parts.mjs'

const item = (id, bytes = 10) => ({ id, text: '', bytes, at: 0, tries: 0 })
const ids = items => items.map(i => i.id)

test('bounds hold for count and bytes, and what is taken counts until it is done', () => {
  const queue = new MemoryQueue(3, 25)
  assert.equal(queue.add(item(1)), undefined)
  assert.equal(queue.add(item(2)), undefined)
  assert.equal(queue.add(item(3)), 'queue_full')
  assert.equal(queue.add(item(4, 5)), undefined)
  const taken = queue.take(2, 1000)
  assert.equal(queue.add(item(5, 0)), 'queue_full')
  queue.done(taken)
  assert.equal(queue.bytes, 5)
  assert.equal(queue.add(item(6)), undefined)
})

test('a batch ends where the next event with its comma would pass the bytes, but has one event at least', () => {
  const queue = new MemoryQueue(100, 1e6)
  for (const [id, bytes] of [[1, 9], [2, 9], [3, 9], [4, 500], [5, 1]]) queue.add(item(id, bytes))
  assert.deepEqual(ids(queue.take(100, 29)), [1, 2])
  assert.deepEqual(ids(queue.take(100, 29)), [3])
  assert.deepEqual(ids(queue.take(100, 29)), [4])
  assert.deepEqual(ids(queue.take(100, 29)), [5])
  assert.deepEqual(queue.take(100, 29), [])
})

test('random use keeps the order and the sums', () => {
  const queue = new MemoryQueue(50, 400)
  let next = 0
  let expected = []
  let out = []
  for (let i = 0; i < 20_000; i++) {
    const dice = Math.random()
    if (dice < 0.6) {
      const one = item(next++, Math.floor(Math.random() * 20))
      const fits = expected.length + out.length < 50 && [...expected, ...out].reduce((n, x) => n + x.bytes, one.bytes) <= 400
      assert.equal(queue.add(one), fits ? undefined : 'queue_full')
      if (fits) expected.push(one)
    } else if (dice < 0.8 && !out.length) {
      out = queue.take(1 + Math.floor(Math.random() * 20), 100)
      assert.deepEqual(out, expected.slice(0, out.length))
      expected = expected.slice(out.length)
    } else if (dice < 0.9) {
      queue.back(out)
      expected = [...out, ...expected]
      out = []
    } else {
      queue.done(out)
      out = []
    }
    assert.equal(queue.length, expected.length)
    assert.equal(queue.first, expected[0])
    assert.equal(queue.bytes, [...expected, ...out].reduce((n, x) => n + x.bytes, 0))
  }
})
