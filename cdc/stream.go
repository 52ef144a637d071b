package cdc

import (
	"context"
	"errors"
	"fmt"
)

// streamer is an origin that reads a table without a key: rows that move between
// pages of several snapshots could not be told apart, so all pages are of one.
type streamer interface {
	// stream reads the whole table in one transaction, no older than
	// timeouts.keyless, in pages of about q.limit rows. It hands on each with each,
	// which blocks while nothing may be read on; its error ends the transaction.
	// All pages but the last are full; an empty table has one page.
	stream(ctx context.Context, p *plan, q query, each func(*page) error) error
}

var errStopping = errors.New("the slot ends")

// keyless says whether rows of the table have no names.
func (p *plan) keyless() bool { return len(p.key) == 0 }

// stream reads a table without a key. The loop gets each page but the last as an
// outcome of its own and answers it; the poll begins anew in another process.
func (s *slot) stream(ctx context.Context, o *outcome, q query) (*page, error) {
	origin, can := s.origin.(streamer)
	if !can {
		panic("BUG: a plan without a key for an origin that cannot stream")
	}
	ctx, cancel := context.WithTimeout(ctx, s.src.Timeouts.Keyless)
	defer cancel()
	var last *page
	q.bytes = int64(s.src.Page.Bytes)
	err := origin.stream(ctx, o.plan, q, func(pg *page) error {
		pg.live = len(pg.rows)
		if !pg.full {
			last = pg
			return nil
		}
		part := *o
		part.page, part.more, part.taken = pg, true, make(chan struct{})
		select {
		case s.results <- part:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		select {
		case <-part.taken:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		o.kind, o.poll, o.sampled = jobPage, nil, false // the loop has them
		if s.ending.Load() {
			return fmt.Errorf("%w: %w", errBusy, errStopping)
		}
		return nil
	})
	return last, err
}
