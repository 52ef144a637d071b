import { Agent as HttpAgent, request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { gzip } from 'node:zlib'
import type { Reply, Transport } from '../core/index.js'
import { address, authorization, proxyOf, TunnelAgent } from './proxy.js'

/** Smaller bodies are not worth the CPU and the header. */
const GZIP_FROM = 1024
/** More of an answer than this is no answer of ingest's. */
const MAX_ANSWER = 1 << 20

export interface HttpOptions {
  writeKey: string
  endpoint: URL
  timeoutMs: number
  gzip: boolean
  /** As in Options. */
  proxy: string | undefined
}

/** Posts batches over kept-alive connections. Idle sockets do not keep the process alive, a running request does. */
export class HttpTransport implements Transport {
  private agent: HttpAgent | undefined
  private readonly url: URL
  private readonly headers: { [name: string]: string }
  private readonly aborts = new Set<() => void>()
  private target: RequestOptions = {}
  private closed = false

  constructor(private readonly options: HttpOptions) {
    const { endpoint, writeKey } = options
    this.url = new URL(endpoint.pathname.replace(/\/*$/, '/v1/batch'), endpoint)
    this.headers = {
      Authorization: 'Basic ' + Buffer.from(writeKey + ':').toString('base64'),
      'Content-Type': 'application/json',
      'User-Agent': 'millstream-node/' + VERSION,
    }
  }

  async send(body: string, attempt: number): Promise<Reply> {
    this.agent ??= this.route()
    const headers = { ...this.headers }
    let bytes: Buffer = Buffer.from(body)
    if (this.options.gzip && bytes.length >= GZIP_FROM) {
      bytes = await compress(bytes)
      headers['Content-Encoding'] = 'gzip'
    }
    headers['Content-Length'] = String(bytes.length)
    if (attempt > 1) headers['X-Retry-Count'] = String(attempt - 1)
    return this.post(bytes, headers)
  }

  /** Ends running requests, whose sends reject, and closes all connections. */
  close(): void {
    this.closed = true
    for (const abort of this.aborts) abort()
    this.agent?.destroy()
  }

  /** How to get to ingest; the environment is read with the first request. */
  private route(): HttpAgent {
    const { url, options } = this
    const proxy = proxyOf(url, options.proxy)
    if (url.protocol === 'https:') return proxy ? new TunnelAgent(proxy, options.timeoutMs) : new HttpsAgent({ keepAlive: true })
    if (proxy) {
      this.target = { ...address(proxy), path: url.href }
      Object.assign(this.headers, { Host: url.host, ...authorization(proxy) })
    }
    return new HttpAgent({ keepAlive: true })
  }

  private post(bytes: Buffer, headers: { [name: string]: string }): Promise<Reply> {
    const { agent, url, target, aborts } = this
    return new Promise((resolve, reject) => {
      if (this.closed) return reject(Error('aborted by close')) // while the body was compressed
      const send = url.protocol === 'https:' ? httpsRequest : httpRequest
      const request = send(url, { ...target, method: 'POST', agent, headers }, response => {
        read(response).then(finish, fail)
      })
      const late = setTimeout(() => fail(Error(`no answer within ${this.options.timeoutMs} ms`)), this.options.timeoutMs)
      late.unref()
      const abort = (): void => fail(Error('aborted by close'))
      aborts.add(abort)
      const settle = (): void => {
        clearTimeout(late)
        aborts.delete(abort)
      }
      const finish = (reply: Reply): void => {
        settle()
        resolve(reply)
      }
      const fail = (error: Error): void => {
        settle()
        request.destroy()
        reject(error)
      }
      request.on('error', fail)
      request.end(bytes)
    })
  }
}

function compress(bytes: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    gzip(bytes, { level: 1 }, (error, zipped) => (error ? reject(error) : resolve(zipped)))
  })
}

function read(response: IncomingMessage): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let size = 0
    response.on('data', (chunk: Buffer) => {
      size += chunk.length
      if (size <= MAX_ANSWER) chunks.push(chunk)
    })
    response.on('error', reject)
    response.on('close', () => reject(Error('connection lost within the answer')))
    response.on('end', () => {
      const body = size <= MAX_ANSWER ? Buffer.concat(chunks).toString() : ''
      resolve({ status: response.statusCode!, retryAfter: response.headers['retry-after'] ?? null, body })
    })
  })
}
