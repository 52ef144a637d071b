// Runs in each page before its own scripts: makes the device and the clock what the input says. `conformanceInput` is
// defined by the line in front of this file.
(() => {
  if (location.pathname.startsWith('/-/')) return
  const { config = {}, fixed = {} } = window.conformanceInput
  const define = (on, name, get) => Object.defineProperty(on, name, { configurable: true, get })

  if (fixed.now) {
    const now = Date.parse(fixed.now)
    const Real = Date
    window.Date = class extends Real {
      constructor(...args) {
        super(...(args.length ? args : [now]))
      }
      static now() {
        return now
      }
    }
  }

  const blocked = config.block || []
  if (blocked.includes('localStorage')) {
    define(window, 'localStorage', () => {
      throw new DOMException('the user has blocked it', 'SecurityError')
    })
  }
  if (blocked.includes('cookies')) Object.defineProperty(document, 'cookie', { get: () => '', set: () => {} })
  if (blocked.includes('keepalive')) delete Request.prototype.keepalive // as in Firefox before 133
  if (config.storageFull) {
    Storage.prototype.setItem = () => {
      throw new DOMException('there is no room', 'QuotaExceededError')
    }
  }
  if (config.gpc) define(Navigator.prototype, 'globalPrivacyControl', () => true)
  if (config.dnt) define(Navigator.prototype, 'doNotTrack', () => '1')

  // Timers that are still to come are what a closed client may have left.
  const pending = new Set()
  const { setTimeout: start, clearTimeout: stop, setInterval: repeat, clearInterval: end } = window
  window.setTimeout = (run, ms, ...args) => {
    const id = start(() => {
      pending.delete(id)
      run(...args)
    }, ms)
    pending.add(id)
    return id
  }
  window.setInterval = (run, ms, ...args) => {
    const id = repeat(run, ms, ...args)
    pending.add(id)
    return id
  }
  window.clearTimeout = window.clearInterval = id => {
    pending.delete(id)
    stop(id)
    end(id)
  }
  window.conformanceTimers = { count: () => pending.size, settle: ms => new Promise(done => start(done, ms)) }
})()
