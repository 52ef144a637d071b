import { type Core, type Item } from '../core/index.js'
import { canKeepAlive, KEEPALIVE_BYTES, type FetchTransport } from './transport.js'

/** What keeps events that could not be handed over. */
export interface Shelf {
  /** Keeps what it can of the events that have no fate; away: the page may not come back. */
  _leave(away: boolean): void
  /** The page is shown again. */
  _back(): void
}

/**
 * Gives what waits to the browser when the page is hidden or goes away, each event in one request: it leaves the queue
 * before it is handed over, and comes back only if that request fails while the page lives. Returns what ends the watch.
 */
export function watchUnload(core: Core, transport: FetchTransport, shelf: Shelf): () => void {
  const over = new AbortController()
  const { signal } = over
  const handed = new Set<Item[]>()
  let away = false

  const beacon = (body: string): unknown => navigator.sendBeacon && navigator.sendBeacon(transport.url, body)

  const handOver = (): void => {
    if (!core.reachable || navigator.onLine === false) return
    let room = KEEPALIVE_BYTES - core.inFlightBytes - core.bodyBytes([])
    for (const items of handed) room -= core.bodyBytes(items)
    const items = core.takeUnsent(room)
    if (!items.length) return
    const body = core.body(items)
    if (!canKeepAlive) {
      if (beacon(body)) core.settle(items, 'handed_over')
      else core.giveBack(items)
      return
    }
    handed.add(items)
    transport.request(body, true).then(
      reply => handed.delete(items) && core.settleBy(items, reply),
      () => {
        if (handed.delete(items)) core.settleBy(items, { status: 0, body: '' })
        else beacon(body) // the share was used up: one more chance
      },
    )
  }

  const leave = (): void => {
    if (away) return
    away = true
    handOver()
    // From here on nobody will hear the answers.
    for (const items of handed) core.settle(items, 'handed_over')
    handed.clear()
    shelf._leave(true)
  }

  document.addEventListener('visibilitychange', () => {
    if (away || document.visibilityState !== 'hidden') return // a page that goes away is hidden only after pagehide
    handOver()
    shelf._leave(false)
  }, { signal })
  addEventListener('pagehide', leave, { signal })
  addEventListener('pageshow', () => {
    if (!away) return
    away = false
    shelf._back()
    core.wake()
  }, { signal })
  return () => over.abort()
}
