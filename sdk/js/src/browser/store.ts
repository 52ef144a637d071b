import { load, save } from './device.js'

/** An event of a queue: when it was accepted, on the clock of its page, and its JSON. */
export type Waiting = { readonly at: number; readonly text: string }

/** An event from the device: when it was accepted (milliseconds since 1970), its JSON, and its message id. */
export type StoredEvent = [at: number, text: string, id: string]

/** What the device keeps of one tab's queue, for this tab's next page or for another tab after this one's end. */
export interface Store {
  /** Replaces what is kept by events, oldest first, whose clock began at start; returns how many of them fitted. */
  write(events: readonly Waiting[], start?: number): number
  /**
   * Holds what is kept until release, and takes over what tabs leave that have gone or go later. Calls ready once what
   * this tab itself had left is taken over; a write before that would lose it.
   */
  hold(ready?: () => void): void
  /** Asks again for what could not be taken over. */
  look(): void
  /** Lets other tabs have what is kept: the page goes away. */
  release(): void
}

/** Takes over events, this tab's own or those of one that has gone; returns false to leave them where they are. */
export type TakeOver = (events: StoredEvent[], own: boolean) => boolean

const maxEvents = 1000
const maxChars = 1e6
const touchEvery = 10e3
const deadAfter = 30e3

/**
 * Opens the part of localStorage that is this tab's, `ms:q:<key hash>:<tab id>`: a line with the time of writing and
 * those at which the events were accepted, then a line for each event. A Web Lock of the same name is held while the tab lives, and its end, however it comes, lets
 * one other tab take the events over. Without Web Locks (a page without https) the time of writing says who is alive.
 */
export function openStore(keyHash: string, tab: string, takeOver: TakeOver): Store {
  const prefix = `ms:q:${keyHash}:`
  const own = prefix + tab
  const locks = navigator.locks as LockManager | undefined
  const waiting = new Set<string>()
  let held: AbortController | undefined
  let touch: ReturnType<typeof setInterval> | undefined
  let kept: readonly Waiting[] = []
  let began = 0

  // Lines and not JSON: quoting half a megabyte again would take longer than a page has to go away.
  const put = (at = Date.now()): boolean =>
    save(own, kept.length ? [at, ...kept.map(e => Math.round(began + e.at))].join() + '\n' + kept.map(e => e.text).join('\n') : null)

  // Tries to take what lies under key, which nobody else may touch meanwhile.
  const take = (key: string): void => {
    const text = held && load(key)
    if (!text) return
    const [at, events] = decode(text)
    if (!locks && key !== own && Date.now() - at < deadAfter) {
      setTimeout(look, deadAfter)
      return
    }
    save(key, null); // first, so that no second tab finds it
    if (!takeOver(events, key === own)) save(key, text)
  }

  // Runs use once the lock of key is this tab's, which is when its owner has gone.
  const lock = (key: string, use: (signal: AbortSignal) => void | Promise<void>): void => {
    const { signal } = held!
    if (!locks) void use(signal)
    else if (key === own || !waiting.has(key)) {
      waiting.add(key)
      const done = (): unknown => waiting.delete(key)
      locks.request(key, { signal }, () => use(signal)).then(done, done); // rejected when this tab is the first to go
    }
  }

  const want = (key: string): void => {
    if (held && key !== own && key.startsWith(prefix)) lock(key, () => take(key))
  }

  function look(): void {
    try {
      Object.keys(localStorage).forEach(want)
    } catch {
      // blocked: nobody has left anything there
    }
  }

  addEventListener('storage', e => e.key && e.newValue && want(e.key))

  return {
    write(events, start = 0) {
      kept = fit(events)
      began = start
      // Half as much may still find room where the site itself has filled its share.
      while (!put() && kept.length) kept = kept.slice(0, kept.length >> 1)
      clearInterval(touch)
      if (!locks && kept.length) touch = setInterval(put, touchEvery)
      return kept.length
    },
    hold(ready) {
      if (held) return
      held = new AbortController()
      lock(own, signal => {
        take(own); // a page from the back/forward cache finds its own, unless another tab was quicker
        if (ready) ready()
        return new Promise(end => signal.addEventListener('abort', () => end()))
      })
      look()
    },
    look,
    release() {
      clearInterval(touch)
      if (!locks) put(0)
      held?.abort()
      held = undefined
    },
  }
}

function fit(events: readonly Waiting[]): readonly Waiting[] {
  let chars = 0
  let n = 0
  for (const { text } of events) {
    chars += text.length
    if (n === maxEvents || chars > maxChars) break
    n++
  }
  return events.slice(0, n)
}

function decode(text: string): [at: number, events: StoredEvent[]] {
  const [times, ...lines] = text.split('\n')
  const [at, ...accepted] = times!.split(',').map(Number)
  const events: StoredEvent[] = []
  lines.forEach((line, i) => {
    try {
      events.push([accepted[i]!, line, (JSON.parse(line) as { messageId: string }).messageId])
    } catch {
      // somebody else has written here
    }
  })
  return [at!, events]
}
