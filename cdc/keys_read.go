package cdc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
