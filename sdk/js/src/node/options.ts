import type { CoreOptions } from '../core/index.js'
import { proxyUrl } from './proxy.js'
import type { HttpOptions } from './transport.js'
import type { Options, SpoolOptions } from './types.js'

const HOUR = 3_600_000

/** Puts the defaults in and splits the options by who needs them; throws for what can never work. */
export function settle(options: Options): { core: CoreOptions; http: HttpOptions; spool: Required<SpoolOptions> | undefined } {
  const { writeKey, spool } = options
  if (typeof writeKey !== 'string' || !/^\S+$/.test(writeKey)) throw TypeError(`writeKey: must be the source's write key (got ${writeKey})`)
  const core: CoreOptions = {
    flushAt: options.flushAt ?? 100,
    flushIntervalMs: options.flushIntervalMs ?? 1000,
    batchEvents: options.batchEvents ?? 500,
    batchBytes: options.batchBytes ?? 400 * 1024,
    queueEvents: options.queueEvents ?? 10_000,
    queueBytes: options.queueBytes ?? 16 << 20,
    requestTimeoutMs: options.requestTimeoutMs ?? 10_000,
    backoffBaseMs: options.backoffBaseMs ?? 500,
    backoffMaxMs: options.backoffMaxMs ?? 60_000,
    maxAttempts: options.maxAttempts ?? 10,
    maxAgeMs: options.maxAgeMs ?? (spool ? 7 * 24 * HOUR : HOUR),
    middleware: options.middleware ?? [],
    consent: options.consent ?? 'granted',
    context: options.context,
    onResult: options.onResult,
    log: options.log ?? (line => console.warn(line)),
    key: writeKey.slice(-4),
  }
  check(core, options)
  if (options.proxy !== undefined) proxyUrl(options.proxy)
  const http = { writeKey, endpoint: endpoint(options.endpoint), timeoutMs: core.requestTimeoutMs, gzip: options.gzip ?? true, proxy: options.proxy }
  return { core, http, spool: spool && settleSpool(spool) }
}

function settleSpool({ dir, maxBytes = 64 << 20, fsync = 'interval' }: SpoolOptions): Required<SpoolOptions> {
  if (typeof dir !== 'string' || !dir) throw TypeError(`spool.dir: must be a folder (got ${dir})`)
  if (typeof maxBytes !== 'number' || !(maxBytes > 0)) throw TypeError(`spool.maxBytes: must be a number above 0 (got ${maxBytes})`)
  if (!['interval', 'always', 'never'].includes(fsync)) throw TypeError(`spool.fsync: must be interval, always or never (got ${fsync})`)
  return { dir, maxBytes, fsync }
}

/** What is no number here would be found out by a timer, where nobody can mend it. */
function check(core: CoreOptions, options: Options & { overflow?: unknown }): void {
  const { overflow } = options
  if (overflow !== undefined && overflow !== 'drop_newest') {
    throw TypeError(`overflow: must be drop_newest (got ${overflow}); a call that waits would stop the sender that it waits for`)
  }
  for (const [name, value] of Object.entries(core)) {
    if (!/(At|Ms|Events|Bytes|Attempts)$/.test(name)) continue
    const least = /^(flushInterval|backoff)/.test(name) ? 0 : Number.MIN_VALUE
    if (typeof value !== 'number' || !(value >= least)) throw TypeError(`${name}: must be a number ${least ? 'above 0' : 'of 0 or more'} (got ${value})`)
  }
  if (!['granted', 'pending', 'denied'].includes(core.consent)) throw TypeError(`consent: must be granted, pending or denied (got ${core.consent})`)
  for (const name of ['onResult', 'log'] as const) {
    if (core[name] !== undefined && typeof core[name] !== 'function') throw TypeError(`${name}: must be a function (got ${core[name]})`)
  }
  if (!Array.isArray(core.middleware) || core.middleware.some(change => typeof change !== 'function')) throw TypeError('middleware: must be a list of functions')
}

function endpoint(text: string): URL {
  try {
    const url = new URL(text)
    if (/^https?:$/.test(url.protocol) && !url.search && !url.hash) return url
  } catch {
    // said below
  }
  throw TypeError(`endpoint: must be an http or https URL like https://in.example.com, without a query (got ${text})`)
}
