// What of the browser's half needs no browser: the device is made up here, and conformance runs the rest in Chromium.
import assert from 'node:assert/strict'
import { beforeEach, test } from 'node:test'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build } from 'esbuild'
import { browser } from '../scripts/options.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const outfile = root + 'dist/test/browser.mjs'
await build({
  ...browser, format: 'esm', mangleProps: undefined, outfile,
  stdin: { contents: ['args', 'context', 'device', 'identity', 'store'].map(p => `export * from './src/browser/${p}.ts'`).join('\n'), resolveDir: root },
})
const { openIdentity, openStore, platformContext, readCookie, sort, writeCookie } = await import(pathToFileURL(outfile))

/** A site's cookies, of which a browser takes those for a domain that is no public suffix. */
class Jar {
  cookies = new Map()
  suffixes = new Set(['com', 'uk', 'co.uk', 'io', 'github.io'])
  set cookie(text) {
    const [pair, ...attributes] = text.split(';')
    const [name, value] = pair.split('=')
    const domain = attributes.find(a => a.startsWith('domain='))?.slice(7)
    if (this.suffixes.has(domain)) return
    if (attributes.includes('max-age=0')) this.cookies.delete(name)
    else this.cookies.set(name, { value, domain, attributes })
  }
  get cookie() {
    return [...this.cookies].map(([name, { value }]) => `${name}=${value}`).join('; ')
  }
}

/** localStorage with a bound. */
class Shelf {
  constructor(room = Infinity) {
    Object.defineProperty(this, 'room', { value: room, enumerable: false })
  }
  getItem(key) {
    return Object.hasOwn(this, key) ? this[key] : null
  }
  setItem(key, value) {
    if (value.length > this.room) throw new DOMException('full', 'QuotaExceededError')
    this[key] = value
  }
  removeItem(key) {
    delete this[key]
  }
}

/** Web Locks: a name is its holder's until the holder's promise ends. */
class Locks {
  held = new Map()
  request(name, { signal }, use) {
    const before = this.held.get(name) ?? Promise.resolve()
    const mine = before.then(() => (signal.aborted ? Promise.reject(signal.reason) : use()))
    this.held.set(name, mine.catch(() => {}))
    return mine
  }
}

const listeners = new Set()

function device({ host = 'shop.example.com', protocol = 'https:', room, locks = new Locks() } = {}) {
  const define = (name, value) => Object.defineProperty(globalThis, name, { value, configurable: true, writable: true })
  define('document', new Jar())
  define('location', { hostname: host, protocol, pathname: '/cart', search: '?utm_source=x&utm_campaign=spring&q=1', href: `${protocol}//${host}/cart?utm_source=x#secret` })
  define('localStorage', new Shelf(room))
  define('navigator', { locks, userAgent: 'Test/1', language: 'nl' })
  define('screen', { width: 800, height: 600 })
  define('devicePixelRatio', 2)
  listeners.clear()
  define('addEventListener', (name, listener) => name === 'storage' && listeners.add(listener))
}

/** Lets what was promised happen. */
const settle = () => new Promise(done => setImmediate(done))

beforeEach(() => device())

test('arguments of analytics.js find their places, whatever is left out', () => {
  const f = () => {}
  const places = (max, ...args) => {
    const { strings, fields, options, callback } = sort(args, max)
    return [strings, fields, options, callback === f]
  }
  assert.deepEqual(places(1, 'Paid', { a: 1 }, { context: {} }, f), [['Paid'], { a: 1 }, { context: {} }, true])
  assert.deepEqual(places(1, 'Paid', f), [['Paid'], {}, {}, true])
  assert.deepEqual(places(1, 'Paid', null, { context: {} }), [['Paid'], {}, { context: {} }, false])
  assert.deepEqual(places(1, { plan: 'pro' }, f), [[], { plan: 'pro' }, {}, true])
  assert.deepEqual(places(1, 42, { plan: 'pro' }), [['42'], { plan: 'pro' }, {}, false])
  assert.deepEqual(places(2, 'Docs', 'Start', { a: 1 }), [['Docs', 'Start'], { a: 1 }, {}, false])
  assert.deepEqual(places(2, null, 'Start'), [[null, 'Start'], {}, {}, false])
  assert.deepEqual(places(2, { a: 1 }, { context: {} }), [[], { a: 1 }, { context: {} }, false])
  assert.deepEqual(places(2, f), [[], {}, {}, true])
})

test('a cookie goes to the widest domain that takes it, and no probe stays behind', async () => {
  // The domain is found once a page, so each host needs a module of its own.
  for (const [host, domain] of [['www.shop.example.co.uk', 'example.co.uk'], ['me.github.io', 'me.github.io'], ['localhost', undefined], ['127.0.0.1', undefined]]) {
    device({ host })
    const fresh = await import(`${pathToFileURL(outfile)}?${host}`)
    fresh.writeCookie('ms_anonymous_id', 'a1')
    assert.equal(document.cookies.get('ms_anonymous_id').domain, domain, host)
    assert.deepEqual([...document.cookies.keys()], ['ms_anonymous_id'])
    assert.equal(fresh.readCookie('ms_anonymous_id'), 'a1')
  }
})

test('a cookie lasts a year, stays on the site, and is secure where the page is', () => {
  writeCookie('ms_anonymous_id', 'a1')
  const { attributes } = document.cookies.get('ms_anonymous_id')
  for (const a of ['max-age=31536000', 'SameSite=Lax', 'Secure', 'path=/']) assert.ok(attributes.includes(a), a)
  assert.equal(readCookie('anonymous_id'), null)
})

test('a cookie keeps what would end it', () => {
  writeCookie('ms_anonymous_id', 'a;b c="d";domain=evil.test')
  assert.equal(document.cookies.get('ms_anonymous_id').domain, 'example.com')
  assert.equal(readCookie('ms_anonymous_id'), 'a;b c="d";domain=evil.test')
})

test('ids of analytics.js are taken over, however they were written', () => {
  for (const [cookie, stored, want] of [
    ['a-1', null, 'a-1'],
    ['%22a-1%22', null, 'a-1'],
    [null, '"a-1"', 'a-1'],
    [null, '12345678901234567890', '12345678901234567890'],
    ['null', '"a-1"', 'a-1'],
    ['%', null, '%'],
  ]) {
    device()
    if (cookie) document.cookie = `ajs_anonymous_id=${cookie};path=/`
    if (stored) localStorage.setItem('ajs_anonymous_id', stored)
    assert.equal(openIdentity('granted').get('anonymous_id'), want)
    assert.equal(localStorage.getItem('ms_anonymous_id'), want)
  }
})

test('without consent the device is read and not written; denied, it forgets', () => {
  localStorage.setItem('ms_user_id', 'u1')
  const identity = openIdentity('pending')
  assert.equal(identity.get('user_id'), 'u1')
  assert.match(identity.get('anonymous_id'), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  assert.equal(document.cookie, '')
  assert.deepEqual(Object.keys(localStorage), ['ms_user_id'])
  identity.keep('granted')
  assert.equal(localStorage.getItem('ms_anonymous_id'), identity.get('anonymous_id'))
  identity.keep('denied')
  assert.deepEqual([Object.keys(localStorage), document.cookie, identity.get('user_id')], [[], '', null])
})

test('who signs out in one tab is signed out in the others', () => {
  localStorage.setItem('ms_user_id', 'u1')
  const identity = openIdentity('granted')
  for (const listener of listeners) listener({ key: 'ms_user_id', newValue: null })
  assert.equal(identity.get('user_id'), null)
})

test('context tells the page without its fragment, and where a campaign came from', () => {
  Object.assign(document, { title: 'Cart' })
  const { page, campaign, screen, webdriver } = platformContext('https://search.example/', 'Europe/Amsterdam')
  assert.deepEqual(page, { path: '/cart', referrer: 'https://search.example/', search: '?utm_source=x&utm_campaign=spring&q=1', title: 'Cart', url: 'https://shop.example.com/cart?utm_source=x' })
  assert.deepEqual(campaign, { source: 'x', name: 'spring' })
  assert.deepEqual(screen, { width: 800, height: 600, density: 2 })
  assert.equal(webdriver, undefined)
})

const event = n => ({ at: performance.now(), text: JSON.stringify({ messageId: `m${n}`, n }) })
const ids = items => items.map(item => item.id)
const blocks = tab => Object.keys(localStorage).filter(key => key.startsWith(`ms:q:k:${tab}:`))

/** A tab's store, and the list of what it takes over from others. */
function open(tab, takes = () => true) {
  const taken = []
  return { taken, ...openStore('k', tab, (items, own) => own || (takes() && taken.push(...ids(items)) >= 0)) }
}

test('events of a tab that has ended are taken over, once, by one of the others', async () => {
  const a = open('a')
  a.hold()
  await settle()
  a.write([event(1), event(2)])
  const [b, c] = [open('b'), open('c')]
  b.hold()
  c.hold()
  await settle()
  assert.deepEqual([b.taken, c.taken], [[], []]) // a is alive
  a.release()
  await settle()
  assert.deepEqual([...b.taken, ...c.taken], ['m1', 'm2'])
  assert.deepEqual(Object.keys(localStorage), [])
})

test('what has left at the head is not taken over, though its block is still there', async () => {
  const a = open('a')
  a.hold()
  await settle()
  const events = [1, 2, 3].map(event)
  a.write(events)
  a.write(events.slice(1))
  const more = [...events.slice(1), event(4)]
  a.write(more)
  assert.equal(blocks('a').length, 1)
  a.release()
  const b = open('b')
  b.hold()
  await settle()
  assert.deepEqual(b.taken, ['m2', 'm3', 'm4'])
})

test('what comes at the head, or leaves in the middle, is written anew and in order', async () => {
  for (const pick of [[0, 1, 2, 3], [1, 3], [3]]) {
    device()
    const a = open('a')
    a.hold()
    await settle()
    const events = [1, 2, 3, 4].map(event)
    a.write(events.slice(1))
    a.write(pick.map(i => events[i]))
    a.release()
    const b = open('b')
    b.hold()
    await settle()
    assert.deepEqual(b.taken, pick.map(i => `m${i + 1}`))
  }
})

test('adding to a long list writes what came, and no more', async t => {
  const a = open('a')
  a.hold()
  await settle()
  const events = Array.from({ length: 900 }, (_, n) => ({ at: n, text: JSON.stringify({ messageId: `m${n}`, pad: 'x'.repeat(600) }) }))
  for (let n = 50; n < 900; n += 50) a.write(events.slice(0, n))
  const written = t.mock.method(localStorage, 'setItem')
  a.write(events)
  a.write(events.slice(300))
  const chars = written.mock.calls.reduce((sum, { arguments: [, text] }) => sum + text.length, 0)
  assert.ok(chars < 70e3, `${chars} characters`)
  a.write([])
  assert.deepEqual(Object.keys(localStorage), [])
})

test('a tab that has no room leaves the events where they are, and asks again', async t => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  localStorage.setItem('ms:q:k:gone', '1,1000001')
  localStorage.setItem('ms:q:k:gone:1000000', `1{"messageId":"m0"}\n1{"messageId":"m1"}\nnonsense\n1\n1null\n{"messageId":"m2"}`)
  const before = { ...localStorage }
  let room = false
  const b = open('b', () => room)
  b.hold()
  await settle()
  assert.deepEqual({ ...localStorage }, before)
  room = true
  t.mock.timers.tick(10e3)
  await settle()
  assert.deepEqual(b.taken, ['m1'])
  assert.deepEqual(Object.keys(localStorage), [])
})

test('another key\'s events are nobody else\'s', async () => {
  localStorage.setItem('ms:q:other:gone', '1,1')
  localStorage.setItem('ms:q:other:gone:1', `1{"messageId":"m1"}`)
  openStore('k', 'b', (_, own) => own || assert.fail('taken')).hold()
  await settle()
  assert.equal(Object.keys(localStorage).length, 2)
})

test('a page that comes back finds its own events', async () => {
  const taken = []
  const a = openStore('k', 'a', (items, own) => taken.push(own, ...ids(items)))
  a.hold()
  await settle()
  a.write([event(1)])
  a.release()
  a.hold()
  await settle()
  assert.deepEqual(taken, [true, true, 'm1'])
  assert.deepEqual(Object.keys(localStorage), [])
})

test('events that come before the tab holds its lock stay where they were written', async () => {
  const taken = []
  const a = openStore('k', 'a', (items, own) => taken.push(own, ...ids(items)))
  a.hold()
  a.write([event(1)])
  await settle()
  assert.deepEqual(taken, [])
  assert.equal(blocks('a').length, 1)
})

test('where storage is nearly full, what fits is kept', () => {
  device({ room: 150 })
  const a = open('a')
  const kept = a.write([1, 2, 3, 4, 5, 6, 7, 8].map(event))
  assert.ok(kept > 0 && kept < 8, `${kept} events`)
  assert.equal(localStorage.getItem(blocks('a')[0]).split('\n').length, kept)
})

test('without Web Locks the time of writing tells the living from the dead', t => {
  t.mock.timers.enable({ apis: ['Date', 'setTimeout'], now: 1e12 })
  device({ locks: null })
  const a = open('a')
  a.hold()
  a.write([event(1)])
  const b = open('b')
  b.hold()
  t.mock.timers.tick(60e3) // a touches what is its own
  assert.deepEqual(b.taken, [])
  a.release()
  t.mock.timers.tick(31e3)
  assert.deepEqual(b.taken, ['m1'])
})

test('without Web Locks a tab looks after many others with one timer', t => {
  t.mock.timers.enable({ apis: ['Date', 'setTimeout'], now: 1e12 })
  device({ locks: null })
  const others = ['a', 'b', 'c'].map(tab => open(tab))
  for (const other of others) {
    other.hold()
    other.write([event(1)])
  }
  const set = t.mock.method(globalThis, 'setTimeout')
  open('d').hold()
  t.mock.timers.tick(240e3)
  assert.ok(set.mock.callCount() < 400, `${set.mock.callCount()} timers`)
})
