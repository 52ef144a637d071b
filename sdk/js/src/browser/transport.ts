import type { Reply, Transport } from '../core/index.js'

/** What pages of all kinds may have on the wire in keepalive requests is 64 KiB; this leaves some to the site itself. */
export const KEEPALIVE_BYTES = 60 * 1024

const encoder = new TextEncoder()

/**
 * UTF-8 bytes of a text. Most are ASCII; and V8 joins the pieces of which a text was built when a pattern looks at it,
 * so that a thousand of them need not be joined while the page goes away.
 */
export const size = (text: string): number => (/[^\0-\x7f]/.test(text) ? encoder.encode(text).length : text.length)

/** Whether requests can outlive the page: not in Firefox before 133. */
export const canKeepAlive = typeof Request === 'function' && 'keepalive' in Request.prototype

/**
 * Sends bodies as the Fetch standard's simple requests: a string is text/plain, and without a header of ours there is
 * no preflight. Cookies stay at home, and a redirect is an answer.
 */
export class FetchTransport implements Transport {
  /** Whether the request on the wire outlives the page. */
  outlives = false

  /** Called when the core has dealt with an answer, or with its absence. */
  after?: () => void

  /** Gives up the request on the wire. */
  stop = (): void => {}

  private _failed = false

  constructor(readonly url: string, private _timeoutMs: number) {}

  async send(body: string): Promise<Reply> {
    // After a failure without keepalive: the share may have been used up by the site, which looks the same.
    const keepalive = (this.outlives = canKeepAlive && !this._failed && size(body) <= KEEPALIVE_BYTES)
    this._failed = true
    try {
      const abort = new AbortController()
      this.stop = () => abort.abort()
      const reply = await this.request(body, keepalive, abort)
      this._failed = false
      return reply
    } finally {
      if (this.after) setTimeout(this.after)
    }
  }

  /** Sends one body beside the others. */
  async request(body: string, keepalive: boolean, abort = new AbortController()): Promise<Reply> {
    const timer = setTimeout(() => abort.abort(), this._timeoutMs)
    try {
      const { signal } = abort
      const answer = await fetch(this.url, { method: 'POST', body, keepalive, signal, credentials: 'omit', redirect: 'manual' })
      if (answer.type === 'opaqueredirect') return { status: 302, body: '' }
      return { status: answer.status, retryAfter: answer.headers.get('Retry-After'), body: await answer.text().catch(() => '') }
    } finally {
      clearTimeout(timer)
    }
  }
}
