package cdc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/millstream-data/millstream/cdc/keystore"
	"github.com/millstream-data/millstream/internal/event"
)

// tableKeys is what the key store knows of a table: which version of which key
// is in its changes topic. It becomes ready when it has read what it missed;
// until then pages pass it by, and a last round of reading, for which the
// table's pages wait, brings what they published.
type tableKeys struct {
	part    *keystore.Table
	meaning string
	topicID string // of the topic that was replayed
	window  string // the column by which a window is compared, or ""
	rows    bool   // whole rows are kept
	ready   bool
	reading bool // a replay runs
	closing bool // the next replay is the last one
	pending bool // the open transaction has records of the table
	missed  bool // records were published since the replay began
}

// storeRetry is how often a key store that is open elsewhere is tried again.
const storeRetry = 5 * time.Second

// wantsKeys says whether a strategy of the table compares with the key store.
func (t *table) wantsKeys() bool {
	for _, k := range t.tasks {
		if k.traits.compares {
			return true
		}
	}
	return t.cfg.Store.Rows
}

// held says whether a strategy has to wait for the key store, or for the first
// load, whose rows it would publish once more.
func (k *task) held() bool {
	t := k.table
	if !k.traits.compares {
		return false
	}
	return t.keys == nil || !t.keys.ready || t.load != nil && !t.st.Loaded
}

// tendKeys joins tables to the key store, and starts replays.
func (s *slot) tendKeys(ctx context.Context, now time.Time, readers *sync.WaitGroup) error {
	for _, t := range s.tables {
		if t.plan == nil || !t.wantsKeys() {
			continue
		}
		if err := s.joinKeys(t, now); err != nil {
			return err
		}
		k := t.keys
		if k == nil || k.ready || k.reading || k.closing && (k.pending || !t.lock.free(false)) {
			continue
		}
		k.reading, k.missed = true, k.pending
		topic := t.topic
		readers.Go(func() {
			done := s.replay(ctx, t.name, topic, k)
			select {
			case s.replays <- done:
			case <-ctx.Done():
			}
		})
	}
	return nil
}

// joinKeys opens the table's part of the key store, under what its content means.
func (s *slot) joinKeys(t *table, now time.Time) error {
	meaning := t.keyMeaning()
	if t.keys != nil && (t.keys.meaning == meaning || t.keys.reading) || s.storeAt.After(now) {
		return nil
	}
	if s.store == nil {
		dir := s.storeDir()
		store, err := keystore.Open(dir)
		if errors.Is(err, keystore.ErrLocked) {
			s.log.Warn("key store is open elsewhere; strategies that compare with it wait", "source", s.source, "dir", dir)
			s.storeAt = now.Add(storeRetry)
			return nil
		}
		if err != nil {
			return err
		}
		if store.Lost() {
			s.log.Warn("key store was torn; it is rebuilt from the topics", "source", s.source, "dir", dir)
		}
		s.store = store
	}
	part, err := s.store.Table(t.name, meaning, keystore.NewCodec(t.plan.keyParts()))
	if err != nil {
		return s.storeFailed(err)
	}
	t.keys = &tableKeys{part: part, meaning: meaning, window: t.plan.windowName(), rows: t.cfg.Store.Rows}
	return nil
}

func (s *slot) storeDir() string {
	return filepath.Join(s.cfg.DataDir, s.source, strconv.Itoa(int(s.partition)))
}

// storeFailed gives a store up that is not usable: it is a cache, so it is
// removed when the slot ends, and rebuilt.
func (s *slot) storeFailed(err error) error {
	s.storeBad = true
	return err
}

// closeStore keeps what is committed.
func (s *slot) closeStore() {
	if s.store == nil {
		return
	}
	if err := s.store.Close(); err != nil || s.storeBad {
		s.log.Warn("key store is given up; it will be rebuilt from the topics", "source", s.source, "err", err)
		if err := os.RemoveAll(s.storeDir()); err != nil {
			s.log.Error("remove the key store by hand", "dir", s.storeDir(), "err", err)
		}
	}
	s.store = nil
}

// commitKeys makes the store cover a transaction that was committed.
func (s *slot) commitKeys(now time.Time) error {
	if s.store == nil {
		return nil
	}
	ends := s.tx.takeEnds()
	for _, t := range s.tables {
		k := t.keys
		if k == nil || !k.pending {
			continue
		}
		k.pending = false
		if k.ready {
			k.part.Cover(k.topicID, ends[t.topic], now.Unix())
			s.m.keystoreKeys.WithLabelValues(s.source, t.name).Set(float64(k.part.Keys()))
			s.m.keystoreBytes.WithLabelValues(s.source, t.name).Set(float64(s.store.Bytes()))
		}
	}
	if err := s.store.Commit(); err != nil {
		return s.storeFailed(err)
	}
	return nil
}

// publish notes what is published of a row, and gives it its operation and, as
// far as it is known, what it was before. A load finds keys that nobody has
// published, and does not know whether they are new.
func (t *table) publish(r *row, load bool) error {
	k := t.keys
	if k == nil {
		return nil
	}
	k.pending, k.missed = true, true
	if !k.ready {
		return nil
	}
	key, err := k.part.Encode(r.key)
	if err != nil {
		return fmt.Errorf("%s: %w", t.name, err)
	}
	if r.op == event.OpDelete {
		was, known, err := k.part.Delete(key)
		if known && was.Row != nil {
			r.before = was.Row
		}
		return err
	}
	e := keystore.Entry{Version: keystore.ParseVersion(r.version)}
	if k.rows {
		e.Row = r.after
	}
	e.Window, e.Windowed = windowValue(r.after, k.window)
	was, known, err := k.part.Put(key, e)
	switch {
	case known && was.Row != nil:
		r.op, r.before = event.OpUpdate, was.Row
	case !known && !load:
		r.op = event.OpCreate
	}
	return err
}

// goneRow is the delete of a key whose version was published last.
func goneRow(key []byte, v keystore.Version) row {
	return row{key: key, op: event.OpDelete, version: v.String(), hash: rowHash(key, "")}
}

// differ keeps of a page of all rows by key, which begins behind the key after,
// what differs from what was published, and adds what is gone.
func (t *table) differ(pg *page, after string) error {
	part := t.keys.part
	var from, to []byte
	for _, end := range []struct {
		key string
		at  *[]byte
	}{{after, &from}, {pg.lastKey, &to}} {
		if end.key != "" {
			b, err := part.Encode([]byte(end.key))
			if err != nil {
				return err
			}
			b = append(b, 0) // the least key above it
			*end.at = b
		}
	}
	gone, err := compareKeys(part, pg.rows, from, to)
	pg.rows = append(pg.rows, gone...)
	return err
}

// compareKeys notes which rows are as they were published, and returns the
// deletes of keys in [from, to) that have no row. Where the store does not order
// keys as the origin does, it knows no such keys: a probe finds them.
func compareKeys(part *keystore.Table, rows []row, from, to []byte) ([]row, error) {
	known := map[string]keystore.Version{}
	if part.Ordered() {
		err := part.Scan(from, to, func(key []byte, e keystore.Entry) error {
			known[string(key)] = e.Version
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	for i := range rows {
		r := &rows[i]
		key, err := part.Encode(r.key)
		if err != nil {
			return nil, err
		}
		was, ok := known[string(key)]
		if !part.Ordered() {
			var e keystore.Entry
			if e, ok, err = part.Get(key); err != nil {
				return nil, err
			}
			was = e.Version
		}
		r.met, r.same = ok, ok && was == keystore.ParseVersion(r.version)
		delete(known, string(key))
	}
	var gone []row
	for _, key := range sortedKeys(known) {
		text, err := part.Decode([]byte(key))
		if err != nil {
			return nil, err
		}
		gone = append(gone, goneRow(text, known[key]))
	}
	return gone, nil
}

// keyParts tells the key store how the key's columns stand in JSON and compare.
func (p *plan) keyParts() []keystore.Part {
	out := make([]keystore.Part, len(p.key))
	for i, n := range p.key {
		c := &p.rel.columns[n]
		out[i] = keystore.Part{Name: c.name, Kind: keyKind(p.kind, c), Quoted: c.form == event.FormText}
	}
	return out
}

// keyKind says how the values of a column are ordered at the origin.
func keyKind(source string, c *column) keystore.Kind {
	if source == kindSQLite {
		if c.kind == valueInt { // what is no integer is NULL, and a key is not
			return keystore.KindInt
		}
		return keystore.KindOther
	}
	switch c.kind {
	case valueInt, valueUint, valueDate, valueMicros:
		return keystore.KindInt
	case valueISO:
		return keystore.KindInstant
	case valueBool:
		return keystore.KindBool
	case valueUUID:
		return keystore.KindUUID
	case valueBytes:
		return keystore.KindBytes
	case valueText:
		if c.byBytes {
			return keystore.KindText
		}
	default:
	}
	return keystore.KindOther
}

// ordered says whether the key store compares the table's keys as the origin does.
func (p *plan) ordered() bool { return keystore.NewCodec(p.keyParts()).Ordered() }

// keyMeaning says what the store's content depends on beside the topic.
func (t *table) keyMeaning() string {
	var b strings.Builder
	for _, part := range t.plan.keyParts() {
		fmt.Fprintf(&b, "%s:%d:%t,", part.Name, part.Kind, part.Quoted)
	}
	fmt.Fprintf(&b, "rows:%t,window:%s", t.cfg.Store.Rows, t.plan.windowName())
	return b.String()
}

// windowName is the column by which a strategy compares a window, "" if none does.
func (p *plan) windowName() string {
	for _, c := range p.cfg.Strategies {
		if c.Kind == kindBounded && c.Publish == publishDiff {
			return c.Column
		}
	}
	return ""
}

// keysOnly is the plan for reading the key and the version alone.
func (p *plan) keysOnly() *plan {
	own := *p
	own.rel.columns, own.key = nil, nil
	for i, n := range p.key {
		own.rel.columns = append(own.rel.columns, p.rel.columns[n])
		own.key = append(own.key, i)
	}
	own.stamp, own.id = -1, -1
	return &own
}
