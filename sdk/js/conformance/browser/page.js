// The half of the browser's conformance program that runs in the page: it makes calls and keeps the figures. The other
// half (program.mjs) drives it and hears of results through `conformanceTold`.
(() => {
  const figures = { page: Math.random(), refused: {}, peakQueueBytes: 0, slowestCallMs: 0 }
  const setup = window.conformanceInput
  let own
  const client = () => own || window.analytics

  const middleware = {
    drop_email(event) {
      for (const fields of [event.properties, event.traits]) if (fields) delete fields.email
      return event
    },
    refuse: event => (event.event === 'Refused' ? null : event),
    throw(event) {
      if (event.event === 'Thrown') throw new Error('middleware threw')
      return event
    },
  }

  // With a snippet, the calls are not the driver's to number.
  let numbered = 0
  const number = n => '00000000-0000-7000-8000-' + String(n).padStart(12, '0')
  const ids =
    setup.fixed?.messageIds && (setup.config.snippet || 'none') !== 'none'
      ? [event => Object.assign(event, { messageId: number(++numbered) })]
      : []

  // A refusal is told within the call; it is counted here, and is none of the results.
  let calling = false
  function onResult(results) {
    if (!calling) window.conformanceTold(results)
    else for (const { code } of results) figures.refused[code] = (figures.refused[code] || 0) + 1
    const { callback, callbackMs } = setup.config
    if (callback === 'throw') throw new Error('callback threw')
    if (callback === 'block') return new Promise(done => setTimeout(done, callbackMs))
    return undefined
  }

  const escapes = {
    $int: text => BigInt(text),
    $decimal: text => text,
    $float: text => Number(text),
    $time: text => new Date(text),
    $repeat: ([text, n]) => text.repeat(n),
    $n: (_, n) => n,
    $func: () => () => {},
    $cycle() {
      const o = {}
      o.self = o
      return o
    },
    $depth(n) {
      let o = {}
      for (let i = 1; i < n; i++) o = { d: o }
      return o
    },
  }

  // value makes anew what an input describes, for the n-th call.
  function value(of, n) {
    if (typeof of !== 'object' || of === null) return of
    if (Array.isArray(of)) return of.map(v => value(v, n))
    const keys = Object.keys(of)
    if (keys.length === 1 && keys[0].startsWith('$')) {
      const make = escapes[keys[0]]
      if (!make) throw new Error(`the escape ${keys[0]} is unknown`)
      return make(of[keys[0]], n)
    }
    const out = {}
    for (const key of keys) out[key] = value(of[key], n)
    return out
  }

  // positional turns an event into the call that makes it.
  function positional(e) {
    const options = {}
    for (const name of ['userId', 'anonymousId', 'timestamp', 'messageId', 'context', 'integrations']) {
      if (name in e && !(name === 'userId' && (e.type === 'identify' || e.type === 'alias'))) options[name] = e[name]
    }
    if (typeof options.timestamp === 'string') options.timestamp = new Date(options.timestamp)
    switch (e.type) {
      case 'identify':
        return [e.userId, e.traits, options]
      case 'track':
        return [e.event, e.properties, options]
      case 'group':
        return [e.groupId, e.traits, options]
      case 'alias':
        return [e.userId, e.previousId, options]
      default:
        return [e.category, e.name, e.properties, options]
    }
  }

  function mutate(e) {
    for (const o of [e.properties, e.traits, e.context]) {
      if (!o) continue
      for (const v of Object.values(o)) {
        if (Array.isArray(v)) v.push('mutated')
        else if (typeof v === 'object' && v !== null) v.mutated = true
      }
      o.mutated = true
    }
  }

  function call(event, n, step) {
    const e = value(event, n)
    if (setup.fixed?.messageIds && !e.messageId) e.messageId = number(++numbered)
    const args = positional(e)
    calling = true
    const start = performance.now()
    client()[e.type](...args)
    figures.slowestCallMs = Math.max(figures.slowestCallMs, performance.now() - start)
    calling = false
    if (step.mutate) mutate(e)
  }

  window.conformance = {
    options: () => ({
      ...setup.options,
      onResult,
      middleware: (setup.config.middleware || []).map(name => middleware[name]).concat(ids),
      log: () => {},
    }),
    start() {
      own = window.analytics.load(setup.writeKey, window.conformance.options())
    },
    /** Makes the calls of a step; n and made count calls and ids of earlier pages and steps. */
    events(step, n, made) {
      numbered = made
      const repeat = step.repeat ?? 1
      const every = repeat * step.events.length > 1000 ? 10 : 1
      for (let i = 0; i < repeat; i++) {
        for (const event of step.events) {
          call(event, ++n, step)
          if (n % every === 0) figures.peakQueueBytes = Math.max(figures.peakQueueBytes, client().stats().queuedBytes)
        }
      }
      return numbered
    },
    drain: (name, ms, times) =>
      Promise.all(
        Array.from({ length: times }, async () => {
          const start = performance.now()
          const end = await client()[name]({ timeoutMs: ms })
          return { ...end, ms: Math.round(performance.now() - start) }
        }),
      ),
    consent: (state, categories) => client().consent(state, categories),
    hide(hidden) {
      for (const [name, value] of [['visibilityState', hidden ? 'hidden' : 'visible'], ['hidden', hidden]]) {
        Object.defineProperty(document, name, { configurable: true, get: () => value })
      }
      document.dispatchEvent(new Event('visibilitychange'))
    },
    async leaks() {
      const { count, settle } = window.conformanceTimers
      for (let i = 0; i < 10 && count(); i++) await settle(50)
      return count()
    },
    read: () => ({ ...figures, stats: client() && client().stats ? client().stats() : null }),
    evaluate: script => new (async () => {}).constructor('analytics', script)(client()),
  }
})()
