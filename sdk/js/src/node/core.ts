import { WholeCore, type Item } from '../core/index.js'

/** The core with what spool and send need. */
export class NodeCore extends WholeCore {
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
