import { encode, TooLarge } from './encode.js'
import { complete, flaw, rfc3339 } from './event.js'
import { backoff, judge, retryAfter } from './policy.js'
import { counts, Ledger } from './ledger.js'
import { uuids } from './uuid.js'
import type { CoreOptions, Draft, Drained, Event, EventType, Fate, Fields, Item, Reply, Seams, Stats } from './types.js'

/** The hard limit of ingest for one event. */
const MAX_EVENT = 256 * 1024
/** Room in a body for what is not an event: `"sentAt":"…","batch":[]}`. */
const ENVELOPE = 47

interface Waiter {
  target: number
  until: number
  resolve(drained: Drained): void
}

/**
 * The queue's one sender: it encodes calls, cuts batches, keeps one of them on the wire, repeats it as the answer
 * asks for, and tells each event's fate. It has one timer, and none while there is nothing to do.
 */
export class Core {
  /** False from a failed request to the next answer that ends a batch. */
  reachable = true
  /** Bytes of the body on the wire. */
  inFlightBytes = 0

  /** Bytes of a body for events with a comma each; the last one has none. */
  private _room: number
  private _id: (now: number) => string
  /** Nothing may be sent, for now. */
  protected _paused = false
  /** Why no call is taken and nothing is tried again. */
  protected _veto: string | undefined
  /** Cut and without a fate, in order. The first one is on the wire if busy, else sent at due. */
  private _batches: Item[][] = []
  private _busy = false
  private _due = 0
  /** A Retry-After forbids to send earlier; flush does not cut it. */
  private _floor = 0
  private _tries = 0
  private _counted = 0
  /** Taken by the platform, which settles them or gives them back. */
  protected _away = 0
  protected _accepted = 0
  protected _settled = 0
  private _waiters: Waiter[] = []
  private _timer: unknown
  private _timerAt = Infinity
  private _timerKept = false
  private _closing: Promise<Drained> | undefined
  protected _ended = false

  constructor(protected _o: CoreOptions, protected _s: Seams, protected _ledger = new Ledger(_o, counts())) {
    this._id = uuids(_s.random)
    this._room = _o.batchBytes - ENVELOPE - _s.head.length + 1
  }

  /** Takes a call in and returns its message id, or null if it was refused; done is told the fate in either case. */
  enqueue(draft: Partial<Draft>, done?: Item['done'], type?: EventType): string | null {
    draft = draft || {} // types or not, no call may throw
    const now = this._s.now()
    const id = draft.messageId && typeof draft.messageId === 'string' ? draft.messageId : this._id(now)
    const item: Item = { id, text: '', bytes: 0, at: this._s.mono(), tries: 0, done }
    this._ledger.counts.enqueued++
    const [code, message] = this._closing ? ['closed'] : this._veto ? [this._veto] : this._encode(draft, type || draft.type!, item, now)
    const why = code || this._put(item)
    if (why) {
      if (message) this._flawed(why + ': ' + message)
      this._ledger.end(item, 'dropped', why, message)
      this._ledger.tell()
      if (this._ledger.untold.length) this._arm()
      return null
    }
    this._accepted++
    if (!this._busy && !this._batches.length && (this._s.queue.length < 2 || this._full())) this._arm()
    return item.id
  }

  /**
   * Resolves when all events taken in so far have a fate or are safe in the spool, at the latest after ms. It sends at
   * once and cuts a running backoff short, but not a Retry-After.
   */
  flush(ms: number): Promise<Drained> {
    return this._drain(ms, true)
  }

  /** Refuses further calls, flushes for at most ms, and leaves the rest to the spool or drops it for that reason. */
  close(ms: number, reason = 'closed'): Promise<Drained> {
    return (this._closing = this._closing || this._drain(ms).then(() => this._end(reason)))
  }

  stats(): Stats {
    const { queue } = this._s
    return this._ledger.stats(queue.waiting - queue.spooled, this.inFlight().length + this._away, queue.spooled, queue.bytes)
  }

  /** Hands out what is not on the wire, from the head, at most so many bytes. Settle it or give it back. */
  takeUnsent(maxBytes = Infinity): Item[] {
    const { queue } = this._s
    const waiting = this._batches.splice(this._busy ? 1 : 0)
    if (waiting.length) queue.back(([] as Item[]).concat(...waiting))
    if (!this._busy) this._next()
    const items = queue.first && queue.first.bytes <= maxBytes ? queue.take(Infinity, maxBytes) : []
    this._away += items.length
    return items
  }

  /** Takes back, to the head of the queue, what takeUnsent gave out. */
  giveBack(items: Item[]): void {
    this._away -= items.length
    this._s.queue.back(items)
    this.wake()
  }

  /** Gives items from takeUnsent their fate. */
  settle(items: Item[], fate: Fate, code?: string): void {
    this._away -= items.length
    this._s.queue.done(items)
    this._fate(items, fate, code)
    this._ledger.tell()
  }

  /** Gives items from takeUnsent the fates that the answer means, or sends them again when it allows. */
  settleBy(items: Item[], reply: Reply): void {
    this._away -= items.length
    if (!this._batches.length && !this._ended) {
      this._batches.push(items)
      this._tries = items[0]!.tries
      return this._answered(items, reply)
    }
    const verdict = judge(reply.status)
    if (verdict === 'done' || verdict === 'drop') this._conclude(items, reply)
    else this._s.queue.back(items)
    this.wake()
  }

  /** The body of a request that carries the items, and counts as an attempt of each. */
  body(items: Item[]): string {
    for (const item of items) item.tries++
    const texts = items.map(item => item.text).join(',')
    return this._s.head + '"sentAt":"' + rfc3339(this._s.now()) + '","batch":[' + texts + ']}'
  }

  /** UTF-8 bytes of that body; with none, one byte less than the envelope. */
  bodyBytes(items: Item[]): number {
    return items.reduce((bytes, item) => bytes + item.bytes + 1, this._o.batchBytes - this._room)
  }

  /** Looks again for something to do: the queue has got more, or the page is shown again. */
  wake(): void {
    const now = this._s.mono()
    if (!this._busy && !this._ended && !this._paused) {
      if (!this._batches.length) this._cut(now)
      if (this._batches.length && now >= this._due) this._send(now)
    }
    this._ledger.tell()
    this._answerWaiters(now)
    this._arm()
  }

  protected _context(draft: Partial<Draft>): Fields {
    return Object.assign({}, this._s.context(), this._o.context, draft.context)
  }

  /** Takes an encoded item in, or says why not. */
  protected _put(item: Item): string | undefined {
    return this._s.queue.add(item)
  }

  /** Keeps what is wrong with a call. */
  protected _flawed(what: string): void {
    this._ledger.counts.lastError = what
  }

  /** Writes the event's text into the item, or says why the call is refused. */
  protected _encode(draft: Partial<Draft>, type: EventType, item: Item, now: number): [code?: string, message?: string] {
    let code = 'invalid'
    try {
      const changes = this._o.middleware
      let event: Event | null = complete(draft, type, item.id, rfc3339(draft.timestamp || now), this._context(draft), changes.length)
      code = 'middleware' // one that throws refuses, too: a failed redaction must not leak
      for (const change of changes) if (!(event = change(event))) return [code]
      code = 'invalid'
      const wrong = flaw(event)
      if (wrong) return [code, wrong]
      item.id = event.messageId // middleware may have changed it
      const [text, coerced] = encode(event, MAX_EVENT)
      item.text = text
      item.bytes = this._s.size(text)
      this._ledger.counts.coerced += coerced
    } catch (e) {
      return [e instanceof TooLarge ? 'too_large' : code, '' + e]
    }
    return item.bytes > MAX_EVENT ? ['too_large'] : []
  }

  private _full(): boolean {
    const { queue } = this._s
    return queue.length >= this._o.flushAt || queue.bytes + queue.length > this._room
  }

  /** Items that are cut into batches, those on the wire first. */
  inFlight(): Item[] {
    return ([] as Item[]).concat(...this._batches)
  }

  /** Cuts a batch if one is due. */
  private _cut(now: number): void {
    const { queue } = this._s
    const o = this._o
    const { first } = queue
    if (first && (this._full() || this._waiters.length || first.at + o.flushIntervalMs <= now)) {
      this._batches = [queue.take(o.batchEvents, this._room)]
      this._next()
    }
  }

  /** Makes ready for the first try of another batch. */
  private _next(): void {
    this._due = this._floor = this._tries = this._counted = 0
  }

  private _send(now: number): void {
    const o = this._o
    const all = this._batches[0]!
    const items = all.filter(item => item.at + o.maxAgeMs > now)
    if (items.length < all.length) this._drop(all.filter(item => item.at + o.maxAgeMs <= now), 'expired')
    this._batches[0] = items
    if (!items.length) {
      this._batches.shift()
      this._next()
      return this.wake()
    }
    this._busy = true
    if (this._tries++) this._ledger.counts.retries++
    this.inFlightBytes = this.bodyBytes(items)
    this._s.transport.send(this.body(items), this._tries).then(
      reply => this._answered(items, reply),
      error => this._answered(items, { status: 0, body: '' }, error),
    )
  }

  private _answered(items: Item[], reply: Reply, error?: unknown): void {
    if (this._ended) return
    const { status } = reply
    const verdict = judge(status)
    const retry = verdict === 'wait' || verdict === 'count'
    this._busy = false
    this.inFlightBytes = 0
    this.reachable = !retry
    if (verdict !== 'done') this._complain(reply, error)
    if (retry && !this._veto && !(verdict === 'count' && ++this._counted >= this._o.maxAttempts)) {
      this._later(reply)
    } else {
      this._batches.shift()
      this._next()
      if (verdict === 'split' && items.length > 1) {
        const half = items.length >> 1
        this._batches.unshift(items.slice(0, half), items.slice(half))
      } else if (retry) {
        this._drop(items, this._veto || 'max_attempts')
      } else {
        this._conclude(items, reply)
      }
    }
    this.wake()
  }

  private _later(reply: Reply): void {
    const o = this._o
    const now = this._s.mono()
    const asked = retryAfter(reply.retryAfter, this._s.now()) * (o.retryAfterScale || 1)
    this._floor = asked && now + asked * (1 + Math.random() / 10)
    this._due = Math.max(this._floor, now + backoff(this._tries, o.backoffBaseMs, o.backoffMaxMs))
  }

  protected _complain({ status }: Reply, error: unknown): void {
    this._ledger.counts.lastError = error ? '' + error : 'http_' + status
  }

  /** Gives a batch the fates that a final answer means. */
  private _conclude(items: Item[], reply: Reply): void {
    const answer = parsed(reply.body)
    this._s.queue.done(items)
    if (judge(reply.status) !== 'done') return this._fate(items, 'dropped', 'http_' + reply.status, answer.message)
    const rejected = new Map<Item | undefined, any>()
    if (reply.status === 200 && Array.isArray(answer.rejected)) for (const r of answer.rejected) if (r) rejected.set(items[r.index], r)
    for (const item of items) {
      const r = rejected.get(item)
      // The index is the server's word, the id is ours: only both together name an event. Ingest cuts long ones.
      const named = r && r.messageId
      if (r && (named == null || named === item.id || this._s.size(item.id) > 255)) this._fate([item], 'rejected', r.code, r.message)
      else this._fate([item], 'delivered')
    }
  }

  private _drop(items: Item[], code: string): void {
    this._s.queue.done(items)
    this._fate(items, 'dropped', code)
  }

  /** Gives items their fate that the queue does not hold. */
  protected _fate(items: Item[], fate: Fate, code?: string, message?: string): void {
    this._settled += items.length
    for (const item of items) this._ledger.end(item, fate, code, message)
  }

  private _drain(ms: number, spool?: boolean): Promise<Drained> {
    const { queue } = this._s
    return new Promise(resolve => {
      const waiter = { target: this._accepted, until: this._s.mono() + ms, resolve }
      this._waiters.push(waiter)
      this._due = Math.min(this._due, this._floor)
      this.wake()
      if (!spool || !queue.sync) return
      queue.sync().then(safe => {
        if (!safe) return
        waiter.until = 0
        this.wake()
      })
    })
  }

  private _answerWaiters(now: number): void {
    const waiters = this._waiters
    this._waiters = waiters.filter(w => w.target > this._settled && w.until > now && (!this._paused || this._busy) && !this._ended)
    for (const w of waiters) {
      if (this._waiters.includes(w)) continue
      const left = Math.max(0, w.target - this._settled)
      const safe = this._s.queue.spooled + this.inFlight().filter(item => item.safe).length
      w.resolve({ ok: left <= safe, queued: Math.max(0, left - safe), spooled: Math.min(left, safe) })
    }
  }

  protected async _end(reason: string): Promise<Drained> {
    const { queue } = this._s
    this._ended = true // an answer that comes now changes nothing
    this._busy = false
    if (queue.sync) await queue.sync()
    const left = this.takeUnsent()
    const lost = left.filter(item => !item.safe)
    this.settle(lost, 'dropped', reason)
    this.giveBack(left.filter(item => item.safe))
    this.wake()
    return { ok: !lost.length, queued: lost.length, spooled: queue.spooled }
  }

  /** Sets the one timer to the next thing to do, or takes it away. */
  private _arm(): void {
    const { queue, mono, timer, untimer } = this._s
    let at = this._ledger.untold.length ? 0 : Infinity
    for (const w of this._waiters) at = Math.min(at, w.until)
    if (!this._busy && !this._paused) {
      const { first } = queue
      if (this._batches.length) at = Math.min(at, this._due)
      else if (first) at = this._full() || this._waiters.length ? 0 : Math.min(at, first.at + this._o.flushIntervalMs)
    }
    if (this._ended) at = Infinity
    const kept = this._waiters.length > 0
    if (at === this._timerAt && kept === this._timerKept) return
    if (this._timerAt < Infinity) untimer(this._timer)
    this._timerAt = at
    this._timerKept = kept
    if (at === Infinity) return
    const wake = (): void => {
      this._timerAt = Infinity
      this.wake()
    }
    this._timer = timer(wake, Math.min(Math.max(0, Math.ceil(at - mono())), 2 ** 31 - 1), kept)
  }
}

/** The object that a text holds, or an empty one: what comes from a server, a page or a device may be anything. */
export function parsed(text: string | null | undefined): Fields {
  try {
    const value: unknown = JSON.parse(text!)
    if (typeof value === 'object') return { ...value }
  } catch {
    // as if there were none
  }
  return {}
}
