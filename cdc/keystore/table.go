package keystore

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"github.com/cockroachdb/pebble/v2"
)

// The parts of a table, in the order of their keys. Keys are last: one above all
// that are known then lies beyond the files that hold them, and is not looked for.
const (
	partMeta   = 'a' // what load meets first
	partRange  = 'b'
	partWindow = 'c'
	partKey    = 'd'
)

// meta is a table's own record.
type meta struct {
	Name      string          `json:"name"`
	Meaning   string          `json:"meaning"`
	Formula   string          `json:"formula,omitempty"`
	Topic     string          `json:"topic,omitempty"`     // identity of what the positions are of
	Positions map[int32]int64 `json:"positions,omitempty"` // by partition: the next offset to replay
	At        int64           `json:"at,omitempty"`        // seconds since 1970 of the newest batch
	Keys      int64           `json:"keys"`
	First     uint32          `json:"first"` // the lowest range
	NextRange uint32          `json:"next_range"`
}

// Table is the part of a store that belongs to one table.
type Table struct {
	s      *Store
	number uint32
	codec  *Codec

	meta    meta
	changed bool // meta differs from what the batch holds
	ranges  []Range
	hit     int // the range that was dirtied last
	bulk    *pebble.Batch
}

// Table returns the part of name, which it begins if need be. Meaning says what
// the store's content depends on beside the topic (key columns, window); what
// was stored under another one is dropped.
func (s *Store) Table(name, meaning string, codec *Codec) (*Table, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tables[name]
	if t == nil {
		t = &Table{s: s, meta: meta{Name: name, Meaning: meaning}}
		for _, other := range s.tables {
			t.number = max(t.number, other.number+1)
		}
		t.codec = codec
		t.begin()
		s.tables[name] = t
	} else {
		t.codec = codec
		t.placeRanges()
	}
	if t.meta.Meaning != meaning {
		t.meta.Meaning = meaning
		t.clear()
	}
	return t, s.failed
}

func (s *Store) loadTable(number uint32, value []byte) (*Table, error) {
	t := &Table{s: s, number: number}
	if err := json.Unmarshal(value, &t.meta); err != nil {
		return nil, fmt.Errorf("key store: table %d: %w", number, err)
	}
	return t, t.loadRanges()
}

// Clear drops all that is known of the table.
func (t *Table) Clear() error {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	t.clear()
	return t.s.failed
}

func (t *Table) clear() {
	t.note(t.writer().DeleteRange(t.at(partMeta), t.at(partKey+1), nil))
	t.begin()
}

// begin gives an empty table its one range.
func (t *Table) begin() {
	t.meta = meta{Name: t.meta.Name, Meaning: t.meta.Meaning, NextRange: 1}
	t.ranges = []Range{{}}
	t.hit, t.changed = 0, true
	t.storeRange(0)
}

// at is a key of the store: the table's number, the part, and what follows.
func (t *Table) at(part byte, more ...byte) []byte {
	b := make([]byte, 0, 5+len(more))
	b = append(binary.BigEndian.AppendUint32(b, t.number), part)
	return append(b, more...)
}

// writer is the batch that is being filled.
func (t *Table) writer() *pebble.Batch {
	if t.bulk != nil {
		return t.bulk
	}
	return t.s.batch
}

// note keeps the first error of writing; Commit returns it.
func (t *Table) note(err error) {
	if err != nil && t.s.failed == nil {
		t.s.failed = fmt.Errorf("key store: table %s: %w", t.meta.Name, err)
	}
}

// store puts the table's own record into the batch.
func (t *Table) store() {
	if !t.changed {
		return
	}
	b, err := json.Marshal(t.meta)
	t.note(errors.Join(err, t.writer().Set(t.at(partMeta), b, nil)))
	t.changed = false
}

// Ordered says whether the table's keys compare as the server's.
func (t *Table) Ordered() bool { return t.codec.Ordered() }

// Encode returns the bytes by which the store knows a key, the JSON of a record's key.
func (t *Table) Encode(key []byte) ([]byte, error) { return t.codec.Append(nil, key) }

// Decode returns the JSON of an encoded key.
func (t *Table) Decode(key []byte) ([]byte, error) { return t.codec.Decode(key) }

// Get returns what is known of an encoded key.
func (t *Table) Get(key []byte) (Entry, bool, error) {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	return t.get(t.at(partKey, key...))
}

func (t *Table) get(at []byte) (e Entry, found bool, err error) {
	v, closer, err := t.writer().Get(at)
	if errors.Is(err, pebble.ErrNotFound) {
		return e, false, nil
	}
	if err != nil {
		return e, false, err
	}
	e, err = decodeEntry(v)
	return e, true, errors.Join(err, closer.Close())
}

// Put stores e under an encoded key, makes the key's range dirty, and returns
// what was known before.
func (t *Table) Put(key []byte, e Entry) (was Entry, known bool, err error) {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	at := t.at(partKey, key...)
	if was, known, err = t.get(at); err != nil {
		return was, known, err
	}
	w := t.writer()
	t.note(w.Set(at, e.append(nil), nil))
	if was.Windowed && (!e.Windowed || was.Window != e.Window) {
		t.note(w.Delete(t.window(was.Window, key), nil))
	}
	if e.Windowed && (!was.Windowed || was.Window != e.Window) {
		t.note(w.Set(t.window(e.Window, key), nil, nil))
	}
	if !known {
		t.meta.Keys++
		t.changed = true
	}
	t.dirty(key)
	return was, known, t.s.failed
}

// Delete forgets an encoded key, makes its range dirty, and returns what was known.
func (t *Table) Delete(key []byte) (was Entry, known bool, err error) {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	at := t.at(partKey, key...)
	if was, known, err = t.get(at); err != nil {
		return was, known, err
	}
	t.dirty(key)
	if !known {
		return was, false, nil
	}
	t.note(t.writer().Delete(at, nil))
	if was.Windowed {
		t.note(t.writer().Delete(t.window(was.Window, key), nil))
	}
	t.meta.Keys--
	t.changed = true
	return was, true, t.s.failed
}

func (t *Table) window(v int64, key []byte) []byte {
	return append(t.at(partWindow, binary.BigEndian.AppendUint64(nil, orderedInt(v))...), key...)
}

// Scan calls f for the encoded keys in [from, to) in the order of bytes; nil is
// no bound. What f is given is only valid until it returns. f must not call t.
func (t *Table) Scan(from, to []byte, f func(key []byte, e Entry) error) error {
	hi := t.at(partKey + 1)
	if to != nil {
		hi = t.at(partKey, to...)
	}
	return t.scan(t.at(partKey, from...), hi, func(k, v []byte) error {
		e, err := decodeEntry(v)
		if err != nil {
			return err
		}
		return f(k[5:], e)
	})
}

// ScanWindow calls f for the windowed keys from the position (window, key) on,
// exclusive where key is not nil, in that order. f must not call t.
func (t *Table) ScanWindow(from int64, after []byte, f func(window int64, key []byte) error) error {
	lo := t.window(from, after)
	if after != nil {
		lo = append(lo, 0)
	}
	return t.scan(lo, t.at(partWindow+1), func(k, _ []byte) error {
		return f(int64(binary.BigEndian.Uint64(k[5:])^1<<63), k[13:]) //nolint:gosec // two's complement
	})
}

func (t *Table) scan(from, to []byte, f func(k, v []byte) error) error {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	it, err := t.writer().NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return err
	}
	for valid := it.First(); valid && err == nil; valid = it.Next() {
		var v []byte
		if v, err = it.ValueAndErr(); err == nil {
			err = f(it.Key(), v)
		}
	}
	return errors.Join(err, it.Close())
}

// Keys is how many keys are known.
func (t *Table) Keys() int64 {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	return t.meta.Keys
}

// Cover notes the positions behind what is committed next: by partition, the
// first offset that a replay has to read.
func (t *Table) Cover(topic string, positions map[int32]int64, at int64) {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	m := maps.Clone(t.meta.Positions)
	if m == nil || t.meta.Topic != topic {
		m = map[int32]int64{}
	}
	maps.Copy(m, positions)
	t.meta.Topic, t.meta.Positions, t.meta.At, t.changed = topic, m, at, true
}

// Covered returns what Cover noted last: the topic's identity, the positions,
// and the time in seconds since 1970.
func (t *Table) Covered() (topic string, positions map[int32]int64, at int64) {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	return t.meta.Topic, maps.Clone(t.meta.Positions), t.meta.At
}

// BeginReplay gives the table a batch of its own, so that another goroutine can
// fill it beside the open one. Until EndReplay only that goroutine may use t.
func (t *Table) BeginReplay() {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	if t.bulk == nil {
		t.store()
		t.bulk = t.s.db.NewIndexedBatch()
	}
}

// CommitReplay stores what was replayed, with the positions noted by Cover.
func (t *Table) CommitReplay() error {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	t.store()
	if t.s.failed != nil {
		return t.s.failed
	}
	t.note(t.bulk.Commit(pebble.NoSync))
	t.note(t.bulk.Close())
	t.bulk = t.s.db.NewIndexedBatch()
	return t.s.failed
}

// EndReplay stores the rest and gives the table back to the open batch.
func (t *Table) EndReplay() error {
	if err := t.CommitReplay(); err != nil {
		return err
	}
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	err := t.bulk.Close()
	t.bulk = nil
	return err
}
