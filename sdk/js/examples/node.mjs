// Sends a few events and says what became of them.
//   MILLSTREAM_ENDPOINT=http://127.0.0.1:8080 MILLSTREAM_WRITE_KEY=dev node examples/node.mjs
import { createClient } from '@millstream-data/analytics/node'

const client = createClient({
  writeKey: process.env.MILLSTREAM_WRITE_KEY ?? 'dev',
  endpoint: process.env.MILLSTREAM_ENDPOINT ?? 'http://127.0.0.1:8080',
  onResult: results => {
    for (const { messageId, fate, code = '' } of results) console.log(messageId, fate, code)
  },
})

client.identify({ userId: 'u1', traits: { name: 'Ada Lovelace', plan: 'pro' } })
client.track({ userId: 'u1', event: 'Order Completed', properties: { order: 9007199254740993n, total: 12.5, currency: 'EUR' } })
client.track({ userId: 'u1', event: '' }) // refused: onResult says why

const { ok, queued } = await client.close({ timeoutMs: 5000 })
if (!ok) {
  console.error(`${queued} events were not delivered: ${client.stats().lastError}`)
  process.exitCode = 1
}
