import { parsed, type Item } from '../core/index.js'
import { load, save } from './device.js'
import { size } from './transport.js'

/** What the device keeps of one tab's queue, for this tab's next page or for another tab after this one's end. */
export interface Store {
  /**
   * Makes items, oldest first, all that is kept, and returns how many of them fitted. What it costs is what has changed
   * since the last time: at the head, where events leave, and at the end.
   */
  write(items: readonly Item[]): number
  /** Holds what is kept until release, and takes over what tabs leave that have gone or go later. */
  hold(): void
  /** Lets other tabs have what is kept: the page goes away. */
  release(): void
}

/**
 * Takes over items of a tab that has gone, or returns false to be asked again later; or, with own and once a hold,
 * what this tab itself had left, which a write before that would lose.
 */
export type TakeOver = (items: Item[], own: boolean) => boolean

const maxEvents = 1000
const maxChars = 1e6
/** From this length on a block is left as it is. */
const blockChars = 32e3
const touchEvery = 10e3
const deadAfter = 30e3

/**
 * Opens the part of localStorage that is this tab's. `ms:q:<key hash>:<tab id>` holds the time of writing and the number
 * of the first event that has no fate yet; `ms:q:<key hash>:<tab id>:<n>` is a block of events from number n on, a line
 * each: when it was accepted, and its JSON. A Web Lock of the first name is held while the tab lives, and its end,
 * however it comes, lets one other tab take the events over. Without Web Locks (a page without https) the time of
 * writing says who is alive.
 */
export function openStore(keyHash: string, tab: string, takeOver: TakeOver, ended?: AbortSignal): Store {
  const prefix = `ms:q:${keyHash}:`
  const own = prefix + tab
  const locks = navigator.locks as LockManager | undefined
  const waiting = new Set<string>()
  let held: AbortController | undefined
  let timer: ReturnType<typeof setTimeout> | undefined
  let kept: readonly Item[] = []
  let first = 1e6 // so that names of blocks sort as text
  let blocks: number[] = []
  let last = '' // the text of the last block

  const mark = (at = Date.now(), items = kept.length): unknown => save(own, items ? at + ',' + first : null)

  // In a while, says once more that this tab lives, and looks for what could not be taken over.
  const again = (): void => {
    clearTimeout(timer)
    timer = setTimeout(() => {
      mark()
      if (kept.length) again()
      look()
    }, touchEvery)
  }

  // Tries to take what a tab has left, which nobody else may touch meanwhile.
  const take = (owner: string): void => {
    const [at, from] = (load(owner) || '').split(',').map(Number)
    if (!locks && owner !== own && Date.now() - at! < deadAfter) {
      again()
      return
    }
    const names = stored().filter(name => (name + ':').startsWith(owner + ':')).sort()
    const texts = names.map(load)
    const items: Item[] = []
    names.forEach((name, i) => {
      const number = +name.slice(owner.length + 1)
      texts[i]!.split('\n').forEach((line, n) => number + n < from! || decode(line, items))
    })
    for (const name of names) save(name, null) // first, so that no second tab finds it
    if (takeOver(items, owner === own)) return
    names.forEach((name, i) => save(name, texts[i]!))
    again()
  }

  // Runs use once the lock of owner is this tab's, which is when the one that held it has gone.
  const lock = (owner: string, use: (signal: AbortSignal) => void | Promise<void>): void => {
    const { signal } = held!
    if (!locks) void use(signal)
    else if (owner === own || !waiting.has(owner)) {
      waiting.add(owner)
      const done = (): unknown => waiting.delete(owner)
      locks.request(owner, { signal }, () => use(signal)).then(done, done); // rejected when this tab is the first to go
    }
  }

  const want = (key: string): void => {
    const owner = key.split(':', 4).join(':')
    if (held && owner !== own && owner.startsWith(prefix)) lock(owner, () => held && take(owner))
  }

  const look = (): void => stored().forEach(want)

  addEventListener('storage', e => e.key && e.newValue && want(e.key), { signal: ended! })

  return {
    write(items) {
      let stay = kept.slice(kept.indexOf(items[0]!) >>> 0) // none, if it is not there
      if (stay.some((e, i) => e !== items[i])) stay = []
      let chars = 0
      let more = items.filter((e, i) => i < maxEvents && (chars += e.text.length) <= maxChars).slice(stay.length)
      if (stay.length === kept.length && !more.length) return stay.length
      first += kept.length - stay.length
      kept = stay
      const end = first + stay.length
      mark(Date.now(), stay.length + more.length) // before there is something that nobody seems to own
      while (blocks.length && (blocks[1] || end) <= first) save(own + ':' + blocks.shift(), null)
      if (!blocks.length) last = ''
      while (more.length) {
        const opens = !last || last.length > blockChars
        const text = (opens ? '' : last + '\n') + more.map(e => Math.round(began() + e.at) + e.text).join('\n')
        if (save(own + ':' + (opens ? end : blocks[blocks.length - 1]), text)) {
          if (opens) blocks.push(end)
          last = text
          kept = stay.concat(more)
          break
        }
        more = more.slice(0, more.length >> 1) // there may be room for half where the site itself has filled its share
      }
      if (!kept.length) mark()
      if (!locks && kept.length) again()
      return kept.length
    },
    hold() {
      if (held) return
      held = new AbortController()
      lock(own, signal => {
        if (!blocks.length) take(own) // a page from the back/forward cache finds its own, unless another tab was quicker
        return new Promise(end => (signal.onabort = () => end()))
      })
      look()
    },
    release() {
      clearTimeout(timer)
      if (!locks) mark(0)
      held?.abort()
      held = undefined
      kept = []
      blocks = []
      last = ''
    },
  }
}

function stored(): string[] {
  try {
    return Object.keys(localStorage)
  } catch {
    return [] // blocked: nobody has left anything there
  }
}

/** When this page's clock began. */
const began = (): number => Date.now() - performance.now()

function decode(line: string, into: Item[]): void {
  const [, at, text] = /^(\d+)(\{.*)$/s.exec(line) || []
  const { messageId } = parsed(text)
  if (messageId) into.push({ id: messageId as string, text: text!, bytes: size(text!), at: +at! - began(), tries: 0 }) // else somebody else has written here
}
