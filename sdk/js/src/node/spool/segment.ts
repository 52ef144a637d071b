import { close, closeSync, fstatSync, fsync, fsyncSync, ftruncateSync, openSync, readFileSync, readSync, renameSync, rmSync, statSync, truncateSync, utimesSync, writeFileSync, writeSync } from 'node:fs'
import type { Item } from '../../core/index.js'
import { positionOf } from './owner.js'

/** What is read at once; longer than any line that is an event. */
const CHUNK = 1 << 20
/** A segment is closed so long after its begin: its last write stands for the age of all that is in it. */
const OLD_AFTER = 3_600_000
const NEWLINE = 10

/** An event that lies in a segment. */
export interface SpoolItem extends Item {
  segment?: Segment | undefined
  /** Offset behind its line. */
  end?: number
  /** Has its fate. */
  over?: boolean
  taken?: boolean
  /** Lies in memory, not only in a file. */
  loaded?: boolean
}

export interface Line {
  text: string
  from: number
  end: number
}

/** The file has another name now: somebody took this owner for dead, and may have read it before the last write. */
export class Taken extends Error {}

/** One file of events, one a line. Offsets are bytes: acked ≤ read ≤ size. */
export class Segment {
  size = 0
  /** The first line that is not in memory yet. */
  read = 0
  /** The first line without a fate; the file's `.pos` follows it. */
  acked = 0
  /** Lines from read on. */
  unread = 0
  /** Closed: nothing is appended any more. */
  sealed = false
  private readonly born: number
  private fd: number | undefined
  private inode = 0
  private position = 0
  private unsynced = false
  private live: SpoolItem[] = []

  /** since: the last write, on the clock of this process. */
  private constructor(readonly path: string, public since: number) {
    this.born = since
  }

  static create(path: string, now: number): Segment {
    const segment = new Segment(path, now)
    segment.fd = openSync(path, 'ax')
    segment.inode = fstatSync(segment.fd).ino
    return segment
  }

  /** Opens one that another owner wrote: from its position on, without a torn last line. */
  static adopt(path: string, now: number): Segment {
    const { size, atime, mtime, mtimeMs, ino } = statSync(path)
    const segment = new Segment(path, now - Math.max(0, Date.now() - mtimeMs))
    segment.inode = ino
    segment.sealed = true
    segment.size = size
    const start = segment.start()
    segment.read = start
    let end = start
    for (const { bytes, at } of segment.chunks()) {
      for (let i = bytes.indexOf(NEWLINE); i >= 0; i = bytes.indexOf(NEWLINE, i + 1)) {
        segment.unread++
        end = at + i + 1
      }
    }
    if (end < size) {
      truncateSync(path, end)
      utimesSync(path, atime, mtime) // the other lines are no younger for it
    }
    segment.size = end
    segment.acked = segment.position = segment.read
    return segment
  }

  /** Says whether the file still bears this owner's name. */
  mine(): boolean {
    return statSync(this.path, { throwIfNoEntry: false })?.ino === this.inode
  }

  /** Appends whole lines, or throws and leaves the file as it was. */
  append(items: SpoolItem[], now: number): void {
    const bytes = Buffer.from(items.map(item => item.text + '\n').join(''))
    try {
      for (let done = 0; done < bytes.length; ) done += writeSync(this.fd!, bytes, done)
    } catch (e) {
      this.cut()
      throw e
    }
    if (!this.mine()) throw new Taken()
    this.unsynced = true
    this.since = now
    for (const item of items) {
      this.size += item.bytes + 1
      item.safe = true
      if (item.loaded) {
        this.load(item, this.size)
        this.read = this.size
      } else {
        this.unread++
      }
    }
  }

  /** Notes that the item, whose line ends there, is in memory. */
  load(item: SpoolItem, end: number): void {
    item.segment = this
    item.end = end
    this.live.push(item)
  }

  /** Moves acked over the lines that have a fate. */
  advance(): void {
    let n = 0
    for (let item; (item = this.live[n]) && item.over; n++) this.acked = item.end!
    if (n) this.live.splice(0, n)
  }

  /** The next lines that are not in memory; the caller moves read and unread. */
  lines(): Line[] {
    const lines: Line[] = []
    for (const { bytes, at } of this.chunks()) {
      let from = 0
      for (let i = bytes.indexOf(NEWLINE); i >= 0; i = bytes.indexOf(NEWLINE, from)) {
        lines.push({ text: bytes.toString('utf8', from, i), from: at + from, end: at + i + 1 })
        from = i + 1
      }
      if (lines.length) break
    }
    return lines
  }

  /** Gives up lines that are not there any more, and returns how many. */
  cutOff(): number {
    const { unread } = this
    this.unread = 0
    this.size = this.read
    return unread
  }

  /** Writes the position down if it has moved. */
  keepPosition(): void {
    if (this.acked === this.position) return
    const path = positionOf(this.path)
    writeFileSync(path + '.tmp', String(this.acked))
    renameSync(path + '.tmp', path)
    this.position = this.acked
  }

  syncNow(): void {
    if (this.fd !== undefined && this.unsynced) fsyncSync(this.fd)
    this.unsynced = false
  }

  async sync(): Promise<void> {
    if (this.fd === undefined || !this.unsynced) return
    this.unsynced = false
    const { fd } = this
    await new Promise<void>((resolve, reject) => fsync(fd, e => (e ? reject(e) : resolve())))
  }

  /** Nothing more should be appended: what is here would count as younger than it is. */
  old(now: number): boolean {
    return now - this.born > OLD_AFTER
  }

  /** Ends appending; the file is synced, if asked for, and closed in the background. Rejects if it was not synced. */
  async seal(durable: boolean): Promise<void> {
    const { fd } = this
    this.sealed = true
    this.fd = undefined
    if (fd === undefined) return
    await new Promise<void>((resolve, reject) => {
      const end = (e?: Error | null): void => close(fd, () => (e ? reject(e) : resolve()))
      if (durable && this.unsynced) fsync(fd, end)
      else end()
    })
  }

  /**
   * Begins anew, if it may: what is in the file has its fate. Not with a position on disk, which a crash of the machine
   * might bring back to skip what comes next; nor if the file is another owner's by now, who reads it.
   */
  empty(now: number): boolean {
    if (this.position || this.old(now) || !this.mine()) return false
    ftruncateSync(this.fd!, 0)
    this.size = this.read = this.acked = 0
    return true
  }

  remove(): void {
    rmSync(this.path, { force: true })
    rmSync(positionOf(this.path), { force: true })
  }

  /** A write that failed half-way must not leave half a line in front of the next one. */
  private cut(): void {
    try {
      ftruncateSync(this.fd!, this.size)
    } catch {
      const fd = this.fd!
      this.fd = undefined
      this.sealed = true
      closeSync(fd)
    }
  }

  /** The offset in the `.pos` file, if it is the beginning of a line. */
  private start(): number {
    let start: number
    try {
      start = Number(readFileSync(positionOf(this.path), 'utf8'))
    } catch {
      return 0
    }
    if (!(start > 0 && start <= this.size && Number.isInteger(start))) return 0
    const before = Buffer.alloc(1)
    const fd = openSync(this.path, 'r')
    try {
      readSync(fd, before, 0, 1, start - 1)
    } finally {
      closeSync(fd)
    }
    return before[0] === NEWLINE ? start : 0
  }

  /** Reads from read to size; a chunk that ends within a line is followed by one that begins with that line. */
  private *chunks(): Generator<{ bytes: Buffer; at: number }> {
    const fd = openSync(this.path, 'r')
    try {
      let length = CHUNK
      for (let at = this.read; at < this.size; ) {
        const buffer = Buffer.allocUnsafe(Math.min(length, this.size - at))
        const bytes = buffer.subarray(0, readSync(fd, buffer, 0, buffer.length, at))
        if (!bytes.length) return
        const lines = bytes.lastIndexOf(NEWLINE) + 1
        if (!lines && bytes.length === buffer.length && at + bytes.length < this.size) {
          length *= 2 // no event is that long, but the line has to be passed
          continue
        }
        yield { bytes, at }
        at += lines || bytes.length
      }
    } finally {
      closeSync(fd)
    }
  }
}

/** The id of an event's line; undefined if the line is no JSON object. */
export function messageId(line: string): string | undefined {
  try {
    const event = JSON.parse(line)
    if (event === null || typeof event !== 'object' || Array.isArray(event)) return undefined
    return typeof event.messageId === 'string' ? event.messageId : ''
  } catch {
    return undefined
  }
}
