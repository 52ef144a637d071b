import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Harness, ok, settle, unaccounted } from './harness.mjs'

const fates = h => h.results.map(r => [r.fate, r.code, r.attempts].filter(part => part !== undefined).join(' '))

test('a batch goes when it is full by count, and the rest after the interval', async () => {
  const h = new Harness({ flushAt: 3, batchEvents: 3 })
  for (let i = 0; i < 7; i++) h.track(i)
  await h.pass(0)
  assert.deepEqual(h.requests.map(r => r.names.length), [3, 3])
  await h.pass(999)
  assert.equal(h.requests.length, 2)
  await h.pass(1)
  assert.deepEqual(h.requests[2].names, ['6'])
})

test('a body never passes the bytes, and takes as many events as fit', async () => {
  const h = new Harness({ batchBytes: 1200, flushAt: 1000 })
  for (let i = 0; i < 30; i++) h.track(i, { properties: { pad: 'é😀'.repeat(i) } })
  await h.core.flush(1000)
  const { requests } = h
  for (let i = 0; i < requests.length; i++) {
    assert.ok(requests[i].bytes <= 1200, `${requests[i].bytes} bytes`)
    const next = requests[i + 1] && Buffer.byteLength(JSON.stringify(requests[i + 1].batch[0]))
    if (next) assert.ok(requests[i].bytes + 1 + next > 1200, 'the next event would have fitted')
  }
  assert.deepEqual(requests.flatMap(r => r.names), Array.from({ length: 30 }, (_, i) => String(i)))
})

test('there is one timer at most, and none while there is nothing to do', async () => {
  const h = new Harness({}, n => (n < 3 ? { status: 503, retryAfter: '1' } : ok))
  assert.equal(h.timers.size, 0)
  for (let i = 0; i < 50; i++) h.track(i)
  await h.pass(10)
  const drained = Promise.all([h.core.flush(60_000), h.core.flush(50_000)])
  for (let i = 0; i < 50; i++) h.track(i)
  await h.pass(20_000)
  await drained
  assert.equal(h.timers.size, 0)
  assert.equal(h.mostTimers, 1)
  await h.core.close(1000)
  assert.equal(h.timers.size, 0)
})

test('a timer keeps the process alive only while somebody waits', async () => {
  const h = new Harness({}, () => null)
  h.track('a')
  assert.deepEqual([...h.timers.values()].map(t => t.keep), [false])
  const flushed = h.core.flush(100)
  assert.deepEqual([...h.timers.values()].map(t => t.keep), [true])
  await h.pass(100)
  assert.deepEqual(await flushed, { ok: false, queued: 1, spooled: 0 })
  assert.equal(h.timers.size, 0)
})

test('one batch is in flight, and order outlasts retries', async () => {
  let n = 0
  const h = new Harness({ flushAt: 5, batchEvents: 7 }, () => (++n % 3 ? { status: [500, 503, 429, 301][n % 4] } : ok))
  for (let i = 0; i < 100; i++) {
    h.track(i)
    if (i % 9 === 0) await h.pass(50)
  }
  await h.pass(3_000_000)
  assert.equal(h.mostFlying, 1)
  const first = new Map()
  for (const r of h.requests) for (const name of r.names) if (!first.has(name)) first.set(name, first.size)
  assert.deepEqual([...first.keys()], Array.from({ length: 100 }, (_, i) => String(i)))
  assert.equal(h.core.stats().delivered, 100)
})

test('a retry has the same events, another sentAt and the number of its try', async () => {
  const h = new Harness({}, n => (n < 2 ? { status: 500 } : ok))
  h.track('a')
  h.track('b')
  await h.pass(60_000)
  assert.deepEqual(h.requests.map(r => [r.attempt, r.names.join()]), [[1, 'a,b'], [2, 'a,b'], [3, 'a,b']])
  assert.equal(new Set(h.requests.map(r => r.sentAt)).size, 3)
  assert.equal(new Set(h.requests.map(r => r.batch[0].messageId)).size, 1)
  assert.deepEqual(fates(h), ['delivered 3', 'delivered 3'])
})

test('answers that count end a batch after ten, those that do not count only by age', async () => {
  const counted = new Harness({}, n => (n < 10 ? { status: 500 } : ok))
  counted.track('a')
  await counted.pass(1000)
  counted.track('b')
  await counted.pass(3_000_000)
  assert.deepEqual(fates(counted), ['dropped max_attempts 10', 'delivered 1'])

  const free = new Harness({}, n => (n < 25 ? { status: 429 } : ok))
  free.track('a')
  await free.pass(3_500_000)
  assert.deepEqual(fates(free), ['delivered 26'])

  const old = new Harness({ maxAgeMs: 5000, backoffMaxMs: 500 }, () => new Error('refused'))
  old.track('a')
  await old.pass(7000)
  assert.equal(old.results[0].code, 'expired')
  assert.equal(old.core.stats().lastError, 'Error: refused')
})

test('413 halves the batch until it passes, in order, and drops a single event', async () => {
  const h = new Harness({}, (_, r) => (r.names.length > 2 || r.names.includes('3') ? { status: 413 } : ok))
  for (let i = 0; i < 7; i++) h.track(i)
  await h.pass(60_000)
  const delivered = h.requests.filter(r => r.names.length < 3 && !r.names.includes('3')).flatMap(r => r.names)
  assert.deepEqual(delivered, ['0', '1', '2', '4', '5', '6'])
  assert.deepEqual(h.results.filter(r => r.fate === 'dropped').map(r => r.code), ['http_413'])
})

test('only an index and a message id together reject an event', async () => {
  const body = ids => JSON.stringify({ rejected: [
    { index: 0, messageId: ids[0], code: 'missing_event', message: 'event is not set' }, { index: 1, messageId: ids[2], code: 'x' }, { index: 9, messageId: ids[1] }, null, { index: 'a' },
  ] })
  const h = new Harness({}, (_, r) => ({ status: 200, body: body(r.batch.map(e => e.messageId)) }))
  for (let i = 0; i < 3; i++) h.track(i)
  await h.pass(1000)
  assert.deepEqual(fates(h), ['rejected missing_event 1', 'delivered 1', 'delivered 1'])
  assert.equal(h.results[0].message, 'event is not set')
})

test('an unreadable body, 204 and a body of the wrong shape are deliveries', async () => {
  for (const reply of [{ status: 200, body: '<html>' }, { status: 204 }, { status: 200, body: 'null' }, { status: 200, body: '{"rejected":7}' }, { status: 202, body: '{"rejected":[{"index":0}]}' }]) {
    const h = new Harness({}, () => reply)
    h.track('a')
    await h.pass(1000)
    assert.deepEqual(fates(h), ['delivered 1'], JSON.stringify(reply))
  }
})

test('Retry-After is the least delay, and flush does not cut it', async () => {
  const h = new Harness({}, n => (n ? ok : { status: 503, retryAfter: '20' }))
  h.track('a')
  await h.pass(1000)
  const flushed = h.core.flush(30_000)
  await h.pass(19_999)
  assert.equal(h.requests.length, 1)
  await h.pass(2001)
  assert.equal(h.requests.length, 2)
  assert.deepEqual(await flushed, { ok: true, queued: 0, spooled: 0 })
})

test('flush cuts a backoff short, once', async () => {
  const h = new Harness({ backoffBaseMs: 50_000 }, () => ({ status: 503 }))
  h.track('a')
  await h.pass(1000)
  const flushed = h.core.flush(5000)
  await h.pass(5000)
  assert.equal(h.requests.length, 2)
  assert.deepEqual(await flushed, { ok: false, queued: 1, spooled: 0 })
})

test('flush covers what came before it, not what comes after', async () => {
  const h = new Harness({ flushAt: 100, batchEvents: 1 }, n => (n < 2 ? null : ok))
  h.track('a')
  h.track('b')
  const flushed = h.core.flush(60_000)
  h.track('c')
  await settle()
  await h.requests[0].reply(ok)
  await h.pass(0)
  await h.requests[1].reply(ok)
  assert.deepEqual(await Promise.race([flushed, settle()]), { ok: true, queued: 0, spooled: 0 })
})

test('flush with nothing to do returns at once', async () => {
  const h = new Harness()
  assert.deepEqual(await h.core.flush(60_000), { ok: true, queued: 0, spooled: 0 })
  assert.equal(h.requests.length, 0)
})

test('close drops what is left at its deadline, refuses calls, and ignores an answer that comes late', async () => {
  const h = new Harness({ flushAt: 2, batchEvents: 2 }, () => null)
  for (const name of ['a', 'b', 'c']) h.track(name)
  await h.pass(0)
  const closed = h.core.close(300)
  const again = h.core.close(5)
  assert.equal(h.track('late'), null)
  await h.pass(300)
  assert.deepEqual(await closed, { ok: false, queued: 3, spooled: 0 })
  assert.equal(await again, await closed)
  await h.requests[0].reply(ok)
  assert.deepEqual(fates(h), ['dropped closed 0', 'dropped closed 1', 'dropped closed 1', 'dropped closed 0'])
  assert.equal(unaccounted(h.core.stats()), 0)
  assert.equal(h.core.stats().queuedBytes, 0)
})

test('a call is refused with its reason, told to onResult within the call', () => {
  const cases = [
    [{ userId: 5 }, 'invalid', /userId is a number, no string/], [{ userId: undefined }, 'invalid', /userId or anonymousId/],
    [{ event: '' }, 'invalid', /track needs event/], [{ type: 'group' }, 'invalid', /groupId/], [{ type: 'alias' }, 'invalid', /previousId/],
    [{ type: 'nope' }, 'invalid', /nope/], [{ messageId: '' , event: '' }, 'invalid', /event/], [{ timestamp: 'soon' }, 'invalid', /time/], [{ properties: { big: 'é'.repeat(131072) } }, 'too_large', /^$/],
    [{ properties: { big: 'x'.repeat(300_000) } }, 'too_large', /./], [{ properties: { get a() { throw Error('trap') } } }, 'invalid', /trap/],
  ]
  for (const [more, code, message] of cases) {
    const h = new Harness()
    assert.equal(h.track('e', more), null)
    assert.equal(h.results[0]?.code, code)
    assert.match(h.results[0].message ?? '', message)
  }
  const h = new Harness()
  assert.equal(h.core.enqueue(undefined), null)
  assert.equal(h.core.enqueue(null), null)
  assert.equal(h.core.stats().droppedByReason.invalid, 2)
})

test('what the caller changes after the call has no effect', async () => {
  const h = new Harness()
  const call = { userId: 'u1', event: 'a', properties: { list: [1] }, context: { deep: { a: 1 } } }
  h.core.enqueue(call, undefined, 'track')
  call.event = call.userId = 'changed'
  call.properties.list.push(2)
  call.context.deep.a = 2
  await h.pass(1000)
  const [event] = h.requests[0].batch
  assert.deepEqual([event.event, event.userId, event.properties, event.context.deep], ['a', 'u1', { list: [1] }, { a: 1 }])
  assert.equal('type' in call, false)
})

test('context is merged one level deep: call over client over platform', async () => {
  const h = new Harness({ context: { app: { name: 'a', build: 1 }, plan: 'p' } })
  h.track('e', { context: { app: { name: 'b' } } })
  await h.pass(1000)
  assert.deepEqual(h.requests[0].batch[0].context, { library: { name: 'test', version: '0' }, app: { name: 'b' }, plan: 'p' })
})

test('middleware changes, refuses, and refuses by throwing; the caller’s objects stay as they were', async () => {
  const redact = e => {
    delete e.properties.email
    e.context.seen = true
    return e
  }
  const h = new Harness({ middleware: [e => (e.event === 'no' ? null : e), e => { if (e.event === 'bad') throw Error('m'); return e }, redact] })
  const properties = { email: 'a@b.c', n: 1 }
  h.track('yes', { properties })
  assert.equal(h.track('no', { properties }), null)
  assert.equal(h.track('bad', { properties }), null)
  await h.pass(1000)
  assert.deepEqual(h.requests[0].batch.map(e => [e.event, e.properties, e.context.seen]), [['yes', { n: 1 }, true]])
  assert.deepEqual(properties, { email: 'a@b.c', n: 1 })
  assert.deepEqual(h.core.stats().droppedByReason, { middleware: 2 })
})

test('an id that middleware makes is the event’s; one that is none refuses it', async () => {
  const reject = (_, { batch }) => ({ status: 200, body: JSON.stringify({ rejected: [{ index: 0, messageId: batch[0].messageId, code: 'no' }] }) })
  const h = new Harness({ middleware: [e => ({ ...e, messageId: e.event === 'bad' ? 7 : 'mine' })] }, reject)
  assert.equal(h.track('good'), 'mine')
  assert.equal(h.track('bad'), null)
  await h.pass(1000)
  assert.deepEqual(h.results.map(r => [r.messageId, r.fate, r.code]).at(-1), ['mine', 'rejected', 'no'])
})

test('an id that ingest cuts, and an entry without one, reject the event at their index', async () => {
  const long = 'é'.repeat(150)
  const rejected = [{ index: 0, messageId: long.slice(0, 127), code: 'a' }, { index: 1, code: 'b' }, { index: 2, messageId: 'm4', code: 'c' }]
  const h = new Harness({}, () => ({ status: 200, body: JSON.stringify({ rejected }) }))
  for (const messageId of [long, 'm2', 'm3']) h.track('e', { messageId })
  await h.pass(1000)
  assert.deepEqual(h.results.map(r => r.code ?? r.fate), ['a', 'b', 'delivered'])
})

test('a refusal is the last error until something else is', () => {
  const h = new Harness()
  h.track('', {})
  assert.match(h.core.stats().lastError, /^invalid: .*event/)
})

test('pending consent holds a thousand events in memory; granting sends them, denying drops them', async () => {
  for (const state of ['granted', 'denied']) {
    const h = new Harness({ consent: 'pending', queueEvents: 5000 })
    for (let i = 0; i < 1003; i++) h.track(i)
    await h.pass(60_000)
    assert.equal(h.requests.length, 0)
    assert.equal(h.timers.size, 0)
    assert.equal(h.core.stats().queued, 1000)
    h.core.consent(state, { Analytics: true })
    h.track('after')
    await h.pass(60_000)
    const { delivered, droppedByReason } = h.core.stats()
    assert.deepEqual([delivered, droppedByReason], state === 'granted' ? [1001, { queue_full: 3 }] : [0, { queue_full: 3, consent: 1001 }])
    if (state === 'granted') assert.deepEqual(h.requests.at(-1).batch.at(-1).context.consent, { categoryPreferences: { Analytics: true } })
  }
})

test('consent withdrawn while a batch is out: it is not repeated, and nothing else goes', async () => {
  const h = new Harness({ flushAt: 1, batchEvents: 1 }, () => null)
  h.track('a')
  h.track('b')
  await h.pass(0)
  h.core.consent('denied')
  await h.requests[0].reply({ status: 503 })
  await h.pass(60_000)
  assert.equal(h.requests.length, 1)
  assert.deepEqual(h.core.stats().droppedByReason, { consent: 2 })
})

test('callbacks that throw, reject or call back into the client do not stop the sender', async () => {
  for (const onResult of [() => { throw Error('c') }, async () => { throw Error('c') }]) {
    const h = new Harness({ onResult })
    h.track('a')
    await h.pass(1000)
    h.track('b')
    await h.pass(1000)
    assert.equal(h.core.stats().delivered, 2)
    assert.equal(h.core.stats().callbackErrors, 2)
    assert.match(h.core.stats().lastError, /callback/)
  }
  let calls = 0
  const h = new Harness({ onResult: results => results.forEach(() => ++calls && h.track('', {})) })
  h.track('')
  for (let turn = 0; turn < 3; turn++) {
    assert.equal(calls, turn + 1)
    const [[id, timer]] = h.timers
    h.timers.delete(id)
    timer.wake()
  }
  assert.ok(calls > 1 && h.mostTimers === 1, 'an application that answers each refusal with a call goes on in later turns')
  await h.core.close(0)
  assert.equal(h.timers.size, 0)
})

test('a refused key is logged once a minute by its last characters, a redirect once', async () => {
  const refused = new Harness({ flushAt: 1 }, () => ({ status: 401 }))
  for (const [ms, lines] of [[0, 1], [59_000, 1], [2000, 2]]) {
    await refused.pass(ms)
    refused.track('a')
    await refused.pass(0)
    assert.equal(refused.logged.length, lines)
  }
  assert.match(refused.logged[0], /y123.*401/)
  const redirected = new Harness({}, () => ({ status: 302 }))
  redirected.track('a')
  await redirected.pass(3_000_000)
  assert.equal(redirected.logged.length, 1)
  assert.equal(redirected.core.stats().droppedByReason.max_attempts, 1)
})

test('whatever happens, each event has one fate and the sums hold', async () => {
  for (let seed = 1; seed <= 40; seed++) {
    let state = seed
    const dice = n => (state = (state * 48271) % 2147483647) % n
    const replies = [ok, { status: 500 }, { status: 503, retryAfter: '2' }, { status: 413 }, { status: 400 }, { status: 302 }, new Error('cut'), { status: 204 }]
    const h = new Harness({ flushAt: 5, batchEvents: 9, queueEvents: 40, maxAttempts: 3, maxAgeMs: 30_000 }, () => (dice(9) ? replies[dice(replies.length)] : null))
    const told = new Map()
    let calls = 0
    const check = () => assert.equal(unaccounted(h.core.stats()), 0, `seed ${seed}`)
    for (let i = 0; i < 300; i++) {
      const what = dice(30)
      if (what < 20) {
        calls++
        h.core.enqueue({ type: 'track', userId: dice(20) ? 'u' : 7, event: 'e', messageId: 'm' + calls }, r => told.set(r.messageId, (told.get(r.messageId) ?? 0) + 1))
      } else if (what < 24) await h.pass(dice(3000))
      else if (what < 26) h.requests.at(-1)?.reply(replies[dice(replies.length)])
      else if (what === 26) h.core.flush(dice(2000))
      else if (what === 27) h.core.giveBack(h.core.takeUnsent(dice(2000)))
      else if (what === 28) h.core.settle(h.core.takeUnsent(dice(600)), 'handed_over')
      else {
        const items = h.core.takeUnsent(dice(600))
        if (items.length) h.core.settleBy(items, dice(2) ? ok : { status: 503, body: '' })
      }
      await settle()
      check()
    }
    const closed = h.core.close(5000)
    await h.pass(5000)
    await closed
    check()
    assert.deepEqual([h.core.stats().queued, h.core.stats().inFlight, h.timers.size], [0, 0, 0])
    assert.equal(told.size, calls, `seed ${seed}`)
    assert.ok([...told.values()].every(n => n === 1), `seed ${seed}`)
  }
})

test('an answer to what the platform sent does not cut the wait that another answer asked for', async () => {
  const h = new Harness({ flushAt: 1, batchEvents: 1 }, n => (n ? ok : null))
  h.track('One')
  await h.pass(0)
  h.track('Two')
  const handed = h.core.takeUnsent()
  await h.requests[0].reply({ status: 429, retryAfter: '60' })
  h.core.settleBy(handed, ok)
  await h.pass(30_000)
  assert.deepEqual([h.requests.length, h.core.stats().delivered], [1, 1])
  await h.pass(40_000)
  assert.deepEqual(h.requests.map(r => r.names), [['One'], ['One']])
})

test('what the platform sent and the server found too large is split', async () => {
  const h = new Harness({ flushAt: 10 })
  h.track('One')
  h.track('Two')
  h.core.settleBy(h.core.takeUnsent(), { status: 413, body: '' })
  await h.pass(5000)
  assert.deepEqual(h.requests.map(r => r.names), [['One'], ['Two']])
})
