// Sends calls with Segment's SDK for browsers, in Chromium: each run is a page
// of its own, whose site is another origin than the host that it sends to.
//
//   node browser.mjs CHROMIUM
//
// No name but 127.0.0.1 resolves. A run fails if its page asks for anything else.
import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';
import { chromium } from 'playwright-core';
import { serveRuns } from './runs.mjs';

const site = createServer((req, res) => {
  const script = /^\/(1\.\d+\.\d+)\.js$/.exec(req.url)?.[1];
  if (script) {
    res.setHeader('Content-Type', 'text/javascript');
    res.end(readFileSync(new URL(`dist/${script}.js`, import.meta.url)));
    return;
  }
  const version = /^\/page\/(1\.\d+\.\d+)$/.exec(req.url)?.[1];
  res.setHeader('Content-Type', 'text/html; charset=utf-8');
  res.end(`<!doctype html><title>a shop</title><link rel=icon href=data:,>${version ? `<script src="/${version}.js"></script>` : ''}`);
});
await new Promise((ready) => site.listen(0, '127.0.0.1', ready));
const origin = `http://127.0.0.1:${site.address().port}`;

const browser = await chromium.launch({
  executablePath: process.argv[2],
  args: ['--no-sandbox', '--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1', '--disable-background-networking'],
});

// open returns a page in a profile of its own, and what it asked for elsewhere.
async function open(path) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  const page = await context.newPage();
  const strangers = [];
  page.on('request', (r) => {
    const { protocol, hostname } = new URL(r.url());
    if (protocol !== 'data:' && hostname !== '127.0.0.1') strangers.push(r.url());
  });
  await page.goto(origin + path);
  return { page, strangers, close: () => context.close() };
}

// A page is a process or two: more than some at a time only get in each other's way.
let free = 8;
const queue = [];
const enter = () => (free > 0 ? free-- : new Promise((go) => queue.push(go)));
const leave = () => (queue.length ? queue.shift()() : free++);

async function send(spec, told) {
  await enter();
  try {
    return await sendNow(spec, told);
  } finally {
    leave();
  }
}

async function sendNow(spec, told) {
  const tab = await open(`/page/${spec.sdk.split('@')[1]}`);
  await tab.page.evaluate((text) => window.send(text), JSON.stringify(spec));
  await told;
  const errors = await tab.page.evaluate(() => window.errors);
  if (spec.leave) await leavePage(tab.page);
  await tab.close();
  return { errors, strangers: tab.strangers };
}

// leavePage looks at another tab and back, and then leaves. Headless Chromium has no tabs to look at.
async function leavePage(page) {
  await page.evaluate(() => {
    for (const state of ['hidden', 'visible']) {
      Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => state });
      document.dispatchEvent(new Event('visibilitychange'));
    }
  });
  await page.goto(origin + '/');
}

// script lets a page's script send requests one by one and say what it could read of the answers.
async function script({ requests }) {
  const tab = await open('/');
  const answers = await tab.page.evaluate(async (all) => {
    const out = [];
    for (const { url, method, headers, body, repeat } of all) {
      try {
        const answer = await fetch(url, { method, headers, body: repeat ? body.repeat(repeat) : body });
        out.push({ status: answer.status, retryAfter: answer.headers.get('Retry-After'), requestId: answer.headers.get('X-Request-Id'), body: await answer.text() });
      } catch (e) {
        out.push({ error: String(e) });
      }
    }
    return out;
  }, requests);
  await tab.close();
  return { answers, strangers: tab.strangers };
}

await serveRuns((spec, told) => (spec.requests ? script(spec) : send(spec, told)));
await browser.close();
site.close();
