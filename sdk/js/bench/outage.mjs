// The server is away for an hour at 1,000 events a second: what the heap holds, what the retries cost, and whether each
// refusal is counted. The hour passes on the client's own clock and timers, so it takes seconds.
// Usage: node --expose-gc bench/outage.mjs [seconds]
import { createServer } from 'node:http'
import { createClient } from '../dist/node.mjs'

if (!globalThis.gc) throw new Error('run it with node --expose-gc')
const seconds = Number(process.argv[2] ?? 3600)
const bound = 16 << 20 // the default of queueBytes; that of queueEvents is 10,000

let up = false
const server = createServer((request, response) => {
  request.resume().on('end', () => {
    response.statusCode = up ? 200 : 503
    response.end('{"success":true}')
  })
})
await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
const endpoint = `http://127.0.0.1:${server.address().port}`

const heap = () => {
  gc()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
const turn = () => new Promise(resolve => setImmediate(resolve))
const mib = bytes => (bytes / (1 << 20)).toFixed(1)

/** A clock that the loop below moves, and the timers on it. */
function clock() {
  const timers = new Map()
  let handles = 0
  return {
    now: 0,
    seams() {
      return { mono: () => this.now, timer: (wake, ms) => (timers.set(++handles, { at: this.now + ms, wake }), handles), untimer: handle => timers.delete(handle) }
    },
    pass(ms) {
      this.now += ms
      for (const [handle, timer] of timers) {
        if (timer.at > this.now || !timers.delete(handle)) continue
        timer.wake()
      }
    },
  }
}

async function outage(name, pad) {
  up = false
  const time = clock()
  let told = 0
  const onResult = results => {
    for (const r of results) if (r.code === 'queue_full') told++
  }
  const client = createClient({ writeKey: 'bench', endpoint, maxAgeMs: 1e12, log() {}, onResult }, time.seams())
  const before = heap()
  const cpu = process.cpuUsage()
  let most = 0
  let calls = 0
  for (let second = 0; second < seconds; second++) {
    for (let i = 0; i < 1000; i++) {
      calls++
      client.track({ userId: 'user-' + (calls % 1000), event: 'Order Completed', properties: { order: 'o-' + calls, total: 12.5 + calls, currency: 'EUR', items: calls % 7, gift: false, pad } })
    }
    time.pass(1000)
    await turn()
    if (second % 60 === 59) most = Math.max(most, heap() - before)
  }
  const { user, system } = process.cpuUsage(cpu)
  const { queued, inFlight, dropped, queuedBytes, retries } = client.stats()
  up = true
  const from = performance.now()
  while (client.stats().queuedBytes > 0) {
    time.pass(1000)
    await turn()
  }
  const took = (performance.now() - from) / 1000
  const { enqueued, delivered } = client.stats()
  const ok = most <= bound + (8 << 20) && told === dropped && enqueued === delivered + dropped
  console.log(`${name}: ${calls} calls in ${seconds} s, ${queued + inFlight} kept (${mib(queuedBytes)} MiB), ${dropped} refused and ${told} of them told, ${retries} retries`)
  console.log(`  heap at most ${mib(most)} MiB over the empty client's, may be ${mib(bound)} + 8 MiB; calls and retries together took ${((user + system) / 1e6).toFixed(1)} s of CPU`)
  console.log(`  queue empty ${took.toFixed(1)} s after the server was back; ${enqueued} enqueued = ${delivered} delivered + ${dropped} dropped; ${ok ? 'ok' : 'NOT AS PROMISED'}`)
  if (!ok) process.exitCode = 1
  await client.close({ timeoutMs: 0 })
}

await outage('standard events', undefined)
await outage('events that fill both bounds', 'x'.repeat(1350))
server.close()
