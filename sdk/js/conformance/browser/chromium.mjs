import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { chromium } from 'playwright-core'

/** Starts Chromium, with the back/forward cache that people have and playwright leaves out. */
export function openBrowser() {
  return chromium.launch({
    executablePath: process.env.MILLSTREAM_TEST_CHROMIUM || find(['chromium', 'chromium-browser', 'google-chrome']),
    ignoreDefaultArgs: ['--disable-back-forward-cache'],
    args: ['--no-sandbox', '--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1', '--disable-background-networking'],
  })
}

function find(names) {
  for (const name of names) {
    for (const folder of (process.env.PATH || '').split(delimiter)) {
      try {
        accessSync(join(folder, name), constants.X_OK)
        return join(folder, name)
      } catch {
        // the next one
      }
    }
  }
  throw new Error('no Chromium in PATH; install it, or name it in MILLSTREAM_TEST_CHROMIUM')
}
