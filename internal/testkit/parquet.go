package testkit

import (
	"bytes"
	"fmt"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// ParquetRows reads a file with parquet-go, which shares no code with what has
// written it: names of columns and their values, without NULLs. Timestamps and
// dates are times in UTC, decimals their text, and bytes of a string type are
// strings.
func ParquetRows(tb testing.TB, b []byte) []map[string]any {
	tb.Helper()
	f, err := parquet.OpenFile(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		tb.Fatal(err)
	}
	columns := f.Root().Columns()
	var out []map[string]any
	for _, group := range f.RowGroups() {
		rows := make([]parquet.Row, group.NumRows())
		reader := group.Rows()
		for n := 0; n < len(rows); {
			more, err := reader.ReadRows(rows[n:])
			for i := range rows[n : n+more] {
				rows[n+i] = rows[n+i].Clone() // the reader keeps its pages
			}
			n += more
			if more == 0 {
				tb.Fatalf("row %d of %d: %v", n, len(rows), err)
			}
		}
		if err := reader.Close(); err != nil {
			tb.Fatal(err)
		}
		for _, r := range rows {
			m := make(map[string]any, len(columns))
			for _, v := range r {
				if c := columns[v.Column()]; !v.IsNull() {
					m[c.Name()] = parquetValue(c, v)
				}
			}
			out = append(out, m)
		}
	}
	return out
}

func parquetValue(c *parquet.Column, v parquet.Value) any {
	var logical any
	if t := c.Type().LogicalType(); t != nil {
		logical = t.Value
	}
	switch t := logical.(type) {
	case *format.DateType:
		return time.Unix(int64(v.Int32())*86400, 0).UTC()
	case *format.TimestampType:
		if _, micros := t.Unit.Value.(*format.MicroSeconds); !micros || !t.IsAdjustedToUTC {
			panic(fmt.Sprintf("column %s: the lake has no timestamps of type %s", c.Name(), t))
		}
		return time.UnixMicro(v.Int64()).UTC()
	case *format.DecimalType:
		return decimalText(v.ByteArray(), int(t.Scale))
	case *format.IntType:
		if t.BitWidth == 16 {
			return int16(v.Int32()) //nolint:gosec // the file says that it fits
		}
	case *format.StringType:
		return string(v.ByteArray())
	}
	switch v.Kind() {
	case parquet.Boolean:
		return v.Boolean()
	case parquet.Int32:
		return v.Int32()
	case parquet.Int64:
		return v.Int64()
	case parquet.Float:
		return v.Float()
	case parquet.Double:
		return v.Double()
	case parquet.ByteArray:
		return slices.Clone(v.ByteArray())
	case parquet.Int96, parquet.FixedLenByteArray:
	}
	panic(fmt.Sprintf("column %s: the lake has no values of kind %s", c.Name(), v.Kind()))
}

// decimalText reads a big-endian number in two's complement.
func decimalText(b []byte, scale int) string {
	n := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	return new(big.Rat).SetFrac(n, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)).FloatString(scale)
}
