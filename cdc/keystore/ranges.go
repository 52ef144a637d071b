package keystore

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"
)

// Digest is what the server computes over the rows of a range: their number, and
// the XOR of a hash for each key and version.
type Digest struct {
	Rows int64  `json:"rows"`
	Sum  uint64 `json:"sum"`
}

// Border is the first key of a range: the server's texts of its columns, and the
// same as the JSON of a record's key.
type Border struct {
	Text []string        `json:"text,omitempty"`
	Key  json.RawMessage `json:"key,omitempty"`
}

// Range is a part of a table's keys, from Lo up to the next range's Lo.
type Range struct {
	ID     uint32 `json:"-"`
	Lo     Border `json:"lo"` // no Text: from the lowest key on
	Digest Digest `json:"digest"`
	Known  bool   `json:"known"` // Digest is of a snapshot that was compared with the keys; else read it
	Dirty  bool   `json:"dirty"` // keys were written since
	Next   uint32 `json:"next"`  // 0: the last one

	lo []byte // encoded, of ordered keys
}

var errRanges = errors.New("ranges of a key store are torn")

// loadRanges reads the ranges and follows their chain. Where they lie is only
// known with the codec.
func (t *Table) loadRanges() error {
	byID := map[uint32]Range{}
	err := t.scan(t.at(partRange), t.at(partRange+1), func(k, v []byte) error {
		r := Range{ID: binary.BigEndian.Uint32(k[5:])}
		if err := json.Unmarshal(v, &r); err != nil {
			return fmt.Errorf("%w: %w", errRanges, err)
		}
		byID[r.ID] = r
		return nil
	})
	if err != nil {
		return err
	}
	for id := t.meta.First; ; {
		r, ok := byID[id]
		if !ok || len(t.ranges) >= len(byID) {
			return fmt.Errorf("%w: table %s has no range %d", errRanges, t.meta.Name, id)
		}
		t.ranges = append(t.ranges, r)
		if r.Next == 0 {
			return nil
		}
		id = r.Next
	}
}

// placeRanges computes where ranges lie. Borders of other columns are another
// meaning, under which all is dropped, so an error only means that.
func (t *Table) placeRanges() {
	t.hit = 0
	for i := range t.ranges {
		r := &t.ranges[i]
		r.lo = nil
		if t.codec.Ordered() && r.Lo.Key != nil {
			r.lo, _ = t.codec.Append(nil, r.Lo.Key)
		}
	}
}

func (t *Table) storeRange(i int) {
	b, err := json.Marshal(t.ranges[i])
	t.note(errors.Join(err, t.writer().Set(t.rangeKey(t.ranges[i].ID), b, nil)))
}

func (t *Table) rangeKey(id uint32) []byte {
	return t.at(partRange, binary.BigEndian.AppendUint32(nil, id)...)
}

// dirty marks the range of a key.
func (t *Table) dirty(key []byte) {
	if !t.codec.Ordered() {
		return
	}
	if !t.inRange(t.hit, key) {
		t.hit = sort.Search(len(t.ranges), func(i int) bool { return i > 0 && bytes.Compare(t.ranges[i].lo, key) > 0 }) - 1
	}
	if !t.ranges[t.hit].Dirty {
		t.ranges[t.hit].Dirty = true
		t.storeRange(t.hit)
	}
}

func (t *Table) inRange(i int, key []byte) bool {
	return i < len(t.ranges) && bytes.Compare(t.ranges[i].lo, key) <= 0 &&
		(i == len(t.ranges)-1 || bytes.Compare(key, t.ranges[i+1].lo) < 0)
}

// Ranges returns the ranges in the server's order.
func (t *Table) Ranges() []Range {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	return slices.Clone(t.ranges)
}

// Bounds returns the encoded keys that range id of ordered keys covers, [from,
// to); nil is no bound. It returns false if there is no such range any more.
func (t *Table) Bounds(id uint32) (from, to []byte, ok bool) {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	i := t.find(id)
	if i < 0 {
		return nil, nil, false
	}
	if i+1 < len(t.ranges) {
		to = t.ranges[i+1].lo
	}
	return t.ranges[i].lo, to, true
}

func (t *Table) find(id uint32) int {
	return slices.IndexFunc(t.ranges, func(r Range) bool { return r.ID == id })
}

// Compared stores the digest of the snapshot with which the keys of range id
// were made to agree, and clears its dirty bit.
func (t *Table) Compared(id uint32, d Digest) error {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	if i := t.find(id); i >= 0 {
		r := &t.ranges[i]
		r.Digest, r.Known, r.Dirty = d, true, false
		t.storeRange(i)
	}
	return t.s.failed
}

// Split cuts range id at a border, whose key lies in it and is not its first.
// The upper part is new; the digests of both are unknown.
func (t *Table) Split(id uint32, at Border) error {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	i := t.find(id)
	if i < 0 {
		return t.s.failed
	}
	upper := Range{ID: t.meta.NextRange, Lo: at, Dirty: t.ranges[i].Dirty, Next: t.ranges[i].Next}
	if t.codec.Ordered() {
		var err error
		if upper.lo, err = t.codec.Append(nil, at.Key); err != nil {
			return err
		}
		if bytes.Compare(upper.lo, t.ranges[i].lo) <= 0 || !t.inRange(i, upper.lo) {
			return fmt.Errorf("%w: border %s lies outside its range of %s", errRanges, at.Key, t.meta.Name)
		}
	}
	t.meta.NextRange++
	t.changed = true
	t.ranges[i].Next, t.ranges[i].Known = upper.ID, false
	t.ranges = slices.Insert(t.ranges, i+1, upper)
	t.storeRange(i)
	t.storeRange(i + 1)
	return t.s.failed
}

// Merge joins range id with the next one. A digest is an XOR, so that of both
// together is known if each is.
func (t *Table) Merge(id uint32) error {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	i := t.find(id)
	if i < 0 || i+1 >= len(t.ranges) {
		return t.s.failed
	}
	r, next := &t.ranges[i], t.ranges[i+1]
	r.Digest = Digest{Rows: r.Digest.Rows + next.Digest.Rows, Sum: r.Digest.Sum ^ next.Digest.Sum}
	r.Known, r.Dirty, r.Next = r.Known && next.Known, r.Dirty || next.Dirty, next.Next
	t.ranges = slices.Delete(t.ranges, i+1, i+2)
	t.hit = 0
	t.storeRange(i)
	t.note(t.writer().Delete(t.rangeKey(next.ID), nil))
	return t.s.failed
}

// SetFormula says how digests are computed. Under another formula, or by another
// server, no stored one counts: all ranges are read once.
func (t *Table) SetFormula(formula string) error {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	if t.meta.Formula == formula {
		return nil
	}
	t.meta.Formula, t.changed = formula, true
	t.forgetDigests()
	return t.s.failed
}

// ForgetDigests makes every range be read at its next turn.
func (t *Table) ForgetDigests() error {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	t.forgetDigests()
	return t.s.failed
}

func (t *Table) forgetDigests() {
	for i := range t.ranges {
		t.ranges[i].Known = false
		t.storeRange(i)
	}
}
