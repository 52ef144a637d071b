package ingest

import (
	"hash/maphash"
	"sync/atomic"
	"time"
)

// recent remembers the message ids that became durable lately, so that a repeated request costs Kafka nothing. It only
// saves traffic: which of two records counts is decided downstream, and everybody there decides alike. It is empty
// after a start.
//
// It is a table of sets of eight, of which an id can be in one: a look is a miss of the processor's cache or two, and
// nothing is moved or allocated. Nothing is locked either: two writers of one slot may leave half of each, which is
// neither of the ids.
type recent struct {
	window time.Duration
	seeds  [2]maphash.Seed
	sets   []recentSet
	start  time.Time // of a clock that never steps
}

// mark is the keyed hash of a source and a message id. Those 128 bits, of which the table keeps 96 and the place, make
// two ids with one mark a matter of belief, and the key keeps senders from making such a pair.
type mark [2]uint64

// recentSet has the ids of one place; the oldest gives way to a new one.
type recentSet [8]recentSlot

type recentSlot struct {
	hash atomic.Uint64 // the first half of the mark
	rest atomic.Uint64 // above, 32 bits of its second half; below, when it was added, in ticks; 0: nothing
}

const (
	recentTick = 100 * time.Millisecond
	tickBits   = 32 // four centuries
)

func newRecent(d Dedup) *recent {
	r := &recent{window: d.Window, seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, start: time.Now()}
	if d.Window > 0 {
		r.sets = make([]recentSet, max(1, d.MaxIDs/len(recentSet{})))
	}
	return r
}

// markOf hashes an id of a source. scratch is for the bytes that are hashed, and is returned for the next call.
func (r *recent) markOf(scratch []byte, source string, id []byte) (mark, []byte) {
	scratch = append(append(append(scratch[:0], source...), 0), id...)
	return mark{maphash.Bytes(r.seeds[0], scratch), maphash.Bytes(r.seeds[1], scratch)}, scratch
}

// now is the tick of this moment; the first one is 1.
func (r *recent) now() uint64 { return uint64(time.Since(r.start)/recentTick) + 1 } //nolint:gosec // the clock never steps

func (r *recent) set(id mark) *recentSet {
	return &r.sets[id[1]&(1<<tickBits-1)*uint64(len(r.sets))>>tickBits]
}

// live says whether what was added at a slot's tick is within the window.
func (r *recent) live(rest, now uint64) bool {
	at := rest & (1<<tickBits - 1)
	return at > 0 && time.Duration(now-at)*recentTick <= r.window //nolint:gosec // not below
}

// has says whether id became durable within the window before now.
func (r *recent) has(id mark, now uint64) bool {
	if r.window == 0 {
		return false
	}
	set := r.set(id)
	for i := range set {
		if set[i].hash.Load() == id[0] {
			if rest := set[i].rest.Load(); rest>>tickBits == id[1]>>tickBits && r.live(rest, now) {
				return true
			}
		}
	}
	return false
}

// add remembers ids whose records are durable now.
func (r *recent) add(ids []mark) {
	if r.window == 0 {
		return
	}
	now := r.now()
	for _, id := range ids {
		if r.has(id, now) {
			continue
		}
		set := r.set(id)
		oldest, least := &set[0], now
		for i := range set {
			// An empty slot has tick 0, and so is the oldest.
			if tick := set[i].rest.Load() & (1<<tickBits - 1); tick < least {
				oldest, least = &set[i], tick
			}
		}
		oldest.hash.Store(id[0])
		oldest.rest.Store(id[1]&^(1<<tickBits-1) | now)
	}
}

// size is the number of ids that are remembered.
func (r *recent) size() float64 {
	n, now := 0, r.now()
	for i := range r.sets {
		for j := range r.sets[i] {
			if r.live(r.sets[i][j].rest.Load(), now) {
				n++
			}
		}
	}
	return float64(n)
}
