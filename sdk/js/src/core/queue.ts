import type { Item, Queue } from './types.js'

/** A list in memory, bounded by count and by bytes; what is in flight counts, too. */
export class MemoryQueue implements Queue {
  bytes = 0
  protected _taken = 0
  private _items: Item[] = []
  private _head = 0

  constructor(private _maxItems: number, private _maxBytes: number) {}

  get length(): number {
    return this._items.length - this._head
  }

  get waiting(): number {
    return this.length
  }

  get spooled(): number {
    return 0
  }

  get first(): Item | undefined {
    return this._items[this._head]
  }

  /** What waits to be taken, in order. */
  list(): Item[] {
    return this._items.slice(this._head)
  }

  /** Room for so many bytes and events. */
  fits(bytes: number, events = 1): boolean {
    return this.length + this._taken + events <= this._maxItems && this.bytes + bytes <= this._maxBytes
  }

  add(item: Item): string | undefined {
    if (!this.fits(item.bytes)) return 'queue_full'
    this.bytes += item.bytes
    this._items.push(item)
    return
  }

  take(events: number, bytes: number): Item[] {
    const from = this._head
    let end = from
    for (let item; end - from < events && (item = this._items[end]); end++) {
      if ((bytes -= item.bytes + 1) < 0 && end > from) break
    }
    const items = this._items.slice(from, end)
    this._head = end
    this._taken += items.length
    // Dropping the taken part at half keeps both the list short and the work linear.
    if (end * 2 >= this._items.length) {
      this._items = this._items.slice(end)
      this._head = 0
    } else {
      this._items.fill(undefined as never, from, end)
    }
    return items
  }

  back(items: Item[]): void {
    this._taken -= items.length
    this._items = items.concat(this.list())
    this._head = 0
  }

  done(items: Item[]): void {
    this._taken -= items.length
    for (const item of items) this.bytes -= item.bytes
  }
}
