package parquetout

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/metadata"

	"github.com/millstream-data/millstream/internal/wire"
)

// A row group may end early, but no file has many small ones.
func TestRowGroupEndsEarlyButNotSmall(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	w, err := Create(path, testColumns, DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	f := func(rows int, flushed bool) {
		t.Helper()
		if err := w.Append(fill(testColumns, 0, rows)); err != nil {
			t.Fatal(err)
		}
		if err := w.FlushRowGroup(); err != nil {
			t.Fatal(err)
		}
		if gave := w.BufferedBytes() == 0; gave != flushed {
			t.Errorf("%d rows: memory given back: %v", rows, gave)
		}
	}
	f(MinRowGroup, true)
	f(MinRowGroup-1, false)
	f(1, true)
	if err := w.FlushRowGroup(); err != nil { // nothing is open
		t.Fatal(err)
	}
	f(3, false)
	foot, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	if foot.RowGroups != 3 || foot.Rows != 2*MinRowGroup+3 {
		t.Errorf("%d row groups, %d rows", foot.RowGroups, foot.Rows)
	}
	if err := w.FlushRowGroup(); err != nil {
		t.Errorf("after the end: %v", err)
	}
}

// What a record's columns held is theirs to use again once it is released, and
// nothing of the file hangs on it: not its values, not its statistics.
func TestBuildersReleaseAll(t *testing.T) {
	t.Parallel()
	columns := wire.Columns{{Name: "s", Type: wire.String}, {Name: "d", Type: wire.Decimal(9, 0)}}
	path := filepath.Join(t.TempDir(), "f")
	w, err := Create(path, columns, DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	cols := []*Column{NewColumn(wire.String), NewColumn(wire.Decimal(9, 0))}
	for _, from := range []int{500, 100, 900, 300} {
		for i := range 50 {
			cols[0].AppendBytes(fmt.Appendf(nil, "v%03d", from+i))
			cols[1].AppendDecimal(fmt.Sprint(from + i - 500))
		}
		if err := w.Append(NewRecord(cols)); err != nil {
			t.Fatal(err)
		}
		if cols[0].Len() != 0 || cols[0].RawBytes() != 0 || cols[0].Longest() != 0 || cols[1].RawBytes() != 0 {
			t.Fatal("columns are not empty after their record was written")
		}
	}
	if _, err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	r, err := file.OpenParquetFile(path, false)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	stats := func(column int) metadata.TypedStatistics {
		chunk, err := r.MetaData().RowGroup(0).ColumnChunk(column)
		if err != nil {
			t.Fatal(err)
		}
		st, err := chunk.Statistics()
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	if s := stats(0); string(s.EncodeMin()) != "v100" || string(s.EncodeMax()) != "v949" {
		t.Errorf("strings from %q to %q", s.EncodeMin(), s.EncodeMax())
	}
	if s := stats(1); fmt.Sprintf("%x %x", s.EncodeMin(), s.EncodeMax()) != "fffffe70 000001c1" {
		t.Errorf("decimals from %x to %x", s.EncodeMin(), s.EncodeMax())
	}
}

func TestFillingBuildersAllocatesNothing(t *testing.T) {
	cols := make([]*Column, len(testColumns))
	for i, c := range testColumns {
		cols[i] = NewColumn(c.Type)
	}
	text, price := []byte("a text of some length"), wire.Decimal(18, 2)
	fill := func() {
		for range 1000 {
			for _, c := range cols {
				switch c.Type() {
				case wire.Bool:
					c.AppendBool(true)
				case wire.Float32, wire.Float64:
					c.AppendFloat(1.5)
				case wire.String, wire.JSON, wire.Bytes:
					c.AppendBytes(text)
				case price:
					c.AppendDecimal("1234.56")
				default:
					c.AppendInt(7)
				}
			}
		}
		NewRecord(cols).Release()
	}
	if n := testing.AllocsPerRun(20, fill); n > 0 {
		t.Errorf("%v allocations for 1,000 rows", n)
	}
}

// Columns of ever new values are not worth a dictionary, which a file finds out
// and its Footer tells.
func TestDictionaryIsGivenUp(t *testing.T) {
	t.Parallel()
	columns := wire.Columns{{Name: "few", Type: wire.String}, {Name: "new", Type: wire.String}, {Name: "thousands", Type: wire.String}}
	w, err := Create(filepath.Join(t.TempDir(), "f"), columns, DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	cols := []*Column{NewColumn(wire.String), NewColumn(wire.String), NewColumn(wire.String)}
	for group := range 2 {
		for i := range 2 * MinRowGroup {
			cols[0].AppendString(fmt.Sprint(i % 10))
			cols[1].AppendString(fmt.Sprint(group, i))
			cols[2].AppendString(fmt.Sprint(i * 7919 % 5000))
		}
		if err := w.Append(NewRecord(cols)); err != nil {
			t.Fatal(err)
		}
		if err := w.FlushRowGroup(); err != nil {
			t.Fatal(err)
		}
	}
	foot, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	if len(foot.Plain) != 1 || foot.Plain[0] != "new" {
		t.Errorf("without a dictionary: %v", foot.Plain)
	}
}
