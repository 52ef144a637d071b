package dedup

import "math"

// slot is 16 bytes: 96 bits of identity and the distance of its newest offset
// from the table's base. Distance 0 marks a free slot.
type slot struct {
	hi       uint64
	lo       uint32
	distance uint32
}

// table is an open-addressed hash table from identity to its newest offset.
type table struct {
	slots []slot
	mask  uint64
	used  int
	base  int64 // offsets are kept as offset - base + 1
}

const firstSlots = 1 << 10

func (t *table) init(base int64) {
	t.slots, t.mask, t.used, t.base = make([]slot, firstSlots), firstSlots-1, 0, base
}

// swap notes that id now stands at offset and returns where it stood before.
// Entries below floor may be forgotten.
func (t *table) swap(id ID, offset, floor int64) (before int64, known bool) {
	if t.used*5 >= len(t.slots)*4 || offset-t.base >= math.MaxUint32-1 {
		t.rehash(floor)
	}
	distance := uint32(offset - t.base + 1) //nolint:gosec // checked above
	for i := id.hi & t.mask; ; i = (i + 1) & t.mask {
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

// rehash drops what lies below floor and moves the base there, into a table
// that is at most half full.
func (t *table) rehash(floor int64) {
	live := 0
	for _, s := range t.slots {
		if s.distance != 0 && t.base+int64(s.distance)-1 >= floor {
			live++
		}
	}
	size := firstSlots
	for size < live*2 {
		size *= 2
	}
	old, oldBase := t.slots, t.base
	t.slots, t.mask, t.used, t.base = make([]slot, size), uint64(size-1), 0, floor
	for _, s := range old {
		offset := oldBase + int64(s.distance) - 1
		if s.distance == 0 || offset < floor {
			continue
		}
		i := s.hi & t.mask
		for t.slots[i].distance != 0 {
			i = (i + 1) & t.mask
		}
		t.slots[i] = slot{s.hi, s.lo, uint32(offset - floor + 1)} //nolint:gosec // not above the old distance
		t.used++
	}
}
