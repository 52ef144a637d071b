package cdc

import (
	"context"
	"slices"
	"time"

	"github.com/millstream-data/millstream/cdc/keystore"
)

// matched is a range whose keys agree with the store once its page is published.
type matched struct {
	id     uint32
	digest keystore.Digest
	result string
}

// The results of comparing a range.
const (
	rangeEqual   = "equal"
	rangeDiffers = "differs"
	rangeDirty   = "dirty"
)

// readRanges compares ranges until the page has taken its time: digests, and
// the keys of ranges that differ or are dirty, with their changed rows. All of a
// page is one snapshot, so what is stored of a range is what was compared.
func (s *slot) readRanges(ctx context.Context, j job) (*page, error) {
	w := &rangeWalk{part: j.t.keys.part, plan: j.plan, size: j.t.cfg.Store.Range, page: &page{at: time.Now()}, limit: j.limit}
	if err := w.part.SetFormula(s.origin.formula(j.plan)); err != nil {
		return nil, err
	}
	at := w.position(j.st.Poll.AfterKey)
	w.page.anew = at == 0
	err := s.origin.within(ctx, j.plan, func(snap snapshot) error {
		for ranges := w.part.Ranges(); at < len(ranges); ranges = w.part.Ranges() {
			went, err := w.step(ctx, snap, ranges, at)
			if err != nil {
				return err
			}
			switch went {
			case stepAgain:
				continue
			case stepUnread:
				return nil
			case stepDone:
				at++
			}
			if len(w.page.rows) >= w.limit || time.Since(w.page.at) > s.src.Page.Target {
				break
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if ranges := w.part.Ranges(); at < len(ranges) {
		w.page.full, w.page.lastKey = true, string(ranges[at].Lo.Key)
	}
	w.page.took = time.Since(w.page.at)
	return w.page, nil
}

// rangeWalk is a page of reconcile that is being read.
type rangeWalk struct {
	part  *keystore.Table
	plan  *plan
	size  int
	limit int
	page  *page
}

// position is the range that begins at a border, given as its key; a border that
// is no more means that ranges were merged or begun anew, and so is the poll.
func (w *rangeWalk) position(border string) int {
	if border == "" {
		return 0
	}
	at := slices.IndexFunc(w.part.Ranges(), func(r keystore.Range) bool { return string(r.Lo.Key) == border })
	return max(at, 0)
}

// stepped is what comparing a range came to.
type stepped int

const (
	stepDone   stepped = iota // the next range follows
	stepAgain                 // another range stands at its place now
	stepUnread                // the page is full, and the next one reads the range once more
)

// step compares a range.
func (w *rangeWalk) step(ctx context.Context, snap snapshot, ranges []keystore.Range, at int) (stepped, error) {
	r := ranges[at]
	q := query{kind: queryRange, above: r.Lo.Text}
	if at+1 < len(ranges) {
		q.upTo = ranges[at+1].Lo.Text
	}
	last := at+1 == len(ranges)
	if !r.Known || last {
		if cut, err := w.cut(ctx, snap, r, q); cut || err != nil {
			return stepAgain, err
		}
	}
	d, err := snap.digest(ctx, w.plan, q)
	if err != nil {
		return stepDone, err
	}
	if d.Rows > 2*int64(w.size) {
		if cut, err := w.cut(ctx, snap, r, q); cut || err != nil {
			return stepAgain, err
		}
	}
	m := matched{id: r.ID, digest: d, result: rangeEqual}
	switch {
	case r.Known && r.Digest != d:
		m.result = rangeDiffers
	case r.Dirty || !r.Known:
		m.result = rangeDirty
	default:
		w.agree(m)
		if joined, err := w.join(ranges, at, d); joined || err != nil {
			return stepAgain, err
		}
		return stepDone, nil
	}
	whole, err := w.read(ctx, snap, r, q)
	if err != nil || !whole {
		return stepUnread, err
	}
	w.agree(m)
	return stepDone, nil
}

// agree notes that a range was compared whole.
func (w *rangeWalk) agree(m matched) {
	w.page.ranges = append(w.page.ranges, m)
	w.page.live += int(m.digest.Rows)
}

// cut splits a range that holds more keys than it should.
func (w *rangeWalk) cut(ctx context.Context, snap snapshot, r keystore.Range, q query) (bool, error) {
	q.skip, q.limit = w.size, 1
	pg, err := snap.rows(ctx, w.plan.keysOnly(), q)
	if err != nil || len(pg.rows) == 0 {
		return false, err
	}
	border := keystore.Border{Text: pg.rows[0].texts, Key: pg.rows[0].key}
	return true, w.part.Split(r.ID, border)
}

// join merges a range with the one before it where one of them has become small.
// Both were equal, so both digests are of keys that agree.
func (w *rangeWalk) join(ranges []keystore.Range, at int, d keystore.Digest) (bool, error) {
	if at == 0 || !ranges[at-1].Known || ranges[at-1].Dirty {
		return false, nil
	}
	before, size := ranges[at-1], int64(w.size)
	if min(before.Digest.Rows, d.Rows) >= size/4 || before.Digest.Rows+d.Rows > size {
		return false, nil
	}
	if slices.ContainsFunc(w.page.ranges, func(m matched) bool { return m.id == before.ID && m.result != rangeEqual }) {
		return false, nil // its digest is stored with this page
	}
	// What follows has moved to this place, and is next.
	return true, w.part.Merge(before.ID)
}

// read compares the keys of a range, and reads the rows that changed. A page has
// room for so many: it reports false if the range has to be read once more, when
// these are published and the same.
func (w *rangeWalk) read(ctx context.Context, snap snapshot, r keystore.Range, q query) (whole bool, err error) {
	keys, hashed := w.plan.keysOnly(), w.plan.kind != kindPostgres
	if hashed {
		keys = w.plan // a version is a hash of the whole row
	}
	pg, err := snap.rows(ctx, keys, q)
	if err != nil {
		return false, err
	}
	from, to, _ := w.part.Bounds(r.ID)
	gone, err := compareKeys(w.part, pg.rows, from, to)
	if err != nil {
		return false, err
	}
	w.page.rows = append(w.page.rows, gone...)
	changed := slices.DeleteFunc(pg.rows, func(r row) bool { return r.same })
	whole = true
	if room := max(w.limit, rowsAsked); len(changed) > room {
		changed, whole = changed[:room], false
	}
	if hashed {
		w.page.rows = append(w.page.rows, changed...)
		return whole, nil
	}
	for part := range slices.Chunk(changed, rowsAsked) {
		texts, met := make([][]string, len(part)), map[string]bool{}
		for i := range part {
			texts[i], met[string(part[i].key)] = part[i].texts, part[i].met
		}
		full, err := snap.rows(ctx, w.plan, query{kind: queryRows, keys: texts})
		if err != nil {
			return false, err
		}
		for _, r := range full.rows {
			known, asked := met[string(r.key)]
			if !asked {
				continue // equal under a collation, and another key
			}
			r.met = known
			w.page.rows = append(w.page.rows, r)
		}
	}
	return whole, nil
}
