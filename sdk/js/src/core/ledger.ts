import type { CoreOptions, Fate, Item, Result, Stats } from './types.js'

export type Counts = ReturnType<typeof counts>

/** The numbers behind stats. Ledgers that report to different places may share them. */
export function counts() {
  return {
    enqueued: 0,
    retries: 0,
    coerced: 0,
    callbackErrors: 0,
    lastError: null as string | null,
    fates: { delivered: 0, rejected: 0, dropped: 0, handed_over: 0 },
    reasons: {} as { [reason: string]: number },
    warned: {} as { [kind: string]: number },
  }
}

/** Counts what became of each event and tells the application. */
export class Ledger {
  /** Results that a callback caused while it ran; they are told later. */
  untold: Result[] = []
  private _telling = false

  constructor(private _o: Pick<CoreOptions, 'onResult' | 'log'>, readonly counts: Counts) {}

  /** Books the fate of an item; tell reports it. */
  end(item: Item, fate: Fate, code?: string, message?: string): void {
    const { reasons, fates } = this.counts
    fates[fate]++
    if (fate === 'dropped') reasons[code!] = (reasons[code!] || 0) + 1
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
      this.counts.callbackErrors++
      this.counts.lastError = 'callback: ' + e
    }
    try {
      const promise = callback(value) as Promise<unknown> | undefined
      if (promise && promise.then) promise.then(undefined, failed)
    } catch (e) {
      failed(e)
    }
  }

  /** Logs a line, and its like again after a minute. */
  warn(kind: string, line: string, now: number): void {
    const { warned } = this.counts
    if (warned[kind]! + 60e3 >= now) return
    warned[kind] = now
    this.call(this._o.log, 'millstream: ' + line)
  }

  stats(queued: number, inFlight: number, spooled: number, queuedBytes: number): Stats {
    const { fates, reasons, warned: _, ...rest } = this.counts
    const { handed_over: handedOver, ...known } = fates
    return { ...rest, ...known, handedOver, queued, inFlight, spooled, queuedBytes, droppedByReason: { ...reasons } }
  }
}
