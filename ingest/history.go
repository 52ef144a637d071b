package ingest

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/wire"
)

// letter is what is remembered of a dead letter: everything but its bytes.
type letter struct {
	place
	r       wire.Rejected // without Original and Envelope
	event   string        // a track call's name, as far as it could be read
	excerpt string
	cost    int // bytes of memory, roughly
}

// place orders dead letters: by the time at which their request came or their stage refused them, then by their id.
type place struct {
	at        time.Time // of the record, UTC
	partition int32
	offset    int64
}

func (p place) compare(q place) int {
	return cmp.Or(p.at.Compare(q.at), cmp.Compare(p.partition, q.partition), cmp.Compare(p.offset, q.offset))
}

// id is how senders name the dead letter.
func (p place) id() string {
	return strconv.Itoa(int(p.partition)) + "-" + strconv.FormatInt(p.offset, 10)
}

// parseLetterID reads what id writes.
func parseLetterID(text string) (partition int32, offset int64, ok bool) {
	first, rest, _ := strings.Cut(text, "-")
	p, err := strconv.ParseUint(first, 10, 31)
	if err != nil {
		return 0, 0, false
	}
	o, err := strconv.ParseUint(rest, 10, 63)
	return int32(p), int64(o), err == nil //nolint:gosec // bounded by the bits that were asked for
}

// Lengths of what a letter keeps.
const (
	excerptBytes = 200
	letterText   = 1 << 10 // of a member; ingest's own are shorter
	letterCost   = 512     // of the rest
)

// newLetter copies what is kept of rec.
func newLetter(rec *kgo.Record, idx *index, depth int) *letter {
	r := wire.ParseRejected(rec.Headers, rec.Value)
	l := &letter{place: place{rec.Timestamp.UTC(), rec.Partition, rec.Offset}, excerpt: excerptOf(rec.Value), cost: letterCost}
	if r.Table == "" { // a row may have such a column
		name, _ := glance(rec.Value, idx, depth)
		l.event = string(name)
	}
	r.Original, r.Envelope = nil, nil
	for _, text := range []*string{
		&r.Message, &r.Source, &r.ID, &r.MessageID, &r.Type, &r.Key, &r.RequestID, &r.Route, &r.Table, &r.Column, &r.RecordKey, &l.event,
	} {
		if len(*text) > letterText {
			*text = strings.Clone(string(cutText([]byte(*text), letterText)))
		}
		l.cost += len(*text)
	}
	l.cost += len(l.excerpt)
	l.r = r
	return l
}

// excerptOf is the beginning of value as text.
func excerptOf(value []byte) string {
	return strings.ToValidUTF8(string(cutText(value[:min(len(value), 4*excerptBytes)], excerptBytes)), "\ufffd")
}

// glance reads whose event a value is and its name, as far as they can be read. What it returns belongs to value or is
// new. idx is used and reset.
func glance(value []byte, idx *index, depth int) (name, user []byte) {
	defer idx.reset()
	sc := scanner{b: value, idx: idx, maxDepth: depth, maxEvents: 1}
	sc.single()
	text := func(f field) []byte {
		var out []byte
		ev := &idx.events[0]
		for _, m := range idx.top[ev.top.lo:ev.top.hi] {
			if m.field != f {
				continue
			}
			raw := m.val.of(value)
			if inner, ok := isText(raw); ok {
				out = unescape(nil, inner)
			} else if isNumber(raw) && f != fieldEvent {
				out = raw
			}
		}
		return out
	}
	if user = text(fieldUserID); len(user) == 0 {
		user = text(fieldAnonymousID)
	}
	return text(fieldEvent), user
}

// history remembers dead letters, of all processes and stages, within the bounds of cfg.
type history struct {
	cfg Rejections

	mu      sync.Mutex          // guards what follows
	letters []*letter           // in the order of their places
	ids     map[string]struct{} // of letters: a repeated record is the same dead letter
	bytes   int
	evicted time.Time       // of the newest one that had no room; zero: all had
	floor   time.Time       // older ones were not read; zero: there are none
	next    map[int32]int64 // the offset to read next, by partition
	failed  bool            // Kafka did not answer when it was asked last
	atEnd   time.Time       // when the end was last known to be reached
	moved   chan struct{}   // closed and replaced when next or failed changes
}

func newHistory(cfg Rejections) *history {
	h := &history{cfg: cfg, failed: true, atEnd: time.Now(), moved: make(chan struct{})}
	h.forget()
	return h
}

// forget begins anew: the topic is another one.
func (h *history) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.letters, h.ids, h.bytes, h.evicted, h.floor = nil, map[string]struct{}{}, 0, time.Time{}, time.Time{}
	h.next = map[int32]int64{}
}

// add takes letters in and moves on behind them.
func (h *history) add(list []*letter, next map[int32]int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range list {
		h.insert(l)
	}
	maps.Copy(h.next, next)
	h.wake()
}

// insert is called with mu held.
func (h *history) insert(l *letter) {
	if _, ok := h.ids[l.r.ID]; ok && l.r.ID != "" {
		return
	}
	at, _ := slices.BinarySearchFunc(h.letters, l, func(a, b *letter) int { return a.compare(b.place) })
	h.letters = slices.Insert(h.letters, at, l) // nearly always at the end
	h.ids[l.r.ID] = struct{}{}
	h.bytes += l.cost
	for len(h.letters) > h.cfg.Entries || h.bytes > int(h.cfg.Bytes) && len(h.letters) > 1 {
		old := h.letters[0]
		h.letters[0] = nil
		h.letters = h.letters[1:]
		delete(h.ids, old.r.ID)
		h.bytes -= old.cost
		h.lack(old.at)
	}
}

// lack notes that letters up to at are not remembered. It is called with mu held.
func (h *history) lack(at time.Time) {
	if at.After(h.evicted) {
		h.evicted = at
	}
}

func (h *history) wake() {
	close(h.moved)
	h.moved = make(chan struct{})
}

// looked notes what Kafka said of the ends of the partitions; nil: nothing.
func (h *history) looked(ends map[int32]int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failed = ends == nil
	if !h.failed && h.reached(ends) {
		h.atEnd = time.Now()
	}
	h.wake()
}

// reached is called with mu held.
func (h *history) reached(ends map[int32]int64) bool {
	for p, end := range ends {
		if next, ok := h.next[p]; !ok || next < end {
			return false
		}
	}
	return true
}

// lag is how long ago every dead letter was known, in seconds.
func (h *history) lag() float64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Since(h.atEnd).Seconds()
}

// question is what somebody wants to know about dead letters; zero members do not matter.
type question struct {
	source, messageID, event string
	code                     event.Code
	since, until             time.Time
	before                   *place // of the last one that is known
	rows                     bool   // those of mirrored tables, too
	dryRun                   bool   // what was accepted, and would have been refused by a tracking plan
	limit                    int
}

func (q *question) matches(l *letter) bool {
	switch {
	case q.source != "" && l.r.Source != q.source,
		q.messageID != "" && l.r.MessageID != q.messageID,
		q.event != "" && l.event != q.event,
		q.code != "" && l.r.Code != q.code,
		!q.until.IsZero() && !l.at.Before(q.until),
		!q.rows && l.r.Table != "",
		q.before != nil && l.compare(*q.before) >= 0:
		return false
	}
	return true
}

// find returns the newest letters that q asks for, whether there are more, and whether all from q.since on are known.
func (h *history) find(q *question) (list []*letter, more, known bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range slices.Backward(h.letters) {
		if l.at.Before(q.since) {
			break
		}
		if !q.matches(l) {
			continue
		}
		if len(list) == q.limit {
			more = true
			break
		}
		list = append(list, l)
	}
	return list, more, !q.since.Before(h.floor) && (h.evicted.IsZero() || q.since.After(h.evicted))
}
