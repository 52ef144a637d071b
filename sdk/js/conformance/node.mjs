// The program that sdk/conformance runs for Node: one JSON object in, one line of JSON out (see FORMAT.md there).
import { createHook } from 'node:async_hooks'
import { readdirSync, readFileSync, readlinkSync, writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { createClient } from '../dist/node.mjs'
import { decode, middleware, mutate } from './values.mjs'

class Program {
  constructor(input) {
    this.input = input
    this.config = input.config ?? {}
    this.calls = 0
    this.ids = 0
    this.calling = false
    this.watchers = new Set()
    this.stats = undefined
    this.out = {
      success: false, sentBatches: 0, error: null, refused: {}, results: [], flushes: [], closes: [], sends: [],
      stats: {}, peakQueueBytes: 0, slowestCallMs: 0, leaks: 0,
    }
  }

  async run() {
    const steps = this.input.sequences ?? []
    if (!steps.length) return this.finish()
    const watch = watchResources()
    this.client = this.create()
    let closed = false
    for (const step of steps) {
      if (step.delayMs) await sleep(step.delayMs)
      await this.step(step)
      closed ||= 'close' in step
    }
    if (!closed) await this.close(5000, 1)
    this.out.leaks = await watch.left()
    return this.finish()
  }

  create() {
    const { config, input } = this
    const options = {
      writeKey: input.writeKey, endpoint: input.apiHost,
      flushAt: config.flushAt, flushIntervalMs: config.flushInterval,
      batchEvents: config.batchEvents, batchBytes: config.batchBytes,
      queueEvents: config.queueEvents, queueBytes: config.queueBytes,
      requestTimeoutMs: config.timeout, maxAgeMs: config.maxAge,
      maxAttempts: config.maxRetries === undefined ? undefined : config.maxRetries + 1,
      backoffBaseMs: config.backoffBase, backoffMaxMs: config.backoffMax,
      gzip: config.gzip, consent: config.consent,
      middleware: (config.middleware ?? []).map(name => middleware[name]),
      onResult: results => this.told(results),
      log: line => process.stderr.write(line + '\n'),
    }
    if (config.spoolDir) options.spool = { dir: config.spoolDir, fsync: config.spoolFsync, maxBytes: config.spoolBytes }
    const seams = {}
    if (config.retryAfterScale !== undefined) seams.retryAfterScale = config.retryAfterScale
    const now = Date.parse(input.fixed?.now)
    if (now) seams.now = () => now
    return createClient(options, seams)
  }

  /** The result callback. Results told within a call are its refusal. */
  told(results) {
    for (const { messageId, fate, code = '', message = '', attempts } of results) {
      if (this.calling) this.out.refused[code] = (this.out.refused[code] ?? 0) + 1
      else this.out.results.push({ messageId, fate, code, message, attempts })
    }
    if (results.some(r => r.fate === 'delivered')) this.out.sentBatches++
    for (const check of this.watchers) check()
    if (this.config.callback === 'throw') throw new Error('thrown by the callback')
    if (this.config.callback === 'block') return sleep(this.config.callbackMs, undefined, { ref: false })
  }

  async step(step) {
    if (step.events) return step.threads ? this.threads(step) : this.events(step)
    if ('await' in step) return this.awaitResults(step.await, step.timeout)
    if ('flush' in step) return this.flush(step.flush, step.times ?? 1)
    if ('close' in step) return this.close(step.close, step.times ?? 1)
    if ('send' in step) return this.send(step)
    if ('consent' in step) return this.client.consent(step.consent, step.categories)
    if ('crash' in step) return this.crash()
    if (Object.keys(step).some(name => name !== 'delayMs')) throw new Error(`unknown step ${JSON.stringify(step)}`)
  }

  events({ events, repeat = 1, mutate: change }) {
    const every = events.length * repeat > 1000 ? 10 : 1
    for (let i = 0; i < repeat; i++) {
      for (const raw of events) {
        const { type, ...call } = this.event(raw)
        const from = performance.now()
        this.calling = true
        this.client[type](call)
        this.calling = false
        this.out.slowestCallMs = Math.max(this.out.slowestCallMs, performance.now() - from)
        if (change) mutate(call)
        if (this.calls % every === 0) this.out.peakQueueBytes = Math.max(this.out.peakQueueBytes, this.client.stats().queuedBytes)
      }
    }
  }

  event(raw) {
    this.calls++
    const event = decode(raw, this.calls)
    if (event.timestamp) event.timestamp = new Date(event.timestamp)
    if (this.input.fixed?.messageIds && event.messageId === undefined) {
      event.messageId = '00000000-0000-7000-8000-' + String(++this.ids).padStart(12, '0')
    }
    return event
  }

  async send({ send, timeout }) {
    const from = performance.now()
    const { messageId, fate, code = '', message = '', attempts } = await this.client.send(this.event(send), { timeoutMs: timeout })
    this.out.sends.push({ messageId, fate, code, message, attempts, ms: Math.round(performance.now() - from) })
  }

  awaitResults(n, timeout) {
    return new Promise(resolve => {
      const end = () => {
        clearTimeout(timer)
        this.watchers.delete(check)
        resolve()
      }
      const check = () => this.out.results.length >= n && end()
      const timer = setTimeout(end, timeout)
      this.watchers.add(check)
      check()
    })
  }

  async flush(timeoutMs, times) {
    await Promise.all(Array.from({ length: times }, () => timed(() => this.client.flush({ timeoutMs }), this.out.flushes)))
  }

  async close(timeoutMs, times) {
    await Promise.all(Array.from({ length: times }, () => timed(() => this.client.close({ timeoutMs }), this.out.closes)))
  }

  async threads({ threads, ...step }) {
    const input = { ...this.input, sequences: [step, { close: 30_000 }] }
    const all = await Promise.all(Array.from({ length: threads }, () => inWorker(input)))
    for (const out of all) {
      this.out.results.push(...out.results)
      for (const [reason, n] of Object.entries(out.refused)) this.out.refused[reason] = (this.out.refused[reason] ?? 0) + n
      this.out.slowestCallMs = Math.max(this.out.slowestCallMs, out.slowestCallMs)
      this.out.peakQueueBytes = Math.max(this.out.peakQueueBytes, out.peakQueueBytes)
      this.stats = this.stats ? sum(this.stats, out.stats) : out.stats
    }
  }

  crash() {
    const line = JSON.stringify(this.finish()) + '\n'
    for (let done = 0, bytes = Buffer.from(line); done < bytes.length; ) done += writeSync(1, bytes, done)
    process.reallyExit(0)
  }

  finish() {
    const { out } = this
    if (this.client) out.stats = this.stats ? sum(this.stats, this.client.stats()) : this.client.stats()
    out.success = out.stats.enqueued === out.stats.delivered
    return out
  }
}

async function timed(drain, into) {
  const from = performance.now()
  const { ok, queued, spooled } = await drain()
  into.push({ ok, ms: Math.round(performance.now() - from), queued, spooled })
}

function inWorker(input) {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: input })
    let out
    worker.on('message', message => (out = message))
    worker.on('error', reject)
    worker.on('exit', () => resolve(out))
  })
}

function sum(a, b) {
  if (typeof b === 'number') return (a ?? 0) + b
  if (b === null || typeof b !== 'object') return b ?? a
  return Object.fromEntries([...new Set([...Object.keys(a ?? {}), ...Object.keys(b)])].map(name => [name, sum(a?.[name], b[name] ?? (typeof a[name] === 'number' ? 0 : null))]))
}

/** Follows timers, sockets and open files, unref'ed ones too, from now on. */
function watchResources() {
  const types = new Set(['Timeout', 'TCPWRAP', 'TLSWRAP', 'HTTPCLIENTREQUEST'])
  const live = new Set()
  const hook = createHook({
    init: (id, type) => types.has(type) && live.add(id),
    destroy: id => live.delete(id),
  }).enable()
  const files = openFiles()
  const count = () => live.size + Math.max(0, openFiles() - files)
  return {
    async left() {
      for (let i = 0; i < 10 && count() > 0; i++) {
        hook.disable() // its own waiting is no leak
        const pause = sleep(50)
        hook.enable()
        await pause
      }
      hook.disable()
      return count()
    },
  }
}

/** Files and sockets; Node opens event descriptors of its own when it needs them. */
function openFiles() {
  try {
    return readdirSync('/proc/self/fd').filter(fd => opens(`/proc/self/fd/${fd}`)).length
  } catch {
    return 0
  }
}

function opens(link) {
  try {
    return /^(\/(?!dev\/)|socket:)/.test(readlinkSync(link))
  } catch {
    return false // the descriptor that listed the folder
  }
}

if (isMainThread) {
  const at = process.argv.indexOf('--input')
  const input = JSON.parse(readFileSync(at > 0 ? process.argv[at + 1] : 0, 'utf8'))
  const out = await new Program(input).run()
  process.stdout.write(JSON.stringify(out) + '\n')
} else {
  parentPort.postMessage(await new Program(workerData).run())
}
