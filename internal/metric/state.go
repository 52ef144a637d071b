package metric

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrOverflow means that a sum left 128 bits or a count 63; the state is as before.
var ErrOverflow = errors.New("overflow")

// State is what an aggregator has seen. Its zero value is not usable: NewState
// and DecodeState make one. It is not safe for concurrent use. Merge is
// associative and commutative, and equal content has equal bytes, whatever the
// way it came about.
type State struct {
	kind  Kind
	count int64  // count, avg
	sum   Int128 // sum, avg; scaled
	has   bool   // min, max
	best  int64  // min, max; scaled
	set   *uniques
}

// NewState returns the empty state of a cell of m, which must not be a ratio.
func (m *Metric) NewState() *State {
	s := &State{kind: m.Kind}
	if m.Kind == Uniques {
		s.set = &uniques{exact: m.Exact}
	}
	return s
}

// DecodeState reads the bytes of a state of m and keeps none of them.
func (m *Metric) DecodeState(b []byte) (*State, error) {
	s := m.NewState()
	var ok bool
	switch m.Kind {
	case Count:
		s.count, b, ok = takeVarint(b)
	case Sum:
		s.sum, b, ok = takeInt128(b)
	case Avg:
		if s.sum, b, ok = takeInt128(b); ok {
			s.count, b, ok = takeVarint(b)
		}
	case Min, Max:
		if ok = len(b) == 9 && b[0] == 1; ok {
			s.has, s.best, b = true, int64(binary.BigEndian.Uint64(b[1:])), nil //nolint:gosec // two's complement is meant
		} else if ok = len(b) == 1 && b[0] == 0; ok {
			b = nil
		}
	case Uniques:
		ok = s.set.decode(b)
		b = nil
	case Ratio:
		return nil, errors.New("decode state: a ratio has none")
	}
	if !ok || len(b) != 0 {
		return nil, fmt.Errorf("decode state of %s: %d bytes are not a state of kind %s", m.Name, len(b), m.Kind)
	}
	return s, nil
}

// Append appends the canonical bytes of s to dst; see FORMAT.md.
func (s *State) Append(dst []byte) []byte {
	switch s.kind {
	case Count:
		return binary.AppendVarint(dst, s.count)
	case Sum:
		return s.sum.append(dst)
	case Avg:
		return binary.AppendVarint(s.sum.append(dst), s.count)
	case Min, Max:
		if !s.has {
			return append(dst, 0)
		}
		return binary.BigEndian.AppendUint64(append(dst, 1), uint64(s.best)) //nolint:gosec // two's complement is meant
	case Uniques:
		return s.set.append(dst)
	case Ratio:
	}
	panic("BUG: state of kind " + string(s.kind))
}

// Merge adds what o has seen to s. Both are of one metric. o does not change
// but for its inner order.
func (s *State) Merge(o *State) error {
	switch s.kind {
	case Count:
		return s.addCount(o.count)
	case Sum:
		return s.addSum(o.sum)
	case Avg:
		before := s.sum
		if err := s.addSum(o.sum); err != nil {
			return err
		}
		if err := s.addCount(o.count); err != nil {
			s.sum = before
			return err
		}
	case Min, Max:
		if o.has {
			s.offer(o.best)
		}
	case Uniques:
		s.set.merge(o.set)
	case Ratio:
	}
	return nil
}

// Add counts one event, for minus the other way round: v is its scaled number
// for the kinds that have one, and the bits of its text's hash for uniques.
func (s *State) Add(v int64, minus bool) error {
	one := int64(1)
	switch s.kind {
	case Count:
		if minus {
			one = -1
		}
		return s.addCount(one)
	case Sum:
		d := Int128Of(v)
		if minus {
			d = d.Neg()
		}
		return s.addSum(d)
	case Avg:
		if err := s.addSum(Int128Of(v)); err != nil {
			return err
		}
		return s.addCount(1)
	case Min, Max:
		s.offer(v)
	case Uniques:
		s.set.add(uint64(v)) //nolint:gosec // a hash travels as it is
	case Ratio:
	}
	return nil
}

func (s *State) offer(v int64) {
	if !s.has || (v < s.best) == (s.kind == Min) {
		s.has, s.best = true, v
	}
}

func (s *State) addCount(d int64) error {
	sum := s.count + d
	if (s.count < 0) == (d < 0) && (sum < 0) != (d < 0) {
		return ErrOverflow
	}
	s.count = sum
	return nil
}

func (s *State) addSum(d Int128) error {
	sum, ok := s.sum.Add(d)
	if !ok {
		return ErrOverflow
	}
	s.sum = sum
	return nil
}

// Reset empties s and keeps its memory.
func (s *State) Reset() {
	set := s.set
	*s = State{kind: s.kind, set: set}
	if set != nil {
		set.reset()
	}
}

// Bytes is about how much memory s holds.
func (s *State) Bytes() int {
	if s.set == nil {
		return 96
	}
	return 160 + 8*cap(s.set.hashes) + 8*cap(s.set.fresh) + cap(s.set.regs)
}

// takeVarint refuses encodings that are longer than they need to be: a state has one form.
func takeVarint(b []byte) (int64, []byte, bool) {
	v, n := binary.Varint(b)
	if n <= 0 || n > 1 && b[n-1] == 0 {
		return 0, b, false
	}
	return v, b[n:], true
}

func takeInt128(b []byte) (Int128, []byte, bool) {
	if len(b) < 16 {
		return Int128{}, b, false
	}
	return decodeInt128(b), b[16:], true
}
