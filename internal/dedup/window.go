package dedup

import (
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// ID is the identity of an event: 96 bits of the SHA-256 of its source and
// message id. Two identities meet by chance less than once in 10^20 events of a
// full window.
type ID struct {
	hi uint64
	lo uint32
}

// Identity returns the identity of the event that source sent as messageID,
// both from the record's headers.
func Identity(source, messageID string) ID {
	var buf [512]byte
	b := append(buf[:0], source...)
	b = append(b, 0) // no source holds it, so "ab"+"c" is not "a"+"bc"
	b = append(b, messageID...)
	sum := sha256.Sum256(b)
	return ID{binary.LittleEndian.Uint64(sum[0:8]), binary.LittleEndian.Uint32(sum[8:12])}
}

// State is what a successor needs to decide as the window would have: it makes
// a Window from Floor and FloorClockMS and lets it observe every record from
// Floor on again.
type State struct {
	Floor        int64 // first offset whose identity can still matter
	FloorClockMS int64 // the log's clock at Floor
	ClockMS      int64 // the log's clock now
}

// Window knows the identities of the records of one partition within the
// configured reach. The log's clock at an offset is the running maximum of the
// record timestamps up to it, so decisions depend on the log alone. A Window is
// not safe for concurrent use. A full one takes 21 bytes for each of MaxRecords,
// and up to 4 more where its clock ticks with every record.
type Window struct {
	reachMS, reach int64
	last           int64 // offset of the newest record, or one before the first
	clock          int64
	ids            table
	steps          steps
}

// New returns an empty window that expects the record at at.Floor next, with
// the clock at at.FloorClockMS; ClockMS is not used.
func New(cfg Config, at State) *Window {
	w := &Window{reachMS: cfg.Window.Milliseconds(), reach: cfg.MaxRecords, last: at.Floor - 1, clock: at.FloorClockMS}
	w.ids.init(at.Floor, cfg.MaxRecords)
	w.steps.push(step{at.Floor, at.FloorClockMS})
	return w
}

// Observe takes the next record in order of offsets and says whether it is a
// duplicate: an earlier record of its identity, kept or not, lies at most
// MaxRecords offsets and Window of the log's clock before it. Every occurrence
// extends the reach. Offsets may have holes and must rise.
func (w *Window) Observe(offset, timestampMS int64, id ID) (duplicate bool) {
	w.Skip(offset, timestampMS)
	floor, _ := w.floor(offset)
	before, known := w.ids.swap(id, offset, floor)
	return known && before >= floor
}

// Skip takes a record that has no readable identity: it only moves the clock.
func (w *Window) Skip(offset, timestampMS int64) {
	if offset <= w.last {
		panic("BUG: dedup: offsets must rise")
	}
	w.last = offset
	if timestampMS > w.clock {
		w.clock = timestampMS
		w.steps.push(step{offset, timestampMS})
	}
}

// State describes the window for records from next on, which is above every
// observed offset.
func (w *Window) State(next int64) State {
	floor, clock := w.floor(next)
	return State{Floor: floor, FloorClockMS: clock, ClockMS: w.clock}
}

// Len returns the number of identities held; some may be out of reach already.
func (w *Window) Len() int { return w.ids.used }

// Bytes is what the window takes of memory.
func (w *Window) Bytes() int64 { return int64(len(w.ids.slots))*16 + int64(cap(w.steps.buf)) }

// Clock is the log's clock at the newest record.
func (w *Window) Clock() time.Time { return time.UnixMilli(w.clock).UTC() }

// floor returns the first offset that a record at offset can be a duplicate
// of, given the clock, and the clock there. The clock never falls and
// offsets rise, so what is dropped here can never matter again.
func (w *Window) floor(offset int64) (floor, clock int64) {
	for w.steps.n > 1 && w.steps.first.clock < w.clock-w.reachMS {
		w.steps.pop()
	}
	floor = max(w.steps.first.offset, offset-w.reach)
	for {
		next, _, ok := w.steps.second()
		if !ok || next.offset > floor {
			return floor, w.steps.first.clock
		}
		w.steps.pop()
	}
}
