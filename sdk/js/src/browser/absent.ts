import type { Result } from '../core/types.js'
import type { Analytics, Group, User } from './types.js'

/** A client for where there is no page, as when a server renders it: nothing is sent, and each call says so. */
export function absent(): Analytics {
  let calls = 0
  const refuse = (): Promise<Result> => {
    calls++
    return Promise.resolve({ messageId: '', fate: 'dropped', code: 'closed', message: 'there is no page here', attempts: 0 })
  }
  const user: User = { id: () => null, anonymousId: () => '', traits: () => ({}) }
  const group: Group = { id: () => null, traits: () => ({}) }
  const drained = (): Promise<{ ok: boolean; queued: number; spooled: number }> => Promise.resolve({ ok: true, queued: 0, spooled: 0 })
  const client = {
    identify: refuse,
    track: refuse,
    page: refuse,
    screen: refuse,
    alias: refuse,
    group: (...args: unknown[]) => (args.length ? Object.assign(refuse(), group) : group),
    user: () => user,
    setAnonymousId: (id: string) => id,
    reset() {},
    consent() {},
    ready: (callback?: () => void) => Promise.resolve().then(callback),
    on: () => client,
    once: () => client,
    off: () => client,
    flush: drained,
    close: drained,
    stats: () => ({
      enqueued: calls, delivered: 0, rejected: 0, dropped: calls, handedOver: 0, queued: 0, inFlight: 0, spooled: 0, retries: 0, queuedBytes: 0,
      droppedByReason: calls ? { closed: calls } : {}, coerced: 0, callbackErrors: 0, lastError: null,
    }),
  }
  return client as unknown as Analytics
}
