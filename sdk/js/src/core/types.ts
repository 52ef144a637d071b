// What the core, the two platforms and applications agree on.

export type EventType = 'identify' | 'track' | 'page' | 'screen' | 'group' | 'alias'

/** Values that end up as JSON. A `bigint` keeps every digit, a `Date` becomes RFC 3339. Not `unknown`, which interfaces do not fit. */
export type Fields = { [name: string]: any }

/** An event as middleware sees it: complete, stamped, not yet encoded. */
export interface Event {
  type: EventType
  messageId: string
  timestamp: string | Date
  userId?: string
  anonymousId?: string
  event?: string
  groupId?: string
  previousId?: string
  name?: string
  category?: string
  properties?: Fields
  traits?: Fields
  context: Fields
  integrations?: Fields
  [member: string]: unknown
}

/** What a call hands to the core: an event whose id, time and context may still be missing. */
export type Draft = Partial<Event> & { type: EventType }

/** Changes the event and returns it, or returns null to drop it. One that throws drops the event, too. */
export type Middleware = (event: Event) => Event | null

export type Fate = 'delivered' | 'rejected' | 'dropped' | 'handed_over'

/** The one end of one event. */
export interface Result {
  messageId: string
  fate: Fate
  /** Requests that carried the event. */
  attempts: number
  /** The server's code of a rejected event, the reason of a dropped one. */
  code?: string
  message?: string
}

/** Consent by category: `{Analytics: true, Advertising: false}`. */
export type Categories = { [category: string]: boolean }

export type ConsentState = 'granted' | 'pending' | 'denied'

export interface Stats {
  /** Every call, refused ones included: the sum of the seven numbers that follow. */
  enqueued: number
  delivered: number
  rejected: number
  dropped: number
  handedOver: number
  queued: number
  inFlight: number
  spooled: number
  retries: number
  queuedBytes: number
  droppedByReason: { [reason: string]: number }
  /** Values that JSON does not have (NaN, infinities) and that were sent as null. */
  coerced: number
  /** Exceptions thrown by the application's callbacks. */
  callbackErrors: number
  lastError: string | null
}

/** How flush and close ended: `ok` when nothing they cover is left in memory. */
export interface Drained {
  ok: boolean
  queued: number
  spooled: number
}

/** Options that both platforms share; their defaults differ. */
export interface CommonOptions {
  writeKey: string
  /** Origin (and path prefix) of ingest, `https://in.example.com`. */
  endpoint: string
  /** Send when so many events wait: 100 in Node, 20 in browsers. */
  flushAt?: number
  /** Send so long after the first event, in milliseconds: 1000. */
  flushIntervalMs?: number
  /** Events of one request: 500 in Node, 100 in browsers. */
  batchEvents?: number
  /** Bytes of one body before gzip: 400 KiB in Node, 60 KiB in browsers. A larger event goes alone. */
  batchBytes?: number
  /** Events in memory, those in flight included; calls beyond are refused as `queue_full`. 10,000 in Node, 1,000 in browsers. */
  queueEvents?: number
  /** Bytes in memory: 16 MiB in Node, 1 MiB in browsers. */
  queueBytes?: number
  /** 10 s. */
  requestTimeoutMs?: number
  /** The wait grows as base · 2ⁿ up to max and is random below that: 500, 60,000. */
  backoffBaseMs?: number
  backoffMaxMs?: number
  /** Answers that count (500 and the like) before a batch is given up: 10. A server that is away does not count. */
  maxAttempts?: number
  /** An event this old is dropped as `expired`: an hour, 7 days on disk or in storage. */
  maxAgeMs?: number
  /** Put over the platform's context and under the call's, one level deep. */
  context?: Fields
  /** Called in order, before the event is encoded. */
  middleware?: Middleware[]
  /** The first state, `granted` by default; see consent(). */
  consent?: ConsentState
  /** Fates in groups. An exception in it is caught and counted. */
  onResult?: (results: Result[]) => void
  /** Takes the few lines a client has to say; `console.warn` by default. */
  log?: (line: string) => void
}

/** An encoded event on its way. Only core and queue change it. */
export interface Item {
  id: string
  /** The event's JSON. */
  text: string
  /** UTF-8 bytes of text. */
  bytes: number
  /** When it was accepted, on the core's monotonic clock. */
  readonly at: number
  /** Requests that carried it. */
  tries: number
  /** It lies on disk or in storage, too, and outlives the process. */
  safe?: boolean
  /** Told the fate, once. */
  readonly done?: ((result: Result) => void) | undefined
}

/** An answer as the core needs it. */
export interface Reply {
  /** A redirect that was not followed may be given as 302. */
  status: number
  retryAfter?: string | null
  body: string
}

export interface Transport {
  /**
   * Sends one body and resolves with whatever answer came, or rejects when none did (network error, time-out).
   * `attempt` is 1 on the first try of this batch. The transport keeps the request's time-out.
   */
  send(body: string, attempt: number): Promise<Reply>
}

/**
 * Where accepted events wait. MemoryQueue is the default; storage and spool put themselves in between. Items leave by
 * `take` and end by `done`, or come back by `back`; between the two they are in flight and count against the bound.
 */
export interface Queue {
  /** Items in memory that wait to be taken, and the first of them. */
  readonly length: number
  readonly first: Item | undefined
  /** Bytes in memory, those of taken items included: what the bound limits. */
  readonly bytes: number
  /** Events that wait to be taken, wherever they lie, and those of them that outlive the process. */
  readonly waiting: number
  readonly spooled: number
  /** Takes the item in, or says why not. */
  add(item: Item): string | undefined
  /** Why not even the smallest event would be taken in, if so. */
  full?(): string | undefined
  /** Removes items from the head: at most `events`, and `bytes` with a comma each, but at least one if there is one. */
  take(events: number, bytes: number): Item[]
  /** Puts taken items back to the head, in order. */
  back(items: Item[]): void
  /** Taken items have got their fate: forget them. */
  done(items: Item[]): void
  /** Resolves true when everything added so far outlives the process, false when that will not be. */
  sync?(): Promise<boolean>
}

/** What a platform gives the core. */
export interface Seams {
  transport: Transport
  /** What stands before `"sentAt"` in the body: `{`, or `{"writeKey":"…",` in browsers. */
  head: string
  queue: Queue
  /** UTF-8 bytes of a string. */
  size(text: string): number
  /** Fills the array with random bytes that no other process will draw. */
  random(bytes: Uint8Array): void
  /** Wall clock for stamps and ids, in milliseconds. */
  now(): number
  /** Clock for ages, backoff and deadlines, in milliseconds; never jumps if the platform has such a one. */
  mono(): number
  /** Starts a timer; `keep` is true while somebody awaits flush or close, so the process must not end before it. */
  timer(wake: () => void, ms: number, keep: boolean): unknown
  untimer(handle: unknown): void
  /** Platform context, made when an event is built. */
  context(): Fields
}

export type CoreOptions = Required<Omit<CommonOptions, 'writeKey' | 'endpoint' | 'context' | 'onResult'>> &
  Pick<CommonOptions, 'context' | 'onResult'> & {
    /** The key's last four characters, for the log. */
    key: string
    /** Times what a Retry-After asks for: tests do not wait for five minutes. */
    retryAfterScale?: number
  }
