import { createClient } from '@millstream-data/analytics/node'
import analytics = require('@millstream-data/analytics/node')

const client: analytics.Client = createClient({ writeKey: 'k', endpoint: 'https://in.example.com' })
const id: string | null = client.track({ userId: 'u1', event: 'Paid' })
export { id }
