import { randomBytes } from 'node:crypto'
import { closeSync, fsyncSync, openSync, readdirSync, readFileSync, readlinkSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'

/** A lease whose time is further from ours than this may have lost its owner. */
const SUSPECT_AFTER = 60_000
/** A suspect that has not touched its lease for so long on our own clock has; the living touch it every 10 s. */
export const LOOK_AGAIN = 11_000
const SEGMENT = /^([0-9a-f]{16})-(\d{16})\.ndjson$/
const LEASE = /^([0-9a-f]{16})\.lease$/

interface Suspect {
  text: string
  touched: number
  since: number
}

/** One client's claim to the segments that bear its id, kept by a lease file that it touches. */
export class Owner {
  readonly id = randomBytes(8).toString('hex')
  private sequence = 0
  private suspects = new Map<string, Suspect>()

  /** mono: milliseconds on a clock that nobody sets. */
  constructor(readonly dir: string, private readonly mono: () => number) {
    writeFileSync(this.lease(this.id), `${hostname()} ${process.pid} ${namespace()}\n`)
  }

  /** The path of this owner's next segment. */
  next(): string {
    return join(this.dir, `${this.id}-${String(++this.sequence).padStart(16, '0')}.ndjson`)
  }

  /** Says that the owner lives; false if somebody took it for dead and took over what it had. */
  touch(): boolean {
    try {
      const now = new Date()
      utimesSync(this.lease(this.id), now, now)
      return true
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code === 'ENOENT') return false
      throw e
    }
  }

  /** There are owners that the next look will find dead if they stay silent. */
  get suspicious(): boolean {
    return this.suspects.size > 0
  }

  /**
   * Renames the segments of dead owners to this one's, oldest first, and returns what read makes of them. One that cannot
   * be read gets its name back, for a later look, and failed is told why.
   */
  adopt<T>(read: (path: string) => T, failed: (e: unknown) => void): T[] {
    const alive = new Map<string, boolean>([[this.id, true]])
    const found: { name: string; owner: string }[] = []
    const oldest = new Map<string, number>()
    for (const name of readdirSync(this.dir)) {
      const owner = SEGMENT.exec(name)?.[1] ?? LEASE.exec(name)?.[1]
      if (!owner) continue
      if (!alive.has(owner)) alive.set(owner, this.alive(owner))
      if (alive.get(owner) || !name.endsWith('.ndjson')) continue
      const time = modified(join(this.dir, name)) ?? 0
      oldest.set(owner, Math.min(time, oldest.get(owner) ?? time))
      found.push({ name, owner })
    }
    // An owner's segments stay in its order; of owners, the one with the oldest segment comes first.
    found.sort((a, b) => oldest.get(a.owner)! - oldest.get(b.owner)! || (a.name < b.name ? -1 : 1))
    const taken: T[] = []
    for (const { name } of found) {
      const path = join(this.dir, name)
      const mine = this.take(path)
      if (mine === undefined) continue
      try {
        taken.push(read(mine))
      } catch (e) {
        failed(e)
        move(mine, path)
      }
    }
    this.tidy(alive)
    return taken
  }

  /** Makes new names durable. Where folders cannot be synced, only the machine's own crash can cost a name. */
  syncNow(): void {
    let fd
    try {
      fd = openSync(this.dir, 'r')
      fsyncSync(fd)
    } catch {
      // see above
    } finally {
      if (fd !== undefined) closeSync(fd)
    }
  }

  /** The same without blocking the thread. */
  async sync(): Promise<void> {
    const folder = await open(this.dir, 'r').catch(() => undefined)
    await folder?.sync().catch(() => undefined)
    await folder?.close()
  }

  /** Gives the lease up: what is left may be adopted at once. */
  release(): void {
    rmSync(this.lease(this.id), { force: true })
  }

  private lease(owner: string): string {
    return join(this.dir, owner + '.lease')
  }

  /** Rename is atomic, so of several takers one wins; the others find nothing to rename. */
  private take(path: string): string | undefined {
    const mine = this.next()
    return move(path, mine) ? mine : undefined
  }

  private alive(owner: string): boolean {
    const path = this.lease(owner)
    const touched = modified(path)
    if (touched === undefined) return false
    let text
    try {
      text = readFileSync(path, 'utf8')
    } catch {
      return false
    }
    const [host, pid, space] = text.trim().split(' ')
    // A pid names a process only where it was given. Our own may be that of a worker's client, which silence alone tells.
    const known = host === hostname() && space === namespace() && space !== '-' && Number(pid) !== process.pid
    if (known && !runs(Number(pid))) return false
    return !this.silent(owner, text, touched)
  }

  /** Two looks at the same lease, on a clock of our own: those of others may be wrong, and ours may be set. */
  private silent(owner: string, text: string, touched: number): boolean {
    const suspect = this.suspects.get(owner)
    if (Math.abs(Date.now() - touched) <= SUSPECT_AFTER) {
      this.suspects.delete(owner)
    } else if (suspect?.text !== text || suspect.touched !== touched) {
      this.suspects.set(owner, { text, touched, since: this.mono() })
    } else if (this.mono() - suspect.since >= LOOK_AGAIN) {
      this.suspects.delete(owner)
      return true
    }
    return false
  }

  /** Removes what dead owners leave behind once their segments are gone. */
  private tidy(alive: Map<string, boolean>): void {
    const names = new Set(readdirSync(this.dir))
    const owners = new Set([...names].map(name => SEGMENT.exec(name)?.[1]))
    for (const name of names) {
      const position = /^[0-9a-f]{16}-\d{16}\.pos$/.test(name) && !names.has(name.replace(/pos$/, 'ndjson'))
      const [owner, kind] = name.split(/[-.]/, 2)
      const dead = !alive.get(owner!) && !owners.has(owner)
      if (dead && (position || (kind === 'lease' && alive.has(owner!)))) rmSync(join(this.dir, name), { force: true })
    }
  }
}

/** Renames a segment and its position; false if it is not there. */
function move(from: string, to: string): boolean {
  try {
    renameSync(from, to)
  } catch {
    return false
  }
  try {
    renameSync(positionOf(from), positionOf(to))
  } catch {
    // none yet: it is read from its start
  }
  return true
}

export function positionOf(segment: string): string {
  return segment.replace(/ndjson$/, 'pos')
}

let space: string | undefined

/** Within one start of one machine and one pid namespace a pid names one process; `-` where that is not to be had. */
function namespace(): string {
  try {
    space ??= readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim() + '/' + /\d+/.exec(readlinkSync('/proc/self/ns/pid'))![0]
  } catch {
    space = '-'
  }
  return space
}

function modified(path: string): number | undefined {
  try {
    return statSync(path).mtimeMs
  } catch {
    return undefined
  }
}

function runs(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (e) {
    return (e as NodeJS.ErrnoException).code === 'EPERM'
  }
}
