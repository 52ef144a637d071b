import type { Fields } from '../core/index.js'

/** A page as an event describes it. The fragment stays out of url: it holds tokens more often than places. */
export interface PageContext {
  path: string
  referrer: string
  search: string
  title: string
  url: string
}

/** Returns the page that is shown now; referrer is the view before it. */
export function pageContext(referrer: string): PageContext {
  return {
    path: location.pathname,
    referrer,
    search: location.search,
    title: document.title,
    url: location.href.split('#')[0]!,
  }
}

/** Returns what a browser says about itself and the page; nothing here identifies a person. */
export function platformContext(referrer: string, timezone: string): Fields {
  const page = pageContext(referrer)
  const context: Fields = {
    page,
    userAgent: navigator.userAgent,
    locale: navigator.language,
    timezone,
    screen: { width: screen.width, height: screen.height, density: devicePixelRatio },
  }
  const campaign: Record<string, string> = {}
  new URLSearchParams(page.search).forEach((value, key) => {
    if (!key.startsWith('utm_')) return
    campaign[key === 'utm_campaign' ? 'name' : key.slice(4)] = value
    context.campaign = campaign
  })
  if (navigator.webdriver) context.webdriver = true
  return context
}
