package serve

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
)

// keepDeletions is how long a view remembers which keys were deleted when. A client that was away for longer gets a
// snapshot.
const keepDeletions = time.Minute

// answer is what a question comes to at one moment: rows of text, the first keys columns of which name the row.
// A nil is a value that is not known.
type answer struct {
	keys int
	cols []string
	rows [][]*string
	meta map[string]any
}

// view is one canonical question and its present answer. There is no log of changes: each row remembers when it
// changed last, so the delta from any p is one pass over the rows.
type view struct {
	question Question
	subject  string // canonical JSON of question
	key      string
	stream   string

	loaded chan struct{} // closed when the first answer is in, or loadErr is set
	err    error         // of the first load; set before loaded is closed

	mu       sync.Mutex // guards all below; taken before a conn's
	table    table
	frames   map[frameKey]*frame // of the present q
	subs     map[int]map[*sub]struct{}
	stale    bool      // cells have changed since the last computation
	computed time.Time // when the last computation began
	touched  time.Time // when somebody asked last
}

// table is the state that clients keep in step with.
type table struct {
	epochBase string
	resets    int // the epoch changes when the columns do

	keys     int
	cols     []string
	round    uint64 // of updates; rows that miss one are gone
	q, floor uint64
	etag     uint64
	head     uint64 // hash of keys and cols, part of etag
	rows     map[string]*row
	order    []*row
	meta     map[string]*member
	deleted  map[string]deletion
}

type row struct {
	key  []byte // JSON array of the key columns
	enc  []byte // JSON array of the whole row
	hash uint64
	q    uint64 // of its last change
	seen uint64 // round that met it last
}

type member struct {
	enc  []byte
	hash uint64
	q    uint64
}

type deletion struct {
	key []byte
	q   uint64
	at  time.Time
}

func newTable(epoch string) table {
	return table{epochBase: epoch, rows: map[string]*row{}, meta: map[string]*member{}, deleted: map[string]deletion{}}
}

func (t *table) epoch() string {
	if t.resets <= 1 {
		return t.epochBase
	}
	return t.epochBase + "." + strconv.Itoa(t.resets)
}

func (t *table) etagText() string { return hex16(t.etag) }

func hex16(v uint64) string {
	const digits = "0123456789abcdef"
	var b [16]byte
	for i := range b {
		b[15-i] = digits[v&15]
		v >>= 4
	}
	return string(b[:])
}

// update takes a over and says whether anything changed.
func (t *table) update(a answer, now time.Time) bool {
	t.round++
	next := t.q + 1
	changed := false
	if t.resets == 0 || t.keys != a.keys || !slices.Equal(t.cols, a.cols) {
		t.reset(a)
		changed = true
	}
	t.order = t.order[:0]
	for _, cells := range a.rows {
		r, differs := t.put(cells, next)
		t.order = append(t.order, r)
		changed = changed || differs
	}
	for k, r := range t.rows {
		if r.seen != t.round {
			t.etag -= r.hash
			t.deleted[k] = deletion{key: r.key, q: next, at: now}
			delete(t.rows, k)
			changed = true
		}
	}
	changed = t.putMeta(a.meta, next) || changed
	for k, d := range t.deleted {
		if now.Sub(d.at) > keepDeletions {
			t.floor = max(t.floor, d.q)
			delete(t.deleted, k)
		}
	}
	if changed {
		t.q = next
	}
	return changed
}

func (t *table) reset(a answer) {
	t.resets++
	t.keys, t.cols = a.keys, slices.Clone(a.cols)
	clear(t.rows)
	clear(t.meta)
	clear(t.deleted)
	t.head = xxhash.Sum64(mustJSON([]any{a.keys, a.cols}))
	t.etag = t.head
}

func (t *table) put(cells []*string, next uint64) (*row, bool) {
	enc := mustJSON(cells)
	key := mustJSON(cells[:t.keys])
	r := t.rows[string(key)]
	if r == nil {
		r = &row{key: key}
		t.rows[string(key)] = r
		delete(t.deleted, string(key))
	} else if bytes.Equal(r.enc, enc) {
		r.seen = t.round
		return r, false
	}
	h := xxhash.Sum64(enc)
	t.etag += h - r.hash
	r.enc, r.hash, r.q, r.seen = enc, h, next, t.round
	return r, true
}

// putMeta gives members that are gone the value null, for a delta has no other way to say so.
func (t *table) putMeta(meta map[string]any, next uint64) (changed bool) {
	set := func(name string, v any) {
		enc := mustJSON(v)
		m := t.meta[name]
		if m == nil {
			m = &member{}
			t.meta[name] = m
		} else if bytes.Equal(m.enc, enc) {
			return
		}
		h := xxhash.Sum64(append([]byte(name+"="), enc...))
		if string(enc) == "null" {
			h = 0 // absent and null are one, on every node
		}
		t.etag += h - m.hash
		m.enc, m.hash, m.q = enc, h, next
		changed = true
	}
	for name, v := range meta {
		set(name, v)
	}
	for name := range t.meta {
		if _, ok := meta[name]; !ok {
			set(name, nil)
		}
	}
	return changed
}

func mustJSON(v any) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic("BUG: encode: " + err.Error())
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}

func newView(q Question, key, stream, epoch string) *view {
	return &view{
		question: q, subject: string(mustJSON(q)), key: key, stream: stream, loaded: make(chan struct{}),
		table: newTable(epoch), frames: map[frameKey]*frame{}, subs: map[int]map[*sub]struct{}{},
	}
}

// take puts a new answer in and says whether subscribers have something to learn.
func (v *view) take(a answer, now time.Time) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.table.update(a, now) {
		return false
	}
	clear(v.frames)
	return true
}
