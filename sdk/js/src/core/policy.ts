/** What an answer means for the batch: see the retry matrix in the specification, section 5. */
export type Verdict = 'done' | 'count' | 'wait' | 'split' | 'drop'

/** Status 0 stands for no answer at all. */
export function judge(status: number): Verdict {
  if (!status || status === 429 || (status > 501 && status < 505)) return 'wait'
  if (status === 413) return 'split'
  if (status === 501 || status === 505) return 'drop'
  if (status >= 500 || status === 408 || status === 425 || status < 200) return 'count'
  if (status < 300) return 'done'
  return status < 400 ? 'count' : 'drop'
}

/** Milliseconds before try n+1: anything between a fifth of base and base · 2ⁿ, capped. */
export function backoff(n: number, base: number, max: number): number {
  const low = Math.min(base / 5, max)
  return low + Math.random() * (Math.min(max, base * 2 ** n) - low)
}

/** Milliseconds that a Retry-After header asks for, at most 300 s; 0 without one. */
export function retryAfter(header: string | null | undefined, now: number): number {
  if (!header) return 0
  const ms = /^\s*\d+\s*$/.test(header) ? +header * 1e3 : Date.parse(header) - now
  return Math.min(Math.max(ms || 0, 0), 300e3)
}
