//go:build cgo

package loader

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/millstream-data/millstream/batcher/compact"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/objstore"
	"github.com/millstream-data/millstream/internal/parquetout"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/wire"
)

// A compaction changes no load: not of what is loaded, not of what is yet to be
// loaded, whose files gc leaves until then.
func TestCompactionChangesNoLoad(t *testing.T) {
	t.Parallel()
	k := setup(t)
	w := k.tenure(k.loader(k.client))
	cols := eventColumns(col("n", wire.Int64))
	k.eventsSchema("app.tracks", cols)
	for range 3 {
		k.commit(0, table{name: "app.tracks", columns: cols, rows: events(2)})
	}
	k.wave(w)
	loads := k.query("SELECT * FROM millstream.loads ORDER BY 1")
	for range 3 { // of the same hour; the loader has not seen them yet
		k.commit(0, table{name: "app.tracks", columns: cols, rows: events(2)})
	}
	replaced := k.compact()
	if replaced != 6 {
		t.Fatalf("%d files were replaced", replaced)
	}
	k.collect()
	if again := k.query("SELECT * FROM millstream.loads ORDER BY 1"); len(again) != len(loads) {
		t.Errorf("loads before %v, after %v", loads, again)
	}
	k.wave(w)
	if got := k.one("SELECT COUNT(*) || '|' || COUNT(DISTINCT id) FROM app.tracks"); got != "12|12" {
		t.Errorf("rows and ids: %s", got)
	}
	w.lowWritten = w.lowWritten.Add(-lowWaterEvery)
	k.wave(w)
	if got := k.one("SELECT COUNT(*) FROM app.tracks"); got != "12" {
		t.Errorf("rows after another wave: %s", got)
	}
	k.collect()
	objects, _, err := k.lake.Objects(t.Context(), "app", "tracks", "2026-11-21")
	if err != nil || len(objects) != 1 {
		t.Errorf("%d objects are left of what is replaced and loaded, %v", len(objects), err)
	}
}

// eventsSchema puts the schema of a table of events, as a batcher does.
func (k *kit) eventsSchema(name string, columns wire.Columns) {
	k.t.Helper()
	s := lake.Schema{V: 1, Table: name, Version: len(columns), Kind: lake.SchemaEvents, CreatedAt: lake.Time{Time: k.now}}
	for _, c := range columns {
		s.Columns = append(s.Columns, lake.SchemaColumn{Name: c.Name, Type: c.Type, Since: 1})
	}
	if err := k.lake.CreateSchema(k.t.Context(), s); err != nil && !errors.Is(err, objstore.ErrExists) {
		k.t.Fatal(err)
	}
}

// compact rewrites what it can and returns how many files were replaced.
func (k *kit) compact() (replaced int) {
	k.t.Helper()
	o := compact.Options{MinFiles: 1, Small: 16 << 20, MaxBytes: 100 << 20, Parquet: parquetout.DefaultOptions(), Dir: filepath.Join(k.t.TempDir(), "spool")}
	c := compact.New(o, compact.Deps{Lake: k.lake, Log: testkit.Log(k.t)})
	if err := c.Round(k.t.Context(), compact.Scope{}, k.now.Add(24*time.Hour), func(r compact.Result) { replaced += r.Replaced }); err != nil {
		k.t.Fatal(err)
	}
	return replaced
}

// collect removes all garbage that the loader has no use for.
func (k *kit) collect() {
	k.t.Helper()
	g := lake.GC{Lake: k.lake, RespectLoader: true, Delete: true, Now: time.Now().Add(time.Minute)}
	r, err := g.Run(k.t.Context(), func(lake.Garbage) {})
	if err != nil || len(r.Problems) > 0 {
		k.t.Fatal(r.Problems, err)
	}
}
