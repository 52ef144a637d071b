import {
  Core, MemoryQueue, type CommonOptions, type CoreOptions, type Draft, type Drained, type EventType, type Fields, type Queue, type Result, type Stats,
} from '../core/index.js'
import { sort, type Call } from './args.js'
import { pageContext, platformContext } from './context.js'
import { memory, type Identity } from './memory.js'
import { FetchTransport, KEEPALIVE_BYTES, size } from './transport.js'
import { watchUnload } from './unload.js'

declare global {
  interface Window {
    Temporal?: { Now: { timeZoneId(): string } }
  }
}

const defaults = {
  flushAt: 20,
  flushIntervalMs: 1000,
  batchEvents: 100,
  batchBytes: KEEPALIVE_BYTES,
  requestTimeoutMs: 10e3,
  backoffBaseMs: 500,
  backoffMaxMs: 60e3,
  maxAttempts: 10,
  maxAgeMs: 3600e3,
  middleware: [],
} as const

/** The bounds of the queue that the options ask for. */
export const bounds = ({ queueEvents, queueBytes }: CommonOptions): [events: number, bytes: number] => [queueEvents || 1000, queueBytes || 1 << 20]

/** The calls, the queue, retries, unload, ids and context: what the whole client is built upon. */
export class Client {
  protected _core: Core
  protected _transport: FetchTransport
  private _unwatch: () => void
  /** The URL of the last view, which is the referrer of the next. */
  private _view: string | undefined
  private _referrer = document.referrer

  constructor(options: CommonOptions, protected _identity: Identity = memory(), protected _queue: Queue = new MemoryQueue(...bounds(options)), make = Core) {
    const o = { ...defaults, ...defined(options), key: options.writeKey.slice(-4) } as CoreOptions & CommonOptions
    // Intl takes tens of milliseconds to answer its first question, and no call should pay for that.
    const zone = window.Temporal ? window.Temporal.Now.timeZoneId() : Intl.DateTimeFormat().resolvedOptions().timeZone
    this._transport = new FetchTransport(o.endpoint.replace(/\/+$/, '') + '/v1/b', o.requestTimeoutMs)
    this._core = new make(o, {
      transport: this._transport,
      head: '{"writeKey":' + JSON.stringify(o.writeKey) + ',',
      queue: _queue,
      size,
      random: numbers => crypto.getRandomValues(numbers),
      now: () => Date.now(),
      mono: () => performance.now(),
      timer: (wake, ms) => setTimeout(wake, ms),
      untimer: handle => clearTimeout(handle as number),
      context: () => ({ library: { name: 'millstream-js', version: VERSION }, ...platformContext(this._referrer, zone) }),
    })
    this._unwatch = watchUnload(this._core, this._transport, this)
  }

  identify(...args: unknown[]): Promise<Result> {
    const call = sort(args, 1)
    this._remember('user', call)
    return this._call('identify', call, { traits: call.fields })
  }

  track(...args: unknown[]): Promise<Result> {
    const [first] = args
    if (first && typeof first === 'object') {
      const { event, properties, ...options } = first as Fields
      args = [event, properties, options, ...args.slice(1)]
    }
    const call = sort(args, 1)
    return this._call('track', call, { event: call.strings[0], properties: call.fields })
  }

  page(...args: unknown[]): Promise<Result> {
    const { href } = location
    if (this._view && this._view !== href) this._referrer = this._view
    this._view = href
    return this._named('page', args, pageContext(this._referrer))
  }

  screen(...args: unknown[]): Promise<Result> {
    return this._named('screen', args)
  }

  group(...args: unknown[]): Promise<Result> {
    const call = sort(args, 1)
    this._remember('group', call)
    return this._call('group', call, { groupId: this._identity.get('group_id') || undefined, traits: call.fields })
  }

  alias(...args: unknown[]): Promise<Result> {
    const call = sort(args, 2)
    const [userId, previousId] = call.strings
    call.options = call.fields
    const id = this._identity
    return this._call('alias', call, { userId, previousId: previousId || id.get('user_id') || id.get('anonymous_id') })
  }

  /** Sends at once and resolves when each event has a fate, or after timeoutMs (10 s) with what is left. */
  flush({ timeoutMs = 10e3 } = {}): Promise<Drained> {
    return this._core.flush(timeoutMs)
  }

  /** Refuses further calls, tries to deliver for timeoutMs (2 s), and leaves no timer and no listener behind. */
  close({ timeoutMs = 2e3 } = {}): Promise<Drained> {
    return this._core.close(timeoutMs).finally(() => {
      this._transport.stop()
      this._unwatch()
    })
  }

  stats(): Stats {
    return this._core.stats()
  }

  /** The page is hidden or goes away, and what has no fate with it. */
  _leave(_away: boolean): void {}

  /** The page is shown again. */
  _back(): void {}

  /** Keeps who is spoken of for the calls that follow. */
  protected _remember(key: 'user' | 'group', call: Call): void {
    const [id] = call.strings
    if (id) this._identity.set(`${key}_id` as const, id)
  }

  /** Puts a call into the queue; its own options go over what the client knows. */
  protected _call(type: EventType, call: Call, members: Fields): Promise<Result> {
    const { context, integrations, timestamp, messageId, userId, anonymousId, ...rest } = call.options
    const id = this._identity
    const draft = defined({
      type,
      anonymousId: id.get('anonymous_id'),
      userId: id.get('user_id') || undefined,
      ...members,
      ...(defined({ integrations, timestamp, messageId, anonymousId, userId }) as Fields),
      context: { ...rest, ...(context as Fields) },
    }) as Draft
    return new Promise(resolve => this._core.enqueue(draft, resolve))
  }

  private _named(type: 'page' | 'screen', args: unknown[], known?: object): Promise<Result> {
    const call = sort(args, 2)
    let [category, name] = call.strings
    // One string is the name, two are category and name.
    if (!name) [category, name] = [name, category]
    const named = defined({ category: category || undefined, name: name || undefined })
    return this._call(type, call, { ...named, properties: known ? { ...known, ...named, ...call.fields } : call.fields })
  }
}

/** A copy without the members that are undefined, which would hide those they are spread over. */
function defined<T extends object>(of: T): T {
  const out = { ...of }
  for (const key of Object.keys(out) as (keyof T)[]) if (out[key] === undefined) delete out[key]
  return out
}
