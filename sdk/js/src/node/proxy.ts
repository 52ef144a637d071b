import { request } from 'node:http'
import { Agent, type RequestOptions } from 'node:https'
import type { Duplex } from 'node:stream'

const LOOPBACK = /^(localhost|127\.[\d.]+|\[::1\])$/

/** The proxy for an endpoint: the option, else what the environment says as curl and Go read it; this machine needs none. */
export function proxyOf(endpoint: URL, option: string | undefined, env: { [name: string]: string | undefined } = process.env): URL | undefined {
  if (option !== undefined) return option ? proxyUrl(option) : undefined
  const { hostname, port, protocol } = endpoint
  const exempt = env.NO_PROXY || env.no_proxy || ''
  if (LOOPBACK.test(hostname) || exempt.split(',').some(rule => spares(rule.trim().toLowerCase(), hostname, port || (protocol === 'https:' ? '443' : '80')))) return undefined
  if (protocol === 'https:') return proxyUrl(env.HTTPS_PROXY || env.https_proxy)
  // In a CGI program HTTP_PROXY is what the client's header "Proxy" says.
  return proxyUrl((env.REQUEST_METHOD ? '' : env.HTTP_PROXY) || env.http_proxy)
}

/** Reads `http://[user:password@]host:port`, also without the scheme. Throws for what is no such thing. */
export function proxyUrl(text: string | undefined): URL | undefined {
  if (!text) return undefined
  try {
    const url = new URL(text.includes('://') ? text : 'http://' + text)
    if (url.protocol === 'http:' && url.hostname) return url
  } catch {
    // said below
  }
  throw TypeError(`proxy: must be like http://proxy.example.com:3128 (got ${text.replace(/\/\/[^/]*@/, '//…@')})`)
}

/** Whether a rule of NO_PROXY names the host: itself, a domain above it, or everything; a port narrows it down. */
function spares(rule: string, hostname: string, port: string): boolean {
  const [, name = '', only] = /^(.*?)(?::(\d+))?$/.exec(rule)!
  if (!name || (only && only !== port)) return name === '*'
  const domain = name.replace(/^\*?\./, '')
  return name === '*' || hostname === domain || hostname.endsWith('.' + domain)
}

/** What tells the proxy who asks. */
export function authorization({ username, password }: URL): { [name: string]: string } {
  if (!username) return {}
  return { 'Proxy-Authorization': 'Basic ' + Buffer.from(decodeURIComponent(username) + ':' + decodeURIComponent(password)).toString('base64') }
}

/** Where to reach the proxy. */
export function address({ hostname, port }: URL): { hostname: string; port: string } {
  return { hostname: hostname.replace(/^\[|\]$/g, ''), port: port || '80' }
}

/** Connections to https servers through a proxy, which is asked for a tunnel by CONNECT. */
export class TunnelAgent extends Agent {
  private readonly asking = new Set<() => void>()

  constructor(private readonly proxy: URL, private readonly timeoutMs: number) {
    super({ keepAlive: true })
  }

  override createConnection(options: RequestOptions, created: (error: Error | null, stream: Duplex) => void = () => undefined): undefined {
    const host = options.host!
    const target = `${host.includes(':') ? `[${host}]` : host}:${options.port}`
    const ask = request({ ...address(this.proxy), method: 'CONNECT', path: target, headers: { Host: target, ...authorization(this.proxy) }, agent: false })
    const end = (error: Error): void => {
      clearTimeout(late)
      this.asking.delete(abort)
      ask.destroy()
      created(error, undefined as never)
    }
    const abort = (): void => end(Error('aborted by close'))
    const late = setTimeout(() => end(Error(`proxy: no answer within ${this.timeoutMs} ms`)), this.timeoutMs).unref()
    this.asking.add(abort)
    ask.on('error', end)
    ask.on('connect', (answer, socket) => {
      if (answer.statusCode !== 200) {
        socket.destroy()
        return end(Error(`proxy: answered CONNECT with ${answer.statusCode}`))
      }
      clearTimeout(late)
      this.asking.delete(abort)
      created(null, super.createConnection({ ...options, socket } as RequestOptions)!)
    })
    ask.end()
  }

  override destroy(): void {
    for (const abort of this.asking) abort()
    super.destroy()
  }
}
