// What an application may write, and what its compiler must refuse.
import { createClient, type Client, type Drained, type Event, type Options, type Result, type Stats } from '@millstream-data/analytics/node'
import { createClient as platform } from '@millstream-data/analytics'

const options: Options = {
  writeKey: 'k', endpoint: 'https://in.example.com', spool: { dir: '/var/spool/app', fsync: 'interval' }, gzip: false,
  middleware: [(event: Event) => (event.event === 'Secret' ? null : event)],
  onResult: (results: Result[]) => results.forEach(r => r.fate === 'dropped' && console.log(r.code)),
}
const client: Client = createClient(options)
const same: Client = platform(options)

const id: string | null = client.track({ userId: 'u1', event: 'Order Completed', properties: { total: 12.5, big: 1n, at: new Date() } })
client.identify({ anonymousId: 'a1', traits: { plan: 'pro' }, context: { app: { name: 'shop' } } })
interface Order { total: number }
const order: Order = { total: 12.5 }
client.track({ userId: 'u1', event: 'Paid', properties: order })
client.page({ userId: 'u1', name: 'Home' })
client.screen({ userId: 'u1', name: 'Home' })
client.group({ userId: 'u1', groupId: 'g1' })
client.alias({ userId: 'u2', previousId: 'u1' })
const fate: Result = await client.send({ type: 'track', userId: 'u1', event: 'Paid' }, { timeoutMs: 1000 })
const drained: Drained = await client.flush({ timeoutMs: 1000 })
const stats: Stats = client.stats()
client.consent('granted', { Analytics: true })
await client.close()

// @ts-expect-error nobody is named
client.track({ event: 'Paid' })
// @ts-expect-error an id is a string
client.track({ userId: 5, event: 'Paid' })
// @ts-expect-error a track has an event
client.track({ userId: 'u1' })
// @ts-expect-error a JavaScript call that waits would stop the sender
createClient({ writeKey: 'k', endpoint: 'https://x', overflow: 'block' })
// @ts-expect-error what tests replace is not for applications
createClient(options, {})

export { drained, fate, id, same, stats }
