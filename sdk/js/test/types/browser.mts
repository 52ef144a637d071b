import { createClient } from '@millstream-data/analytics/browser'

const client = createClient({ writeKey: 'k', endpoint: 'https://in.example.com', autoPage: true })
const { fate, code } = await client.track('Order Completed', { total: 12.5 })
client.identify('u1', { plan: 'pro' })
client.page()
// @ts-expect-error states are three
client.consent('perhaps')
export { code, fate }
