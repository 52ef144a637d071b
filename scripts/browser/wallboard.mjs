// Opens a wallboard in Chromium and tells on stdout, a JSON line each, what a
// person in front of it sees: {"state":"live","tiles":{"Orders today":"12 …"}}
// whenever that changes. On stdin it takes `shot FILE WIDTHxHEIGHT` and `quit`;
// its last line is {"errors":[…]}: what went wrong in the page's console, and
// requests that left the page's host.
//
//   node wallboard.mjs CHROMIUM URL
import { createInterface } from 'node:readline';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const [executablePath, url] = process.argv.slice(2);
const errors = [];
const say = (o) => process.stdout.write(JSON.stringify(o) + '\n');

const context = await chromium.launchPersistentContext(mkdtempSync(join(tmpdir(), 'wallboard-')), {
  executablePath,
  viewport: { width: 1920, height: 1080 },
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'],
});
const page = context.pages()[0] ?? await context.newPage();
const host = new URL(url).host;
page.on('request', (r) => { if (/^(http|ws)/.test(r.url()) && new URL(r.url()).host !== host) errors.push(`request to ${r.url()}`); });
page.on('pageerror', (e) => errors.push(String(e)));
page.on('console', (m) => {
  // A server that is away is said by the browser itself; that is the point of some tests.
  if (m.type() === 'error' && !/ERR_CONNECTION|ERR_EMPTY_RESPONSE|WebSocket connection|503/.test(m.text())) errors.push(m.text());
});
await page.goto(url, { waitUntil: 'load' });

let last = '';
const look = async () => {
  const seen = await page.evaluate(() => ({
    state: document.body.dataset.state,
    word: document.getElementById('word')?.textContent ?? '',
    tiles: Object.fromEntries([...document.querySelectorAll('figure')].map((f) => [f.querySelector('h2')?.textContent ?? '', f.innerText.replace(/\s+/g, ' ')])),
  })).catch(() => null); // while the page is being replaced
  const text = JSON.stringify(seen);
  if (seen && text !== last) {
    last = text;
    say(seen);
  }
};
const timer = setInterval(look, 100);

for await (const line of createInterface({ input: process.stdin })) {
  const [command, file, size] = line.trim().split(' ');
  if (command === 'shot') {
    const [width, height] = (size ?? '1920x1080').split('x').map(Number);
    await page.setViewportSize({ width, height });
    await page.waitForTimeout(600);
    await page.screenshot({ path: file });
    say({ shot: file });
  }
  if (command === 'quit') break;
}
clearInterval(timer);
await context.close();
say({ errors });
process.exit(0); // stdin is still open
