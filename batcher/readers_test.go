//go:build cgo

package batcher_test

import (
	"cmp"
	"database/sql"
	"fmt"
	"math"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/duckdb/duckdb-go/v2"
	gocmp "github.com/google/go-cmp/cmp"

	"github.com/millstream-data/millstream/internal/testkit"
)

type row map[string]any

// files writes the committed files of a table, or of all for "", to a folder and
// returns their paths by table, in the order of chains and offsets.
func (w *world) files(table string) map[string][]string {
	w.t.Helper()
	dir := w.t.TempDir()
	ids, err := w.lake.Chains(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	out, n := map[string][]string{}, 0
	for _, id := range ids {
		commits, err := w.chain(id.Topic, id.Partition)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, c := range commits {
			for _, f := range c.Files {
				if table != "" && f.Table != table {
					continue
				}
				b, err := w.lake.Store.Get(w.t.Context(), f.Key)
				if err != nil {
					w.t.Fatal(err)
				}
				n++
				path := filepath.Join(dir, strconv.Itoa(n)+".parquet")
				if err := os.WriteFile(path, b, 0o600); err != nil {
					w.t.Fatal(err)
				}
				out[f.Table] = append(out[f.Table], path)
			}
		}
	}
	return out
}

// rows reads a table's committed files with DuckDB, as any reader of the lake
// would: in the order of partition and offset. parquet-go must agree.
func (w *world) rows(table string) []row {
	w.t.Helper()
	files := w.files(table)[table]
	if len(files) == 0 {
		return nil
	}
	w.sameToBoth(files)
	return query(w.t, duckRows(files))
}

func duckRows(files []string) string {
	return "SELECT * FROM read_parquet(['" + strings.Join(files, "','") + "'], union_by_name=true, hive_partitioning=false) ORDER BY _partition, _offset"
}

// sameToBoth compares what DuckDB and parquet-go read in a table's files, and
// returns their rows in the order of the files.
func (w *world) sameToBoth(files []string) (rows []map[string]any) {
	w.t.Helper()
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			w.t.Fatal(err)
		}
		rows = append(rows, testkit.ParquetRows(w.t, b)...)
	}
	sorted := slices.SortedStableFunc(slices.Values(rows), func(a, b map[string]any) int {
		return cmp.Or(cmp.Compare(a["_partition"].(int64), b["_partition"].(int64)), cmp.Compare(a["_offset"].(int64), b["_offset"].(int64)))
	})
	duck := query(w.t, duckRows(files))
	if len(duck) != len(rows) {
		w.t.Errorf("%s: %d rows to DuckDB, %d to parquet-go", files, len(duck), len(rows))
		return rows
	}
	for i, r := range duck {
		for name, v := range r {
			if d, ok := v.(duckdb.Decimal); ok {
				r[name] = new(big.Rat).SetFrac(d.Value, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(d.Scale)), nil)).FloatString(int(d.Scale))
			}
		}
		if diff := gocmp.Diff(map[string]any(r), sorted[i], gocmp.Comparer(sameFloat)); diff != "" {
			w.t.Errorf("row %d (-DuckDB +parquet-go):\n%s", i, diff)
		}
	}
	return rows
}

// sameFloat tells 0 from -0, and takes every NaN for the same.
func sameFloat(a, b float64) bool {
	return math.Float64bits(a) == math.Float64bits(b) || math.IsNaN(a) && math.IsNaN(b)
}

func query(t *testing.T, statement string) []row {
	t.Helper()
	db, err := sql.Open("duckdb", "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	res, err := db.QueryContext(t.Context(), statement)
	if err != nil {
		t.Fatal(fmt.Errorf("%s: %w", statement, err))
	}
	defer res.Close()
	names, err := res.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var out []row
	for res.Next() {
		values, at := make([]any, len(names)), make([]any, len(names))
		for i := range values {
			at[i] = &values[i]
		}
		if err := res.Scan(at...); err != nil {
			t.Fatal(err)
		}
		r := row{}
		for i, n := range names {
			if values[i] != nil {
				r[n] = values[i]
			}
		}
		out = append(out, r)
	}
	if err := res.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}
