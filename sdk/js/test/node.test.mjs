import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { createClient } from '../dist/node.mjs'
import { serve } from './server.mjs'

const dist = new URL('../dist/node.mjs', import.meta.url)
const track = { userId: 'u1', event: 'Paid' }

async function setup(t, answer, options = {}) {
  const server = await serve(answer)
  const results = []
  const client = createClient({ writeKey: 'key-1234', endpoint: server.endpoint, backoffBaseMs: 10, log() {}, onResult: r => results.push(...r), ...options })
  t.after(async () => {
    await client.close({ timeoutMs: 0 })
    await server.close()
  })
  return { server, client, results }
}

test('lastError says what the server said', async t => {
  const { client } = await setup(t, () => ({ status: 401, body: '{"success":false,"code":"unknown_key","message":"no source has this write key"}' }))
  client.track(track)
  await client.flush()
  assert.equal(client.stats().lastError, 'http_401: unknown_key: no source has this write key')
  const page = await setup(t, () => ({ status: 404, body: '<html>' }))
  page.client.track(track)
  await page.client.flush()
  assert.equal(page.client.stats().lastError, 'http_404')
})

test('a queue that is full refuses before it encodes', async t => {
  const { client, results } = await setup(t, () => ({ status: 503 }), { queueEvents: 1 })
  let encoded = 0
  const properties = { toJSON: () => ({ n: ++encoded }) }
  for (let n = 0; n < 3; n++) client.track({ ...track, properties })
  assert.equal(encoded, 1)
  assert.deepEqual(client.stats().droppedByReason, { queue_full: 2 })
  await client.close({ timeoutMs: 0 })
  assert.deepEqual(results.map(r => r.code), ['queue_full', 'queue_full', 'closed'])
})

test('the request is the one of the specification', async t => {
  const { server, client } = await setup(t)
  client.track({ ...track, properties: { total: 12.5 } })
  assert.deepEqual(await client.flush(), { ok: true, queued: 0, spooled: 0 })
  const [{ method, url, headers, batch }] = server.requests
  assert.deepEqual([method, url, headers['content-type'], headers['user-agent']], ['POST', '/v1/batch', 'application/json', 'millstream-node/0.1.0'])
  assert.equal(headers.authorization, 'Basic ' + Buffer.from('key-1234:').toString('base64'))
  assert.equal(headers['x-retry-count'], undefined)
  assert.deepEqual(batch[0].context, { library: { name: 'millstream-node', version: '0.1.0' } })
})

test('the path of the endpoint stays in front', async t => {
  const server = await serve()
  t.after(() => server.close())
  const client = createClient({ writeKey: 'k', endpoint: server.endpoint + '/in/' })
  client.track(track)
  await client.close()
  assert.equal(server.requests[0].url, '/in/v1/batch')
})

test('bodies are compressed from 1 KiB on, unless that is switched off', async t => {
  for (const [gzip, size, encoding] of [[true, 2000, 'gzip'], [true, 10, undefined], [false, 2000, undefined]]) {
    const { server, client } = await setup(t, undefined, { gzip })
    client.track({ ...track, properties: { pad: 'x'.repeat(size) } })
    await client.flush()
    assert.equal(server.requests[0].headers['content-encoding'], encoding)
    assert.equal(server.requests[0].batch[0].properties.pad.length, size)
  }
})

test('connections are kept alive, and retries are numbered', async t => {
  const { server, client, results } = await setup(t, n => ({ status: n < 2 ? 500 : 200 }))
  client.track(track)
  await client.flush()
  assert.deepEqual(server.requests.map(r => r.headers['x-retry-count']), [undefined, '1', '2'])
  assert.equal(new Set(server.requests.map(r => r.socket)).size, 1)
  assert.deepEqual(results.map(r => [r.fate, r.attempts]), [['delivered', 3]])
})

test('redirects are not followed', async t => {
  const other = await serve()
  t.after(() => other.close())
  const { server, client } = await setup(t, n => (n ? {} : { status: 301, headers: { location: other.endpoint + '/v1/batch' } }))
  client.track(track)
  await client.flush()
  assert.deepEqual([server.requests.length, other.requests.length], [2, 0])
})

test('a cut connection and a silent server are tried again', async t => {
  const { server, client, results } = await setup(t, n => ['cut', 'silence'][n] ?? {}, { requestTimeoutMs: 100 })
  client.track(track)
  assert.equal((await client.flush()).ok, true)
  assert.equal(server.requests.length, 3)
  assert.equal(results.length, 1)
})

test('send goes past the queue and resolves with the fate', async t => {
  const { server, client, results } = await setup(t, (n, { batch }) =>
    batch[0].event === 'slow' ? { status: 503 } : { body: JSON.stringify({ rejected: batch[0].event === 'bad' ? [{ index: 0, messageId: batch[0].messageId, code: 'plan_violation', message: 'no' }] : [] }) })
  client.track({ ...track, event: 'queued' })
  assert.equal((await client.send({ type: 'track', ...track, messageId: 'm1' })).fate, 'delivered')
  assert.deepEqual(await client.send({ type: 'track', userId: 'u', event: 'bad', messageId: 'm2' }), { messageId: 'm2', fate: 'rejected', attempts: 1, code: 'plan_violation', message: 'no' })
  assert.equal((await client.send({ type: 'track', event: 'nobody' })).code, 'invalid')
  const late = await client.send({ type: 'track', userId: 'u', event: 'slow' }, { timeoutMs: 80 })
  assert.deepEqual([late.fate, late.code, late.attempts > 1], ['dropped', 'expired', true])
  assert.equal(server.requests[0].batch[0].messageId, 'm1')
  assert.equal(results.length, 0)
  const { enqueued, delivered, rejected, dropped, queued } = client.stats()
  assert.deepEqual([enqueued, delivered, rejected, dropped, queued], [5, 1, 1, 2, 1])
  await client.close()
  assert.equal((await client.send({ type: 'track', ...track })).code, 'closed')
})

test('close ends a request that nobody answers, and a send', async t => {
  const { client, results } = await setup(t, () => 'silence', { flushAt: 1 })
  client.track(track)
  const sent = client.send({ type: 'track', ...track }, { timeoutMs: 60_000 })
  const from = performance.now()
  assert.deepEqual(await client.close({ timeoutMs: 150 }), { ok: false, queued: 1, spooled: 0 })
  assert.ok(performance.now() - from < 5000)
  assert.equal(results[0].code, 'closed')
  assert.equal((await sent).fate, 'dropped')
})

test('what only a person can mend is logged once a minute', async t => {
  const cases = [[{ status: 404 }, /404.*\/v1\/batch/], ['cut', /away.*(hang up|ECONNRESET)/], [{ status: 503 }, /away \(503\)/], [{}, undefined]]
  for (const [answer, line] of cases) {
    const logged = []
    const { client } = await setup(t, () => answer, { log: text => logged.push(text), backoffMaxMs: 20 })
    client.track(track)
    await client.flush({ timeoutMs: 100 })
    assert.equal(logged.length, line ? 1 : 0)
    if (line) assert.match(logged[0], line)
    client.track({ userId: 7, event: 'e' })
    client.track('E', { browser: 'style' })
    assert.equal(logged.length, line ? 2 : 1)
    assert.match(logged.at(-1), /refused.*userId is a number/)
    assert.match(client.stats().lastError, /^invalid: /)
  }
})

test('options that can never work are refused with their name and value', () => {
  const fine = { writeKey: 'k', endpoint: 'https://in.example.com' }
  for (const [options, message] of [
    [{ writeKey: undefined }, /writeKey/], [{ writeKey: 'a\nb' }, /writeKey/], [{ endpoint: undefined }, /endpoint/],
    [{ endpoint: 'in.example.com' }, /endpoint.*in\.example\.com/], [{ endpoint: 'ftp://x' }, /endpoint.*ftp/], [{ endpoint: 'http://h/?x=1' }, /endpoint.*query/],
    [{ flushAt: NaN }, /flushAt.*NaN/], [{ batchEvents: 0 }, /batchEvents.*above 0.*0/], [{ queueBytes: '16mb' }, /queueBytes.*16mb/], [{ backoffBaseMs: -1 }, /backoffBaseMs.*-1/],
    [{ consent: 'yes' }, /consent.*yes/], [{ overflow: 'block' }, /overflow.*block/], [{ onResult: 3 }, /onResult/], [{ middleware: [1] }, /middleware/],
    [{ spool: { dir: 1 } }, /spool\.dir/], [{ spool: { dir: 'x', fsync: 'often' } }, /spool\.fsync.*often/], [{ spool: { dir: 'x', maxBytes: 0 } }, /spool\.maxBytes/],
  ]) assert.throws(() => createClient({ ...fine, ...options }), message)
})

/** What a process prints that runs this script as a module. */
const run = (script, args = []) => execFileSync(process.execPath, [...args, '--input-type=module', '-e', script], { timeout: 20_000, encoding: 'utf8' })

test('a finished program ends, with a client open and events queued', () => {
  const out = run(`
    import { mkdtempSync } from 'node:fs'
    import { tmpdir } from 'node:os'
    import { createClient } from '${dist}'
    const c = createClient({ writeKey: 'k', endpoint: 'http://127.0.0.1:1', spool: { dir: mkdtempSync(tmpdir() + '/ends') }, log() {} })
    c.track({ userId: 'u', event: 'e' })
    console.log('done')`)
  assert.equal(out, 'done\n')
})

test('an awaited flush and close keep the program alive until they return', () => {
  const out = run(`
    import { createClient } from '${dist}'
    const c = createClient({ writeKey: 'k', endpoint: 'http://127.0.0.1:1', log() {} })
    c.track({ userId: 'u', event: 'e' })
    console.log((await c.flush({ timeoutMs: 300 })).queued, (await c.close({ timeoutMs: 300 })).queued)`)
  assert.equal(out, '1 1\n')
})

test('a program that ends with events unsent hears of it, and one that closed does not', () => {
  const script = end => `
    import { createClient } from '${dist}'
    const clients = Array.from({ length: 20 }, () => createClient({ writeKey: 'k', endpoint: 'http://127.0.0.1:1', log: console.log }))
    clients[0].track({ userId: 'u', event: 'e' })
    ${end}`
  assert.match(run(script('')), /^millstream: the program ended with 1 events unsent: await client\.close\(\)[^\n]*\n$/)
  assert.equal(run(script('for (const c of clients) await c.close({ timeoutMs: 0 })')), '')
})

test('an import does no work', () => {
  const out = run(`
    import { createHook } from 'node:async_hooks'
    import { writeSync } from 'node:fs'
    const made = []
    const hook = createHook({ init: (id, type) => { if (!/PROMISE|FSREQ|TickObject|Immediate|FILEHANDLE/.test(type)) made.push(type) } })
    const before = Object.keys(globalThis).length
    hook.enable()
    await import('${dist}')
    hook.disable()
    writeSync(1, JSON.stringify([made, Object.keys(globalThis).length - before]))`)
  assert.equal(out, '[[],0]')
})

test('nothing is left after close', async t => {
  const { server, client } = await setup(t)
  const mine = () => process._getActiveHandles().filter(h => h.remotePort && `http://127.0.0.1:${h.remotePort}` === server.endpoint).length
  client.track(track)
  await client.flush()
  await client.close()
  for (let i = 0; i < 100 && mine(); i++) await new Promise(resolve => setImmediate(resolve))
  assert.equal(mine(), 0)
})

test('workers have clients of their own', async t => {
  const server = await serve()
  t.after(() => server.close())
  const script = `
    const { workerData } = require('node:worker_threads')
    import(workerData.dist).then(async ({ createClient }) => {
      const c = createClient({ writeKey: 'k', endpoint: workerData.endpoint })
      for (let i = 0; i < 1000; i++) c.track({ userId: 'w' + workerData.n, event: String(i) })
      await c.close()
    })`
  const workers = [1, 2, 3, 4].map(n => new Worker(script, { eval: true, workerData: { n, dist: dist.href, endpoint: server.endpoint } }))
  await Promise.all(workers.map(worker => once(worker, 'exit')))
  assert.equal(new Set(server.events().map(e => e.messageId)).size, 4000)
})

test('the example runs', async t => {
  const server = await serve()
  t.after(() => server.close())
  const example = fileURLToPath(new URL('../examples/node.mjs', import.meta.url))
  const child = spawn(process.execPath, [example], { env: { ...process.env, MILLSTREAM_ENDPOINT: server.endpoint, MILLSTREAM_WRITE_KEY: 'k' }, stdio: 'ignore' })
  const [code] = await once(child, 'exit')
  assert.equal(code, 0)
  assert.ok(server.events().length > 0)
})
