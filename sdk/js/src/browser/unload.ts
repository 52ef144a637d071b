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
 * before it is handed over, and comes back only if that request fails while the page lives.
 */
export function watchUnload(core: Core, transport: FetchTransport, shelf: Shelf): void {
  const handed = new Map<Item[], number>() // and their bytes
  let away = false

  const handOver = (): void => {
    if (!core.reachable || navigator.onLine === false) return
    let room = KEEPALIVE_BYTES - core.inFlightBytes - core.bodyBytes([])
    for (const bytes of handed.values()) room -= bytes
    const items = core.takeUnsent(room)
    if (!items.length) return
    const body = core.body(items)
    if (!canKeepAlive) return beacon(items, body)
    handed.set(items, core.bodyBytes(items))
    transport.request(body, true).then(
      reply => handed.delete(items) && core.settleBy(items, reply),
      () => {
        if (handed.delete(items)) core.settleBy(items, { status: 0, body: '' })
        else if (navigator.sendBeacon) navigator.sendBeacon(transport.url, body) // the share was used up: one more chance
      },
    )
  }

  const beacon = (items: Item[], body: string): void => {
    if (navigator.sendBeacon && navigator.sendBeacon(transport.url, body)) core.settle(items, 'handed_over')
    else core.giveBack(items)
  }

  const leave = (): void => {
    if (away) return
    away = true
    handOver()
    // From here on nobody will hear the answers.
    for (const items of handed.keys()) core.settle(items, 'handed_over')
    handed.clear()
    shelf._leave(true)
  }

  document.addEventListener('visibilitychange', () => {
    if (away || document.visibilityState !== 'hidden') return // a page that goes away is hidden only after pagehide
    handOver()
    shelf._leave(false)
  })
  addEventListener('pagehide', leave)
  addEventListener('pageshow', () => {
    if (!away) return
    away = false
    shelf._back()
    core.wake()
  })
}
