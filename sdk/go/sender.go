package millstream

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"
)

// run sends batch after batch until ctx ends. One is in flight at a time: that keeps the order, and the next one grows
// meanwhile.
func (c *Client) run(ctx context.Context) {
	b := new(batch)
	for c.await(ctx) {
		b.reset()
		if c.spool == nil || !c.spool.take(ctx, b) {
			c.fill(b)
		}
		if len(b.items) > 0 {
			c.deliver(ctx, b)
		}
	}
}

// await blocks until something is due. It returns false when ctx ends.
func (c *Client) await(ctx context.Context) bool {
	for ctx.Err() == nil {
		in := c.due()
		if in == 0 {
			return true
		}
		c.sleep(ctx, in)
	}
	return false
}

// sleep returns after d, at a wake-up or at the end of ctx. A negative d is for ever, without a timer.
func (c *Client) sleep(ctx context.Context, d time.Duration) {
	var later <-chan time.Time
	if d >= 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		later = timer.C
	}
	select {
	case <-c.wake:
	case <-later:
	case <-ctx.Done():
	}
}

// due returns how long it is until the next batch: 0 for now, negative for not before something changes.
func (c *Client) due() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, size, oldest, now := c.q.n, c.q.bytes, time.Duration(0), c.popped < c.flushTo
	if n > 0 {
		oldest = c.q.peek().at
	}
	if c.spool != nil && (c.spool.waiting > 0 || !c.spool.broken) { // else the queue is the sender's
		n, size, oldest, now = c.spool.due()
	}
	switch {
	case n == 0 || c.consent == ConsentPending:
		return -1
	case n >= c.opts.FlushAt || size >= c.opts.BatchBytes || now:
		return 0
	}
	return max(0, oldest+c.opts.FlushInterval-c.age())
}

// deliver sends the batch until each of its events has a fate, or ctx ends.
func (c *Client) deliver(ctx context.Context, b *batch) {
	todo := []span{{hi: len(b.items)}}
	for len(todo) > 0 {
		s := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		halves := c.carry(ctx, b, s)
		todo = append(todo, halves...)
		if ctx.Err() != nil {
			break
		}
	}
	for i := len(todo) - 1; i >= 0 && b.from == nil; i-- { // what came from the spool stays there
		c.settle(b, todo[i], Dropped, ReasonClosed, "", nil)
	}
}

// carry sends s until its events have a fate, and returns the halves that remain if it was too large, the later first.
func (c *Client) carry(ctx context.Context, b *batch, s span) []span {
	for {
		if s = c.expire(b, s); s.lo == s.hi {
			return nil
		}
		if c.consented(ctx, b) == ConsentDenied {
			c.settle(b, s, Dropped, ReasonConsent, "", nil)
			return nil
		}
		if ctx.Err() != nil {
			return []span{s}
		}
		if s.tries > 0 {
			c.mu.Lock()
			c.stats.Retries++
			c.mu.Unlock()
		}
		a := c.post(ctx, &b.zip, b.body(s), s.tries)
		if ctx.Err() != nil && a.err != nil {
			s.attempts++
			return []span{s}
		}
		s.tries++
		s.attempts++
		v := judge(a)
		c.note(a, v)
		if v == blame {
			s.counted++
		}
		switch {
		case v == good:
			c.settle(b, s, Delivered, "", "", a.rejections(func(i int) string { return b.messageID(s.lo + i) }, s.hi-s.lo))
			return nil
		case v == tooLarge && s.hi-s.lo > 1:
			middle := (s.lo + s.hi) / 2
			return []span{{lo: middle, hi: s.hi, attempts: s.attempts}, {lo: s.lo, hi: middle, attempts: s.attempts}}
		case v == tooLarge || v == final:
			c.settle(b, s, Dropped, fmt.Sprintf("http_%d", a.status), a.message(), nil)
			return nil
		case v == blame && s.counted >= c.opts.MaxAttempts:
			c.settle(b, s, Dropped, ReasonMaxAttempts, a.message(), nil)
			return nil
		}
		c.pause(ctx, b, c.backoff(s.tries), a.wait)
	}
}

// expire drops the events of s that are too old. They are the first of it.
func (c *Client) expire(b *batch, s span) span {
	old := s
	for old.hi = s.lo; old.hi < s.hi && c.age()-b.items[old.hi].at > c.opts.MaxAge; {
		old.hi++
	}
	if old.hi > old.lo {
		c.settle(b, old, Dropped, ReasonExpired, "", nil)
		s.lo = old.hi
	}
	return s
}

// consented waits while consent is pending, up to the end of ctx, and returns it.
func (c *Client) consented(ctx context.Context, b *batch) ConsentState {
	for {
		c.mu.Lock()
		state := c.consent
		c.mu.Unlock()
		if state != ConsentPending || b.one || ctx.Err() != nil {
			return state
		}
		c.sleep(ctx, -1)
	}
}

// backoff is random between a fifth of BackoffBase and BackoffBase·2ⁿ, so that clients do not come back together.
func (c *Client) backoff(tries int) time.Duration {
	return spread(rand.Int64N, c.opts.BackoffBase, c.opts.BackoffMax, tries)
}

func spread(random func(int64) int64, base, limit time.Duration, tries int) time.Duration {
	most := limit
	if shift := min(tries, 30); base < limit>>shift {
		most = base << shift
	}
	least := min(base/5, most)
	return least + time.Duration(random(int64(most-least)+1))
}

// pause waits for the longer of backoff and what the server asked for. A flush cuts the former short, once; never the
// latter.
func (c *Client) pause(ctx context.Context, b *batch, backoff, asked time.Duration) {
	begun := time.Now()
	if asked > 0 {
		rest(ctx, asked)
	}
	for ctx.Err() == nil {
		left := backoff - time.Since(begun)
		if left <= 0 {
			return
		}
		if b.one {
			rest(ctx, left)
			continue
		}
		c.mu.Lock()
		cut := c.hurry || c.consent == ConsentDenied
		c.hurry = false
		c.mu.Unlock()
		if cut {
			return
		}
		c.sleep(ctx, left)
	}
}

// rest returns after d or at the end of ctx.
func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// verdict is what an answer means for its batch.
type verdict uint8

const (
	good     verdict = iota
	away             // try again: the server's trouble
	blame            // try again, but not for ever: it may be the batch's
	tooLarge         // halve
	final            // no repetition helps
)

func judge(a answer) verdict {
	switch s := a.status; {
	case a.err != nil:
		return away
	case s >= 200 && s < 300:
		return good
	case s == http.StatusTooManyRequests, s == http.StatusBadGateway, s == http.StatusServiceUnavailable, s == http.StatusGatewayTimeout:
		return away
	case s == http.StatusNotImplemented, s == http.StatusHTTPVersionNotSupported:
		return final
	case s == http.StatusRequestTimeout, s == http.StatusTooEarly, s >= 500, s < 400:
		return blame
	case s == http.StatusRequestEntityTooLarge:
		return tooLarge
	}
	return final
}

// note keeps the newest error, and tells the log what only people can mend.
func (c *Client) note(a answer, v verdict) {
	if v == good {
		return
	}
	text := a.message()
	c.fail(text)
	switch {
	case a.status == http.StatusUnauthorized || a.status == http.StatusForbidden:
		c.warn.warn("key", "millstream: the server refuses the write key", "status", a.status, "key", "…"+c.key[max(0, len(c.key)-4):], "message", text)
	case a.status >= 300 && a.status < 400:
		c.warn.once("redirect", "millstream: the server redirects, which loses events: set Endpoint to the address behind it", "status", a.status, "location", a.location)
	case v == away || v == blame:
		c.warn.warn("retry", "millstream: the server does not take events, they are sent again", "message", text)
	}
}

func (c *Client) fail(text string) {
	c.mu.Lock()
	c.stats.LastError = text
	c.mu.Unlock()
}
