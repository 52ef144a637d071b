package parquetout

import (
	"bytes"
	"hash/maphash"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/bitutil"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/metadata"
)

// A dictionary of more than three quarters of its values, after so many of them,
// makes no file smaller.
const dictionaryTrial = MinRowGroup

// dictionary knows the values that a column's row group has shown the library so
// far, in the order in which the library has numbered them. A batch without a
// new one is handed on as numbers: the library puts every value it is shown into
// an interface and on the heap before it looks it up.
type dictionary struct {
	seed    maphash.Seed
	slots   []uint32 // number + 1; 0: free
	hashes  []uint64 // by number
	data    []byte   // of all values, never overwritten while the row group is open
	ends    []uint32 // by number
	lastUse []uint32 // by number: the batch that had it last
	batch   uint32
	newest  int // the number that was found last
	values  int // seen, not only distinct ones
	off     bool
	failed  bool // in this row group or an earlier one
}

// reset forgets all values for the next row group.
func (d *dictionary) reset() {
	clear(d.slots)
	*d = dictionary{
		seed: d.seed, slots: d.slots, hashes: d.hashes[:0], data: []byte{}, ends: d.ends[:0], lastUse: d.lastUse[:0], failed: d.failed,
	}
}

func (d *dictionary) len() int { return len(d.ends) }

func (d *dictionary) at(number int) []byte {
	from := uint32(0)
	if number > 0 {
		from = d.ends[number-1]
	}
	return d.data[from:d.ends[number]:d.ends[number]]
}

// number returns the number of v, which is new if it is not below the length
// that the dictionary had before.
func (d *dictionary) number(v []byte) int {
	if d.len() > 0 && bytes.Equal(v, d.at(d.newest)) {
		return d.newest
	}
	if 2*d.len() >= len(d.slots) {
		d.grow()
	}
	hash := maphash.Bytes(d.seed, v)
	mask := uint64(len(d.slots) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		slot := d.slots[i]
		if slot == 0 {
			d.data = append(d.data, v...)
			d.hashes, d.ends, d.lastUse = append(d.hashes, hash), append(d.ends, uint32(len(d.data))), append(d.lastUse, 0) //nolint:gosec // the library ends at 1 MiB
			d.slots[i] = uint32(d.len())                                                                                    //nolint:gosec // as above
			d.newest = d.len() - 1
			return d.newest
		}
		if n := int(slot) - 1; d.hashes[n] == hash && bytes.Equal(v, d.at(n)) {
			d.newest = n
			return n
		}
	}
}

func (d *dictionary) grow() {
	if d.slots == nil {
		d.seed = maphash.MakeSeed()
	}
	d.slots = make([]uint32, max(64, 2*len(d.slots)))
	mask := uint64(len(d.slots) - 1)
	for n, hash := range d.hashes {
		i := hash & mask
		for d.slots[i] != 0 {
			i = (i + 1) & mask
		}
		d.slots[i] = uint32(n + 1) //nolint:gosec // as above
	}
}

// write hands a batch of values to the library.
func (d *dictionary) write(to *file.ByteArrayColumnChunkWriter, values []parquet.ByteArray, levels []int16, s *scratch) error {
	known := d.len()
	d.batch++
	s.numbers = s.numbers[:0]
	var least, greatest []byte
	for i, v := range values {
		n := d.number(v)
		s.numbers = append(s.numbers, int32(n)) //nolint:gosec // the library ends at 1 MiB
		values[i] = d.at(n)                     // which lasts as long as the library's statistics may look at it
		if d.lastUse[n] == d.batch {
			continue
		}
		d.lastUse[n] = d.batch
		if least == nil || bytes.Compare(v, least) < 0 {
			least = values[i]
		}
		if greatest == nil || bytes.Compare(v, greatest) > 0 {
			greatest = values[i]
		}
	}
	d.values += len(values)
	if d.len() > known {
		if _, err := to.WriteBatch(values, levels, nil); err != nil {
			return err
		}
		return d.check(to)
	}
	// The library counts nothing when it is given numbers.
	if st, ok := to.PageStatistics().(*metadata.ByteArrayStatistics); ok {
		st.IncNulls(int64(len(levels) - len(values)))
		st.IncNumValues(int64(len(values)))
		if len(values) > 0 {
			st.SetMinMax(least, greatest)
		}
	}
	return to.WriteDictIndices(spaced(s, levels), levels, nil)
}

// check looks whether the library has given up its dictionary, or should: a
// column of ever new values is only slower with one. Numbers must agree.
func (d *dictionary) check(to *file.ByteArrayColumnChunkWriter) error {
	if to.CurrentEncoder().Encoding() != parquet.Encodings.PlainDict {
		d.end()
		return nil
	}
	if theirs, ok := to.CurrentEncoder().(interface{ NumEntries() int }); !ok || theirs.NumEntries() != d.len() {
		panic("BUG: the library numbers a dictionary's values otherwise")
	}
	if d.failed || d.values >= dictionaryTrial && 4*d.len() > 3*d.values {
		to.FallbackToPlain()
		d.end()
	}
	return nil
}

// end gives up the dictionary until the next row group, and its memory.
func (d *dictionary) end() { *d = dictionary{off: true, failed: true} }

// spaced returns the batch's numbers as an array that has a null where levels say so.
func spaced(s *scratch, levels []int16) arrow.Array {
	numbers, nulls := s.numbers, len(levels)-len(s.numbers)
	var valid *memory.Buffer
	if nulls > 0 {
		s.spaced = append(s.spaced[:0], make([]int32, len(levels))...)
		bits := make([]byte, bitutil.BytesForBits(int64(len(levels))))
		next := 0
		for i, level := range levels {
			if level == 1 {
				s.spaced[i] = numbers[next]
				bitutil.SetBit(bits, i)
				next++
			}
		}
		numbers, valid = s.spaced, memory.NewBufferBytes(bits)
	}
	buffers := []*memory.Buffer{valid, memory.NewBufferBytes(arrow.Int32Traits.CastToBytes(numbers))}
	return array.NewInt32Data(array.NewData(arrow.PrimitiveTypes.Int32, len(numbers), buffers, nil, nulls, 0))
}
