import { judge } from '../core/policy.js'
import { WholeCore, type Item } from '../core/index.js'

/** The core with what spool and send need; it says once a minute what only a person can mend. */
export class NodeCore extends WholeCore {
  protected override _flawed(what: string): void {
    super._flawed(what)
    this._ledger.warn('refused', `a call was refused, ${what}`, this._s.mono())
  }

  protected override _complain(status: number, error: unknown): void {
    super._complain(status, error)
    const verdict = judge(status)
    if (verdict === 'wait' || verdict === 'count') {
      this._ledger.warn('away', `the server is away (${error ?? status}); events wait`, this._s.mono())
    } else if (status !== 401 && status !== 403 && status !== 413) {
      this._ledger.warn('dropped', `the endpoint answers ${status}, events are dropped; it must be ingest's origin, without /v1/batch`, this._s.mono())
    }
  }

  /** Gives an adopted line that is no event its fate. */
  spoiled(item: Item): void {
    this._fate([item], 'dropped', 'spool_error', 'a line of the spool is no JSON object')
    this._ledger.tell()
  }

  /** Events on disk are another process's now, which sends them. */
  handedOver(events: number): void {
    this._ledger.counts.fates.handed_over += events
    this._settled += events
  }

  /** Ends now, whatever deadline close was given. */
  async abandon(reason: string): Promise<void> {
    if (!this._ended) await this._end(reason)
  }
}
