import { randomFillSync } from 'node:crypto'
import { counts, Ledger } from '../core/index.js'
import type { Categories, ConsentState, CoreOptions, Drained, Queue, Result, Seams, Stats } from '../core/index.js'
import { NodeCore, NodeQueue } from './core.js'
import { settle } from './options.js'
import { SpoolQueue } from './spool/queue.js'
import { HttpTransport } from './transport.js'
import type { Alias, Call, Deadline, Group, Identify, Options, Page, Screen, Track } from './types.js'

const LIBRARY = { library: { name: 'millstream-node', version: VERSION } }

/** What tests put in the place of clocks and the like. @internal */
export type Replacements = Partial<Seams> & Partial<CoreOptions>

/**
 * Sends events to one source. Calls return at once: the message id, or null if the call was refused, whose reason
 * goes to onResult. None of them throws.
 */
export class Client {
  private readonly options: CoreOptions
  private readonly ledger: Ledger
  private readonly seams: Seams
  private readonly transport: HttpTransport
  private readonly queue: Queue
  private readonly spool: SpoolQueue | undefined
  private readonly core: NodeCore
  private readonly sends = new Set<NodeCore>()
  private state: ConsentState
  private categories: Categories | undefined
  private closing: Promise<Drained> | undefined
  private readonly self = new WeakRef(this)

  /** @internal */
  constructor(options: Options, seams: Replacements = {}) {
    const { core, http, spool } = settle(options)
    this.options = { ...core, ...seams }
    this.state = core.consent
    this.ledger = new Ledger(core, counts())
    this.transport = new HttpTransport(http)
    const memory = new NodeQueue(core.queueEvents, core.queueBytes)
    const now = seams.now ?? Date.now
    this.spool = spool && new SpoolQueue(spool, memory, this.ledger, core.queueBytes)
    this.queue = this.spool ?? memory
    this.seams = { ...platform(), transport: this.transport, queue: this.queue, now, ...seams }
    this.core = new NodeCore(this.options, this.seams, this.ledger)
    this.spool?.start(this.core)
    remember(this.self)
  }

  identify(call: Identify): string | null {
    return this.core.enqueue(call, undefined, 'identify')
  }

  track(call: Track): string | null {
    return this.core.enqueue(call, undefined, 'track')
  }

  page(call: Page): string | null {
    return this.core.enqueue(call, undefined, 'page')
  }

  screen(call: Screen): string | null {
    return this.core.enqueue(call, undefined, 'screen')
  }

  group(call: Group): string | null {
    return this.core.enqueue(call, undefined, 'group')
  }

  alias(call: Alias): string | null {
    return this.core.enqueue(call, undefined, 'alias')
  }

  /**
   * Sends one event now, past the queue, and resolves with its fate: for functions that are frozen when they return.
   * Answers are retried as usual until the deadline (10 s by default), where the event is dropped as `expired`.
   */
  send(call: Call, { timeoutMs = 10_000 }: Deadline = {}): Promise<Result> {
    const queue = new NodeQueue(1, Infinity)
    const ledger = new Ledger({ ...this.options, onResult: undefined }, this.ledger.counts)
    const core = new NodeCore({ ...this.options, flushAt: 1 }, { ...this.seams, queue }, ledger)
    core.consent(this.state === 'granted' ? 'granted' : 'denied', this.categories)
    if (this.closing) core.close(0)
    return new Promise(resolve => {
      this.sends.add(core)
      core.enqueue(call, resolve)
      core.close(timeoutMs, 'expired').then(() => this.sends.delete(core))
    })
  }

  /**
   * Sends what is queued and resolves when each event has a fate or is safe in the spool, at the latest after
   * timeoutMs (10 s by default). Keeps the process alive until then. Never rejects.
   */
  flush({ timeoutMs = 10_000 }: Deadline = {}): Promise<Drained> {
    return this.core.flush(timeoutMs)
  }

  /**
   * Refuses further calls, flushes until the deadline (10 s by default) and leaves the rest to the spool or drops it
   * as `closed`. Afterwards no timer, socket or file is left. Never rejects; a second call waits for the first.
   */
  close({ timeoutMs = 10_000 }: Deadline = {}): Promise<Drained> {
    forget(this.self)
    this.closing ??= this.shutDown(timeoutMs)
    return this.closing
  }

  stats(): Stats {
    const stats = this.core.stats()
    for (const send of this.sends) stats.inFlight += send.stats().inFlight
    return stats
  }

  /** Changes the consent; the categories go with each later event as `context.consent.categoryPreferences`. */
  consent(state: ConsentState, categories?: Categories): void {
    this.state = state
    this.categories = categories ?? this.categories
    this.core.consent(state, categories)
  }

  /** The program ends, and did not close: nothing can be sent any more, but files can be written. @internal */
  leave(): void {
    this.spool?.atExit()
    const lost = this.core.stats().queued + this.core.inFlight().filter(item => !item.safe).length
    if (lost && this.state === 'granted') {
      this.ledger.call(this.options.log, `millstream: the program ended with ${lost} events unsent: await client.close() before, or give it a spool`)
    }
  }

  private async shutDown(timeoutMs: number): Promise<Drained> {
    const sends = [...this.sends]
    const [drained] = await Promise.all([this.core.close(timeoutMs), ...sends.map(send => send.flush(timeoutMs))])
    await Promise.all(sends.map(send => send.abandon('closed')))
    this.transport.close()
    await this.spool?.close()
    return drained
  }
}

/** Clients that are not closed. One that nobody holds and that has nothing to do may still be collected. */
const open = new Set<WeakRef<Client>>()

function remember(client: WeakRef<Client>): void {
  for (const other of open) if (!other.deref()) open.delete(other)
  if (!open.size) process.on('exit', atExit)
  open.add(client)
}

function forget(client: WeakRef<Client>): void {
  if (open.delete(client) && !open.size) process.off('exit', atExit)
}

function atExit(): void {
  for (const client of open) client.deref()?.leave()
}

/** Node's own clocks, timers and randomness. */
function platform(): Omit<Seams, 'transport' | 'queue' | 'now'> {
  // A system call for each id would cost more than the rest of the call.
  const pool = new Uint8Array(4096)
  let used = pool.length
  return {
    head: '{',
    size: Buffer.byteLength,
    random(bytes) {
      if (used + bytes.length > pool.length) {
        randomFillSync(pool)
        used = 0
      }
      for (let i = 0; i < bytes.length; i++) bytes[i] = pool[used++]!
    },
    mono: () => performance.now(),
    timer(wake, ms, keep) {
      const timer = setTimeout(wake, ms)
      return keep ? timer : timer.unref()
    },
    untimer: timer => clearTimeout(timer as NodeJS.Timeout),
    context: () => LIBRARY,
  }
}
