package dedup

import "encoding/binary"

// step says that the clock stood at clock from offset on.
type step struct{ offset, clock int64 }

// steps is a queue of steps that rise in both. All but the first are kept as
// differences to the one before: a clock that ticks with every record would take
// as much as the table of identities.
type steps struct {
	first, last step
	n           int
	buf         []byte // what follows first
	off         int    // of it in buf
}

func (q *steps) push(s step) {
	if q.n == 0 {
		q.first = s
	} else {
		if q.off > 1<<12 && q.off > len(q.buf)/4 {
			q.buf = q.buf[:copy(q.buf, q.buf[q.off:])]
			q.off = 0
		}
		q.buf = binary.AppendUvarint(q.buf, uint64(s.offset-q.last.offset)) //nolint:gosec // they rise
		q.buf = binary.AppendUvarint(q.buf, uint64(s.clock-q.last.clock))   //nolint:gosec // they rise
	}
	q.last = s
	q.n++
}

// second returns the step after the first; ok is false if there is none.
func (q *steps) second() (s step, size int, ok bool) {
	if q.n < 2 {
		return step{}, 0, false
	}
	offset, a := binary.Uvarint(q.buf[q.off:])
	clock, b := binary.Uvarint(q.buf[q.off+a:])
	return step{q.first.offset + int64(offset), q.first.clock + int64(clock)}, a + b, true //nolint:gosec // what push wrote
}

// pop drops the first step, which must not be the only one.
func (q *steps) pop() {
	s, size, ok := q.second()
	if !ok {
		panic("BUG: dedup: the clock needs a step")
	}
	q.first, q.off, q.n = s, q.off+size, q.n-1
}
