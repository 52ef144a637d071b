// Bundled with one version of @segment/analytics-next, as an app would bundle
// it, and run in a page by browser.mjs.
import { AnalyticsBrowser } from 'analytics-next';

// call maps an event to the arguments of a page's script.
const call = {
  identify: (a, e) => a.identify(e.userId, e.traits),
  track: (a, e) => a.track(e.event, e.properties),
  page: (a, e) => a.page(e.category, e.name, e.properties),
  screen: (a, e) => a.screen(e.category, e.name, e.properties),
  group: (a, e) => a.group(e.groupId, e.traits),
  alias: (a, e) => a.alias(e.userId, e.previousId),
};

window.send = async (spec) => {
  const { host, writeKey, mode, calls, leave } = JSON.parse(spec);
  const { host: apiHost, protocol } = new URL(host);
  const segment = { apiHost: `${apiHost}/v1`, protocol: protocol.replace(':', '') };
  const gather = leave ? { size: 1000, timeout: 60000 } : { size: calls.length, timeout: 200 };
  if (mode === 'batch') segment.deliveryStrategy = { strategy: 'batching', config: gather };
  const [analytics] = await AnalyticsBrowser.load({ writeKey, cdnURL: host }, { integrations: { 'Segment.io': segment } });
  const errors = [];
  analytics.on('error', (e) => errors.push(String(e.reason ?? e.code)));
  window.errors = errors;
  const handed = calls.map((event) => call[event.type](analytics, event));
  if (leave) await Promise.all(handed);
};
