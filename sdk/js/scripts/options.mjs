import { readFileSync } from 'node:fs'

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))

/** What every bundle shares. Members that begin with `_` are private and get short names. */
const common = {
  bundle: true,
  charset: 'utf8',
  define: { VERSION: JSON.stringify(version) },
  legalComments: 'none',
  logLevel: 'warning',
  mangleProps: /^_[a-z]/,
}
// Where each byte counts, names that the modules share are short, too; none of them may be seen by an application.
const inner = /^(_[a-z].*|reachable|inFlightBytes|takeUnsent|giveBack|settle|settleBy|bodyBytes|shelve|adopted|transport|mono|timer|untimer|untold|outlives|strings|fields|safe|tries|waiting|queue|counts|fates|reasons|warned|tell|wake|fits|enqueue|first|bytes|take|list|back|allow|touch|adopt|shelved|release|hold|look|leave|copy|after|keep|head|options|callback|retryAfter|target|until|kept|write|sync|stop|send|end)$/
export const browser = { ...common, platform: 'browser', target: 'es2019', mangleProps: inner }
export const node = { ...common, platform: 'node', target: 'node18' }
