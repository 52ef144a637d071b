import { judge } from '../core/policy.js'
import { MemoryQueue, type Draft, type Drained, type EventType, type Item, type Reply } from '../core/index.js'
import { HeldCore } from './held.js'

/** No event has fewer bytes than its type, its id and a person's. */
export const LEAST_EVENT = 32

/** A queue that says when it is full. */
export class NodeQueue extends MemoryQueue {
  full(): string | undefined {
    return this.fits(LEAST_EVENT) ? undefined : 'queue_full'
  }
}

/** The core with what spool and send need; it says once a minute what only a person can mend. */
export class NodeCore extends HeldCore {
  protected override _flawed(what: string): void {
    super._flawed(what)
    this._ledger.warn('refused', `a call was refused, ${what}`, this._s.mono())
  }

  protected override _complain(reply: Reply, error: unknown): void {
    super._complain(reply, error)
    const { status } = reply
    if (!error) this._ledger.counts.lastError += said(reply.body)
    const verdict = judge(status)
    if (verdict === 'wait' || verdict === 'count') {
      this._ledger.warn('away', `the server is away (${error ?? status}); events wait`, this._s.mono())
    } else if (status !== 401 && status !== 403 && status !== 413) {
      this._ledger.warn('dropped', `the endpoint answers ${status}, events are dropped; it must be ingest's origin, without /v1/batch`, this._s.mono())
    }
  }

  /** A queue that is full already refuses before the work of encoding. */
  protected override _encode(draft: Partial<Draft>, type: EventType, item: Item, now: number): [code?: string, message?: string] {
    const full = this._paused ? undefined : this._s.queue.full?.()
    return full ? [full] : super._encode(draft, type, item, now)
  }

  /** Gives an adopted line that is no event its fate. */
  spoiled(item: Item): void {
    this._fate([item], 'dropped', 'spool_error', 'a line of the spool is no JSON object')
    this._ledger.tell()
  }

  /** Lines of the spool are gone, and nobody knows which events they were. */
  vanished(events: number): void {
    const { fates, reasons } = this._ledger.counts
    fates.dropped += events
    reasons.spool_error = (reasons.spool_error || 0) + events
    this._ledger.counts.lastError = `spool: ${events} lines are gone`
    this._settled += events
  }

  /** Events on disk are another process's now, which sends them. */
  handedOver(events: number): void {
    this._ledger.counts.fates.handed_over += events
    this._settled += events
  }

  /** What the disk refused and the memory had no room for comes into memory while the first are dropped. */
  protected override async _end(reason: string): Promise<Drained> {
    let { queued } = await super._end(reason)
    const { queue } = this._s
    for (;;) {
      const left = this.takeUnsent()
      const lost = left.filter(item => !item.safe)
      this.settle(lost, 'dropped', reason)
      this.giveBack(left.filter(item => item.safe))
      if (!lost.length) break
      queued += lost.length
    }
    return { ok: !queued, queued, spooled: queue.spooled }
  }

  /** Ends now, whatever deadline close was given. */
  async abandon(reason: string): Promise<void> {
    if (!this._ended) await this._end(reason)
  }
}

/** What an answer says of itself: its code and its sentence. */
function said(body: string): string {
  try {
    const { code, message } = JSON.parse(body)
    return [code, message].map(text => (typeof text === 'string' && text ? ': ' + text.slice(0, 200) : '')).join('')
  } catch {
    return '' // a proxy's page
  }
}
