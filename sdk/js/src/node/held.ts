import { WholeCore, type Categories, type ConsentState, type Drained, type Item, type Stats } from '../core/index.js'

/** Events that wait for consent, in memory only. */
const MAX_HELD = 1000

/** A core whose queue may be on disk, and that keeps out of it what waits for consent. */
export class HeldCore extends WholeCore {
  private _held: Item[] = []
  private _heldBytes = 0

  override consent(state: ConsentState, preferences?: Categories): void {
    super.consent(state, preferences)
    if (state === 'pending') return
    const held = this._release()
    if (state === 'denied') {
      this._fate(held, 'dropped', 'consent')
    } else {
      for (const item of held) {
        const why = super._put(item)
        if (why) this._fate([item], 'dropped', why)
      }
    }
    this.wake()
  }

  override stats(): Stats {
    const stats = super.stats()
    stats.queued += this._held.length
    stats.queuedBytes += this._heldBytes
    return stats
  }

  protected override _put(item: Item): string | undefined {
    if (!this._paused) return super._put(item)
    if (this._held.length >= MAX_HELD || this._heldBytes + item.bytes > this._o.queueBytes) return 'queue_full'
    this._held.push(item)
    this._heldBytes += item.bytes
    return
  }

  protected override async _end(reason: string): Promise<Drained> {
    const held = this._release()
    this._fate(held, 'dropped', reason)
    const { queued, spooled } = await super._end(reason)
    return { ok: !queued && !held.length, queued: queued + held.length, spooled }
  }

  private _release(): Item[] {
    const held = this._held
    this._held = []
    this._heldBytes = 0
    return held
  }
}
