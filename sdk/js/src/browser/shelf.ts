import { MemoryQueue, type ConsentState, type Drained, type Item, type WholeCore } from '../core/index.js'
import { openStore, type Store, type StoredEvent } from './store.js'
import { size, type FetchTransport } from './transport.js'

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

  /** Puts items to the head that were never added here; false, and nothing is done, if there is no room beside others. */
  adopt(items: Item[]): boolean {
    const bytes = items.reduce((sum, item) => sum + item.bytes, 0)
    if (this.bytes && !this.fits(bytes, items.length)) return false
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
  /** What lies in storage; stale if something else does. */
  private _copied = new Set<Item>()
  private _stale = false
  private _closed = false
  private _refused = false
  /** What is left in storage is for another page. */
  private _away = false
  private _timer: ReturnType<typeof setTimeout> | undefined

  constructor(private _core: WholeCore, private _queue: TabQueue, private _transport: FetchTransport, name: string) {
    this._store = openStore(name, Math.random().toString(36).slice(2), (events, own) => this._adopt(events, own))
    _transport.after = () => this.copy()
    // Only what is left at the end counts as safe: until then the tab has it, and a flush goes on.
    _queue.sync = () => {
      if (this._closed) {
        this.copy(true)
        for (const item of this._copied) item.safe = true
      }
      return Promise.resolve(false)
    }
  }

  /** Nothing is kept without consent; denied, what other tabs have left is taken over and dropped with the rest. */
  allow(consent: ConsentState): void {
    this._consent = consent
    if (consent !== 'granted') {
      this._store.write([])
      this._stale = true
    }
    if (consent === 'pending' || this._closed) this._store.release()
    else this._store.hold(() => (this._away = false))
  }

  /** A call came in: it is copied soon if the server is away. */
  touch(): void {
    if (this._core.reachable || this._consent !== 'granted' || this._timer) return
    this._timer = setTimeout(() => {
      this._timer = undefined
      this.copy()
    }, 1000)
  }

  /** Writes what should outlive this tab's sudden end. */
  copy(all = !this._core.reachable): void {
    if (this._away || this._consent !== 'granted') return
    const items = this._exposed(all).filter(item => all || this._copied.has(item))
    this._write(items)
    if (!items.length && this._refused) {
      this._refused = false
      this._store.look()
    }
  }

  /** The page goes away: moves what has no fate from memory to storage, and lets go of it. */
  leave(): void {
    if (!this._away && this._consent === 'granted') {
      const rest = this._core.takeUnsent()
      const risky = this._exposed(true)
      this._write(risky.concat(rest))
      const kept = this._copied.size - risky.length
      const shelved = rest.slice(0, Math.max(0, kept))
      this._shelve(shelved)
      if (shelved.length < rest.length) this._core.giveBack(rest.slice(shelved.length))
    }
    this._away = true
    this._store.release()
  }

  /** The page is shown again: what nobody has taken is this tab's as before. */
  back(): void {
    this.allow(this._consent)
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
    // Half a megabyte takes a millisecond, and while the server is away the same would be written again and again.
    if (!this._stale && items.length === this._copied.size && items.every(item => this._copied.has(item))) return
    this._stale = false
    const kept = this._store.write(items, Date.now() - performance.now()) // a page's clock begins with the page
    this._copied = new Set(items.slice(0, kept))
  }

  private _adopt(events: StoredEvent[], own: boolean): boolean {
    const core = this._core
    const { shelved } = this._queue
    const start = Date.now() - performance.now()
    const items = events
      .filter(([, , id]) => !own || shelved.has(id))
      .map(([at, text, id]): Item => ({ id, text, bytes: size(text), at: at - start, tries: 0 }))
    if (!this._queue.adopt(items)) return !(this._refused = true)
    for (const { id } of items) shelved.delete(id)
    for (const item of items) this._copied.add(item)
    this._stale = true
    core.adopted(own ? 0 : items.length)
    if (this._consent === 'denied') core.consent('denied')
    this.copy()
    return true
  }
}
