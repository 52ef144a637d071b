package dedup

import (
	"math"
	"math/bits"
)

// slot is 16 bytes: 96 bits of identity and the distance of its newest offset
// from the table's base. Distance 0 marks a free slot.
type slot struct {
	hi       uint64
	lo       uint32
	distance uint32
}

// table is a hash table from identity to its newest offset, with linear probing.
// What is out of reach is swept out in place, so that it never needs twice its
// memory once it has grown to the reach.
type table struct {
	slots []slot
	used  int
	base  int64 // offsets are kept as offset - base + 1
	full  int   // slots that a reach of offsets needs; it grows beyond them only for more
}

const firstSlots = 1 << 10

// init makes room for few; reach is how many identities it may have to hold.
func (t *table) init(base, reach int64) {
	t.slots, t.used, t.base = make([]slot, firstSlots), 0, base
	t.full = int(min(reach, math.MaxInt32)) * 13 / 10
}

// home is where an identity belongs: slots are in the order of hi.
func (t *table) home(hi uint64) int {
	at, _ := bits.Mul64(hi, uint64(len(t.slots)))
	return int(at) //nolint:gosec // below len
}

// swap notes that id now stands at offset and returns where it stood before.
// Entries below floor may be forgotten.
func (t *table) swap(id ID, offset, floor int64) (before int64, known bool) {
	if t.used*20 >= len(t.slots)*17 || offset-t.base >= math.MaxUint32-1 {
		t.sweep(floor)
	}
	distance := uint32(offset - t.base + 1) //nolint:gosec // checked above
	for i := t.home(id.hi); ; i++ {
		if i == len(t.slots) {
			i = 0
		}
		s := &t.slots[i]
		switch {
		case s.distance == 0:
			*s = slot{id.hi, id.lo, distance}
			t.used++
			return 0, false
		case s.hi == id.hi && s.lo == id.lo:
			before = t.base + int64(s.distance) - 1
			s.distance = distance
			return before, true
		}
	}
}

// sweep drops what lies below floor, moves the base there, and grows the table
// if that has freed little.
func (t *table) sweep(floor int64) {
	delta := uint32(min(floor-t.base, math.MaxUint32)) //nolint:gosec // floor is not below base
	t.used = 0
	start := 0 // of a run: what stands before it cannot have overflowed into it
	for t.slots[start].distance != 0 {
		start++
	}
	for n := range t.slots {
		i := start + n
		if i >= len(t.slots) {
			i -= len(t.slots)
		}
		s := t.slots[i]
		if s.distance == 0 {
			continue
		}
		t.slots[i].distance = 0
		if s.distance > delta {
			s.distance -= delta
			t.place(s)
		}
	}
	t.base = floor
	if t.used*100 < len(t.slots)*79 {
		return
	}
	old := t.slots
	size := 2 * len(old)
	if size > t.full && len(old) < t.full {
		size = t.full
	}
	t.slots, t.used = make([]slot, size), 0
	for _, s := range old {
		if s.distance != 0 {
			t.place(s)
		}
	}
}

// place puts a slot where it belongs, or behind what stands there.
func (t *table) place(s slot) {
	i := t.home(s.hi)
	for t.slots[i].distance != 0 {
		if i++; i == len(t.slots) {
			i = 0
		}
	}
	t.slots[i] = s
	t.used++
}
