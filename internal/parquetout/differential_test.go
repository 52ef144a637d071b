//go:build cgo

package parquetout

import (
	"bytes"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/duckdb/duckdb-go/v2"

	"github.com/millstream-data/millstream/internal/wire"
)

// trial is a file of random columns and what was written to it.
type trial struct {
	rnd     *rand.Rand
	columns wire.Columns
	kinds   []func() any // by column: its next value
	values  [][]any      // by column; nil is null
	path    string
}

// TestDifferentialParquet writes random columns, row counts, null patterns and
// strings, and lets DuckDB find them: every value, and the right rows where it
// skips row groups by their statistics.
func TestDifferentialParquet(t *testing.T) {
	t.Parallel()
	db, err := sql.Open("duckdb", "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for seed := range uint64(8) {
		tr := newTrial(seed, filepath.Join(t.TempDir(), "f.parquet"))
		foot := tr.write(t)
		var told int
		if err := db.QueryRow(fmt.Sprintf("SELECT count(stats_distinct_count) FROM parquet_metadata('%s')", tr.path)).Scan(&told); err != nil || told > 0 {
			t.Errorf("seed %d: %d columns tell how many distinct values they have, which nobody counts: %v", seed, told, err)
		}
		for i, c := range tr.columns {
			if err := tr.compare(db, i); err != nil {
				t.Fatalf("seed %d: column %s (%s) of %d rows in %d row groups: %v", seed, c.Name, c.Type, foot.Rows, foot.RowGroups, err)
			}
		}
	}
}

func newTrial(seed uint64, path string) *trial {
	tr := &trial{rnd: rand.New(rand.NewPCG(seed, 15)), path: path}
	types := []wire.LakeType{
		wire.Bool, wire.Int16, wire.Int32, wire.Int64, wire.Float64, wire.Timestamp, wire.Date, wire.String, wire.String, wire.JSON, wire.Bytes,
		wire.Decimal(5, 2), wire.Decimal(38, 10),
	}
	for i := range 1 + tr.rnd.IntN(12) {
		typ := types[tr.rnd.IntN(len(types))]
		tr.columns = append(tr.columns, wire.Column{Name: fmt.Sprintf("c%d", i), Type: typ})
		tr.kinds = append(tr.kinds, tr.kind(typ))
	}
	tr.values = make([][]any, len(tr.columns))
	return tr
}

// kind makes a source of values: few or many different ones, nulls seldom, often or always.
func (tr *trial) kind(typ wire.LakeType) func() any {
	distinct := []int{1, 5, 300, 1 << 30}[tr.rnd.IntN(4)]
	nulls := []float64{0, 0.1, 0.97, 1}[tr.rnd.IntN(4)]
	long := tr.rnd.IntN(4) == 0
	return func() any {
		if tr.rnd.Float64() < nulls {
			return nil
		}
		n := int64(tr.rnd.IntN(distinct)) - int64(distinct/2)
		switch typ {
		case wire.Bool:
			return n%2 == 0
		case wire.Int16, wire.Int32, wire.Date:
			return n % 30_000
		case wire.Float64:
			return float64(n) / 8
		case wire.Int64, wire.Timestamp:
			return n * 1_000_003
		case wire.String, wire.JSON, wire.Bytes:
			return tr.text(n, long)
		default:
			return fmt.Sprintf("%d.%02d", n%1000, (n*n)%100)
		}
	}
}

func (tr *trial) text(n int64, long bool) string {
	s := []string{"", "é%d", "\u007f\u0080%d", "\U0010ffff%d", "plain %d", "%d"}[uint64(n)%6] //nolint:gosec // any of them
	if strings.Contains(s, "%") {
		s = fmt.Sprintf(s, n)
	}
	if long && tr.rnd.IntN(500) == 0 {
		s += strings.Repeat("x", tr.rnd.IntN(65_535-len(s)))
	}
	return s
}

func (tr *trial) write(t *testing.T) Footer {
	t.Helper()
	o := DefaultOptions()
	o.RowGroupRows = MinRowGroup * (1 + tr.rnd.Int64N(3))
	o.RowGroupBytes = 1 << (12 + tr.rnd.IntN(12))
	if tr.rnd.IntN(2) == 0 {
		o.Plain = []string{"c0"}
	}
	w, err := Create(tr.path, tr.columns, o)
	if err != nil {
		t.Fatal(err)
	}
	cols := make([]*Column, len(tr.columns))
	for i, c := range tr.columns {
		cols[i] = NewColumn(c.Type)
	}
	for range 1 + tr.rnd.IntN(5) {
		for range tr.rnd.IntN(MinRowGroup) {
			for i, c := range cols {
				v := tr.kinds[i]()
				tr.values[i] = append(tr.values[i], v)
				put(c, v)
			}
		}
		if err := w.Append(NewRecord(cols)); err != nil {
			t.Fatal(err)
		}
		if tr.rnd.IntN(3) == 0 {
			if err := w.FlushRowGroup(); err != nil {
				t.Fatal(err)
			}
		}
	}
	foot, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return foot
}

func put(c *Column, v any) {
	switch v := v.(type) {
	case nil:
		c.AppendNulls(1)
	case bool:
		c.AppendBool(v)
	case float64:
		c.AppendFloat(v)
	case int64:
		c.AppendInt(v)
	case string:
		if c.Type() == wire.String || c.Type() == wire.JSON || c.Type() == wire.Bytes {
			c.AppendBytes([]byte(v))
		} else if !c.AppendDecimal(v) {
			panic(v)
		}
	}
}

// compare reads a column back, and the rows that have one of its values.
func (tr *trial) compare(db *sql.DB, i int) error {
	name, values := tr.columns[i].Name, tr.values[i]
	rows, err := db.Query(fmt.Sprintf("SELECT %s FROM read_parquet('%s')", tr.expression(i), tr.path))
	if err != nil {
		return err
	}
	defer rows.Close()
	count := 0
	for ; rows.Next(); count++ {
		var got any
		if err := rows.Scan(&got); err != nil {
			return err
		}
		if count >= len(values) || !same(got, values[count]) {
			return fmt.Errorf("row %d is %.100v", count, got)
		}
	}
	if err := rows.Err(); err != nil || count != len(values) {
		return fmt.Errorf("%d rows of %d: %w", count, len(values), err)
	}
	for range 3 {
		if len(values) == 0 {
			break
		}
		v := values[tr.rnd.IntN(len(values))]
		if v == nil {
			continue
		}
		want := 0
		for _, other := range values {
			if other == v {
				want++
			}
		}
		var got int
		query := fmt.Sprintf("SELECT count(*) FROM read_parquet('%s') WHERE %s = %s", tr.path, name, tr.literal(i, v))
		if err := db.QueryRow(query).Scan(&got); err != nil || got != want {
			return fmt.Errorf("%.200s finds %d rows of %d: %w", query, got, want, err)
		}
	}
	return tr.extremes(db, i)
}

// extremes compares what DuckDB takes from the file's statistics alone.
func (tr *trial) extremes(db *sql.DB, i int) error {
	if tr.columns[i].Type != wire.String && tr.columns[i].Type != wire.Int64 {
		return nil
	}
	var least, greatest any
	nulls := int64(0)
	for _, v := range tr.values[i] {
		switch {
		case v == nil:
			nulls++
			continue
		case least == nil:
			least, greatest = v, v
		case less(v, least):
			least = v
		case less(greatest, v):
			greatest = v
		}
	}
	var gotLeast, gotGreatest, gotNulls any
	err := db.QueryRow(fmt.Sprintf("SELECT min(%[1]s), max(%[1]s), count(*) - count(%[1]s) FROM read_parquet('%[2]s')", tr.columns[i].Name, tr.path)).
		Scan(&gotLeast, &gotGreatest, &gotNulls)
	if err != nil || !same(gotLeast, least) || !same(gotGreatest, greatest) || gotNulls != nulls {
		return fmt.Errorf("from %.80v to %.80v with %v nulls, want %.80v to %.80v with %d: %w", gotLeast, gotGreatest, gotNulls, least, greatest, nulls, err)
	}
	return nil
}

func less(a, b any) bool {
	if a, ok := a.(int64); ok {
		return a < b.(int64)
	}
	return a.(string) < b.(string)
}

// expression makes DuckDB tell a value in the form in which it was appended.
func (tr *trial) expression(i int) string {
	name := tr.columns[i].Name
	switch tr.columns[i].Type {
	case wire.Timestamp:
		return "epoch_us(" + name + ")"
	case wire.Date:
		return "(" + name + " - DATE '1970-01-01')::BIGINT"
	case wire.Int16, wire.Int32:
		return name + "::BIGINT"
	case wire.Decimal(5, 2), wire.Decimal(38, 10):
		return name + "::DECIMAL(38,2)::VARCHAR"
	default:
		return name
	}
}

func (tr *trial) literal(i int, v any) string {
	switch v := v.(type) {
	case int64:
		switch tr.columns[i].Type {
		case wire.Timestamp:
			return fmt.Sprintf("TIMESTAMPTZ '%s'", time.UnixMicro(v).UTC().Format("2006-01-02 15:04:05.999999+00"))
		case wire.Date:
			return fmt.Sprintf("DATE '%s'", time.Unix(v*86400, 0).UTC().Format(time.DateOnly))
		default:
		}
	case string:
		if tr.columns[i].Type == wire.Bytes {
			return "encode('" + v + "')"
		}
		return "'" + v + "'"
	}
	return fmt.Sprint(v)
}

func same(got, want any) bool {
	switch got := got.(type) {
	case []byte:
		w, ok := want.(string)
		return ok && bytes.Equal(got, []byte(w))
	case string:
		w, ok := want.(string)
		return ok && (got == w || strings.TrimPrefix(got, "-") == strings.TrimPrefix(w, "-") && strings.Trim(w, "-0.") == "")
	}
	return got == want
}
