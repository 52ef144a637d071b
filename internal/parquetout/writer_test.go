package parquetout

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/decimal128"
	"github.com/apache/arrow/go/v15/parquet/file"

	"github.com/millstream-data/millstream/internal/testkit/golden"
	"github.com/millstream-data/millstream/internal/wire"
)

var testColumns = wire.Columns{
	{Name: "id", Type: wire.String},
	{Name: "at", Type: wire.Timestamp},
	{Name: "ok", Type: wire.Bool},
	{Name: "i16", Type: wire.Int16},
	{Name: "i32", Type: wire.Int32},
	{Name: "i64", Type: wire.Int64},
	{Name: "f32", Type: wire.Float32},
	{Name: "f64", Type: wire.Float64},
	{Name: "day", Type: wire.Date},
	{Name: "doc", Type: wire.JSON},
	{Name: "raw", Type: wire.Bytes},
	{Name: "price", Type: wire.Decimal(18, 2)},
}

// fill makes a record of n rows; every seventh value is null.
func fill(columns wire.Columns, from, n int) Record {
	cols := make([]*Column, len(columns))
	for i, c := range columns {
		cols[i] = NewColumn(c.Type)
		for row := from; row < from+n; row++ {
			if (row+i)%7 == 0 {
				cols[i].AppendNulls(1)
				continue
			}
			appendValue(cols[i], row)
		}
	}
	return NewRecord(cols)
}

func appendValue(c *Column, row int) {
	switch c.Type() {
	case wire.Bool:
		c.AppendBool(row%2 == 0)
	case wire.Float32, wire.Float64:
		c.AppendFloat(float64(row) * 1.25)
	case wire.String, wire.Bytes:
		c.AppendBytes(fmt.Appendf(nil, "value-%d-%d", row, row*7919))
	case wire.JSON:
		c.AppendBytes(fmt.Appendf(nil, `{"n":%d}`, row%50))
	case wire.Decimal(18, 2):
		c.AppendDecimal(fmt.Sprintf("%d.%02d", row, row%100))
	default:
		c.AppendInt(int64(row % 30_000))
	}
}

func write(t *testing.T, o Options, records, rows int) (string, Footer) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "f.parquet")
	w, err := Create(path, testColumns, o)
	if err != nil {
		t.Fatal(err)
	}
	for i := range records {
		if err := w.Append(fill(testColumns, i*rows, rows)); err != nil {
			t.Fatal(err)
		}
	}
	w.SetMeta("millstream.v", "1")
	foot, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return path, foot
}

// flaky fails the n-th write, counted from one, and only that one.
type flaky struct {
	w    io.Writer
	n    int
	seen int
}

var errFlaky = errors.New("disk said no")

func (f *flaky) Write(b []byte) (int, error) {
	if f.seen++; f.seen == f.n {
		return 0, errFlaky
	}
	return f.w.Write(b)
}

func TestTransientWriteErrorNeverLosesRows(t *testing.T) {
	t.Parallel()
	o := DefaultOptions()
	o.RowGroupRows = 200
	attempt := func(failAt int) (writes int, err error) {
		path := filepath.Join(t.TempDir(), "f.parquet")
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		out := &flaky{w: f, n: failAt}
		w := &Writer{path: path, columns: testColumns, options: o, f: f}
		if err := w.begin(out); err != nil {
			w.Abort()
			return out.seen, err
		}
		for i := range 5 {
			_ = w.Append(fill(testColumns, i*100, 100)) // as a caller that looks at Finish alone
		}
		_, err = w.Finish()
		if _, statErr := os.Stat(path); (err == nil) != (statErr == nil) {
			t.Errorf("write %d: finish says %v, the file %v", failAt, err, statErr)
		}
		return out.seen, err
	}
	writes, err := attempt(0)
	if err != nil {
		t.Fatalf("without a fault: %v", err)
	}
	for n := 1; n <= writes; n++ {
		if _, err := attempt(n); !errors.Is(err, errFlaky) && (err == nil || n > 1) {
			t.Errorf("error at write %d of %d: finish returned %v", n, writes, err)
		}
	}
}

func TestHeaderErrorIsAnError(t *testing.T) {
	t.Parallel()
	w := &Writer{path: "x", columns: testColumns, options: DefaultOptions()}
	if err := w.begin(&flaky{w: io.Discard, n: 1}); err == nil {
		t.Error("no error")
	}
}

func TestWriterLeavesFileOpen(t *testing.T) {
	t.Parallel()
	var w any = newSink(io.Discard)
	if _, closes := w.(io.Closer); closes {
		t.Error("the library would close the sink")
	}
}

func TestOtherCompressionsVerifyAsWell(t *testing.T) {
	t.Parallel()
	for _, c := range []Compression{Gzip, Zstd} {
		o := DefaultOptions()
		o.Compression = c
		path, foot := write(t, o, 3, 100)
		if err := verify(path, testColumns, 300, foot.Bytes); err != nil || foot.Rows != 300 {
			t.Errorf("%s: %d rows, %v", c, foot.Rows, err)
		}
	}
}

func TestErrorStays(t *testing.T) {
	t.Parallel()
	w, err := Create(filepath.Join(t.TempDir(), "f"), testColumns, DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	w.Abort()
	if err := w.Append(fill(testColumns, 0, 1)); err == nil {
		t.Error("append after abort: no error")
	}
	if _, err := w.Finish(); err == nil {
		t.Error("finish after abort: no error")
	}
}

func TestTruncatedFileDoesNotVerify(t *testing.T) {
	t.Parallel()
	path, foot := write(t, DefaultOptions(), 2, 50)
	if err := verify(path, testColumns, foot.Rows+1, foot.Bytes); !errors.Is(err, ErrVerify) {
		t.Errorf("a row too few: %v", err)
	}
	if err := verify(path, testColumns[1:], foot.Rows, foot.Bytes); !errors.Is(err, ErrVerify) {
		t.Errorf("another schema: %v", err)
	}
	for i, c := range testColumns {
		for _, typ := range []wire.LakeType{wire.Bool, wire.Int16, wire.Int32, wire.Int64, wire.Float32, wire.Float64, wire.Timestamp, wire.Date, wire.String, wire.Bytes, wire.Decimal(18, 3), wire.Decimal(9, 2)} {
			other := slices.Clone(testColumns)
			other[i].Type = typ
			same := typ == c.Type || typ == wire.String && c.Type == wire.JSON
			if err := verify(path, other, foot.Rows, foot.Bytes); errors.Is(err, ErrVerify) == same {
				t.Errorf("column %s of %s taken for %s: %v", c.Name, c.Type, typ, err)
			}
		}
	}
	if err := os.Truncate(path, foot.Bytes-1); err != nil {
		t.Fatal(err)
	}
	if err := verify(path, testColumns, foot.Rows, foot.Bytes); !errors.Is(err, ErrVerify) {
		t.Errorf("a byte too few: %v", err)
	}
}

func TestGoldenMetadata(t *testing.T) {
	t.Parallel()
	o := DefaultOptions()
	o.Plain = []string{"id"}
	path, _ := write(t, o, 1, 100)
	r, err := file.OpenParquetFile(path, false)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var b strings.Builder
	fmt.Fprintf(&b, "version %s\n", r.MetaData().Version())
	for i := range r.MetaData().Schema.NumColumns() {
		c := r.MetaData().Schema.Column(i)
		chunk, err := r.MetaData().RowGroup(0).ColumnChunk(i)
		if err != nil {
			t.Fatal(err)
		}
		stats, err := chunk.Statistics()
		if err != nil || stats == nil {
			t.Fatalf("column %s: no statistics: %v", c.Name(), err)
		}
		fmt.Fprintf(&b, "%s, max definition %d, %s, %v, %d nulls, from %x to %x\n", describe(c), c.MaxDefinitionLevel(),
			chunk.Compression(), chunk.Encodings(), stats.NullCount(), stats.EncodeMin(), stats.EncodeMax())
	}
	kv := r.MetaData().KeyValueMetadata()
	fmt.Fprintf(&b, "metadata %v %v\n", kv.Keys(), kv.Values())
	golden.Equal(t, "testdata/metadata.golden", []byte(b.String()))
}

// A first file is estimated by the default ratio until its first row group is
// written, a later one by that of the table's last file.
func TestEstimateWithinThirtyPercent(t *testing.T) {
	t.Parallel()
	_, first := write(t, DefaultOptions(), 8, 2000)
	t.Run("known table", func(t *testing.T) {
		t.Parallel()
		o := DefaultOptions()
		o.Ratio = first.Ratio
		estimate(t, o)
	})
	t.Run("new table", func(t *testing.T) {
		t.Parallel()
		o := DefaultOptions()
		o.RowGroupRows = 4000
		estimate(t, o)
	})
	t.Run("gzip", func(t *testing.T) {
		t.Parallel()
		o := DefaultOptions()
		o.Compression, o.RowGroupRows = Gzip, 8000
		estimate(t, o)
	})
}

func estimate(t *testing.T, o Options) {
	t.Helper()
	w, err := Create(filepath.Join(t.TempDir(), "f"), testColumns, o)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 12 {
		if err := w.Append(fill(testColumns, i*2000, 2000)); err != nil {
			t.Fatal(err)
		}
	}
	estimate := w.EstimatedBytes()
	foot, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	if r := float64(estimate) / float64(foot.Bytes); r < 0.7 || r > 1.3 {
		t.Errorf("estimated %d bytes of %d", estimate, foot.Bytes)
	}
}

func TestDecimals(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"0": "0.00", "12.3": "12.30", "-0.01": "-0.01", "123": "123.00", "1.10000": "1.10", "+5": "5.00",
		"1.005": "", "12345.00": "", "": "", "-": "", ".": "", "1e2": "", "NaN": "", "1.2.3": "", "9999.99": "", "999.99": "999.99",
	} {
		v, ok := parseDecimal(in, 5, 2)
		got := ""
		if ok {
			got = decimal128.New(int64(v.hi), v.lo).ToString(2)
		}
		if got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	w, err := Create(filepath.Join(b.TempDir(), "f"), testColumns, DefaultOptions())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := w.Append(fill(testColumns, rand.IntN(1000), 8192)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(w.Rows())/b.Elapsed().Seconds(), "rows/s")
	w.Abort()
}
