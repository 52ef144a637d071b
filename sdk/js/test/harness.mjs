// A core on a clock, a network and a source of chance that the test holds in its hands.
import { randomFillSync } from 'node:crypto'
import { counts, Ledger, MemoryQueue, WholeCore } from '../dist/test/parts.mjs'

const defaults = {
  flushAt: 20, flushIntervalMs: 1000, batchEvents: 100, batchBytes: 60_000, queueEvents: 1000, queueBytes: 1 << 20,
  requestTimeoutMs: 10_000, backoffBaseMs: 500, backoffMaxMs: 60_000, maxAttempts: 10, maxAgeMs: 3_600_000,
  middleware: [], consent: 'granted', key: 'y123',
}

export const ok = { status: 200, body: '{"success":true}' }

export class Harness {
  now = Date.parse('2026-03-01T10:00:00.000Z')
  requests = []
  results = []
  logged = []
  timers = new Map()
  mostTimers = 0
  nextTimer = 0
  flying = 0
  mostFlying = 0

  /** answer: what each request is answered with, by its number from 0; null leaves it open. */
  constructor(options = {}, answer = () => ok) {
    const o = { ...defaults, onResult: results => this.results.push(...results), log: line => this.logged.push(line), ...options }
    this.queue = new MemoryQueue(o.queueEvents, o.queueBytes)
    this.answer = answer
    this.core = new WholeCore(o, {
      transport: { send: (body, attempt) => this.send(body, attempt) },
      head: '{', queue: this.queue, size: Buffer.byteLength,
      random: randomFillSync,
      now: () => this.now, mono: () => this.now,
      timer: (wake, ms, keep) => {
        this.timers.set(++this.nextTimer, { at: this.now + ms, wake, keep })
        this.mostTimers = Math.max(this.mostTimers, this.timers.size)
        return this.nextTimer
      },
      untimer: handle => this.timers.delete(handle),
      context: () => ({ library: { name: 'test', version: '0' } }),
    }, new Ledger(o, counts()))
  }

  send(body, attempt) {
    const { sentAt, batch } = JSON.parse(body)
    const n = this.requests.length
    const request = { at: this.now, attempt, bytes: Buffer.byteLength(body), sentAt, batch, names: batch.map(e => e.event) }
    this.requests.push(request)
    this.mostFlying = Math.max(this.mostFlying, ++this.flying)
    return new Promise((resolve, reject) => {
      request.reply = reply => {
        this.flying--
        if (reply instanceof Error) reject(reply)
        else resolve({ body: '', ...reply })
        return settle()
      }
      const reply = this.answer(n, request)
      if (reply) request.reply(reply)
    })
  }

  track(name, more = {}) {
    return this.core.enqueue({ type: 'track', userId: 'u1', event: String(name), ...more })
  }

  /** Lets time pass, and each timer ring when it is due. */
  async pass(ms) {
    const end = this.now + ms
    await settle()
    for (let turns = 0; ; turns++) {
      if (turns > 10_000) throw new Error('the timer rings without end')
      const [id, timer] = [...this.timers].sort((a, b) => a[1].at - b[1].at)[0] ?? []
      if (!timer || timer.at > end) break
      this.timers.delete(id)
      this.now = Math.max(this.now, timer.at)
      timer.wake()
      await settle()
    }
    this.now = end
  }
}

/** Lets promises run out. */
export async function settle() {
  for (let i = 0; i < 10; i++) await null
}

/** The sum that section 2 of the specification asks for, less enqueued. */
export function unaccounted(s) {
  return s.enqueued - s.delivered - s.rejected - s.dropped - s.handedOver - s.queued - s.inFlight - s.spooled
}
