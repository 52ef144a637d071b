/** One timer for several things, each due at a time of its own. It does not keep the process alive. */
export class Alarm<Name extends string> {
  private readonly due = new Map<Name, number>()
  private timer: NodeJS.Timeout | undefined
  private timerAt = Infinity

  constructor(private readonly ring: (now: number) => void) {}

  /** Has it rung in ms, or before if that is set already. */
  set(name: Name, ms: number): void {
    const at = performance.now() + ms
    if (at >= (this.due.get(name) ?? Infinity)) return
    this.due.set(name, at)
    this.arm()
  }

  /** Says whether it is due, which it then is no more. */
  take(name: Name, now: number): boolean {
    return (this.due.get(name) ?? Infinity) <= now && this.due.delete(name)
  }

  clear(name: Name): void {
    this.due.delete(name)
  }

  stop(): void {
    this.due.clear()
    this.arm()
  }

  /** Sets the timer to what is due next. */
  arm(): void {
    const at = Math.min(...this.due.values())
    if (at === this.timerAt) return
    clearTimeout(this.timer)
    this.timerAt = at
    if (at === Infinity) return
    this.timer = setTimeout(() => {
      this.timerAt = Infinity
      this.ring(performance.now())
      this.arm()
    }, Math.max(0, Math.ceil(at - performance.now()))).unref()
  }
}
