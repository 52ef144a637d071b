import { mkdirSync } from 'node:fs'
import type { Item, Ledger, MemoryQueue, Queue } from '../../core/index.js'
import { LEAST_EVENT, type NodeCore } from '../core.js'
import type { SpoolOptions } from '../types.js'
import { Alarm } from './alarm.js'
import { LOOK_AGAIN, Owner } from './owner.js'
import { messageId, Segment, Taken, type SpoolItem } from './segment.js'

const SEGMENT_BYTES = 4 << 20
/** More than this is not left unwritten while the thread is busy with calls. */
const WRITE_BYTES = 256 << 10
const WRITE_MS = 100
const SYNC_MS = 1000
const TOUCH_MS = 10_000
const LOOK_MS = 60_000
/** Events that are read back before they are needed. */
const AHEAD = 1000

/**
 * A queue on disk with a window of it in memory. In order: what is in memory, what is only in segments, what is not
 * written yet. A call only adds to the last; all files are written by one timer, except for a large backlog of writes
 * and for `fsync: always`. While the disk fails, the memory's bound holds instead of the spool's.
 */
export class SpoolQueue implements Queue {
  private owner: Owner | undefined
  private segments: Segment[] = []
  private current: Segment | undefined
  /** Accepted and not written; some of them are in memory, too. */
  private pending: SpoolItem[] = []
  private pendingBytes = 0
  /** Events in pending that are not in memory. */
  private unloaded = 0
  /** Waiting events that are not on disk. */
  private unsafe = 0
  /** Sums over the segments. */
  private unread = 0
  private fileBytes = 0
  /** Taken and without a fate. */
  private out = new Set<SpoolItem>()
  private failing = false
  private core!: NodeCore
  private readonly alarm = new Alarm<'write' | 'sync' | 'touch' | 'look'>(now => this.run(now))
  /** A segment's name is not durable yet. */
  private unnamed = false
  /** Syncs and closes, one after the other. */
  private work: Promise<boolean> = Promise.resolve(true)

  constructor(
    private readonly options: Required<SpoolOptions>,
    private readonly memory: MemoryQueue,
    private readonly ledger: Ledger,
    private readonly memoryBytes: number,
    private readonly mono = () => performance.now(),
  ) {}

  get length(): number {
    return this.memory.length
  }

  get first(): Item | undefined {
    return this.memory.first
  }

  get bytes(): number {
    return this.memory.bytes
  }

  get waiting(): number {
    return this.memory.length + this.unloaded + this.unread
  }

  get spooled(): number {
    return this.waiting - this.unsafe
  }

  /** Takes over what dead owners left and begins to keep files. */
  start(core: NodeCore): void {
    this.core = core
    this.attempt(() => this.open())
    this.alarm.set('touch', TOUCH_MS)
    this.alarm.set('look', LOOK_MS)
  }

  add(event: Item): string | undefined {
    const item: SpoolItem = event
    if (item.bytes > this.memoryBytes) return 'queue_full' // it could never be loaded
    const full = this.lacks(item.bytes)
    if (full) return full
    const behind = this.unloaded + this.unread > 0
    if (!behind && !this.memory.add(item)) item.loaded = true
    else this.unloaded++
    this.unsafe++
    this.pending.push(item)
    this.pendingBytes += item.bytes + 1
    if (this.failing) return
    if (this.options.fsync === 'always' || this.pendingBytes > WRITE_BYTES) this.write(this.options.fsync === 'always')
    else this.alarm.set('write', WRITE_MS)
    return
  }

  full(): string | undefined {
    return this.lacks(LEAST_EVENT)
  }

  /** Which bound leaves no room for so many bytes. */
  private lacks(bytes: number): string | undefined {
    if (!this.failing) return this.fileBytes + this.pendingBytes + bytes + 1 > this.options.maxBytes ? 'spool_full' : undefined
    const before = this.unloaded + this.unread > 0 ? this.pendingBytes : 0
    return this.memory.fits(bytes + before, this.unloaded + 1) ? undefined : 'queue_full'
  }

  take(events: number, bytes: number): Item[] {
    const items: SpoolItem[] = this.memory.take(events, bytes)
    for (const item of items) {
      item.taken = true
      this.out.add(item)
      if (!item.safe) this.unsafe--
    }
    return items
  }

  back(items: Item[]): void {
    for (const item of items as SpoolItem[]) {
      item.taken = false
      this.out.delete(item)
      if (!item.safe) this.unsafe++
    }
    this.memory.back(items)
  }

  done(items: Item[]): void {
    const segments = new Set<Segment>()
    for (const item of items as SpoolItem[]) {
      item.over = true
      this.out.delete(item)
      if (item.segment) segments.add(item.segment)
    }
    this.memory.done(items)
    for (const segment of segments) this.settle(segment)
    if (this.failing) this.forget()
    this.load()
  }

  /** Writes what is pending and makes it durable; false if that is not to be had. */
  async sync(): Promise<boolean> {
    this.write()
    if (this.options.fsync === 'never') return false
    const safe = await this.syncFiles()
    return safe && !this.failing && !this.pending.length
  }

  /** Keeps positions and gives up the lease; what has no fate is left for whoever comes next. */
  async close(): Promise<void> {
    this.alarm.stop()
    this.leave()
    this.seal()
    await this.work
  }

  /** Writes what a program that ends without close would lose. */
  atExit(): void {
    this.write()
    this.leave()
  }

  /** Leaves the folder to whoever comes next. */
  private leave(): void {
    this.attempt(() => {
      for (const segment of this.segments) {
        if (segment.size) segment.keepPosition()
        else segment.remove()
      }
      this.owner?.release()
    })
  }

  private open(): void {
    mkdirSync(this.options.dir, { recursive: true })
    const owner = (this.owner ??= new Owner(this.options.dir, this.mono))
    const now = performance.now()
    let unread: unknown
    const adopted = owner.adopt(path => Segment.adopt(path, now), e => (unread = e))
    if (unread) this.complain(unread, 'a file is left for a later look')
    if (owner.suspicious) this.alarm.set('look', LOOK_AGAIN)
    if (!adopted.length) return
    this.seal() // what is new comes after them
    this.segments.push(...adopted)
    const events = adopted.reduce((sum, segment) => sum + segment.unread, 0)
    for (const segment of adopted) this.settle(segment)
    this.count()
    this.load()
    if (events) this.core.adopted(events)
  }

  /** Runs what touches files; the application never sees it fail. */
  private attempt(work: () => void): boolean {
    try {
      work()
      return true
    } catch (e) {
      this.fail(e)
      return false
    }
  }

  private fail(e: unknown): void {
    this.failing = true
    this.complain(e, 'events are kept in memory only')
  }

  private complain(e: unknown, so: string): void {
    this.ledger.counts.lastError = `spool: ${(e as Error).message}`
    this.ledger.warn('spool', `spool ${this.options.dir}: ${(e as Error).message}; ${so}`, performance.now())
  }

  private write(now = false): void {
    this.alarm.clear('write')
    const items = this.pending.filter(item => !item.over)
    this.keep([])
    let next = 0
    let error: unknown
    try {
      if (items.length && !this.owner) this.open()
      while (next < items.length) next += this.append(items, next)
      if (now) this.current?.syncNow()
    } catch (e) {
      error = e
      this.keep([...items.slice(next), ...this.pending]) // the latter were called for meanwhile, by onResult
    }
    this.failing = error !== undefined
    this.count()
    if (next && this.options.fsync === 'interval') this.alarm.set('sync', SYNC_MS)
    this.alarm.arm()
    if (error instanceof Taken) {
      this.lose()
      this.write(now)
    } else if (error) this.fail(error)
  }

  /** Sets what is to be written. */
  private keep(items: SpoolItem[]): void {
    this.pending = items
    this.pendingBytes = items.reduce((bytes, item) => bytes + item.bytes + 1, 0)
    this.unloaded = items.filter(item => !item.loaded).length
  }

  /** Appends as many items as the current segment still takes, and returns their number. */
  private append(items: SpoolItem[], from: number): number {
    const now = performance.now()
    if (this.current?.old(now)) this.seal()
    const segment = this.current && !this.current.sealed ? this.current : this.create(now)
    let bytes = segment.size
    let end = from
    while (end < items.length && (bytes < SEGMENT_BYTES || end === from)) bytes += items[end++]!.bytes + 1
    const part = items.slice(from, end)
    segment.append(part, now)
    for (const item of part) if (!item.taken) this.unsafe--
    if (segment.size >= SEGMENT_BYTES) this.seal()
    return part.length
  }

  private create(now: number): Segment {
    const segment = Segment.create(this.owner!.next(), now)
    this.segments.push(segment)
    if (this.options.fsync === 'always') this.owner!.syncNow()
    else if (this.options.fsync === 'interval') this.unnamed = true
    return (this.current = segment)
  }

  private seal(): void {
    const segment = this.current
    if (!segment) return
    this.current = undefined
    const durable = this.options.fsync !== 'never'
    this.work = this.work.then(ok => segment.seal(durable).then(() => ok, e => (this.fail(e), false)))
    segment.sealed = true
  }

  private syncFiles(): Promise<boolean> {
    const { current, owner, unnamed } = this
    this.unnamed = false
    const done = this.work.then(async sealed => {
      try {
        await current?.sync()
        if (unnamed) await owner?.sync()
        return sealed
      } catch (e) {
        this.fail(e)
        return false
      }
    })
    this.work = done.then(() => true) // whoever asks next is told of what comes next
    return done
  }

  /** Moves a segment's position on; one without open events is gone, or begins anew. */
  private settle(segment: Segment): void {
    segment.advance()
    if (segment.acked < segment.size) return this.alarm.set('sync', SYNC_MS)
    if (segment === this.current) {
      let begun = false
      this.attempt(() => (begun = segment.empty(performance.now())))
      if (begun) return this.count()
      this.seal()
    }
    this.segments = this.segments.filter(other => other !== segment)
    this.attempt(() => segment.remove())
    this.count()
  }

  /** While nothing can be written, what has its fate need not be kept for it. */
  private forget(): void {
    if (this.pending.length < 2 * this.memory.length + AHEAD) return
    this.keep(this.pending.filter(item => !item.over))
  }

  /** Fills the memory with what comes next on disk, then with what is not even written. */
  private load(): void {
    if (this.unread) {
      try {
        this.segments.every(segment => this.loadFrom(segment))
      } catch (e) {
        if (!this.owned()) {
          this.lose()
          return this.alarm.set('write', WRITE_MS)
        }
        this.fail(e)
      }
      for (const segment of this.segments) if (segment.sealed && segment.acked === segment.size) this.settle(segment)
      this.count()
    }
    if (this.unread || !this.unloaded) return
    for (const item of this.pending) {
      if (item.loaded || item.over) continue
      if (this.memory.add(item)) return
      item.loaded = true
      this.unloaded--
    }
  }

  /** Loads lines of a segment, and says whether all of them fitted. */
  private loadFrom(segment: Segment): boolean {
    while (segment.unread) {
      if (this.memory.length >= AHEAD) return false
      const lines = segment.lines()
      if (!lines.length) {
        this.core.vanished(segment.cutOff()) // somebody else has cut the file
        if (segment === this.current) this.seal()
        break
      }
      for (const { text, end } of lines) {
        const id = messageId(text)
        const bytes = end - segment.read - 1
        const item: SpoolItem = { id: id ?? '', text, bytes, at: segment.since, tries: 0, safe: true, loaded: true }
        if (id !== undefined && this.memory.add(item, !this.memory.bytes)) return false // an empty memory takes any line
        segment.unread--
        segment.read = end
        segment.load(item, end)
        if (id !== undefined) continue
        item.over = true
        this.core.spoiled(item)
      }
    }
    segment.advance()
    return true
  }

  private count(): void {
    this.unread = this.fileBytes = 0
    for (const segment of this.segments) {
      this.unread += segment.unread
      this.fileBytes += segment.size
    }
  }

  private run(now: number): void {
    if (this.alarm.take('touch', now)) this.touch()
    if (this.alarm.take('write', now)) this.write()
    if (this.alarm.take('sync', now)) {
      this.attempt(() => this.segments.forEach(segment => segment.keepPosition()))
      if (this.options.fsync === 'interval') void this.syncFiles()
    }
    if (this.alarm.take('look', now)) {
      this.write()
      if (!this.failing) this.attempt(() => this.open())
      this.alarm.set('look', LOOK_MS)
    }
  }

  /** Every 10 s: keeps the lease, and tries a failing disk again. */
  private touch(): void {
    this.alarm.set('touch', TOUCH_MS)
    const ok = this.attempt(() => {
      if (this.owner && !(this.owner.touch() && this.owned())) this.lose()
      if (!this.owner) this.open()
    })
    if (!ok || !(this.failing || this.pending.length)) return
    this.write()
    this.load()
    this.core.wake()
  }

  private owned(): boolean {
    return this.segments.every(segment => segment.mine())
  }

  /**
   * Somebody took this owner for dead and has its segments now. What is in memory is written and sent here all the
   * same, which at worst repeats it; what was on disk only is theirs.
   */
  private lose(): void {
    const { unread, owner } = this
    this.owner = undefined
    this.seal()
    this.segments = []
    const loaded = [...this.out, ...this.memory.list()] as SpoolItem[]
    for (const item of loaded) {
      item.segment = undefined
      item.safe = false
    }
    this.keep([...loaded, ...this.pending.filter(item => !item.loaded)])
    this.unsafe = this.memory.length + this.unloaded
    this.count()
    if (unread) this.core.handedOver(unread)
    this.attempt(() => owner?.release())
    this.load()
  }
}
