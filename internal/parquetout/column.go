package parquetout

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/file"

	"github.com/millstream-data/millstream/internal/wire"
)

// Column gathers the values of one column of a record, in the form in which the
// library takes them: a level for each row, and values without gaps for nulls.
// The Append method to use follows from its type. A Column is empty again, and
// keeps its room, once its Record is released.
type Column struct {
	typ     wire.LakeType
	size    int     // of a decimal
	digits  int     // of a decimal
	scale   int     // of a decimal
	levels  []int16 // 1 for a value, 0 for a null
	bools   []bool
	ints    []int64
	floats  []float64
	bytes   []byte   // of all string, json, bytes and decimal values
	ends    []uint32 // of each value in bytes
	longest int
}

// NewColumn returns an empty column. It panics for a type that
// wire.ParseLakeType would refuse.
func NewColumn(t wire.LakeType) *Column {
	_, _, size := forms(t)
	p, s, _ := t.Decimal()
	return &Column{typ: t, size: size, digits: p, scale: s, bytes: []byte{}} // views of it are never nil, which the library takes for no value
}

// Type is the column's type.
func (c *Column) Type() wire.LakeType { return c.typ }

// Len is the number of values, nulls included.
func (c *Column) Len() int { return len(c.levels) }

// Longest is the length in bytes of the longest string, json or bytes value.
func (c *Column) Longest() int { return c.longest }

// RawBytes is the size of the values, uncompressed.
func (c *Column) RawBytes() int64 {
	return int64(len(c.levels)/8 + len(c.bools) + 8*(len(c.ints)+len(c.floats)) + len(c.bytes) + 4*len(c.ends))
}

// HeldBytes is the memory that the column holds, whether in use or not.
func (c *Column) HeldBytes() int64 {
	return int64(2*cap(c.levels) + cap(c.bools) + 8*(cap(c.ints)+cap(c.floats)) + cap(c.bytes) + 4*cap(c.ends))
}

// IntRange returns the least and the greatest of the column's integers; ok is
// false if there is none.
func (c *Column) IntRange() (least, greatest int64, ok bool) {
	if len(c.ints) == 0 {
		return 0, 0, false
	}
	return slices.Min(c.ints), slices.Max(c.ints), true
}

// AppendNulls appends n nulls.
func (c *Column) AppendNulls(n int) {
	for range n {
		c.levels = append(c.levels, 0)
	}
}

// AppendBool appends to a column of bool.
func (c *Column) AppendBool(v bool) {
	c.levels = append(c.levels, 1)
	c.bools = append(c.bools, v)
}

// AppendInt appends to a column of int16, int32 or int64, where it must fit; of
// date, as days since 1970; or of timestamp, as microseconds since 1970 in UTC.
func (c *Column) AppendInt(v int64) {
	c.levels = append(c.levels, 1)
	c.ints = append(c.ints, v)
}

// AppendTime appends to a column of timestamp; what is below a microsecond is cut off.
func (c *Column) AppendTime(t time.Time) { c.AppendInt(t.UnixMicro()) }

// AppendFloat appends to a column of float32 or float64.
func (c *Column) AppendFloat(v float64) {
	c.levels = append(c.levels, 1)
	c.floats = append(c.floats, v)
}

// AppendBytes appends a copy of v to a column of string, json or bytes. The
// first two must be UTF-8.
func (c *Column) AppendBytes(v []byte) {
	c.bytes = append(c.bytes, v...)
	c.endValue(len(v))
}

// AppendString is AppendBytes for a string.
func (c *Column) AppendString(v string) {
	c.bytes = append(c.bytes, v...)
	c.endValue(len(v))
}

func (c *Column) endValue(n int) {
	c.levels = append(c.levels, 1)
	c.ends = append(c.ends, uint32(len(c.bytes))) //nolint:gosec // a record holds megabytes
	c.longest = max(c.longest, n)
}

// AppendDecimal appends the decimal number that s writes, with "." and without
// an exponent. It returns false, and appends nothing, if s is no such number or
// does not fit the column's precision and scale without rounding.
func (c *Column) AppendDecimal(s string) bool {
	v, ok := parseDecimal(s, c.digits, c.scale)
	if ok {
		c.bytes = appendDecimal(c.bytes, v, c.size)
		c.levels = append(c.levels, 1)
	}
	return ok
}

// reset empties the column and keeps its room.
func (c *Column) reset() {
	c.levels, c.bools, c.ints, c.floats = c.levels[:0], c.bools[:0], c.ints[:0], c.floats[:0]
	c.bytes, c.ends, c.longest = c.bytes[:0], c.ends[:0], 0
}

// scratch is room for values in the library's form.
type scratch struct {
	int32s   []int32
	float32s []float32
	views    []parquet.ByteArray
	fixed    []parquet.FixedLenByteArray
	numbers  []int32
	spaced   []int32
}

// write hands the column's values to the library. d is the column's dictionary in
// the row group; nil: it has none.
func (c *Column) write(to file.ColumnChunkWriter, d *dictionary, s *scratch) (err error) {
	switch to := to.(type) {
	case *file.BooleanColumnChunkWriter:
		_, err = to.WriteBatch(c.bools, c.levels, nil)
	case *file.Int32ColumnChunkWriter:
		s.int32s = s.int32s[:0]
		for _, v := range c.ints {
			s.int32s = append(s.int32s, int32(v)) //nolint:gosec // the caller has checked the range
		}
		_, err = to.WriteBatch(s.int32s, c.levels, nil)
	case *file.Int64ColumnChunkWriter:
		_, err = to.WriteBatch(c.ints, c.levels, nil)
	case *file.Float32ColumnChunkWriter:
		s.float32s = s.float32s[:0]
		for _, v := range c.floats {
			s.float32s = append(s.float32s, float32(v))
		}
		_, err = to.WriteBatch(s.float32s, c.levels, nil)
	case *file.Float64ColumnChunkWriter:
		_, err = to.WriteBatch(c.floats, c.levels, nil)
	case *file.ByteArrayColumnChunkWriter:
		err = c.writeBytes(to, d, s)
	case *file.FixedLenByteArrayColumnChunkWriter:
		s.fixed = s.fixed[:0]
		values := bytes.Clone(c.bytes) // the statistics keep views of it
		for i := 0; i < len(values); i += c.size {
			s.fixed = append(s.fixed, values[i:i+c.size])
		}
		_, err = to.WriteBatch(s.fixed, c.levels, nil)
	default:
		panic(fmt.Sprintf("BUG: a column of %s is written by %T", c.typ, to))
	}
	return err
}

// writeBytes writes batch by batch. The library's statistics keep the least and
// the greatest value that they were shown, not copies of them: those two are
// copied before, since the column's room is used again.
func (c *Column) writeBytes(to *file.ByteArrayColumnChunkWriter, d *dictionary, s *scratch) (err error) {
	s.views = s.views[:0]
	from := uint32(0)
	for _, end := range c.ends {
		s.views = append(s.views, c.bytes[from:end:end])
		from = end
	}
	values := s.views
	for levels := c.levels; len(levels) > 0 && err == nil; {
		batch := levels[:min(len(levels), batchRows)]
		levels = levels[len(batch):]
		n := 0
		for _, level := range batch {
			n += int(level)
		}
		if d != nil && !d.off {
			err = d.write(to, values[:n], batch, s)
		} else {
			copyExtremes(values[:n])
			_, err = to.WriteBatch(values[:n], batch, nil)
		}
		values = values[n:]
	}
	return err
}

func copyExtremes(values []parquet.ByteArray) {
	if len(values) == 0 {
		return
	}
	least, greatest := 0, 0
	for i, v := range values {
		if bytes.Compare(v, values[least]) < 0 {
			least = i
		} else if bytes.Compare(v, values[greatest]) > 0 {
			greatest = i
		}
	}
	for _, i := range []int{least, greatest} {
		values[i] = append(parquet.ByteArray{}, values[i]...)
	}
}

// Record is a number of rows: as many values in each column.
type Record struct {
	rows    int
	bytes   int64
	columns []*Column
}

// NewRecord makes a record of the values in columns, which all have as many. The
// columns are the record's until it is released.
func NewRecord(columns []*Column) Record {
	r := Record{columns: columns}
	for i, c := range columns {
		if i == 0 {
			r.rows = c.Len()
		} else if c.Len() != r.rows {
			panic(fmt.Sprintf("BUG: column %d has %d values of %d", i, c.Len(), r.rows))
		}
		r.bytes += c.RawBytes()
	}
	return r
}

// Rows is the number of rows.
func (r Record) Rows() int { return r.rows }

// Release empties the columns, which can be filled again. The record cannot be
// used afterwards.
func (r Record) Release() {
	for _, c := range r.columns {
		c.reset()
	}
}

// FitsInt says whether a column of the integer type t can hold v.
func FitsInt(t wire.LakeType, v int64) bool {
	switch t {
	case wire.Int16:
		return v >= math.MinInt16 && v <= math.MaxInt16
	case wire.Int32, wire.Date:
		return v >= math.MinInt32 && v <= math.MaxInt32
	default:
		return true
	}
}
