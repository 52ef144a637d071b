import { WholeCore, type Item } from '../core/index.js'

/** The core of a client that may have a spool. */
export class NodeCore extends WholeCore {
  /** Gives an adopted line that is no event its fate. */
  spoiled(item: Item): void {
    this._fate([item], 'dropped', 'spool_error', 'a line of the spool is no JSON object')
    this._ledger.tell()
  }
}
