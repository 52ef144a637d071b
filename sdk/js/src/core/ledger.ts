import type { CoreOptions, Fate, Item, Result, Stats } from './types.js'

/** Counts what became of each event and tells the application. Several cores may share one. */
export class Ledger {
  enqueued = 0
  retries = 0
  coerced = 0
  lastError: string | null = null
  /** Results that a callback caused while it ran; they are told later. */
  untold: Result[] = []

  private _fates: { [fate in Fate]: number } = { delivered: 0, rejected: 0, dropped: 0, handed_over: 0 }
  private _reasons: { [reason: string]: number } = {}
  private _callbackErrors = 0
  private _telling = false
  private _warned: { [kind: string]: number } = {}

  constructor(private _o: Pick<CoreOptions, 'onResult' | 'log'>) {}

  /** Books the fate of an item; tell reports it. */
  end(item: Item, fate: Fate, code?: string, message?: string): void {
    this._fates[fate]++
    if (fate === 'dropped') this._reasons[code!] = (this._reasons[code!] || 0) + 1
    if (!item.done && !this._o.onResult) return
    const result: Result = { messageId: item.id, fate, attempts: item.tries }
    if (code) result.code = code
    if (message) result.message = message
    if (item.done) this.call(item.done, result)
    if (this._o.onResult) this.untold.push(result)
  }

  /** Reports what was booked. Not from within a report: an application that repeats refused calls would never end. */
  tell(): void {
    const results = this.untold
    if (this._telling || !results.length) return
    this.untold = []
    this._telling = true
    this.call(this._o.onResult!, results)
    this._telling = false
  }

  /** Calls into the application, whose mistakes must not stop the sender. */
  call<T>(callback: (value: T) => unknown, value: T): void {
    const failed = (e: unknown): void => {
      this._callbackErrors++
      this.lastError = 'callback: ' + e
    }
    try {
      const promise = callback(value) as Promise<unknown> | undefined
      if (promise && promise.then) promise.then(undefined, failed)
    } catch (e) {
      failed(e)
    }
  }

  /** Logs a line unless the like was logged less than a minute ago (or, without now, ever). */
  warn(kind: string, line: string, now = 0): void {
    const last = this._warned[kind]
    if (last !== undefined && now < last + 60e3) return
    this._warned[kind] = now || Infinity
    this.call(this._o.log, 'millstream: ' + line)
  }

  stats(queued: number, inFlight: number, spooled: number, queuedBytes: number): Stats {
    const { delivered, rejected, dropped, handed_over: handedOver } = this._fates
    const { enqueued, retries, coerced, lastError, _callbackErrors: callbackErrors } = this
    return {
      enqueued, delivered, rejected, dropped, handedOver, queued, inFlight, spooled, retries, queuedBytes,
      droppedByReason: { ...this._reasons }, coerced, callbackErrors, lastError,
    }
  }
}
