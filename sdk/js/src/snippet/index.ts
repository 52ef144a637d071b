/** What the snippet is made of. */
export interface SnippetOptions {
  writeKey: string
  /** Where ingest is: origin and, if there is one, path prefix. The script itself comes from there too. */
  endpoint: string
  /** Options of `createClient` that JSON can hold, over `{autoPage: true}`. */
  options?: { [name: string]: unknown }
  /** The nonce of the page's Content-Security-Policy. */
  nonce?: string
}

const calls =
  'identify track page screen group alias reset ready on once off user setAnonymousId debug addSourceMiddleware ' +
  'trackLink trackForm pageview load consent flush'

/**
 * Returns the script that makes `window.analytics` take calls before the bundle is there. Each returns a promise of
 * what the call itself will return.
 */
export function stub(options: { [name: string]: unknown } = {}): string {
  const load = JSON.stringify({ autoPage: true, ...options }).replace(/</g, '\\u003c')
  return (
    `!function(w){var a=w.analytics=w.analytics||[];if(a.load)return;a._loadOptions=${load};` +
    `"${calls}".split(" ").forEach(function(m){a[m]=function(){var c=[m].concat([].slice.call(arguments));` +
    `return new Promise(function(d){c.done=d;a.push(c)})}})}(window)`
  )
}

/**
 * Returns the HTML for the head of a page: the stub inline, and the bundle as an asynchronous script of ingest's. Nothing
 * is injected, so that a Content-Security-Policy needs only the nonce and the endpoint.
 */
export function snippet({ writeKey, endpoint, options, nonce }: SnippetOptions): string {
  const attribute = nonce ? ` nonce="${escape(nonce)}"` : ''
  const src = `${endpoint.replace(/\/+$/, '')}/analytics.js/v1/${encodeURIComponent(writeKey)}/analytics.min.js`
  return `<script${attribute}>${stub(options)}</script>\n<script async${attribute} src="${escape(src)}"></script>`
}

function escape(text: string): string {
  return text.replace(/[&"<>]/g, (c) => `&#${c.charCodeAt(0)};`)
}
