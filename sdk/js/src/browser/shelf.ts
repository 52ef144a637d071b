import { MemoryQueue, type ConsentState, type Drained, type Item, type WholeCore } from '../core/index.js'
import { openStore, type Store } from './store.js'
import type { FetchTransport } from './transport.js'

/** What a last request of KEEPALIVE_BYTES takes for certain, envelopes and commas aside. */
const LAST_BYTES = 55e3
/** Written at once within a call, or while the page goes away: it takes about a quarter of a millisecond. */
const BLOCK_BYTES = 32e3

/** The memory of a tab, a part of which may lie in storage while the page is away. */
export class TabQueue extends MemoryQueue {
  /** Events that the page has left in storage and not in memory. */
  shelved = new Set<string>()
  /** Set by the shelf. */
  sync?: () => Promise<boolean>

  override get waiting(): number {
    return this.length + this.shelved.size
  }

  override get spooled(): number {
    return this.shelved.size + this.list().filter(item => item.safe).length
  }

  /** Puts items to the head that are not here; false, and nothing is done, if there is no room beside others. */
  adopt(items: Item[], force: boolean): boolean {
    const bytes = items.reduce((sum, item) => sum + item.bytes, 0)
    if (!force && this.bytes && !this.fits(bytes, items.length)) return false
    this.bytes += bytes
    this._taken += items.length
    this.back(items)
    return true
  }
}

/**
 * Keeps in localStorage what the server has not got: a copy of everything while it cannot be reached, what could not
 * be handed over when the page goes away, and what was taken over from other tabs until it has a fate here.
 */
export class QueueShelf {
  private _store: Store
  private _consent: ConsentState = 'pending'
  /** What lies in storage, or did before it was taken over. */
  private _copied = new Set<Item>()
  /** Bytes in memory from which on a call is copied even though the server is there. */
  private _mark = 0
  private _closed = false
  /** What is left in storage is for another page. */
  private _away = false
  private _timer: ReturnType<typeof setTimeout> | undefined

  constructor(private _core: WholeCore, private _queue: TabQueue, private _transport: FetchTransport, name: string, ended: AbortSignal) {
    this._store = openStore(name, Math.random().toString(36).slice(2), (items, own) => this._adopt(items, own), ended)
    _transport.after = () => this.copy()
    // Only what is left at the end counts as safe: until then the tab has it, and a flush goes on.
    _queue.sync = async () => {
      if (this._closed) {
        this.copy(true)
        for (const item of this._copied) item.safe = true
      }
      return false
    }
  }

  /**
   * Nothing is kept without consent; denied, what other tabs have left is taken over and dropped with the rest. When the
   * page is shown again the consent is as it was, and what nobody has taken is this tab's as before.
   */
  allow(consent = this._consent): void {
    this._consent = consent
    if (consent !== 'granted') this._write([])
    if (consent === 'pending' || this._closed) this._store.release()
    else this._store.hold()
  }

  /** A call came in: it is copied soon if the server is away, and at once if it is one of very many. */
  touch(): void {
    if (this._queue.bytes > this._mark) this.copy()
    if (this._core.reachable || this._timer) return
    this._timer = setTimeout(() => {
      this._timer = undefined
      this.copy()
    }, 1000)
  }

  /**
   * Writes what should outlive this tab's sudden end: all of it while the server is away, else what lies there already
   * and what a last request would not take, of which there may be more than can be written while the page goes away.
   */
  copy(all = !this._core.reachable): void {
    if (this._away || this._consent !== 'granted') return
    let room = all ? -1 : LAST_BYTES
    const items = this._exposed(all).filter(item => room < 0 || (room = this._copied.has(item) ? -1 : room - item.bytes) < 0)
    this._write(items)
    this._mark = Math.max(this._queue.bytes, LAST_BYTES) + BLOCK_BYTES
  }

  /** The page goes away: moves what has no fate from memory to storage, and lets go of it. */
  leave(): void {
    if (!this._away && this._consent === 'granted') {
      const rest = this._core.takeUnsent()
      const risky = this._exposed(true)
      this._write(risky.concat(rest))
      this._shelve(rest.filter(item => this._copied.has(item)))
      this._core.giveBack(rest.filter(item => !this._copied.has(item)))
    }
    this._away = true
    this._store.release()
  }

  /** Leaves what the core's end leaves to the next page of the site. */
  close(end: () => Promise<Drained>): Promise<Drained> {
    this._closed = true
    return end().finally(() => {
      clearTimeout(this._timer)
      this._shelve(this._core.takeUnsent())
      this._away = true
      this._store.release()
    })
  }

  /** Forgets items that are in storage. */
  private _shelve(items: Item[]): void {
    for (const { id } of items) this._queue.shelved.add(id)
    this._core.shelve(items)
  }

  /** What would be lost with the tab; a request that outlives it takes care of its own events. */
  private _exposed(all: boolean): Item[] {
    const inFlight = this._core.inFlight()
    return (all && this._core.reachable && this._transport.outlives && !this._closed ? [] : inFlight).concat(this._queue.list())
  }

  private _write(items: Item[]): void {
    this._copied = new Set(items.slice(0, this._store.write(items)))
  }

  private _adopt(stored: Item[], own: boolean): boolean {
    const { shelved } = this._queue
    const items = own ? stored.filter(item => shelved.has(item.id)) : stored
    if (own) this._away = false
    if (!this._queue.adopt(items, own)) return false
    for (const item of items) {
      shelved.delete(item.id)
      this._copied.add(item)
    }
    this._core.adopted(own ? 0 : items.length)
    if (this._consent === 'denied') this._core.consent('denied')
    this.copy()
    return true
  }
}
