import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { Owner } from '../dist/test/parts.mjs'
import { away, dead, drained, line, numbers, segment, setup, upTo } from './folder.mjs'
import { serve } from './server.mjs'

const dist = new URL('../dist/node.mjs', import.meta.url)

test('a file is a line an event, and what close leaves arrives with the next client', async t => {
  const s = setup(t)
  const first = s.open(away)
  s.track(first, 0, 5)
  assert.deepEqual(await first.flush({ timeoutMs: 1000 }), { ok: true, queued: 0, spooled: 5 })
  assert.deepEqual(await first.close({ timeoutMs: 50 }), { ok: true, queued: 0, spooled: 5 })
  const [name, ...rest] = s.files()
  assert.match(name, /^[0-9a-f]{16}-0{15}1\.ndjson$/)
  assert.deepEqual(rest, [])
  assert.deepEqual(fs.readFileSync(join(s.dir, name), 'utf8').split('\n').map(l => l && JSON.parse(l).properties.n), [0, 1, 2, 3, 4, ''])
  assert.equal(first.stats().spooled, 5)
  const { server, client } = await drained(t, s)
  assert.deepEqual(numbers(server), upTo(5))
  assert.deepEqual(s.files(), [])
  assert.deepEqual([client.stats().enqueued, client.stats().delivered], [5, 5])
})

test('a crash loses no event whose call returned, with fsync always', async t => {
  const s = setup(t)
  spawnSync(process.execPath, ['--input-type=module', '-e', `
    import { createClient } from '${dist}'
    const c = createClient({ writeKey: 'k', endpoint: '${away}', spool: { dir: '${s.dir}', fsync: 'always' } })
    for (let n = 0; n < 50; n++) c.track({ userId: 'u', event: 'e', properties: { n } })
    process.reallyExit(0)`])
  assert.equal(s.files().length, 2)
  const { server } = await drained(t, s)
  assert.deepEqual(numbers(server), upTo(50))
  assert.deepEqual(s.files(), [])
})

test('a crash between events that have a fate and events that have none repeats none that the position tells', async t => {
  const s = setup(t)
  s.lay(segment(1), [0, 1, 2, 3].map(line).join(''))
  s.lay(segment(1).replace('ndjson', 'pos'), String(Buffer.byteLength(line(0) + line(1))))
  const { server } = await drained(t, s)
  assert.deepEqual(numbers(server), [2, 3])
})

test('a position that cannot be true is not believed', async t => {
  for (const position of ['7', 'x', '', '-1', '999999']) {
    const s = setup(t)
    s.lay(segment(1), line(0) + line(1))
    s.lay(segment(1).replace('ndjson', 'pos'), position)
    const { server } = await drained(t, s)
    assert.deepEqual(numbers(server), [0, 1], position)
    assert.deepEqual(s.files(), [])
  }
})

test('a crash amid a take-over: the position kept its old name, and is removed', async t => {
  const s = setup(t)
  s.lay(segment(1, 'bbbbbbbbbbbbbbbb'), line(0) + line(1))
  s.lay(segment(4).replace('ndjson', 'pos'), '12')
  s.lay(dead + '.lease', `${hostname()} 999999999 ${boot()}\n`)
  const { server } = await drained(t, s)
  assert.deepEqual(numbers(server), [0, 1])
  assert.deepEqual(s.files(), [])
})

test('a torn last line is cut off, bad lines are counted, the rest arrives', async t => {
  const s = setup(t)
  s.lay(segment(1), line(0) + 'no json\n[1]\n\n"text"\n' + line(1) + line(2).slice(0, 20))
  const { server, client } = await drained(t, s)
  assert.deepEqual(numbers(server), [0, 1])
  const { enqueued, delivered, droppedByReason } = client.stats()
  assert.deepEqual([enqueued, delivered, droppedByReason], [6, 2, { spool_error: 4 }])
  assert.deepEqual(s.files(), [])
})

test('a folder of bad lines is emptied', async t => {
  const s = setup(t)
  s.lay(segment(1), 'x\n'.repeat(10))
  s.lay(segment(2), Buffer.alloc(3_000_000, 'y'))
  s.lay(segment(3), Buffer.concat([Buffer.alloc(3_000_000, 'z'), Buffer.from('\n' + line(7))]))
  const { server, client } = await drained(t, s)
  assert.deepEqual(numbers(server), [7])
  assert.deepEqual(client.stats().droppedByReason, { spool_error: 11 })
  assert.deepEqual(s.files(), [])
})

test('what lies there goes first, each owner’s segments in their order, then what is new', async t => {
  const s = setup(t)
  s.lay(segment(2, 'cccccccccccccccc'), line(2), 50_000)
  s.lay(segment(1, 'cccccccccccccccc'), line(1), 10_000)
  s.lay(segment(9), line(0), 90_000)
  const server = await serve()
  t.after(() => server.close())
  const client = s.open(server.endpoint)
  s.track(client, 3, 6)
  await client.close({ timeoutMs: 5000 })
  assert.deepEqual(numbers(server), upTo(6))
})

test('a full spool refuses calls, and takes them again when it is drained', async t => {
  const s = setup(t)
  let up = false
  const server = await serve(() => ({ status: up ? 200 : 503 }))
  t.after(() => server.close())
  const client = s.open(server.endpoint, {}, { maxBytes: 1000 })
  s.track(client, 0, 10)
  const refused = client.stats().droppedByReason.spool_full
  assert.ok(refused > 3 && refused < 9, String(refused))
  up = true
  await client.flush({ timeoutMs: 1000 })
  while (client.stats().spooled + client.stats().inFlight) await new Promise(resolve => setImmediate(resolve))
  assert.equal(typeof client.track({ userId: 'u', event: 'e', properties: { n: 99 } }), 'string')
  await client.close({ timeoutMs: 5000 })
  assert.deepEqual(numbers(server).slice(-1), [99])
})

test('no rights: events are kept in memory, said once, and written when there are rights', async t => {
  const s = setup(t)
  const blocked = join(s.dir, 'file')
  fs.writeFileSync(blocked, '')
  const client = s.open(away, { queueEvents: 4 }, { dir: join(blocked, 'spool') })
  s.track(client, 0, 6)
  assert.deepEqual(client.stats().droppedByReason, { queue_full: 2 })
  assert.equal(client.logged.length, 1)
  assert.match(client.stats().lastError, /spool.*ENOTDIR/)
  fs.rmSync(blocked)
  assert.deepEqual(await client.flush({ timeoutMs: 1000 }), { ok: true, queued: 0, spooled: 4 })
})

test('a disk that fills up half-way through a write leaves whole lines, and memory takes over', async t => {
  const s = setup(t)
  const { writeSync } = fs
  let full = false
  fs.writeSync = (fd, bytes, ...more) => {
    if (!full || !Buffer.isBuffer(bytes)) return writeSync(fd, bytes, ...more)
    writeSync(fd, bytes.subarray(0, 30))
    throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' })
  }
  syncBuiltinESMExports()
  t.after(() => {
    fs.writeSync = writeSync
    syncBuiltinESMExports()
  })
  const client = s.open(away)
  s.track(client, 0, 2)
  full = true
  s.track(client, 2, 4)
  const [name] = s.files().filter(f => f.endsWith('.ndjson'))
  const lines = () => fs.readFileSync(join(s.dir, name), 'utf8').trimEnd().split('\n').map(l => JSON.parse(l).properties.n)
  assert.deepEqual(lines(), [0, 1])
  assert.match(client.stats().lastError, /ENOSPC/)
  full = false
  await client.close({ timeoutMs: 20 })
  assert.deepEqual(lines(), [0, 1, 2, 3])
})

test('more than the memory holds waits on disk, in order', async t => {
  const s = setup(t)
  let up = false
  const server = await serve(() => (up ? {} : 'cut'))
  t.after(() => server.close())
  const client = s.open(server.endpoint, { queueEvents: 50 }, { fsync: 'interval' })
  s.track(client, 0, 5000)
  assert.ok(client.stats().queuedBytes < 50 * 300)
  assert.equal(client.stats().queued + client.stats().spooled + client.stats().inFlight, 5000)
  up = true
  await client.close({ timeoutMs: 20_000 })
  assert.equal(client.stats().delivered, 5000)
  assert.deepEqual(numbers(server), upTo(5000))
  assert.deepEqual(s.files(), [])
})

test('segments are closed at 4 MiB and go when their events are delivered', async t => {
  const s = setup(t)
  const client = s.open(away, {}, { fsync: 'interval' })
  for (let n = 0; n < 100; n++) client.track({ userId: 'u', event: 'e', properties: { n, pad: 'x'.repeat(100_000) } })
  await client.close({ timeoutMs: 20 })
  const sizes = s.files().map(name => fs.statSync(join(s.dir, name)).size)
  assert.equal(sizes.length, 3)
  assert.ok(sizes.every(size => size < (4 << 20) + 200_000))
  const { server } = await drained(t, s)
  assert.deepEqual(numbers(server), upTo(100))
  assert.deepEqual(s.files(), [])
})

const boot = () => fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim() + '/' + /\d+/.exec(fs.readlinkSync('/proc/self/ns/pid'))[0]

test('a healthy server makes one segment be used again and again', async t => {
  const s = setup(t)
  const server = await serve()
  t.after(() => server.close())
  const client = s.open(server.endpoint, { flushAt: 1 }, { fsync: 'interval' })
  const seen = new Set()
  for (let n = 0; n < 20; n++) {
    s.track(client, n, n + 1)
    await client.flush()
    while (client.stats().delivered <= n) await new Promise(resolve => setImmediate(resolve))
    for (const name of s.files()) if (name.endsWith('.ndjson')) seen.add(name)
  }
  assert.equal(seen.size, 1)
  await client.close()
  assert.deepEqual(s.files(), [])
  assert.deepEqual(numbers(server), upTo(20))
})

test('a lease says who is dead: by a pid of this machine and namespace at once, by silence after two looks', { skip: process.platform !== 'linux' }, async t => {
  const sleeper = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60000)'])
  await once(sleeper, 'spawn')
  t.after(() => sleeper.kill())
  const ended = spawnSync(process.execPath, ['-e', '']).pid
  const here = `${hostname()} ${ended} ${boot()}`
  const never = [false, false, false]
  const silent = [false, false, true]
  for (const [name, lease, age, taken] of [
    ['no lease', undefined, 0, [true]],
    ['gone', here, 0, [true]],
    ['gone, but of another namespace', `${hostname()} ${ended} ${boot().replace(/\d+$/, '1')}`, 0, never],
    ['gone, but of an SDK that names no namespace', `${hostname()} ${ended}`, 0, never],
    ['alive', `${hostname()} ${sleeper.pid} ${boot()}`, 30_000, never],
    ['alive and silent', `${hostname()} ${sleeper.pid} ${boot()}`, 61_000, silent],
    ['another host, touched lately', `elsewhere 1 ${boot()}`, 30_000, never],
    ['another host, silent', 'elsewhere 1 -', 61_000, silent],
    ['another host, whose clock is ahead', 'elsewhere 1 -', -61_000, silent],
    ['this process', `${hostname()} ${process.pid} ${boot()}`, 0, never],
  ]) {
    const s = setup(t)
    s.lay(segment(1), line(0))
    if (lease) s.lay(dead + '.lease', lease + '\n', age)
    let now = 0
    const owner = new Owner(s.dir, () => now)
    for (const expected of taken) {
      assert.equal(owner.adopt(path => path, assert.fail).length, expected ? 1 : 0, `${name}, after ${now} ms`)
      now += now ? 2000 : 10_000
    }
    assert.deepEqual(s.files().includes(dead + '.lease'), !taken.at(-1) && lease !== undefined, name)
  }
})

test('an owner that touches its lease between two looks lives, however wrong its clock is', t => {
  const s = setup(t)
  s.lay(segment(1), line(0))
  let now = 0
  const owner = new Owner(s.dir, () => now)
  for (let look = 0; look < 5; look++) {
    s.lay(dead + '.lease', 'elsewhere 1 -\n', 100_000 + look * 1000)
    assert.deepEqual(owner.adopt(path => path, assert.fail), [])
    now += 11_000
  }
})

test('an owner that is taken over while it writes loses nothing', async t => {
  const s = setup(t)
  let up = false
  const server = await serve(() => (up ? {} : { status: 503 }))
  const other = await serve()
  t.after(() => Promise.all([server.close(), other.close()]))
  const client = s.open(server.endpoint, { queueEvents: 40 })
  s.track(client, 0, 100)
  // The neighbour takes this one for dead: no lease, no owner.
  fs.rmSync(join(s.dir, s.files().find(f => f.endsWith('.lease'))))
  const taker = s.open(other.endpoint)
  s.track(client, 100, 150)
  up = true
  await taker.close({ timeoutMs: 5000 })
  await client.close({ timeoutMs: 5000 })
  const arrived = new Set([...numbers(server), ...numbers(other)])
  assert.equal(arrived.size, 150)
  for (const c of [client, taker]) {
    const { enqueued, delivered, handedOver, dropped, queued, inFlight, spooled } = c.stats()
    assert.equal(enqueued, delivered + handedOver + dropped + queued + inFlight + spooled)
    assert.equal(dropped, 0)
  }
  assert.equal(client.stats().enqueued, 150)
  assert.ok(client.stats().handedOver > 0)
  assert.deepEqual(s.files(), [])
})

test('a program that ends without close leaves its events in the spool', async t => {
  for (const end of ['', 'process.exit(0)']) {
    const s = setup(t)
    spawnSync(process.execPath, ['--input-type=module', '-e', `
      import { createClient } from '${dist}'
      const c = createClient({ writeKey: 'k', endpoint: '${away}', spool: { dir: '${s.dir}' } })
      for (let n = 0; n < 50; n++) c.track({ userId: 'u', event: 'e', properties: { n } })
      ${end}`])
    assert.equal(s.files().length, 1)
    const { server } = await drained(t, s)
    assert.deepEqual(numbers(server), upTo(50))
  }
})

test('an event larger than the memory is refused, and one that lies there is sent all the same', async t => {
  const s = setup(t)
  const big = JSON.stringify({ type: 'track', userId: 'u', event: 'e', messageId: 'm', properties: { n: 0, pad: 'x'.repeat(3000) } })
  s.lay(segment(1), big + '\n' + line(1))
  const server = await serve()
  t.after(() => server.close())
  const client = s.open(server.endpoint, { queueBytes: 1000 })
  assert.equal(client.track({ userId: 'u', event: 'e', properties: { pad: 'x'.repeat(2000) } }), null)
  s.track(client, 2, 3)
  await client.close({ timeoutMs: 5000 })
  assert.deepEqual(numbers(server), [0, 1, 2])
  assert.deepEqual(client.stats().droppedByReason, { queue_full: 1 })
})

test('two clients share a folder and leave each other’s events alone', async t => {
  const s = setup(t)
  const one = await serve()
  const two = await serve()
  t.after(() => Promise.all([one.close(), two.close()]))
  const a = s.open(one.endpoint)
  const b = s.open(two.endpoint)
  s.track(a, 0, 100)
  s.track(b, 100, 200)
  const c = s.open(away)
  await Promise.all([a.close({ timeoutMs: 5000 }), b.close({ timeoutMs: 5000 }), c.close({ timeoutMs: 0 })])
  assert.deepEqual(numbers(one), upTo(100))
  assert.deepEqual(numbers(two), upTo(200, 100))
  assert.deepEqual(s.files(), [])
})

test('an owner that was taken for dead goes on under a new id, with all that it holds in memory', async t => {
  const s = setup(t)
  const client = s.open(away)
  s.track(client, 0, 3)
  const [name] = s.files().filter(f => f.endsWith('.ndjson'))
  fs.rmSync(join(s.dir, name.slice(0, 16) + '.lease'))
  fs.renameSync(join(s.dir, name), join(s.dir, segment(1, 'dddddddddddddddd')))
  s.lay('dddddddddddddddd.lease', 'elsewhere 1\n')
  client.spool.touch()
  s.track(client, 3, 5)
  await client.close({ timeoutMs: 20 })
  const mine = s.files().filter(f => f.endsWith('.ndjson') && !f.startsWith('dddd'))
  assert.equal(mine.length, 1)
  assert.notEqual(mine[0].slice(0, 16), name.slice(0, 16))
  assert.deepEqual(fs.readFileSync(join(s.dir, mine[0]), 'utf8').trimEnd().split('\n').map(l => JSON.parse(l).properties.n), upTo(5))
})

test('pending consent keeps events out of the spool', async t => {
  const s = setup(t)
  const client = s.open(away, { consent: 'pending' })
  s.track(client, 0, 3)
  await client.flush({ timeoutMs: 50 })
  assert.deepEqual(s.files().filter(f => f.endsWith('.ndjson')), [])
  client.consent('granted')
  await client.close({ timeoutMs: 20 })
  assert.equal(s.files().length, 1)
})

test('with fsync never, flush waits for fates', async t => {
  const s = setup(t)
  const client = s.open(away, {}, { fsync: 'never' })
  s.track(client, 0, 1)
  const from = performance.now()
  assert.equal((await client.flush({ timeoutMs: 200 })).spooled, 1)
  assert.ok(performance.now() - from > 190)
})
