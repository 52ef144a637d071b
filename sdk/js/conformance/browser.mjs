// The conformance program of the browser's half: the bundle, in Chromium. See sdk/conformance/FORMAT.md.
//
//   node browser.mjs [--lines] [--input FILE]
//
// Chromium is $MILLSTREAM_TEST_CHROMIUM, else the first one in PATH. No name but 127.0.0.1 resolves in it.
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { openBrowser } from './browser/chromium.mjs'
import { run, UnknownInput } from './browser/program.mjs'

const atOnce = 4
const file = process.argv.indexOf('--input')
const lines = process.argv.includes('--lines')

const browser = await openBrowser()

async function answer(text) {
  const input = JSON.parse(text)
  const output = await run(browser, input).catch(e => {
    if (e instanceof UnknownInput) throw e
    return { success: false, error: e.stack, refused: {}, results: [], flushes: [], closes: [], sends: [], stats: {} }
  })
  process.stdout.write(JSON.stringify({ ...(input.id !== undefined && { id: input.id }), ...output }) + '\n')
}

try {
  if (lines) {
    const running = new Set()
    for await (const line of createInterface({ input: process.stdin })) {
      if (running.size >= atOnce) await Promise.race(running)
      const one = answer(line).then(() => running.delete(one))
      one.catch(() => {}) // it is awaited above or below
      running.add(one)
    }
    await Promise.all(running)
  } else {
    await answer(readFileSync(file > 0 ? process.argv[file + 1] : 0, 'utf8'))
  }
} catch (e) {
  process.stderr.write(`browser.mjs: ${e.stack}\n`)
  process.exitCode = 1
} finally {
  await browser.close()
}
