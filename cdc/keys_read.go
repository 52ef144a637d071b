package cdc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millstream-data/millstream/cdc/keystore"
	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/wire"
)

// snapshot reads parts of a table in one repeatable-read transaction.
type snapshot interface {
	// digest computes the digest of the keys from lo on, below hi.
	digest(ctx context.Context, p *plan, q query) (keystore.Digest, error)
	// rows reads a page.
	rows(ctx context.Context, p *plan, q query) (*page, error)
}

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

const (
	probeKeys = 500 // keys that a page of a probe looks for
	rowsAsked = 100 // rows that a statement asks for by their keys
)

// pollPage reads the next page of a poll.
func (s *slot) pollPage(ctx context.Context, j job) (*page, error) {
	switch j.st.Poll.Phase {
	case phaseRanges:
		return s.readRanges(ctx, j)
	case phaseProbe:
		return s.probe(ctx, j)
	}
	if j.st.Poll.Phase == phaseWindow && j.k.traits.compares {
		return s.readWindow(ctx, j)
	}
	return s.readPage(ctx, j.plan, j.k.strategy.next(j.plan, j.st, j.limit))
}

// compare finds out, before a page is published, what of it was published
// already and what is gone.
func (s *slot) compare(k *task, poll *wire.CDCPoll, pg *page) error {
	if poll.Phase != phaseFull {
		return nil
	}
	if pg.live = len(pg.rows); !k.traits.compares {
		return nil
	}
	if pg.full {
		pg.lastKey = string(pg.rows[len(pg.rows)-1].key)
	}
	if err := k.table.differ(pg, poll.AfterKey); err != nil {
		return s.storeFailed(err)
	}
	return nil
}

// compared stores the digests of ranges after their keys.
func (s *slot) compared(k *task, pg *page) error {
	for _, r := range pg.ranges {
		s.m.ranges.WithLabelValues(s.source, k.table.name, k.name(), r.result).Inc()
		if r.result == rangeEqual {
			continue
		}
		if err := k.table.keys.part.Compared(r.id, r.digest); err != nil {
			return s.storeFailed(err)
		}
	}
	return nil
}

// countDifference counts what only strategies that compare have seen.
func (s *slot) countDifference(k *task, r *row) {
	switch {
	case k == nil || !k.traits.compares:
	case r.op == event.OpDelete:
		s.m.deletesFound.WithLabelValues(s.source, k.table.name, k.name()).Inc()
	case r.met:
		s.m.silentUpdates.WithLabelValues(s.source, k.table.name, k.name()).Inc()
	}
}

// readRanges compares ranges until the page has taken its time: digests, and
// the keys of ranges that differ or are dirty, with their changed rows. All of a
// page is one snapshot, so what is stored of a range is what was compared.
func (s *slot) readRanges(ctx context.Context, j job) (*page, error) {
	w := &rangeWalk{part: j.t.keys.part, plan: j.plan, size: j.t.cfg.Store.Range, page: &page{at: time.Now()}, limit: j.limit}
	if err := w.part.SetFormula(s.origin.formula(j.plan)); err != nil {
		return nil, err
	}
	at := w.position(j.st.Poll.AfterKey)
	err := s.origin.within(ctx, j.plan, func(snap snapshot) error {
		for ranges := w.part.Ranges(); at < len(ranges); ranges = w.part.Ranges() {
			again, err := w.step(ctx, snap, ranges, at)
			if err != nil {
				return err
			}
			if again {
				continue
			}
			at++
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

// step compares a range. It reports true if the range has become another one, to
// be compared in its turn.
func (w *rangeWalk) step(ctx context.Context, snap snapshot, ranges []keystore.Range, at int) (again bool, err error) {
	r := ranges[at]
	q := query{kind: queryRange, above: r.Lo.Text}
	if at+1 < len(ranges) {
		q.upTo = ranges[at+1].Lo.Text
	}
	last := at+1 == len(ranges)
	if !r.Known || last {
		if cut, err := w.cut(ctx, snap, r, q); cut || err != nil {
			return cut, err
		}
	}
	d, err := snap.digest(ctx, w.plan, q)
	if err != nil {
		return false, err
	}
	if d.Rows > 2*int64(w.size) {
		if cut, err := w.cut(ctx, snap, r, q); cut || err != nil {
			return cut, err
		}
	}
	w.page.live += int(d.Rows)
	m := matched{id: r.ID, digest: d, result: rangeEqual}
	switch {
	case r.Known && r.Digest != d:
		m.result = rangeDiffers
	case r.Dirty || !r.Known:
		m.result = rangeDirty
	default:
		w.page.ranges = append(w.page.ranges, m)
		return w.join(ranges, at, d)
	}
	whole, err := w.read(ctx, snap, r, q)
	if whole {
		w.page.ranges = append(w.page.ranges, m)
	}
	return false, err
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
// room for so many: it reports false if the range has to be read once more.
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

// errEnough ends a scan.
var errEnough = errors.New("enough")

// probe looks for keys of the store at the origin. Keys are compared by bytes:
// 'A' that answers for 'a' means that 'a' is gone.
func (s *slot) probe(ctx context.Context, j job) (*page, error) {
	part, pg := j.t.keys.part, &page{at: time.Now()}
	type known struct {
		key     string
		version keystore.Version
	}
	var asked []known
	var from []byte
	if after := j.st.Poll.AfterKey; after != "" {
		var err error
		if from, err = part.Encode([]byte(after)); err != nil {
			return nil, err
		}
		from = append(from, 0)
	}
	err := part.Scan(from, nil, func(key []byte, e keystore.Entry) error {
		if len(asked) == probeKeys {
			pg.full, pg.lastKey = true, asked[len(asked)-1].key
			return errEnough
		}
		asked = append(asked, known{string(key), e.Version})
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, err
	}
	gone := make([]row, len(asked))
	for i, k := range asked {
		gone[i] = goneRow([]byte(k.key), k.version)
	}
	err = s.origin.within(ctx, j.plan, func(snap snapshot) error {
		var err error
		pg.rows, err = stillGone(ctx, snap, j.plan, gone)
		return err
	})
	pg.took = time.Since(pg.at)
	return pg, err
}

// keyTexts are the values of a key, given as JSON, as the origin takes them for
// parameters.
func (p *plan) keyTexts(key []byte) ([]string, error) {
	members, err := keyMembers(key, len(p.key))
	if err != nil {
		return nil, err
	}
	out := make([]string, len(p.key))
	for i, n := range p.key {
		c := &p.rel.columns[n]
		var ok bool
		if out[i], ok = keyText(p.kind, c, members[i]); !ok {
			return nil, refuse("key_type", "choose another key: in the configuration", "%s: a key column of type %s, %s, is not looked for by its value", p.name, c.origin, c.name)
		}
	}
	return out, nil
}

// keyText is a value of a key column as a parameter; false where its form in JSON
// does not tell.
func keyText(source string, c *column, v any) (string, bool) {
	text, isText := v.(string)
	if !isText {
		text = fmt.Sprint(v)
	}
	switch {
	case source == kindSQLite && c.form == event.FormNumber && !strings.ContainsAny(text, ".eE"):
		return text, true
	case source == kindSQLite:
		return sqliteLiteral(text), isText && c.form == event.FormText
	}
	switch c.form {
	case event.FormNumber, event.FormText, event.FormBool, event.FormISO:
		return text, true
	case event.FormDays, event.FormMicros:
		n, err := strconv.ParseInt(text, 10, 64)
		if c.form == event.FormDays {
			return time.Unix(n*86400, 0).UTC().Format(time.DateOnly), err == nil
		}
		return time.UnixMicro(n).UTC().Format("2006-01-02 15:04:05.999999"), err == nil
	default:
		return "", false
	}
}

// keyMembers are the values of a key's JSON object, in its order; numbers as json.Number.
func keyMembers(key []byte, n int) ([]any, error) {
	d := json.NewDecoder(bytes.NewReader(key))
	d.UseNumber()
	var out []any
	for i := 0; ; i++ {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", key, err)
		}
		if i > 0 && i%2 == 0 {
			out = append(out, tok)
		}
	}
	if len(out) < n {
		return nil, fmt.Errorf("%w: %s", keystore.ErrKey, key)
	}
	return out, nil
}
