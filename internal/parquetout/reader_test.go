package parquetout

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millstream-data/millstream/internal/wire"
)

// readAll copies a file's rows, some at a time, to columns.
func readAll(t *testing.T, path string, read, into wire.Columns, rnd *rand.Rand) []*Column {
	t.Helper()
	r, err := Open(path, read)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	out := make([]*Column, len(into))
	for i, c := range into {
		out[i] = NewColumn(c.Type)
	}
	for {
		n, err := r.Len()
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return out
		}
		r.CopyTo(out, 1+rnd.IntN(n))
	}
}

func TestSkippedRowsAreNotCopied(t *testing.T) {
	t.Parallel()
	path, _ := write(t, DefaultOptions(), 1, 300)
	want := fill(testColumns, 100, 200).columns
	r, err := Open(path, testColumns)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if n, err := r.Len(); err != nil || n != 300 {
		t.Fatal(n, err)
	}
	r.Skip(100)
	out := make([]*Column, len(testColumns))
	for i, c := range testColumns {
		out[i] = NewColumn(c.Type)
	}
	r.CopyTo(out, 200)
	sameColumns(t, testColumns, want, out)
	if _, err := r.Ints(5); err == nil || !strings.Contains(err.Error(), "a row has no i64") {
		t.Errorf("a column with nulls: %v", err)
	}
}

func sameColumns(t *testing.T, columns wire.Columns, want, got []*Column) {
	t.Helper()
	for i, c := range columns {
		a, b := want[i], got[i]
		if !slices.Equal(a.levels, b.levels) || !slices.Equal(a.bools, b.bools) || !slices.Equal(a.ints, b.ints) ||
			!slices.Equal(a.floats, b.floats) || !bytes.Equal(a.bytes, b.bytes) || !slices.Equal(a.ends, b.ends) || a.longest != b.longest {
			t.Errorf("column %s is not what was written: %d values of %d", c.Name, b.Len(), a.Len())
		}
	}
}

func TestReaderReturnsWhatWasAppended(t *testing.T) {
	t.Parallel()
	for _, compression := range []Compression{Snappy, Gzip} {
		o := DefaultOptions()
		o.RowGroupRows, o.Compression = 3000, compression
		path, _ := write(t, o, 7, 1500)
		rnd := rand.New(rand.NewPCG(1, 2))
		want := fill(testColumns, 0, 7*1500).columns
		sameColumns(t, testColumns, want, readAll(t, path, testColumns, testColumns, rnd))
		some := wire.Columns{testColumns[5], testColumns[0]}
		sameColumns(t, some, []*Column{want[5], want[0]}, readAll(t, path, some, some, rnd))
	}
}

// Values are views of pages in the library; a batch goes over many of them here.
func TestValuesSurviveTheEndOfTheirPage(t *testing.T) {
	t.Parallel()
	columns := wire.Columns{{Name: "long", Type: wire.String}, {Name: "few", Type: wire.JSON}}
	rnd := rand.New(rand.NewPCG(3, 4))
	path := filepath.Join(t.TempDir(), "f.parquet")
	w, err := Create(path, columns, DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	want := []*Column{NewColumn(wire.String), NewColumn(wire.JSON)}
	for range 4 {
		cols := []*Column{NewColumn(wire.String), NewColumn(wire.JSON)}
		for range 500 {
			long := strings.Repeat(fmt.Sprint(rnd.Uint64()), 1+rnd.IntN(1500))
			for _, c := range [][]*Column{want, cols} {
				c[0].AppendString(long)
				c[1].AppendString(long[:3])
			}
		}
		if err := w.Append(NewRecord(cols)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	sameColumns(t, columns, want, readAll(t, path, columns, columns, rnd))
}

func TestColumnsThatAFileLacksBecomeNulls(t *testing.T) {
	t.Parallel()
	path, _ := write(t, DefaultOptions(), 1, 100)
	more := append(slices.Clone(testColumns), wire.Column{Name: "later", Type: wire.String})
	got := readAll(t, path, testColumns, more, rand.New(rand.NewPCG(5, 6)))
	if last := got[len(testColumns)]; last.Len() != 100 || len(last.ends) != 0 {
		t.Errorf("%d values, %d not null", last.Len(), len(last.ends))
	}
}

func TestReaderTellsWhatTheFileIs(t *testing.T) {
	t.Parallel()
	path, foot := write(t, DefaultOptions(), 2, 10)
	r, err := Open(path, testColumns[5:6])
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if n, err := r.Len(); err != nil || n != 20 || r.Rows() != foot.Rows || r.Meta("millstream.v") != "1" || r.Meta("none") != "" {
		t.Errorf("%d rows of %d, v %q, %v", n, r.Rows(), r.Meta("millstream.v"), err)
	}
	if names := r.Names(); len(names) != len(testColumns) || names[0] != "id" {
		t.Errorf("columns %v", names)
	}
	for want, c := range map[string]wire.Column{
		"there is no column none":       {Name: "none", Type: wire.String},
		"column id is no int64":         {Name: "id", Type: wire.Int64},
		"column at is no int64":         {Name: "at", Type: wire.Int64},
		"column price is no decimal":    {Name: "price", Type: wire.Decimal(18, 3)},
		"column i32 is no int16, but":   {Name: "i32", Type: wire.Int16},
		"column raw is no string, but ": {Name: "raw", Type: wire.String},
	} {
		if r, err := Open(path, wire.Columns{c}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", c, err, want)
			_ = r.Close()
		}
	}
}

func TestDamagedFileIsAnErrorAndNoPanic(t *testing.T) {
	t.Parallel()
	path, foot := write(t, DefaultOptions(), 1, 500)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(7, 8))
	noticed := 0
	for range 200 {
		bad := bytes.Clone(good)
		for range 8 {
			bad[rnd.IntN(len(bad))] ^= byte(1 + rnd.IntN(255))
		}
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if read(path) != foot.Rows {
			noticed++
		}
	}
	if noticed < 20 {
		t.Errorf("%d of 200 damaged files were noticed", noticed)
	}
}

// read counts the rows that can be read.
func read(path string) (rows int64) {
	r, err := Open(path, testColumns)
	if err != nil {
		return -1
	}
	defer r.Close()
	for {
		n, err := r.Len()
		if err != nil {
			return -1
		}
		if n == 0 {
			return rows
		}
		out := make([]*Column, len(testColumns))
		for i, c := range testColumns {
			out[i] = NewColumn(c.Type)
		}
		r.CopyTo(out, n)
		rows += int64(n)
	}
}
