/**
 * Calls view whenever the page shows another URL: now, and at each pushState, replaceState and popstate that changes
 * path or query, until ended. A page from the back/forward cache shows what was already counted.
 */
export function watchPages(view: () => void, ended: AbortSignal): void {
  let seen: string | undefined
  const look = (): void => {
    const at = location.pathname + location.search
    if (at === seen || ended.aborted) return
    seen = at
    view()
  }
  for (const name of ['pushState', 'replaceState'] as const) {
    const original = history[name]
    const ours = (history[name] = function (this: History, ...args) {
      original.apply(this, args)
      look()
    })
    // What others have put over ours goes on to call it, and it does nothing of its own any more.
    ended.addEventListener('abort', () => history[name] === ours && (history[name] = original))
  }
  addEventListener('popstate', look, { signal: ended })
  // A page that is rendered ahead has not been seen, and may never be.
  if ((document as { prerendering?: boolean }).prerendering) document.addEventListener('prerenderingchange', look, { once: true })
  else look()
}
