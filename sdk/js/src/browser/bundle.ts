// analytics.min.js: window.analytics, in place of the array in which a snippet has gathered calls.
import { parsed, type EventType, type Fields, type Result } from '../core/index.js'
import type { Call } from './args.js'
import { WholeClient } from './index.js'
import type { BrowserOptions, Elements, SourceMiddleware, WindowAnalytics } from './types.js'

/** A call from before the bundle was there; our snippet waits for what it returns. */
type Early = unknown[] & { done?: (value: unknown) => void }

/** The array of a snippet. */
type Stub = Early[] & { [member: string]: unknown }

type Maker<T> = T | ((element: Element) => T)

/** The client with the rest of analytics.js. */
class WindowClient extends WholeClient {
  initialized = true
  private _debug = false

  load(): this {
    return this
  }

  debug(on = true): void {
    this._debug = on
  }

  addSourceMiddleware(middleware: SourceMiddleware): this {
    this._middleware.push(event => {
      let passed: unknown
      middleware({ payload: { obj: event }, integrations: event.integrations || {}, next: p => (passed = p && p.obj) })
      return passed as typeof event | null
    })
    return this
  }

  trackLink(links: Elements, event: Maker<string>, properties?: Maker<Fields>): this {
    return this._trackOn('click', links, event, properties)
  }

  trackForm(forms: Elements, event: Maker<string>, properties?: Maker<Fields>): this {
    return this._trackOn('submit', forms, event, properties)
  }

  pageview(url?: string): Promise<Result> {
    return this.page(url ? { path: url } : {})
  }

  protected override _call(type: EventType, call: Call, members: Fields): Promise<Result> {
    const result = super._call(type, call, members)
    if (this._debug) {
      console.log('analytics', type, members)
      void result.then(r => console.log('analytics', r))
    }
    return result
  }

  private _trackOn(type: string, elements: Elements, event: Maker<string>, properties?: Maker<Fields>): this {
    const make = <T>(maker: Maker<T>, element: Element): T => (typeof maker === 'function' ? (maker as (e: Element) => T)(element) : maker)
    for (const element of Array.from(elements instanceof Element ? [elements] : elements || [])) {
      element.addEventListener(type, () => void this.track(make(event, element), make(properties, element)), { signal: this._closing.signal })
    }
    return this
  }
}

// There are no destinations in the browser to be registered or changed.
for (const name of ['addIntegrationMiddleware', 'addDestinationMiddleware', 'register', 'deregister']) {
  let warned = false
  ;(WindowClient.prototype as unknown as { [name: string]: unknown })[name] = function (this: WindowClient) {
    if (!warned) console.warn(`analytics.${name} does nothing here`)
    warned = true
    return this
  }
}

// The script is known only while it first runs. An element called currentScript in the page's HTML would hide it and say
// where the events go, so the getter is asked that no element hides. One called analytics is no array of calls.
const script = Object.getOwnPropertyDescriptor(Document.prototype, 'currentScript')!.get!.call(document) as HTMLScriptElement | null
const attribute = (name: string): string | null => script && script.getAttribute('data-' + name)
const globals = window as unknown as { [name: string]: Stub | undefined }
const name = attribute('global-segment-analytics-key') || 'analytics'
const [, prefix, key] = /^(.*?)\/analytics\.js\/v1\/([^/]+)\/analytics\.min\.js/.exec((script && script.src) || '') || []
const found = globals[name]
const stub = Array.isArray(found) ? found : ([] as unknown as Stub)

/** Starts the client, and makes the calls that have waited for it. */
function start(writeKey: string, options?: Partial<BrowserOptions>): WindowAnalytics {
  const endpoint = prefix || new URL((script && script.src) || location.href).origin
  const client = new WindowClient({ endpoint, ...parsed(attribute('options')), ...(stub['_loadOptions'] as object), ...options, writeKey })
  const api = client as unknown as WindowAnalytics & { [method: string]: (...args: unknown[]) => unknown }
  const replay = (early: Early): void => {
    const [method, ...args] = early as [string, ...unknown[]]
    const page = args[args.length - 1] as { __t?: string } | undefined
    if (page && page.__t === 'bpc') args.pop() // what Segment's snippet says of the page; there was no other
    const value = api[method] && api[method](...args)
    if (early.done) early.done(value)
  }
  const early = stub.splice(0)
  stub.push = (...more: Early[]) => more.forEach(replay) as never
  ;(globals as { [name: string]: unknown })[name] = api
  // What the rest depends on goes first, as in analytics.js: a view must not slip past middleware or consent.
  const first = (call: Early): boolean => /^(addSourceMiddleware|consent|setAnonymousId|on|once|debug)$/.test(call[0] as string)
  early.filter(first).forEach(replay)
  client._start()
  early.filter(call => !first(call)).forEach(replay)
  return api
}

if (!found || !found['initialized']) {
  const writeKey = (key && decodeURIComponent(key)) || (stub['_writeKey'] as string) || attribute('write-key')
  if (writeKey) start(writeKey)
  else {
    // Nobody has said the key yet; calls go on gathering until load does.
    globals[name] = stub
    stub['load'] = start
  }
}
