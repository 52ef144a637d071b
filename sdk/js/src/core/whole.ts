import { Core } from './core.js'
import type { Ledger } from './ledger.js'
import type { Categories, ConsentState, CoreOptions, Draft, Drained, Fields, Item, Reply, Seams } from './types.js'

/** Events that wait for consent. */
const MAX_HELD = 1000

/** The core behind the gate of consent; it also logs what only a person can mend. */
export class WholeCore extends Core {
  private _preferences: Categories | undefined

  constructor(options: CoreOptions, seams: Seams, ledger?: Ledger) {
    super(options, seams, ledger)
    this._gate(options.consent)
  }

  consent(state: ConsentState, preferences?: Categories): void {
    if (preferences) this._preferences = preferences
    this._gate(state)
    if (state === 'denied') this.settle(this.takeUnsent(), 'dropped', 'consent')
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

  /** Without consent nothing leaves, by whatever way; denied, it leaves to be dropped. */
  override takeUnsent(maxBytes?: number): Item[] {
    return this._paused && !this._veto ? [] : super.takeUnsent(maxBytes)
  }

  protected override _put(item: Item): string | undefined {
    return this._paused && this._s.queue.length >= MAX_HELD ? 'queue_full' : super._put(item)
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
      this._ledger.warn('key', `the write key …${this._o.key} is refused (${status}), events are dropped`, this._s.mono())
    } else if (status > 299 && status < 400) {
      this._ledger.warn('redirect', `the endpoint redirects (${status}); events wait`, Infinity)
    }
  }

  protected override _end(reason: string): Promise<Drained> {
    this._paused = false // what waits is to be taken and told its end
    return super._end(reason)
  }

  private _gate(state: ConsentState): void {
    this._paused = state !== 'granted'
    this._veto = state === 'denied' ? 'consent' : ''
  }
}
