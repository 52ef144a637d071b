import { Core } from './core.js'
import type { Ledger } from './ledger.js'
import type { Categories, ConsentState, CoreOptions, Draft, Drained, Fields, Item, Reply, Seams, Stats } from './types.js'

/** Events that wait for consent, in memory only. */
const MAX_HELD = 1000

/** The core behind the gate of consent; it also logs what only a person can mend. */
export class WholeCore extends Core {
  private _held: Item[] = []
  private _heldBytes = 0
  private _preferences: Categories | undefined

  constructor(options: CoreOptions, seams: Seams, ledger?: Ledger) {
    super(options, seams, ledger)
    this._gate(options.consent)
  }

  consent(state: ConsentState, preferences?: Categories): void {
    if (preferences) this._preferences = preferences
    this._gate(state)
    if (state === 'pending') return
    const held = this._release()
    if (state === 'denied') {
      this._fate(held, 'dropped', 'consent')
      this.settle(this.takeUnsent(), 'dropped', 'consent')
    } else {
      for (const item of held) {
        const why = super._put(item)
        if (why) this._fate([item], 'dropped', why)
      }
    }
    this.wake()
  }

  /** Counts events that another process or page left behind and that now wait in this queue. */
  adopted(events: number): void {
    this._ledger.counts.enqueued += events
    this._accepted += events
    this.wake()
  }

  /** Forgets items from takeUnsent, which are safe elsewhere and have no fate yet. */
  shelve(items: Item[]): void {
    this._away -= items.length
    this._s.queue.done(items)
  }

  override stats(): Stats {
    const stats = super.stats()
    stats.queued += this._held.length
    stats.queuedBytes += this._heldBytes
    return stats
  }

  /** Without consent nothing leaves, by whatever way; denied, it leaves to be dropped. */
  override takeUnsent(maxBytes?: number): Item[] {
    return this._paused && !this._veto ? [] : super.takeUnsent(maxBytes)
  }

  protected override _put(item: Item): string | undefined {
    if (!this._paused) return super._put(item)
    if (this._held.length >= MAX_HELD || this._heldBytes + item.bytes > this._o.queueBytes) return 'queue_full'
    this._held.push(item)
    this._heldBytes += item.bytes
    return
  }

  protected override _context(draft: Partial<Draft>): Fields {
    const context = super._context(draft)
    const categoryPreferences = this._preferences
    if (categoryPreferences) context.consent = { ...(context.consent as object), categoryPreferences }
    return context
  }

  protected override _complain(reply: Reply, error: unknown): void {
    super._complain(reply, error)
    const { status } = reply
    if (status === 401 || status === 403) {
      this._ledger.warn('key', `the write key that ends in ${this._o.key} was refused (${status}), events are dropped`, this._s.mono())
    } else if (status > 299 && status < 400) {
      this._ledger.warn('redirect', `the endpoint redirects (${status}); redirects are not followed, events wait`, Infinity)
    }
  }

  protected override async _end(reason: string): Promise<Drained> {
    const held = this._release()
    this._fate(held, 'dropped', reason)
    this._paused = false // what waits is to be taken and told its end
    const { queued, spooled } = await super._end(reason)
    return { ok: !queued && !held.length, queued: queued + held.length, spooled }
  }

  private _gate(state: ConsentState): void {
    this._paused = state !== 'granted'
    this._veto = state === 'denied' ? 'consent' : undefined
  }

  private _release(): Item[] {
    const held = this._held
    this._held = []
    this._heldBytes = 0
    return held
  }
}
