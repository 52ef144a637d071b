// Opens a page and keeps it open until standard input ends; prints what the page's console said.
//
//   node page.mjs CHROMIUM URL
import { chromium } from 'playwright-core';

const [executablePath, url] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--no-proxy-server'] });
const page = await browser.newPage();
page.on('console', (m) => console.log(`${m.type()}: ${m.text()}`));
page.on('pageerror', (e) => console.log(`error: ${e.message}`));
await page.goto(url);
for await (const _ of process.stdin);
await browser.close();
