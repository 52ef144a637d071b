// Does what one input says, in a context of its own: its cookies, its storage, its tabs.
import { readFileSync } from 'node:fs'
import { bundle, openSite } from './site.mjs'

const device = readFileSync(new URL('./device.js', import.meta.url), 'utf8')
const options = {
  flushAt: 'flushAt', flushInterval: 'flushIntervalMs', batchEvents: 'batchEvents', batchBytes: 'batchBytes',
  queueEvents: 'queueEvents', queueBytes: 'queueBytes', timeout: 'requestTimeoutMs', backoffBase: 'backoffBaseMs',
  backoffMax: 'backoffMaxMs', retryAfterScale: 'retryAfterScale', maxAge: 'maxAgeMs', consent: 'consent',
  respectSignals: 'respectSignals', autoPage: 'autoPage',
}

/** What FORMAT.md does not know. */
export class UnknownInput extends Error {}

export async function run(browser, input) {
  input.config = input.config || {}
  input.options = clientOptions(input)
  const site = await openSite(input)
  const context = await browser.newContext()
  const program = new Program(context, site, input)
  try {
    await program.prepare()
    for (const step of input.sequences || []) await program.step(step)
    return await program.output()
  } finally {
    await context.close()
    site.close()
  }
}

function clientOptions({ config, apiHost }) {
  const out = { endpoint: apiHost }
  for (const [name, value] of Object.entries(config)) if (options[name]) out[options[name]] = value
  if (config.maxRetries !== undefined) out.maxAttempts = config.maxRetries + 1
  return out
}

class Program {
  results = []
  flushes = []
  closes = []
  evals = []
  heaps = []
  tabs = new Map()
  figures = new Map() // the last ones of each page that was there
  calls = 0
  ids = 0
  sentBatches = 0
  leaks = 0
  ended = false

  constructor(context, site, input) {
    Object.assign(this, { context, site, input })
  }

  get page() {
    return this.tabs.get(this.tab)
  }

  async prepare() {
    const { context, site, input } = this
    const { config } = input
    if (config.cookies) {
      await context.addCookies(Object.entries(config.cookies).map(([name, value]) => ({ name, value, url: site.origin })))
    }
    if (config.localStorage) await this.bare(all => Object.entries(all).forEach(([k, v]) => localStorage.setItem(k, v)), config.localStorage)
    await context.addInitScript({ content: `window.conformanceInput = ${JSON.stringify(input)};\n${device}` })
    await context.exposeBinding('conformanceTold', (_, results) => void this.results.push(...results))
    context.on('response', answer => {
      if (answer.request().method() === 'POST' && answer.status() === 200) this.sentBatches++
    })
    if (config.snippet && config.snippet !== 'none' && !config.served) {
      const script = `${input.apiHost}/analytics.js/v1/${input.writeKey}/analytics.min.js`
      await context.route(script, route => route.fulfill({ contentType: 'text/javascript', body: bundle }))
    }
    await this.open('a')
  }

  /** Runs a function on a page of the site that has no SDK. */
  async bare(run, argument) {
    const page = await this.context.newPage()
    await page.goto(this.site.origin + '/-/bare')
    const value = await page.evaluate(run, argument)
    await page.close()
    return value
  }

  async open(tab) {
    this.tab = tab
    if (this.tabs.has(tab)) return
    const page = await this.context.newPage()
    this.tabs.set(tab, page)
    await this.go('/')
  }

  async go(path) {
    await this.page.goto(this.site.origin + path)
    if (this.input.config.snippet && this.input.config.snippet !== 'none') {
      await this.page.waitForFunction(() => window.analytics.initialized)
    }
  }

  async step(step) {
    if (step.delayMs) await new Promise(done => setTimeout(done, step.delayMs))
    const kind = Object.keys(steps).find(name => name in step)
    if (!kind) throw new UnknownInput(`the step ${JSON.stringify(step)} is unknown`)
    await this.note()
    await steps[kind].call(this, step)
    await this.note()
  }

  /** Reads the figures of the page that is shown, if it has any. */
  async note() {
    const read = await this.page?.evaluate(() => window.conformance?.read()).catch(() => undefined)
    if (!read) return
    this.figures.set(read.page, read)
    if (read.stats) this.stats = read.stats
  }

  async drain(name, ms, times = 1) {
    return this.page.evaluate(([n, m, t]) => window.conformance.drain(n, m, t), [name, ms, times])
  }

  async output() {
    const storage = await this.stored()
    const ends = ['close', 'crash', 'unload']
    const steps = this.input.sequences || []
    if (steps.length && !steps.some(s => ends.some(name => name in s))) {
      for (this.tab of this.tabs.keys()) {
        await this.drain('close', 5000).catch(() => {})
        await this.note()
      }
    }
    if (this.page && steps.some(s => 'close' in s)) this.leaks = await this.page.evaluate(() => window.conformance.leaks()).catch(() => 0)
    await this.note()
    const { results } = this
    const all = [...this.figures.values()]
    const refused = {}
    for (const f of all) for (const [reason, n] of Object.entries(f.refused)) refused[reason] = (refused[reason] || 0) + n
    const { sentBatches, flushes, closes, evals, heaps, stats, leaks } = this
    return {
      success: !Object.keys(refused).length && results.every(r => r.fate === 'delivered') && results.length === (stats?.enqueued ?? 0),
      sentBatches, error: null, refused,
      results: results.map(r => ({ code: '', message: '', ...r })),
      flushes, closes, sends: [], stats: stats ?? {},
      peakQueueBytes: Math.max(0, ...all.map(f => f.peakQueueBytes)), slowestCallMs: Math.max(0, ...all.map(f => f.slowestCallMs)),
      leaks, evals, heaps, ...storage,
    }
  }

  async stored() {
    const entries = await this.bare(() => Object.entries(localStorage))
    const cookies = await this.context.cookies(this.site.origin)
    // `ms:q:<key hash>:<tab>` tells the number of the first event that counts, `…:<n>` holds those from number n on.
    const local = Object.fromEntries(entries)
    let stored = 0
    for (const [key, text] of entries) {
      const [, tab, number] = /^(ms:q:[^:]*:[^:]*):(\d+)$/.exec(key) || []
      if (tab) stored += text.split('\n').filter((_, i) => !(+number + i < (local[tab] || '').split(',')[1])).length
    }
    return {
      storage: { localStorage: local, cookies: Object.fromEntries(cookies.map(c => [c.name, c.value])) },
      stored,
    }
  }
}

const steps = {
  async events(step) {
    this.ids = await this.page.evaluate(([s, n, made]) => window.conformance.events(s, n, made), [step, this.calls, this.ids])
    this.calls += step.events.length * (step.repeat ?? 1)
  },
  async await({ await: n, timeout = 5000 }) {
    const until = Date.now() + timeout
    while (this.results.length < n && Date.now() < until) await new Promise(done => setTimeout(done, 10))
  },
  async flush({ flush, times }) {
    this.flushes.push(...(await this.drain('flush', flush, times)))
  },
  async close({ close, times }) {
    this.closes.push(...(await this.drain('close', close, times)))
  },
  async consent({ consent, categories }) {
    await this.page.evaluate(([c, k]) => window.conformance.consent(c, k), [consent, categories])
  },
  async hidden({ hidden }) {
    await this.page.evaluate(h => window.conformance.hide(h), hidden)
  },
  async offline({ offline }) {
    this.offline = offline
    await this.context.setOffline(offline)
  },
  async unload() {
    await this.page.goto(this.offline ? 'about:blank' : this.site.origin + '/-/bare')
  },
  async load({ load }) {
    await this.go(load)
  },
  async back() {
    await this.page.goBack({ waitUntil: 'commit' })
  },
  async forward() {
    await this.page.goForward({ waitUntil: 'commit' })
  },
  async push({ push }) {
    await this.page.evaluate(path => history.pushState(null, '', path), push)
  },
  async replace({ replace }) {
    await this.page.evaluate(path => history.replaceState(null, '', path), replace)
  },
  async tab({ tab }) {
    await this.open(tab)
  },
  async shut({ shut }) {
    const page = this.tabs.get(shut)
    this.tabs.delete(shut)
    const closed = page.waitForEvent('close')
    await page.close({ runBeforeUnload: true }) // as a person does: the page hears of it
    await closed
  },
  async kill({ kill }) {
    const page = this.tabs.get(kill)
    const devtools = await this.context.newCDPSession(page)
    const crashed = page.waitForEvent('crash')
    devtools.send('Page.crash').catch(() => {}) // nobody is left to answer
    await crashed
    this.tabs.delete(kill)
  },
  async heap() {
    const devtools = await this.context.newCDPSession(this.page)
    await devtools.send('HeapProfiler.enable')
    await devtools.send('HeapProfiler.collectGarbage')
    this.heaps.push((await devtools.send('Runtime.getHeapUsage')).usedSize)
    await devtools.detach()
  },
  async eval({ eval: script }) {
    this.evals.push((await this.page.evaluate(s => window.conformance.evaluate(s), script)) ?? null)
  },
}
