// The caller's side of track: microseconds a call, with room in the queue and without.
// Usage: node bench/track.mjs [calls]
import { createServer } from 'node:http'
import { createClient } from '../dist/node.mjs'

const calls = Number(process.argv[2] ?? 200_000)
const server = createServer((request, response) => {
  request.resume().on('end', () => response.end('{"success":true}'))
})
await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
const endpoint = `http://127.0.0.1:${server.address().port}`

const event = n => ({
  userId: 'user-' + (n % 1000),
  event: 'Order Completed',
  properties: { order: 'o-' + n, total: 12.5 + n, currency: 'EUR', items: n % 7, gift: false },
})

/** Calls in rounds that the queue can hold; the sender works between the rounds, unmeasured. */
async function measure(name, options, drain) {
  const client = createClient({ writeKey: 'bench', endpoint, log() {}, ...options })
  const round = 5000
  const took = []
  for (let done = 0; done < calls; done += round) {
    const events = Array.from({ length: round }, (_, i) => event(done + i))
    const from = process.hrtime.bigint()
    for (const e of events) client.track(e)
    took.push(Number(process.hrtime.bigint() - from) / round / 1000)
    if (drain) await client.flush({ timeoutMs: 30_000 })
  }
  took.sort((a, b) => a - b)
  const of = p => took[Math.floor(took.length * p)].toFixed(2)
  console.log(`${name.padEnd(28)} median ${of(0.5)} µs, p90 ${of(0.9)} µs a call (${calls} calls, rounds of ${round})`)
  await client.close({ timeoutMs: 0 })
}

await measure('room in the queue', {}, true)
await measure('queue full (refused)', { endpoint: 'http://127.0.0.1:1' }, false)
if (process.env.SPOOL_DIR) await measure('spool, fsync interval', { spool: { dir: process.env.SPOOL_DIR, maxBytes: 1 << 30 } }, true)
server.close()
