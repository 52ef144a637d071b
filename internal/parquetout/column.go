package parquetout

import (
	"fmt"
	"math"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/decimal128"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/millstream-data/millstream/internal/wire"
)

// Column gathers the values of one column of a record. The Append method to
// use follows from its type; another one panics. A Column is reused after
// Record has taken its values.
type Column struct {
	typ     wire.LakeType
	b       array.Builder
	ints    func(int64)
	longest int
	bytes   int64
}

// NewColumn returns an empty column. It panics for a type that
// wire.ParseLakeType would refuse.
func NewColumn(t wire.LakeType) *Column {
	c := &Column{typ: t, b: array.NewBuilder(memory.DefaultAllocator, arrowType(t))}
	switch b := c.b.(type) {
	case *array.Int16Builder:
		c.ints = func(v int64) { b.Append(int16(v)) } //nolint:gosec // the caller has checked the range
	case *array.Int32Builder:
		c.ints = func(v int64) { b.Append(int32(v)) } //nolint:gosec // the caller has checked the range
	case *array.Int64Builder:
		c.ints = b.Append
	case *array.TimestampBuilder:
		c.ints = func(v int64) { b.Append(arrow.Timestamp(v)) }
	case *array.Date32Builder:
		c.ints = func(v int64) { b.Append(arrow.Date32(v)) } //nolint:gosec // the caller has checked the range
	}
	return c
}

// Type is the column's type.
func (c *Column) Type() wire.LakeType { return c.typ }

// Len is the number of values, nulls included.
func (c *Column) Len() int { return c.b.Len() }

// Longest is the length in bytes of the longest string, json or bytes value
// since the last Record.
func (c *Column) Longest() int { return c.longest }

// RawBytes is the size of the values since the last Record, uncompressed.
func (c *Column) RawBytes() int64 { return c.bytes + int64(c.b.Len())/8 }

// AppendNulls appends n nulls.
func (c *Column) AppendNulls(n int) {
	for range n {
		c.b.AppendNull()
	}
}

// AppendBool appends to a column of bool.
func (c *Column) AppendBool(v bool) {
	c.b.(*array.BooleanBuilder).Append(v)
	c.bytes++
}

// AppendInt appends to a column of int16, int32 or int64; of date, as days
// since 1970; or of timestamp, as microseconds since 1970 in UTC.
func (c *Column) AppendInt(v int64) {
	c.ints(v)
	c.bytes += 8
}

// AppendTime appends to a column of timestamp; what is below a microsecond is cut off.
func (c *Column) AppendTime(t time.Time) { c.AppendInt(t.UnixMicro()) }

// AppendFloat appends to a column of float32 or float64.
func (c *Column) AppendFloat(v float64) {
	if b, ok := c.b.(*array.Float64Builder); ok {
		b.Append(v)
	} else {
		c.b.(*array.Float32Builder).Append(float32(v))
	}
	c.bytes += 8
}

// AppendBytes appends a copy of v to a column of string, json or bytes. The
// first two must be UTF-8.
func (c *Column) AppendBytes(v []byte) {
	switch b := c.b.(type) {
	case *array.StringBuilder:
		b.BinaryBuilder.Append(v)
	case *array.BinaryBuilder:
		b.Append(v)
	default:
		panic(fmt.Sprintf("BUG: bytes into a column of %s", c.typ))
	}
	c.longest = max(c.longest, len(v))
	c.bytes += int64(len(v)) + 4
}

// AppendDecimal appends the decimal number that s writes, with "." and without
// an exponent. It returns false, and appends nothing, if s is no such number or
// does not fit the column's precision and scale without rounding.
func (c *Column) AppendDecimal(s string) bool {
	p, scale, _ := c.typ.Decimal()
	v, ok := parseDecimal(s, p, scale)
	if ok {
		c.b.(*array.Decimal128Builder).Append(v)
		c.bytes += 16
	}
	return ok
}

func parseDecimal(s string, precision, scale int) (decimal128.Num, bool) {
	neg := false
	if s != "" && (s[0] == '-' || s[0] == '+') {
		neg, s = s[0] == '-', s[1:]
	}
	var (
		v      decimal128.Num
		digits int // significant ones
		after  = -1
		seen   bool
		ten    = decimal128.FromU64(10)
	)
	for i := range len(s) {
		d := s[i]
		if d == '.' && after < 0 {
			after = 0
			continue
		}
		if d < '0' || d > '9' {
			return v, false
		}
		seen = true
		if after >= 0 {
			if after == scale {
				if d != '0' {
					return v, false
				}
				continue
			}
			after++
		}
		if digits > 0 || d != '0' {
			digits++
		}
		if digits > precision {
			return v, false
		}
		v = v.Mul(ten).Add(decimal128.FromU64(uint64(d - '0')))
	}
	for range scale - max(after, 0) {
		if digits > 0 {
			digits++
		}
		if digits > precision {
			return v, false
		}
		v = v.Mul(ten)
	}
	if neg {
		v = v.Negate()
	}
	return v, seen
}

// Record is a number of rows: as many values in each column.
type Record struct {
	rows   int
	bytes  int64
	arrays []arrow.Array
}

// NewRecord takes the values of columns, which all have as many, and leaves the
// columns empty.
func NewRecord(columns []*Column) Record {
	var r Record
	for i, c := range columns {
		if i == 0 {
			r.rows = c.Len()
		} else if c.Len() != r.rows {
			panic(fmt.Sprintf("BUG: column %d has %d values of %d", i, c.Len(), r.rows))
		}
		r.bytes += c.RawBytes()
		r.arrays = append(r.arrays, c.b.NewArray())
		c.longest, c.bytes = 0, 0
	}
	return r
}

// Rows is the number of rows.
func (r Record) Rows() int { return r.rows }

// Release gives up the record's memory; it cannot be used afterwards.
func (r Record) Release() {
	for _, a := range r.arrays {
		a.Release()
	}
}

func arrowType(t wire.LakeType) arrow.DataType {
	switch t {
	case wire.Bool:
		return arrow.FixedWidthTypes.Boolean
	case wire.Int16:
		return arrow.PrimitiveTypes.Int16
	case wire.Int32:
		return arrow.PrimitiveTypes.Int32
	case wire.Int64:
		return arrow.PrimitiveTypes.Int64
	case wire.Float32:
		return arrow.PrimitiveTypes.Float32
	case wire.Float64:
		return arrow.PrimitiveTypes.Float64
	case wire.Timestamp:
		return &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}
	case wire.Date:
		return arrow.FixedWidthTypes.Date32
	case wire.String, wire.JSON:
		return arrow.BinaryTypes.String
	case wire.Bytes:
		return arrow.BinaryTypes.Binary
	}
	if p, s, ok := t.Decimal(); ok {
		return &arrow.Decimal128Type{Precision: int32(p), Scale: int32(s)} //nolint:gosec // at most 38
	}
	panic(fmt.Sprintf("BUG: unknown lake type %q", t))
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
