import assert from 'node:assert/strict'
import { test } from 'node:test'
import { backoff, judge, retryAfter } from '../dist/test/parts.mjs'

test('each answer means what the matrix says', () => {
  const matrix = {
    done: [200, 201, 202, 204, 206],
    count: [301, 302, 303, 304, 307, 308, 408, 425, 500, 506, 507, 511, 520, 599],
    wait: [0, 429, 502, 503, 504],
    split: [413],
    drop: [400, 401, 403, 404, 405, 410, 415, 422, 451, 501, 505],
  }
  for (const [verdict, statuses] of Object.entries(matrix)) for (const status of statuses) assert.equal(judge(status), verdict, String(status))
})

test('backoff lies between a fifth of the base and its doubled and capped bound, all over it', () => {
  for (const [n, most] of [[1, 1000], [2, 2000], [5, 16_000], [7, 60_000], [1000, 60_000]]) {
    const waits = Array.from({ length: 400 }, () => backoff(n, 500, 60_000))
    assert.ok(waits.every(ms => ms >= 100 && ms <= most), `try ${n}`)
    assert.ok(Math.min(...waits) < most / 5 + 100 && Math.max(...waits) > most * 0.8, `spread of try ${n}`)
  }
})

test('Retry-After is seconds or a date, at most 300 s', () => {
  const now = Date.parse('2026-03-01T10:00:00Z')
  const cases = [
    [undefined, 0], [null, 0], ['', 0], ['1', 1000], [' 20 ', 20_000], ['9999', 300_000], ['0', 0], ['-5', 0], ['soon', 0],
    ['Sun, 01 Mar 2026 10:00:05 GMT', 5000], ['Sun, 01 Mar 2026 12:00:00 GMT', 300_000], ['Sun, 01 Mar 2026 09:00:00 GMT', 0],
  ]
  for (const [header, ms] of cases) assert.equal(retryAfter(header, now), ms, String(header))
})
