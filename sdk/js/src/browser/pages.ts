/**
 * Calls view whenever the page shows another URL: now, and at each pushState, replaceState and popstate that changes
 * path or query. A page from the back/forward cache shows what was already counted.
 */
export function watchPages(view: () => void): void {
  let seen: string | undefined
  const look = (): void => {
    const at = location.pathname + location.search
    if (at === seen) return
    seen = at
    view()
  }
  for (const name of ['pushState', 'replaceState'] as const) {
    const original = history[name]
    history[name] = function (this: History, ...args) {
      original.apply(this, args)
      look()
    }
  }
  addEventListener('popstate', look)
  // A page that is rendered ahead has not been seen, and may never be.
  if ((document as { prerendering?: boolean }).prerendering) document.addEventListener('prerenderingchange', look, { once: true })
  else look()
}
