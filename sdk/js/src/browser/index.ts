import type { CommonOptions, ConsentState, Drained, EventType, Fields, Middleware, Result } from '../core/index.js'
import { parsed, WholeCore } from '../core/index.js'
import { absent } from './absent.js'
import type { Call } from './args.js'
import { bounds, Client } from './core.js'
import { openIdentity, type KeptIdentity } from './identity.js'
import type { IdentityKey } from './memory.js'
import { watchPages } from './pages.js'
import { QueueShelf, TabQueue } from './shelf.js'
import type { Accessor, Analytics, BrowserOptions, CallOptions, Group, Listener, User } from './types.js'

export type * from '../core/types.js'
export type { Analytics, BrowserOptions, Callback, CallOptions, Group, Listener, User, WindowAnalytics } from './types.js'

/**
 * Starts a client. Nothing is fetched, and nothing happens before the first call but what options ask for. Where there
 * is no page, as when a server renders it, the client refuses each call and does nothing.
 */
export function createClient(options: BrowserOptions): Analytics {
  check(options)
  if (typeof document === 'undefined') return absent()
  const client = new WholeClient(options)
  client._start()
  return client as unknown as Analytics
}

/** What a core client has of `Analytics`. */
export type CoreAnalytics = Pick<Analytics, 'identify' | 'track' | 'page' | 'screen' | 'alias' | 'flush' | 'close' | 'stats'> & {
  group(groupId: string, traits?: Fields | null, options?: CallOptions | null): Promise<Result>
}

/**
 * Starts a client of the core alone, 6 KB gzipped: calls, queue, retries, unload. It keeps nothing on the device, and so
 * knows a person no longer than the page lives, and has neither consent nor views of its own.
 */
export function createCoreClient(options: Omit<CommonOptions, 'consent'>): CoreAnalytics {
  check(options)
  return typeof document === 'undefined' ? absent() : (new Client(options) as unknown as CoreAnalytics)
}

function check(options: CommonOptions): void {
  for (const name of ['writeKey', 'endpoint'] as const) {
    const value: unknown = options && options[name]
    if (typeof value !== 'string' || !value) throw new TypeError(`${name}: must be a string that is not empty (got ${String(value)})`)
  }
}

const WEEK = 7 * 86400e3

/** The client with what it keeps on the device, consent, page views and listeners. */
export class WholeClient extends Client {
  protected override _core!: WholeCore
  protected override _identity!: KeptIdentity
  protected _middleware: Middleware[]
  /** Ends with the first close, when no further call is taken. */
  protected _closing: AbortController
  private _autoPage: boolean | undefined
  private _stock: QueueShelf
  private _listeners: [name: string, listener: Listener, once: boolean][] = []

  constructor(options: BrowserOptions) {
    const consent = signalled(options) ? 'denied' : options.consent || 'granted'
    const queue = new TabQueue(...bounds(options))
    const closing = new AbortController()
    const middleware = (options.middleware || []).slice()
    super({ maxAgeMs: WEEK, log: line => console.warn(line), ...options, consent, middleware }, openIdentity(consent, closing.signal), queue, WholeCore)
    this._middleware = middleware
    this._closing = closing
    this._stock = new QueueShelf(this._core, queue, this._transport, hash(options.writeKey), closing.signal)
    this._stock.allow(consent)
    this._autoPage = options.autoPage
  }

  /** Begins with what the client does of its own accord. */
  _start(): void {
    if (this._autoPage) watchPages(() => void this.page(), this._closing.signal)
  }

  override group(...args: unknown[]): Promise<Result> {
    const group: Group = { id: this._accessor('group_id'), traits: this._traits('group_traits') }
    return (args.length ? Object.assign(super.group(...args), group) : group) as never
  }

  user(): User {
    return {
      id: this._accessor('user_id'),
      anonymousId: this._accessor('anonymous_id') as Accessor<string>,
      traits: this._traits('traits'),
    }
  }

  setAnonymousId(id: string): string {
    return this.user().anonymousId(id)
  }

  reset(): void {
    this._identity.reset()
    this._emit('reset')
  }

  consent(state: ConsentState, categories?: { [category: string]: boolean }): void {
    this._identity.keep(state)
    this._core.consent(state, categories)
    this._stock.allow(state)
  }

  ready(callback?: () => void): Promise<void> {
    return Promise.resolve().then(callback)
  }

  on(name: string, listener: Listener): this {
    this._listeners.push([name, listener, false])
    return this
  }

  once(name: string, listener: Listener): this {
    this._listeners.push([name, listener, true])
    return this
  }

  off(name: string, listener?: Listener): this {
    this._listeners = this._listeners.filter(([n, l]) => n !== name || (listener && l !== listener))
    return this
  }

  override close(options?: { timeoutMs?: number }): Promise<Drained> {
    this._closing.abort()
    return this._stock.close(() => super.close(options))
  }

  override _leave(away: boolean): void {
    if (away) this._stock.leave()
    else this._stock.copy(true)
  }

  override _back(): void {
    this._stock.allow()
  }

  protected override _call(type: EventType, call: Call, members: Fields): Promise<Result> {
    const result = super._call(type, call, members)
    this._stock.touch()
    this._emit(type, ...call.strings, call.fields, call.options)
    // A mistake in the callback is shown in the console, as one in a listener is.
    if (call.callback) void Promise.race([result, new Promise<void>(done => setTimeout(done, 300))]).then(r => call.callback!(r || undefined))
    return result
  }

  protected override _remember(kind: 'user' | 'group', call: Call): void {
    const idKey = `${kind}_id` as const
    const traitsKey = kind === 'user' ? 'traits' : 'group_traits'
    const [id] = call.strings
    if (id && id !== this._identity.get(idKey)) {
      this._identity.set(idKey, id)
      this._identity.set(traitsKey, null)
    }
    const traits = this._traits(traitsKey)
    call.fields = { ...traits(), ...call.fields }
    traits(call.fields)
  }

  protected _emit(name: string, ...args: unknown[]): void {
    for (const entry of this._listeners) {
      if (entry[0] !== name) continue
      if (entry[2]) this._listeners = this._listeners.filter(e => e !== entry)
      // After the call: a listener's mistake is shown in the console, and is no reason to lose the event.
      void Promise.resolve().then(() => entry[1](...args))
    }
  }

  private _accessor(key: IdentityKey): Accessor<string | null> {
    return value => {
      if (value !== undefined) this._identity.set(key, value)
      return this._identity.get(key)
    }
  }

  private _traits(key: 'traits' | 'group_traits'): Accessor<Fields> {
    return value => {
      try {
        if (value !== undefined) this._identity.set(key, JSON.stringify(value || {}))
      } catch {
        // what JSON cannot hold is not remembered; of the event itself the core judges
      }
      return parsed(this._identity.get(key))
    }
  }
}

function signalled({ respectSignals }: BrowserOptions): boolean {
  const { doNotTrack, globalPrivacyControl } = navigator as Navigator & { doNotTrack?: string; globalPrivacyControl?: boolean }
  return respectSignals !== false && (globalPrivacyControl || doNotTrack === '1')
}

/** FNV-1a: the key's name in storage, which need not be secret but short. */
function hash(text: string): string {
  let h = 0x811c9dc5
  for (const c of text) h = Math.imul(h ^ c.charCodeAt(0), 0x01000193)
  return (h >>> 0).toString(36)
}
