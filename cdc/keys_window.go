package cdc

import (
	"bytes"
	"context"
	"errors"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/millstream-data/millstream/cdc/keystore"
	"github.com/millstream-data/millstream/internal/event"
)

// readWindow reads a page of a window and compares it with what the store has
// between the page's ends. A key that did not come is gone if the same snapshot
// has no row of it; else the row has merely left this part of the window.
func (s *slot) readWindow(ctx context.Context, j job) (*page, error) {
	part, poll, began := j.t.keys.part, j.st.Poll, time.Now()
	q := j.k.strategy.next(j.plan, j.st, j.limit)
	q.bytes = int64(s.src.Page.Bytes)
	var pg *page
	err := s.origin.within(ctx, j.plan, func(snap snapshot) error {
		var err error
		if pg, err = snap.rows(ctx, j.plan, q); err != nil {
			return err
		}
		to := int64(math.MaxInt64)
		if n := len(pg.rows); pg.full && n > 0 {
			pg.lastKey = string(pg.rows[n-1].key)
			to, _ = windowValue(pg.rows[n-1].after, j.k.cfg.Column)
			pg.lastWindow = to
		}
		from, after := poll.AfterWindow, []byte(nil)
		if poll.AfterKey == "" {
			from = j.plan.windowStart(q)
		} else if after, err = part.Encode([]byte(poll.AfterKey)); err != nil {
			return err
		}
		gone, err := windowGone(part, pg, from, after, to)
		if err != nil {
			return err
		}
		missing, err := stillGone(ctx, snap, j.plan, gone)
		pg.rows = append(pg.rows, missing...)
		return err
	})
	if err != nil {
		return nil, err
	}
	pg.at, pg.took = began, time.Since(began)
	return pg, nil
}

// windowStart is the lowest value of the window, as the store has it.
func (p *plan) windowStart(q query) int64 {
	if p.stamp < 0 {
		if n, err := strconv.ParseInt(q.floor, 10, 64); err == nil {
			return n
		}
		return math.MinInt64
	}
	if p.rel.columns[p.stamp].form == event.FormDays {
		return q.lo.Unix() / 86400
	}
	return q.lo.UnixMicro()
}

// windowGone notes which rows are as they were published, and returns the deletes
// of keys that the store has between the page's ends and the page has not.
func windowGone(part *keystore.Table, pg *page, from int64, after []byte, to int64) ([]row, error) {
	came, last := map[string]bool{}, ""
	for i := range pg.rows {
		r := &pg.rows[i]
		key, err := part.Encode(r.key)
		if err != nil {
			return nil, err
		}
		e, known, err := part.Get(key)
		if err != nil {
			return nil, err
		}
		r.met, r.same = known, known && e.Version == keystore.ParseVersion(r.version)
		last = string(key)
		came[last] = true
	}
	var missing [][]byte
	err := part.ScanWindow(from, after, func(window int64, key []byte) error {
		if window > to || pg.full && window == to && bytes.Compare(key, []byte(last)) > 0 {
			return errEnough
		}
		if !came[string(key)] {
			missing = append(missing, bytes.Clone(key))
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, err
	}
	var out []row
	for _, key := range missing {
		e, _, err := part.Get(key)
		if err != nil {
			return nil, err
		}
		text, err := part.Decode(key)
		if err != nil {
			return nil, err
		}
		out = append(out, goneRow(text, e.Version))
	}
	return out, nil
}

// stillGone leaves out the keys of which the snapshot has a row.
func stillGone(ctx context.Context, snap snapshot, p *plan, gone []row) ([]row, error) {
	there := map[string]bool{}
	for some := range slices.Chunk(gone, rowsAsked) {
		texts := make([][]string, len(some))
		for i, r := range some {
			var err error
			if texts[i], err = p.keyTexts(r.key); err != nil {
				return nil, err
			}
		}
		found, err := snap.rows(ctx, p.keysOnly(), query{kind: queryRows, keys: texts})
		if err != nil {
			return nil, err
		}
		for _, r := range found.rows {
			there[string(r.key)] = true
		}
	}
	return slices.DeleteFunc(gone, func(r row) bool { return there[string(r.key)] }), nil
}
