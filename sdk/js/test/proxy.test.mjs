// A client behind a real proxy: a process of its own, whose environment says so, and a server that only the proxy finds.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, request as httpRequest } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { connect } from 'node:net'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { createClient } from '../dist/node.mjs'
import { proxyOf } from '../dist/test/parts.mjs'
import { serve } from './server.mjs'

const dist = new URL('../dist/node.mjs', import.meta.url)
const pem = fileURLToPath(new URL('ingest.test.pem', import.meta.url))

/** Forwards what it is asked for, whatever the name, to port; answer may refuse a CONNECT with a status, or with silence. */
async function proxyTo(t, port, answer = () => 200) {
  const asked = []
  const sockets = new Set()
  const server = createServer((request, response) => {
    asked.push({ method: request.method, target: request.url, headers: request.headers })
    const { pathname } = new URL(request.url)
    request.pipe(httpRequest({ host: '127.0.0.1', port, method: request.method, path: pathname, headers: request.headers }, got => {
      response.writeHead(got.statusCode, got.headers)
      got.pipe(response)
    }))
  })
  server.on('connect', (request, socket) => {
    asked.push({ method: 'CONNECT', target: request.url, headers: request.headers })
    const status = answer()
    if (!status) return
    if (status !== 200) return socket.end(`HTTP/1.1 ${status} No\r\nContent-Length: 0\r\n\r\n`)
    const onward = connect(port, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
      onward.pipe(socket).pipe(onward)
    })
    for (const end of [socket, onward]) end.on('error', () => end.destroy())
  })
  server.on('connection', socket => sockets.add(socket))
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { asked, url: `http://u:p%40@127.0.0.1:${server.address().port}` }
}

async function secure(t) {
  const bodies = []
  const key = readFileSync(pem)
  let connections = 0
  const server = createTlsServer({ key, cert: key }, (request, response) => {
    const chunks = []
    request.on('data', chunk => chunks.push(chunk)).on('end', () => {
      bodies.push(JSON.parse(Buffer.concat(chunks)))
      response.end('{"success":true}')
    })
  })
  server.on('connection', () => connections++)
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return { port: server.address().port, bodies, connections: () => connections }
}

/** Two events in two requests, by a process that then ends by itself; what it prints. */
async function send(endpoint, env, options = {}) {
  const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/_proxy$/i.test(name)))
  const child = spawn(process.execPath, ['--input-type=module', '-e', `
    import { createClient } from '${dist}'
    const c = createClient(${JSON.stringify({ writeKey: 'k', endpoint, backoffBaseMs: 10, ...options })})
    for (const event of ['A', 'B']) {
      c.track({ userId: 'u', event })
      await c.flush({ timeoutMs: ${options.requestTimeoutMs ? 1000 : 5000} })
    }
    const { delivered, lastError } = c.stats()
    console.log(JSON.stringify([delivered, lastError]))
    if (!delivered) await c.close({ timeoutMs: 0 })`], { env: { ...clean, NODE_EXTRA_CA_CERTS: pem, ...env }, stdio: ['ignore', 'pipe', 'ignore'] })
  let out = ''
  child.stdout.on('data', text => (out += text))
  await once(child, 'close')
  return JSON.parse(out)
}

const basic = 'Basic ' + Buffer.from('u:p@').toString('base64')

test('an https endpoint is reached through a tunnel, over one connection', async t => {
  const server = await secure(t)
  const proxy = await proxyTo(t, server.port)
  assert.deepEqual(await send('https://ingest.test/in', { HTTPS_PROXY: proxy.url }), [2, null])
  assert.deepEqual(proxy.asked.map(({ method, target, headers }) => [method, target, headers['proxy-authorization']]), [['CONNECT', 'ingest.test:443', basic]])
  assert.deepEqual(server.bodies.flatMap(b => b.batch.map(e => e.event)), ['A', 'B'])
  assert.equal(server.connections(), 1)
})

test('the certificate is that of the endpoint, not of whoever is behind the proxy', async t => {
  const server = await secure(t)
  const proxy = await proxyTo(t, server.port)
  const [delivered, error] = await send('https://other.test', {}, { proxy: proxy.url, requestTimeoutMs: 500 })
  assert.equal(delivered, 0)
  assert.match(error, /other\.test/)
  assert.equal(server.bodies.length, 0)
})

test('an http endpoint is asked of the proxy by its whole address', async t => {
  const server = await serve()
  t.after(() => server.close())
  const proxy = await proxyTo(t, new URL(server.endpoint).port)
  assert.deepEqual(await send('http://ingest.test/in', { http_proxy: proxy.url }), [2, null])
  const [{ method, target, headers }] = proxy.asked
  assert.deepEqual([method, target, headers.host, headers['proxy-authorization']], ['POST', 'http://ingest.test/in/v1/batch', 'ingest.test', basic])
  assert.equal(server.requests[0].url, '/in/v1/batch')
})

test('a proxy that refuses or is silent is told in lastError, and close waits for neither', async t => {
  for (const [status, message] of [[407, /proxy: answered CONNECT with 407/], [0, /no answer within 300 ms/]]) {
    const proxy = await proxyTo(t, 1, () => status)
    const [delivered, error] = await send('https://ingest.test', { https_proxy: proxy.url }, { requestTimeoutMs: 300 })
    assert.equal(delivered, 0)
    assert.match(error, message)
  }
})

test('close ends a request that waits for its tunnel', async t => {
  const proxy = await proxyTo(t, 1, () => 0)
  const client = createClient({ writeKey: 'k', endpoint: 'https://ingest.test', proxy: proxy.url, log() {} })
  client.track({ userId: 'u', event: 'e' })
  void client.flush({ timeoutMs: 10 })
  while (!proxy.asked.length) await new Promise(resolve => setImmediate(resolve))
  await client.close({ timeoutMs: 10 })
  const port = Number(new URL(proxy.url).port)
  const mine = () => process._getActiveHandles().filter(handle => handle.remotePort === port).length
  for (let i = 0; i < 100 && mine(); i++) await new Promise(resolve => setImmediate(resolve))
  assert.equal(mine(), 0)
})

test('who goes through which proxy', () => {
  const of = (endpoint, env, option) => proxyOf(new URL(endpoint), option, env)?.host
  const both = { HTTPS_PROXY: 'http://s:1', HTTP_PROXY: 'p:2' }
  for (const [endpoint, env, proxy] of [
    ['https://in.example.com', both, 's:1'],
    ['http://in.example.com', both, 'p:2'],
    ['https://in.example.com', { https_proxy: 's:3' }, 's:3'],
    ['https://in.example.com', { HTTP_PROXY: 'p:2' }, undefined],
    ['http://in.example.com', { ...both, REQUEST_METHOD: 'GET' }, undefined],
    ['http://localhost:8080', both, undefined],
    ['http://127.0.0.1:8080', both, undefined],
    ['http://[::1]:8080', both, undefined],
    ['https://in.example.com', { ...both, NO_PROXY: 'other.com, example.com' }, undefined],
    ['https://in.example.com', { ...both, no_proxy: '.example.com' }, undefined],
    ['https://in.example.com', { ...both, NO_PROXY: '*' }, undefined],
    ['https://in.example.com', { ...both, NO_PROXY: 'example.com:8443' }, 's:1'],
    ['https://in.example.com:8443', { ...both, NO_PROXY: 'example.com:8443' }, undefined],
    ['https://in.badexample.com', { ...both, NO_PROXY: 'example.com' }, 's:1'],
    ['https://in.example.com', { ...both, NO_PROXY: '' }, 's:1'],
  ]) assert.equal(of(endpoint, env), proxy, JSON.stringify([endpoint, env]))
  assert.equal(of('http://localhost', both, 'http://o:4'), 'o:4')
  assert.equal(of('https://in.example.com', both, ''), undefined)
  assert.throws(() => of('https://in.example.com', { HTTPS_PROXY: 'socks5://u:secret@s:1' }), e => /socks5/.test(e.message) && !/secret/.test(e.message))
  assert.throws(() => createClient({ writeKey: 'k', endpoint: 'https://in.example.com', proxy: 'socks5://s:1' }), /proxy.*socks5/)
})
