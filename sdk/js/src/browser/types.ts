import type { CommonOptions, ConsentState, Drained, Fields, Middleware, Result, Stats } from '../core/types.js'

export interface BrowserOptions extends CommonOptions {
  /** Send a view at load and at each navigation within the page that changes path or query. Off by default. */
  autoPage?: boolean
  /**
   * Take Global Privacy Control and Do Not Track for a first `consent` of `denied`, until `consent()` is called. On by
   * default.
   */
  respectSignals?: boolean
}

/** Called once: with the event's result, or without one 300 ms after the call. */
export type Callback = (result?: Result) => void

/** Called with the arguments of a call, in their places. */
export type Listener = (...args: unknown[]) => void

/**
 * What goes with one call: `context` and `integrations` of the event, its `timestamp` and `messageId`, other ids than
 * the person's. Further members go into the context.
 */
export interface CallOptions {
  context?: Fields
  integrations?: Fields
  timestamp?: string | Date
  messageId?: string
  userId?: string
  anonymousId?: string
  [member: string]: unknown
}

/** A getter that sets when it is given a value, as those of analytics.js do. */
export type Accessor<T> = (value?: T | null) => T

/** The person at this browser. */
export interface User {
  id: Accessor<string | null>
  anonymousId: Accessor<string>
  traits: Accessor<Fields>
}

/** The group that the person was last put into. */
export interface Group {
  id: Accessor<string | null>
  traits: Accessor<Fields>
}

type Id = string | number | null

/**
 * The browser's client. Calls take analytics.js's overloads: what is not needed may be left out from the middle, and a
 * function ends the list. Their promises resolve with the event's end, which may be long away, and never reject.
 */
export interface Analytics {
  /** Says who the person is. Traits add up until the id changes; each call sends all of them. */
  identify(userId: Id | undefined, traits?: Fields | null, options?: CallOptions | null, callback?: Callback): Promise<Result>
  identify(userId: Id | undefined, callback: Callback): Promise<Result>
  identify(userId: Id | undefined, traits: Fields, callback: Callback): Promise<Result>
  identify(traits: Fields, options?: CallOptions | null, callback?: Callback): Promise<Result>
  identify(traits: Fields, callback: Callback): Promise<Result>
  track(event: string, properties?: Fields | null, options?: CallOptions | null, callback?: Callback): Promise<Result>
  track(event: string, callback: Callback): Promise<Result>
  track(event: string, properties: Fields, callback: Callback): Promise<Result>
  track(event: CallOptions & { event: string; properties?: Fields }, callback?: Callback): Promise<Result>
  page(category: string | null | undefined, name: string | null | undefined, properties?: Fields | null, options?: CallOptions | null, callback?: Callback): Promise<Result>
  page(name: string, properties?: Fields | null, options?: CallOptions | null, callback?: Callback): Promise<Result>
  page(properties?: Fields | null, options?: CallOptions | null, callback?: Callback): Promise<Result>
  page(...args: [...unknown[], Callback]): Promise<Result>
  screen(category: string | null | undefined, name: string | null | undefined, properties?: Fields | null, options?: CallOptions | null, callback?: Callback): Promise<Result>
  screen(name: string, properties?: Fields | null, options?: CallOptions | null, callback?: Callback): Promise<Result>
  screen(properties?: Fields | null, options?: CallOptions | null, callback?: Callback): Promise<Result>
  screen(...args: [...unknown[], Callback]): Promise<Result>
  /** Without arguments: the group as it is known. */
  group(): Group
  group(groupId: Id, traits?: Fields | null, options?: CallOptions | null, callback?: Callback): Promise<Result> & Group
  group(traits: Fields, options?: CallOptions | null, callback?: Callback): Promise<Result> & Group
  /** `previousId` is the person's present id, or the anonymous one, unless given. */
  alias(userId: Id, previousId?: Id, options?: CallOptions | null, callback?: Callback): Promise<Result>
  alias(userId: Id, options: CallOptions, callback?: Callback): Promise<Result>

  user(): User
  setAnonymousId(id: string): string
  /** Forgets person and group; the next event has a new anonymous id. */
  reset(): void
  /** Grants, withdraws or suspends consent; `categories` go with each event that follows. Not remembered over pages. */
  consent(state: ConsentState, categories?: { [category: string]: boolean }): void

  /** Calls back, and resolves, when the client takes calls, which is at once. */
  ready(callback?: () => void): Promise<void>
  /** Calls listener at each call of that name: the six events' and `reset`. */
  on(name: string, listener: Listener): this
  once(name: string, listener: Listener): this
  /** Removes a listener, or all of that name. */
  off(name: string, listener?: Listener): this

  /** Sends at once and resolves when each event has a fate, or after `timeoutMs` (10 s) with what is left. */
  flush(options?: { timeoutMs?: number }): Promise<Drained>
  /** Refuses further calls, tries to deliver for `timeoutMs` (2 s), and leaves no timer and no listener behind. */
  close(options?: { timeoutMs?: number }): Promise<Drained>
  stats(): Stats
}

/** What analytics.js has besides, on `window.analytics` alone. */
export interface WindowAnalytics extends Analytics {
  /** True from the moment that calls are no longer kept in an array. */
  initialized: boolean
  /** Starts the client where the script's address has no key. */
  load(writeKey: string, options?: Partial<BrowserOptions>): WindowAnalytics
  /** Writes each call and each result to the console. */
  debug(on?: boolean): void
  /** Middleware of analytics.js. It must call `next` before it returns; otherwise the event is dropped. */
  addSourceMiddleware(middleware: SourceMiddleware): this
  /** Tracks clicks. Nothing is delayed: an event outlives the page that made it. */
  trackLink(links: Elements, event: string | ((element: Element) => string), properties?: Fields | ((element: Element) => Fields)): this
  trackForm(forms: Elements, event: string | ((element: Element) => string), properties?: Fields | ((element: Element) => Fields)): this
  pageview(url?: string): Promise<Result>
  addIntegrationMiddleware(...args: unknown[]): this
  addDestinationMiddleware(...args: unknown[]): this
  register(...args: unknown[]): this
  deregister(...args: unknown[]): this
}

export type Elements = Element | ArrayLike<Element> | null

export type SourceMiddleware = (call: { payload: { obj: Fields }; next: (payload: { obj: Fields } | null) => void; integrations: Fields }) => void

export type { Middleware }
