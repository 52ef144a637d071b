import type { Item, Queue } from './types.js'

/** A list in memory, bounded by count and by bytes; what is in flight counts, too. */
export class MemoryQueue implements Queue {
  bytes = 0
  protected _taken = 0
  private _items: Item[] = []

  constructor(private _maxItems: number, private _maxBytes: number) {}

  get length(): number {
    return this._items.length
  }

  get waiting(): number {
    return this.length
  }

  get spooled(): number {
    return 0
  }

  get first(): Item | undefined {
    return this._items[0]
  }

  /** What waits to be taken, in order. */
  list(): Item[] {
    return this._items.slice()
  }

  /** Room for so many bytes and events. */
  fits(bytes: number, events = 1): boolean {
    return this.length + this._taken + events <= this._maxItems && this.bytes + bytes <= this._maxBytes
  }

  /** Takes the item in, or says why not; what was accepted elsewhere is taken in any case with force. */
  add(item: Item, force?: boolean): string | undefined {
    if (!force && !this.fits(item.bytes)) return 'queue_full'
    this.bytes += item.bytes
    this._items.push(item)
    return
  }

  take(events: number, bytes: number): Item[] {
    let n = 0
    for (let item; n < events && (item = this._items[n]); n++) if ((bytes -= item.bytes + 1) < 0 && n) break
    this._taken += n
    return this._items.splice(0, n)
  }

  back(items: Item[]): void {
    this._taken -= items.length
    this._items = items.concat(this._items)
  }

  done(items: Item[]): void {
    this._taken -= items.length
    for (const item of items) this.bytes -= item.bytes
  }
}
