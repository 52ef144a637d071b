import type { CoreOptions } from '../core/index.js'
import type { HttpOptions } from './transport.js'
import type { Options, SpoolOptions } from './types.js'

const HOUR = 3_600_000

/** Puts the defaults in and splits the options by who needs them; throws for what can never work. */
export function settle(options: Options): { core: CoreOptions; http: HttpOptions; spool: Required<SpoolOptions> | undefined } {
  const { writeKey, spool } = options
  if (typeof writeKey !== 'string' || !writeKey) throw TypeError('writeKey: must be the source’s write key, a string')
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
  for (const [name, value] of Object.entries(core)) {
    if (typeof value === 'number' && !(value >= 0)) throw TypeError(`${name}: must be a number of 0 or more (got ${value})`)
  }
  const http = { writeKey, endpoint: endpoint(options.endpoint), timeoutMs: core.requestTimeoutMs, gzip: options.gzip ?? true }
  return { core, http, spool: spool && { maxBytes: 64 << 20, fsync: 'interval', ...spool } }
}

function endpoint(text: string): URL {
  try {
    const url = new URL(text)
    if (url.protocol === 'https:' || url.protocol === 'http:') return url
  } catch {
    // said below
  }
  throw TypeError(`endpoint: must be an http or https URL like https://in.example.com (got ${text})`)
}
