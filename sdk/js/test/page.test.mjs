// The browser's client in a page that is made up: what it puts on the page, and what it does where there is none.
import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { test } from 'node:test'
import { createClient, createCoreClient } from '../dist/browser.mjs'

const options = { writeKey: 'k', endpoint: 'https://in.example.com', log() {} }
const kinds = ['visibilitychange', 'prerenderingchange', 'pagehide', 'pageshow', 'popstate', 'storage']
const own = ['pushState', 'replaceState']

/** Makes the globals of a page until the test ends, and returns the bodies that its clients send. */
function page(t, answer = () => new Response('{"success":true}')) {
  const bodies = []
  const view = new EventTarget()
  const at = path => ({ href: 'https://shop.example.com' + path, pathname: path, search: '', hostname: 'shop.example.com', protocol: 'https:' })
  const go = (_, __, path) => (globalThis.location = at(path))
  const globals = {
    window: globalThis, document: Object.assign(new EventTarget(), { cookie: '', referrer: '', title: 'Shop', visibilityState: 'visible' }),
    location: at('/'), history: { pushState: go, replaceState: go }, navigator: { userAgent: 'Test/1', language: 'nl', onLine: true },
    localStorage: { getItem: () => null, setItem() {}, removeItem() {} }, screen: { width: 800, height: 600 }, devicePixelRatio: 2,
    addEventListener: view.addEventListener.bind(view),
    fetch: async (_, { body }) => {
      bodies.push(...JSON.parse(body).batch)
      return answer()
    },
  }
  const before = Object.fromEntries(Object.keys(globals).map(name => [name, Object.getOwnPropertyDescriptor(globalThis, name)]))
  for (const [name, value] of Object.entries(globals)) Object.defineProperty(globalThis, name, { value, configurable: true, writable: true })
  t.after(() => {
    for (const [name, was] of Object.entries(before)) was ? Object.defineProperty(globalThis, name, was) : delete globalThis[name]
  })
  const listening = () => kinds.filter(kind => [view, globals.document].some(target => getEventListeners(target, kind).length))
  return { bodies, listening, go, view }
}

test('where there is no page, each call is refused and nothing throws', async () => {
  for (const client of [createClient(options), createClient({ ...options, autoPage: true }), createCoreClient(options)]) {
    for (const name of ['identify', 'track', 'page', 'screen', 'group', 'alias']) {
      const { fate, code } = await client[name]('u1', { a: 1 })
      assert.deepEqual([fate, code], ['dropped', 'closed'], name)
    }
    assert.deepEqual(await client.flush(), { ok: true, queued: 0, spooled: 0 })
    assert.deepEqual(await client.close(), { ok: true, queued: 0, spooled: 0 })
    const { enqueued, dropped, droppedByReason } = client.stats()
    assert.deepEqual([enqueued, dropped, droppedByReason], [6, 6, { closed: 6 }])
  }
  const client = createClient(options)
  client.on('track', () => {}).once('page', () => {}).off('track').reset()
  client.consent('denied')
  assert.deepEqual([client.user().id(), client.group().traits(), client.setAnonymousId('a')], [null, {}, 'a'])
  await client.ready()
})

test('an option that is missing is named, with a page and without', t => {
  const refused = (make, given, name) => assert.throws(() => make(given), e => e instanceof TypeError && e.message.startsWith(name + ': must be'))
  const mistakes = () => {
    for (const make of [createClient, createCoreClient]) {
      refused(make, undefined, 'writeKey')
      refused(make, {}, 'writeKey')
      refused(make, { writeKey: '', endpoint: 'https://in.example.com' }, 'writeKey')
      refused(make, { writeKey: 'k' }, 'endpoint')
      refused(make, { writeKey: 'k', endpoint: null }, 'endpoint')
    }
  }
  mistakes()
  page(t)
  mistakes()
})

test('close takes away each listener and gives the history back', async t => {
  const { listening, go } = page(t)
  const client = createClient({ ...options, autoPage: true })
  assert.ok(listening().length >= 5, listening())
  assert.notEqual(history.pushState, go)
  await client.close()
  assert.deepEqual(listening(), [])
  for (const name of own) assert.equal(history[name], go)
  const core = createCoreClient(options)
  assert.deepEqual(listening(), ['visibilitychange', 'pagehide', 'pageshow'])
  await core.close()
  assert.deepEqual(listening(), [])
})

test('of two clients one after the other, each view is sent by the one that is open', async t => {
  const { bodies, go } = page(t)
  const first = createClient({ ...options, autoPage: true })
  history.pushState(null, '', '/a')
  const closed = first.close() // nobody waits for it
  const second = createClient({ ...options, autoPage: true })
  history.pushState(null, '', '/b')
  await closed
  history.pushState(null, '', '/c')
  await second.close()
  history.pushState(null, '', '/d')
  assert.deepEqual(bodies.map(e => e.properties.path), ['/', '/a', '/a', '/b', '/c'])
  assert.equal(first.stats().enqueued, 2)
  for (const name of own) assert.equal(history[name], go)
})

test('a history that others have patched since stays theirs, and works', async t => {
  const { bodies } = page(t)
  const client = createClient({ ...options, autoPage: true })
  const ours = history.pushState
  const theirs = (history.pushState = (...args) => ours.apply(history, args))
  await client.close()
  assert.equal(history.pushState, theirs)
  history.pushState(null, '', '/a')
  assert.equal(location.pathname, '/a')
  assert.equal(bodies.length, 1)
  assert.equal(client.stats().enqueued, 1)
})

test('a page that goes away while its client closes still hands over what waits', async t => {
  const { view, bodies } = page(t, () => new Promise(() => {}))
  const client = createCoreClient({ ...options, flushAt: 1, batchEvents: 1 })
  client.track('One', {}, { userId: 'u1' })
  client.track('Two', {}, { userId: 'u1' })
  const closed = client.close({ timeoutMs: 50 })
  view.dispatchEvent(new Event('pagehide'))
  assert.deepEqual(bodies.map(e => e.event), ['One', 'Two'])
  await closed
})

test('the server refuses what the page handed over when the tab was hidden: its fate is told, once', async t => {
  const results = []
  const { bodies } = page(t, () => new Response('{"error":"no such key"}', { status: 401 }))
  const client = createClient({ ...options, onResult: rs => results.push(...rs) })
  client.track('One')
  document.visibilityState = 'hidden'
  document.dispatchEvent(new Event('visibilitychange'))
  await client.flush({ timeoutMs: 1000 })
  assert.deepEqual(results.map(r => [r.fate, r.code, r.attempts]), [['dropped', 'http_401', 1]])
  assert.equal(bodies.length, 1)
  assert.equal(client.stats().lastError, 'http_401')
  await client.close()
})

test('what an application throws where it is called from the sender is counted, and stops nothing', async t => {
  const { bodies } = page(t)
  const mine = () => {
    throw new Error('mine')
  }
  const client = createClient({ ...options, flushAt: 1, onResult: mine })
  await client.track('One')
  await client.track('Two')
  assert.deepEqual(bodies.map(e => e.event), ['One', 'Two'])
  const { delivered, callbackErrors } = client.stats()
  assert.deepEqual([delivered, callbackErrors], [2, 2])
  await client.close()
})
