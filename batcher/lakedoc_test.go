//go:build cgo

package batcher_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/millstream-data/millstream/batcher/compact"
	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/wire"
)

// The statements for DuckDB in docs/lake.md work as they stand, but for where
// the bucket is: the test has it as a folder.
func TestLakeDocExamples(t *testing.T) {
	w := setup(t)
	w.start(quick(t))
	w.send(0, w.tracks(5)...)
	o := w.mirror("orders", []event.TableColumn{{Name: "id", Origin: "bigint", Form: event.FormNumber, Lake: "int64", Warehouse: "BIGINT", Key: 1}})
	o.mark(wire.KindSchema, o.schema)
	for _, object := range []string{`{"id":1}`, `{"id":2}`, `{"id":1}`} {
		o.change(event.OpRead, object)
	}
	o.change(event.OpDelete, `{"id":2}`)
	w.until(w.names.Events(), 0, 5)
	w.until(o.topic, 0, 5)

	page, err := os.ReadFile("../docs/lake.md")
	if err != nil {
		t.Fatal(err)
	}
	before, after := w.copyBucket(), w.compacted()
	want := map[string]int{"QUALIFY": 1, "WHERE dt =": 1, "SET VARIABLE": 1, "/_compact/": 5} // rows of each example
	for _, m := range regexp.MustCompile("(?s)```sql\n(.*?)```").FindAllSubmatch(page, -1) {
		statement := string(m[1])
		for mark, rows := range want {
			if !strings.Contains(statement, mark) {
				continue
			}
			delete(want, mark)
			dir := before
			if mark == "/_compact/" {
				dir = after
			}
			statement = strings.ReplaceAll(statement, "s3://lake/", dir+"/")
			statement = regexp.MustCompile(`(?m)^(INSTALL|CREATE SECRET).*\n`).ReplaceAllString(statement, "")
			if got := run(t, statement); got != rows {
				t.Errorf("%s\ngave %d rows, want %d", statement, got, rows)
			}
		}
	}
	if len(want) > 0 {
		t.Errorf("docs/lake.md has no example with %v", want)
	}
}

// compacted compacts the lake, removes what was replaced and returns a folder
// with the bucket's objects.
func (w *world) compacted() string {
	w.t.Helper()
	o := quick(w.t).CompactOptions(filepath.Join(w.t.TempDir(), "spool"))
	o.MinFiles = 0
	c := compact.New(o, compact.Deps{Lake: w.lake, Log: testkit.Log(w.t)})
	if err := c.Round(w.t.Context(), compact.Scope{}, day.Add(24*time.Hour), func(compact.Result) {}); err != nil {
		w.t.Fatal(err)
	}
	if w.collect() == 0 {
		w.t.Fatal("nothing was replaced")
	}
	return w.copyBucket()
}

// copyBucket returns a folder with the bucket's objects.
func (w *world) copyBucket() string {
	w.t.Helper()
	dir := w.t.TempDir()
	all, err := w.lake.Store.List(w.t.Context(), "", "", 0)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, o := range all {
		b, err := w.lake.Store.Get(w.t.Context(), o.Key)
		if err != nil {
			w.t.Fatal(err)
		}
		path := filepath.Join(dir, o.Key)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			w.t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	if len(all) == 0 {
		w.t.Fatalf("the bucket %s is empty", testkit.Bucket)
	}
	return dir
}

// run executes statements on one connection and returns the last one's number of rows.
func run(t *testing.T, statements string) (rows int) {
	t.Helper()
	db, err := sql.Open("duckdb", "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	parts := strings.Split(strings.TrimSpace(statements), ";\n")
	for i, s := range parts {
		if i < len(parts)-1 {
			if _, err := db.ExecContext(t.Context(), s); err != nil {
				t.Fatalf("%s: %v", s, err)
			}
			continue
		}
		res, err := db.QueryContext(t.Context(), strings.TrimSuffix(s, ";"))
		if err != nil {
			t.Fatalf("%s: %v", s, err)
		}
		defer res.Close()
		for res.Next() {
			rows++
		}
		if err := res.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return rows
}
