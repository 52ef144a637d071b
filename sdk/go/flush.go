package millstream

import (
	"context"
	"time"
)

// closeGrace is how long Close waits for OnResult after its deadline: a program that ends right after it should still
// be told what it lost.
const closeGrace = time.Second

// Flush sends at once what was enqueued before it, and returns nil when each of those events has a fate or is synced
// in the spool. At the end of ctx it returns an [*UndeliveredError]. It cuts a backoff short once, but not a delay that
// the server has asked for.
func (c *Client) Flush(ctx context.Context) error {
	c.mu.Lock()
	target := c.accepted
	c.hasten(target)
	c.mu.Unlock()
	c.signal()
	return c.wait(ctx, func() bool { return c.safe(target) })
}

// hasten makes events up to target due. c.mu is held.
func (c *Client) hasten(target uint64) {
	c.flushTo = max(c.flushTo, target)
	c.hurry = c.hurry || c.q.n+c.flight+c.stats.Spooled > 0
	if s := c.spool; s != nil {
		s.rush = s.rush || c.q.n+s.waiting > 0
		s.signal()
	}
}

// safe reports whether no event up to target is only in memory and without a fate. c.mu is held.
func (c *Client) safe(target uint64) bool {
	return c.popped >= target && c.batchFirst > target && (c.spool == nil || c.spool.unsynced > target || c.stats.Spooled == 0)
}

// wait returns nil once done, which is asked with c.mu held.
func (c *Client) wait(ctx context.Context, done func() bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !done() {
		changed := c.change()
		c.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		c.mu.Lock()
		if ctx.Err() != nil && !done() {
			return &UndeliveredError{Queued: c.q.n + c.flight, Spooled: c.stats.Spooled}
		}
	}
	if c.q.n+c.flight+c.stats.Spooled == 0 {
		c.hurry = false // it has nothing left to hasten
	}
	return nil
}

// Close refuses new calls, sends what is left until ctx ends, drops the rest as closed (with a spool: leaves it there),
// has every fate told, and ends what New has started. It returns nil, or an [*UndeliveredError] with what it dropped.
// Further calls wait for the first one. Give it a context of its own: one that a signal has ended leaves it no time.
func (c *Client) Close(ctx context.Context) error {
	c.mu.Lock()
	if c.closing {
		c.mu.Unlock()
		select {
		case <-c.closed:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	c.closing = true
	c.hasten(c.accepted)
	c.notify()
	c.mu.Unlock()
	c.signal()
	_ = c.wait(ctx, func() bool { return c.q.n+c.flight+c.stats.Spooled == 0 || c.consent == ConsentPending })
	c.end()
	c.work.Wait()
	c.mu.Lock()
	left := c.discard(ReasonClosed)
	lost := c.abandoned
	c.notify()
	c.mu.Unlock()
	c.tell.add(left)
	c.tell.wait(ctx)
	late, cancel := context.WithTimeout(context.Background(), closeGrace)
	c.tell.wait(late)
	cancel()
	if c.own != nil {
		c.own.CloseIdleConnections()
	}
	close(c.closed)
	if lost > 0 {
		return &UndeliveredError{Queued: lost, Spooled: c.Stats().Spooled}
	}
	return nil
}

// Send encodes m and sends it at once, past the queue, with the same retries until ctx ends; it is for programs that
// end right after. The error is nil if the event was delivered, as the call's for a refusal, else a [*FateError].
// OnResult is not told.
func (c *Client) Send(ctx context.Context, m Message) (Result, error) {
	n := newEncoder()
	defer n.free()
	e := eventOf(m)
	err := c.shut()
	if err == ErrQueueFull { //nolint:errorlint // never wrapped; there is no queue on this way
		err = nil
	}
	now := time.Now()
	if err == nil {
		err = c.encode(n, &e, now)
	}
	c.mu.Lock()
	c.stats.Enqueued++
	if err == nil && c.closing {
		err = ErrClosed
	}
	if err == nil && c.consent != ConsentGranted {
		err = ErrConsent // there is nowhere to wait
	}
	if err != nil {
		c.count(Dropped, reasonOf(err), 1)
		c.mu.Unlock()
		return Result{MessageID: e.MessageID, Fate: Dropped, Code: reasonOf(err), Message: err.Error()}, err
	}
	c.stats.Coerced += uint64(n.coerced)
	c.flight++
	c.flightBytes += len(n.buf)
	c.work.Add(1)
	c.mu.Unlock()
	defer c.work.Done()
	r := c.sendOne(ctx, n, now.Sub(c.start))
	return r, r.Err()
}

// sendOne carries one event past the queue until it has a fate, ctx ends or the client does.
func (c *Client) sendOne(ctx context.Context, n *encoder, at time.Duration) Result {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.life, cancel)()
	b := &batch{events: n.buf, items: []entry{{end: len(n.buf), at: at}}, one: true}
	for _, s := range c.carry(ctx, b, span{hi: 1}) {
		reason := ReasonExpired
		if c.life.Err() != nil {
			reason = ReasonClosed
		}
		c.settle(b, s, Dropped, reason, "", nil)
	}
	return b.result
}
