// What the bundle costs a page's main thread in Chromium: a call, with room and with a full queue, and leaving the page
// with a full queue. Usage: node bench/browser.mjs (after npm run build); MILLSTREAM_TEST_CHROMIUM names the browser.
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { openBrowser } from '../conformance/browser/chromium.mjs'

const bundle = readFileSync(new URL('../dist/analytics.min.js', import.meta.url))
const pages = { '/analytics.min.js': bundle, '/': '<!doctype html><title>A shop</title><script src="/analytics.min.js"></script>' }
const server = createServer((req, res) => {
  res.setHeader('Access-Control-Allow-Origin', '*')
  if (req.method === 'POST') {
    req.resume().on('end', () => res.end('{"success":true}'))
    return
  }
  res.setHeader('Content-Type', req.url.endsWith('.js') ? 'text/javascript' : 'text/html')
  res.end(pages[req.url] ?? '')
})
await new Promise(ready => server.listen(0, '127.0.0.1', ready))
const origin = `http://127.0.0.1:${server.address().port}`
const browser = await openBrowser()

// Runs in the page. Performance.now is good to 5 µs where the page is isolated and to 100 µs here, so calls are timed in hundreds.
async function measure({ endpoint, rounds }) {
  let client
  const call = n => client.track('Order Completed', { order: 'o-' + n, total: 12.5 + n, currency: 'EUR', items: n % 7, gift: false })
  const timed = f => {
    const start = performance.now()
    f()
    return performance.now() - start
  }
  const start = timed(() => { client = window.analytics.load('bench', { endpoint, flushAt: 1e6, flushIntervalMs: 1e9, queueEvents: 1000, log() {} }) })
  const first = timed(() => call(0))
  const room = []
  const full = []
  const hidden = []
  for (let r = 0; r < rounds; r++) {
    for (let i = r ? 0 : 1; i < 1000; i += 100) {
      const n = Math.min(100, 1000 - i)
      room.push(timed(() => { for (let k = 0; k < n; k++) call(i + k) }) / n)
    }
    full.push(timed(() => { for (let k = 0; k < 100; k++) call(k) }) / 100)
    Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => 'hidden' })
    hidden.push(timed(() => document.dispatchEvent(new Event('visibilitychange'))))
    if (r < rounds - 1) await client.flush({ timeoutMs: 5000 })
  }
  return { start, first, room, full, hidden }
}

// The last of it: a page with 1,000 events goes away, and says in storage how long that took.
async function leave(page) {
  await page.evaluate(endpoint => {
    const before = []
    addEventListener('pagehide', () => before.push(performance.now()), { capture: true })
    const client = window.analytics.load('bench', { endpoint, flushAt: 1e6, flushIntervalMs: 1e9, log() {} })
    for (let n = 0; n < 1000; n++) client.track('Order Completed', { order: 'o-' + n, total: 12.5 + n, currency: 'EUR', items: n % 7, gift: false })
    addEventListener('pagehide', () => localStorage.setItem('took', String(performance.now() - before[0])))
  }, origin)
  await page.goto(origin + '/-')
  return page.evaluate(() => {
    const took = Number(localStorage.getItem('took'))
    localStorage.clear()
    return took
  })
}

const of = (list, p) => list.sort((a, b) => a - b)[Math.min(list.length - 1, Math.floor(list.length * p))]
const line = (name, list, unit, limit) =>
  console.log(`${name.padEnd(44)} best ${of(list, 0).toFixed(3)}, median ${of(list, 0.5).toFixed(3)}, p90 ${of(list, 0.9).toFixed(3)}, worst ${of(list, 1).toFixed(3)} ${unit}${limit}`)

const context = await browser.newContext()
const page = await context.newPage()
await page.goto(origin + '/')
const { start, first, room, full, hidden } = await page.evaluate(measure, { endpoint: origin, rounds: 20 })
const left = []
for (let i = 0; i < 20; i++) {
  await page.goto(origin + '/')
  left.push(await leave(page))
}
console.log(`Chromium ${browser.version()}; a call is track with five properties; the queue holds 1,000`)
line('a call, room in the queue', room, 'ms', ' (to reach: 0.1)')
line('a call, queue full', full, 'ms', ' (to reach: 0.1)')
console.log(`${'the client starts, and its first call'.padEnd(44)} ${start.toFixed(3)} ms, ${first.toFixed(3)} ms`)
line('the tab is hidden, 1,000 events wait', hidden, 'ms', ' (to reach: 2)')
line('the page goes away, 1,000 events wait', left, 'ms', ' (to reach: 2)')
await browser.close()
server.close()
