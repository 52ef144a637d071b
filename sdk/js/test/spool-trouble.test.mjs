// What a spool meets that it did not do itself: files that others cut, disks that fail, clocks and descriptors that run out.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import { test } from 'node:test'
import { dead, drained, line, numbers, segment, setup, upTo } from './folder.mjs'
import { serve } from './server.mjs'

/** Puts another function in the place of fs[name] until the test ends, or until the function that it returns is called. */
function replace(t, name, by) {
  const own = fs[name]
  const back = () => {
    fs[name] = own
    syncBuiltinESMExports()
  }
  fs[name] = by(own)
  syncBuiltinESMExports()
  t.after(back)
  return back
}

const full = () => Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' })
const segments = s => s.files().filter(name => name.endsWith('.ndjson'))

function sumsHold({ enqueued, delivered, rejected, dropped, handedOver, queued, inFlight, spooled }) {
  assert.equal(enqueued, delivered + rejected + dropped + handedOver + queued + inFlight + spooled)
}

test('a segment that became shorter than it was is given up, and hangs nothing', async t => {
  const s = setup(t)
  s.lay(segment(1), upTo(20).map(line).join(''))
  let up = false
  const server = await serve(() => ({ status: up ? 200 : 503 }))
  t.after(() => server.close())
  const client = s.open(server.endpoint, { queueEvents: 5 })
  const [name] = segments(s)
  fs.truncateSync(join(s.dir, name), Buffer.byteLength(upTo(8).map(line).join('')))
  up = true
  await client.close({ timeoutMs: 5000 })
  assert.deepEqual([...new Set(numbers(server))], upTo(8))
  assert.deepEqual(client.stats().droppedByReason, { spool_error: 12 })
  sumsHold(client.stats())
  assert.deepEqual(s.files(), [])
})

test('events on disk are as old as their last write, however long their segment has been used', async t => {
  const s = setup(t)
  let up = true
  const server = await serve(() => ({ status: up ? 200 : 503 }))
  t.after(() => server.close())
  const client = s.open(server.endpoint, { queueEvents: 5, maxAgeMs: 1500 })
  s.track(client, 0, 1)
  while (!client.stats().delivered) await new Promise(resolve => setImmediate(resolve))
  await new Promise(resolve => setTimeout(resolve, 1600)) // until the segment is older than an event may be
  up = false
  s.track(client, 1, 21)
  assert.equal(client.stats().spooled + client.stats().inFlight, 20)
  up = true
  await client.close({ timeoutMs: 5000 })
  assert.deepEqual(client.stats().droppedByReason, {})
  assert.deepEqual([...new Set(numbers(server))], upTo(21))
})

test('a segment whose position was written is not begun anew: a crash might keep the position and not its end', async t => {
  const s = setup(t)
  let status = 200
  const server = await serve(() => ({ status }))
  t.after(() => server.close())
  const client = s.open(server.endpoint, { flushAt: 2, batchEvents: 2, flushIntervalMs: 60_000 })
  s.track(client, 0, 3)
  while (client.stats().delivered < 2) await new Promise(resolve => setImmediate(resolve))
  const [name] = segments(s)
  client.spool.segments[0].keepPosition()
  assert.ok(s.files().includes(name.replace('ndjson', 'pos')))
  await client.flush()
  while (client.stats().delivered < 3) await new Promise(resolve => setImmediate(resolve))
  s.track(client, 3, 4)
  assert.notDeepEqual(segments(s), [name])
})

test('a segment that bears another name now is not cut: it is its taker’s', async t => {
  const s = setup(t)
  let answer
  const server = await serve(() => new Promise(resolve => (answer = () => resolve({}))))
  t.after(() => server.close())
  const client = s.open(server.endpoint, { flushAt: 2 })
  s.track(client, 0, 2)
  while (!answer) await new Promise(resolve => setImmediate(resolve))
  const [name] = segments(s)
  const theirs = join(s.dir, segment(1, 'dddddddddddddddd'))
  s.lay('dddddddddddddddd.lease', 'elsewhere 1 -\n')
  fs.renameSync(join(s.dir, name), theirs)
  answer()
  while (client.stats().delivered < 2) await new Promise(resolve => setImmediate(resolve))
  assert.equal(fs.readFileSync(theirs, 'utf8').split('\n').length, 3)
})

test('a segment that cannot be opened stays its owner’s, and is taken with a later look', async t => {
  const s = setup(t)
  s.lay(segment(1), line(0))
  s.lay(segment(2), line(1))
  const heal = replace(t, 'openSync', own => (path, flags, ...more) => {
    if (flags === 'r' && String(path).endsWith('.ndjson')) throw Object.assign(new Error('EMFILE: too many open files, open'), { code: 'EMFILE' })
    return own(path, flags, ...more)
  })
  const server = await serve()
  t.after(() => server.close())
  const client = s.open(server.endpoint)
  assert.deepEqual(segments(s), [segment(1), segment(2)])
  assert.match(client.stats().lastError, /EMFILE/)
  heal()
  client.spool.alarm.set('look', 0)
  while (segments(s).some(name => name.startsWith(dead))) await new Promise(resolve => setImmediate(resolve))
  await client.close({ timeoutMs: 5000 })
  assert.deepEqual(numbers(server), [0, 1])
  assert.deepEqual(s.files(), [])
})

test('a disk that fails under more than the memory holds: close tells what it drops', async t => {
  const s = setup(t)
  const server = await serve(() => ({ status: 503 }))
  t.after(() => server.close())
  const client = s.open(server.endpoint, { queueEvents: 4 }, { fsync: 'interval' })
  s.track(client, 0, 10)
  replace(t, 'writeSync', own => (fd, bytes, ...more) => {
    if (Buffer.isBuffer(bytes)) throw full()
    return own(fd, bytes, ...more)
  })
  assert.deepEqual(await client.close({ timeoutMs: 50 }), { ok: false, queued: 10, spooled: 0 })
  assert.deepEqual(client.stats().droppedByReason, { closed: 10 })
  assert.equal(client.results.length, 10)
  sumsHold(client.stats())
})

test('a call from onResult while the spool is opened outlives a write that fails', async t => {
  const s = setup(t)
  const blocked = join(s.dir, 'spool')
  fs.writeFileSync(blocked, '')
  let up = false
  const server = await serve(() => ({ status: up ? 200 : 503 }))
  t.after(() => server.close())
  let again
  const client = s.open(server.endpoint, { queueEvents: 5, onResult: results => results.some(r => r.code === 'spool_error') && again() }, { dir: blocked })
  again = () => s.track(client, 20, 21)
  s.track(client, 0, 1)
  fs.rmSync(blocked)
  fs.mkdirSync(blocked)
  s.lay(join('spool', segment(1)), 'no event\n' + upTo(11, 1).map(line).join(''))
  const heal = replace(t, 'writeSync', own => (fd, bytes, ...more) => {
    if (Buffer.isBuffer(bytes)) throw full()
    return own(fd, bytes, ...more)
  })
  client.spool.write()
  heal()
  up = true
  client.spool.touch()
  await client.close({ timeoutMs: 5000 })
  assert.deepEqual([...new Set(numbers(server))].sort((a, b) => a - b), [...upTo(11), 20])
  sumsHold(client.stats())
})

test('a last sync that fails is told', async t => {
  const s = setup(t)
  const server = await serve(() => ({ status: 503 }))
  t.after(() => server.close())
  const client = s.open(server.endpoint, {}, { fsync: 'interval' })
  s.track(client, 0, 1)
  client.spool.write()
  replace(t, 'fsync', () => (fd, done) => done(Object.assign(new Error('EIO: i/o error, fsync'), { code: 'EIO' })))
  client.spool.seal()
  assert.equal(await client.spool.sync(), false)
  assert.match(client.logged.join(), /EIO/)
})

test('a torn line that is cut off makes the others no younger', async t => {
  const s = setup(t)
  s.lay(segment(1), line(0) + line(1).slice(0, 20), 5000)
  const client = s.open('http://127.0.0.1:1', { maxAgeMs: 3_600_000 })
  const [name] = segments(s)
  assert.ok(Date.now() - fs.statSync(join(s.dir, name)).mtimeMs > 4000)
  await client.close({ timeoutMs: 0 })
  assert.deepEqual(numbers((await drained(t, s)).server), [0])
})
