// Sends calls with Segment's SDKs for Node: @segment/analytics-node 3 and its
// predecessor analytics-node 6.
import { Analytics } from '@segment/analytics-node';
import Legacy from 'analytics-node';
import { serveRuns } from './runs.mjs';

// many is more than any list of calls.
const many = 1000;

async function current({ host, writeKey, mode, calls, timeoutMs }) {
  const analytics = new Analytics({
    writeKey, host,
    flushAt: mode === 'single' ? 1 : many,
    httpRequestTimeout: timeoutMs || 10000,
  });
  const errors = [];
  analytics.on('error', (e) => errors.push(String(e.reason ?? e)));
  for (const { type, ...event } of calls) analytics[type](event);
  await analytics.closeAndFlush({ timeout: 60000 });
  return { errors };
}

// The first call of analytics-node 6 is always sent alone.
async function legacy({ host, writeKey, mode, calls, timeoutMs }) {
  const errors = [];
  const analytics = new Legacy(writeKey, {
    host,
    flushAt: mode === 'single' ? 1 : many,
    timeout: timeoutMs || false,
    errorHandler: (e) => errors.push(String(e)),
  });
  const sent = calls.map(({ type, ...event }) => new Promise((done) => analytics[type](event, done)));
  await analytics.flush();
  await Promise.all(sent);
  return { errors };
}

await serveRuns((spec) => (spec.sdk.startsWith('analytics-node@6') ? legacy(spec) : current(spec)));
