// Sends the six calls with Segment's own Node SDK, as it is published, and
// waits until it has been told that they arrived.
//
//   node segment.mjs HOST WRITE_KEY
import { Analytics } from '@segment/analytics-node';

const [host, writeKey] = process.argv.slice(2);
const analytics = new Analytics({ writeKey, host, flushAt: 3, flushInterval: 200 });
const failures = [];
analytics.on('error', (e) => failures.push(String(e.reason ?? e)));

const userId = 'segment-user';
analytics.identify({ userId, traits: { email: 'segment@example.com', plan: 'pro' } });
analytics.track({ userId, event: 'Order Completed', properties: { total: 19.99, currency: 'EUR', plan: 'pro' } });
analytics.page({ userId, name: 'Home' });
analytics.screen({ userId, name: 'Start' });
analytics.group({ userId, groupId: 'segment-group', traits: { seats: 7 } });
analytics.alias({ userId, previousId: 'segment-anonymous' });
await analytics.closeAndFlush({ timeout: 15000 });
if (failures.length) {
  console.error(failures.join('\n'));
  process.exit(1);
}
