//go:build cgo

package loader

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millstream-data/millstream/internal/dedup"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/warehouse"
	"github.com/millstream-data/millstream/internal/wire"
)

// reload is millstream loader reload.
func (k *kit) reload(r Reload) (Reloaded, error) {
	k.t.Helper()
	b := k.byHand()
	b.Lake, b.Dedup, b.Log = k.lake, dedup.DefaultConfig(), testkit.Log(k.t)
	return b.Reload(k.t.Context(), r)
}

func (k *kit) mustReload(r Reload) Reloaded {
	k.t.Helper()
	out, err := k.reload(r)
	if err != nil {
		k.t.Fatal(err)
	}
	return out
}

// notes commits n notes of hour 06, and the schema that a batcher puts.
func (k *kit) notes(n int) {
	k.t.Helper()
	k.eventsSchema("app.notes", noteColumns)
	k.commit(0, table{name: "app.notes", columns: noteColumns, rows: events(n, row{"note": "x"})})
}

func TestReloadBuildsTheTableAnew(t *testing.T) {
	t.Parallel()
	k := setup(t)
	w := k.tenure(k.loader(k.client))
	k.notes(3)
	k.commit(0, table{name: "app.notes", columns: noteColumns, rows: []row{{"id": "twin", "note": "a"}}})
	k.commit(1, table{name: "app.notes", columns: noteColumns, rows: []row{{"id": "twin", "note": "b"}}})
	k.wave(w)
	k.exec("UPDATE app.notes SET note = 'spoilt'")
	k.exec("DELETE FROM app.notes WHERE id = 'm-0-1'")
	k.exec("CREATE VIEW app.late AS SELECT COUNT(*) AS n FROM app.notes WITH NO SCHEMA BINDING")
	out := k.mustReload(Reload{Target: "app.notes"})
	if out.Rows != 5 || out.Inserted != 4 || out.Duplicates != 1 || out.Old != nil {
		t.Errorf("reloaded: %+v", out)
	}
	if got := k.one("SELECT COUNT(*), COUNT(DISTINCT id), SUM(CASE WHEN note = 'spoilt' THEN 1 ELSE 0 END) FROM app.notes"); got != "4|4|0" {
		t.Errorf("notes: %s", got)
	}
	if got := k.query("SELECT target, COUNT(*) FROM millstream.duplicates GROUP BY 1"); !slices.Equal(got, []string{"app.notes|1"}) {
		t.Errorf("duplicates: %v", got)
	}
	if got := k.one("SELECT n FROM app.late"); got != "4" {
		t.Errorf("a late-binding view sees %s rows", got)
	}
	if got := k.query("SELECT table_name FROM svv_tables WHERE table_schema = 'app' AND table_type = 'BASE TABLE'"); !slices.Equal(got, []string{"notes"}) {
		t.Errorf("tables: %v", got)
	}
	k.notes(2)
	k.wave(w) // the loader goes on where it was
	if got := k.one("SELECT COUNT(*), COUNT(DISTINCT id) FROM app.notes"); got != "6|6" {
		t.Errorf("notes after the next load: %s", got)
	}
}

// A table that was dropped is held; reload makes it anew, with what came since.
func TestReloadMendsADroppedTarget(t *testing.T) {
	t.Parallel()
	k := setup(t)
	w := k.tenure(k.loader(k.client))
	k.notes(2)
	k.wave(w)
	k.exec("DROP TABLE app.notes")
	k.notes(3)
	k.commit(1, table{name: "app.notes", columns: noteColumns, rows: events(1)}, table{name: "app.tracks", columns: eventColumns(), rows: events(1)})
	k.wave(w)
	w.lowWritten = time.Time{}
	k.wave(w) // low water passes what is held
	k.mustReload(Reload{Target: "app.notes"})
	if got := k.one("SELECT COUNT(*) FROM millstream.held"); got != "0" {
		t.Errorf("%s are held", got)
	}
	k.notes(4)
	for range 2 {
		w.lowWritten = time.Time{}
		k.wave(w)
	}
	if got := k.one("SELECT COUNT(*), COUNT(DISTINCT id) FROM app.notes"); got != "10|10" {
		t.Errorf("notes: %s, want 10|10", got)
	}
}

func TestReloadOfDaysKeepsTheOthers(t *testing.T) {
	t.Parallel()
	k := setup(t)
	w := k.tenure(k.loader(k.client))
	k.notes(3)
	k.now = time.Date(2026, 11, 22, 1, 0, 0, 0, time.UTC)
	next := table{name: "app.notes", columns: noteColumns, rows: events(2, row{"note": "x"}), change: func(f *lake.File) { f.DT, f.HH = "2026-11-22", "01" }}
	k.commit(0, next)
	k.wave(w)
	k.exec("UPDATE app.notes SET note = 'spoilt'")
	k.exec("ALTER TABLE app.notes ADD COLUMN mine BIGINT")
	day := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	out := k.mustReload(Reload{Target: "app.notes", Days: warehouse.Days{From: day, To: day.AddDate(0, 0, 1)}})
	if out.Inserted != 3 || out.Before != 3 {
		t.Errorf("reloaded: %+v", out)
	}
	if got := k.query("SELECT CAST(received_at AS DATE), note, COUNT(*) FROM app.notes GROUP BY 1, 2 ORDER BY 1"); !slices.Equal(got, []string{"2026-11-21|x|3", "2026-11-22|spoilt|2"}) {
		t.Errorf("notes: %v", got)
	}
	k.commit(0, next)
	k.wave(w)
	if got := k.one("SELECT COUNT(*), COUNT(DISTINCT id) FROM app.notes"); got != "7|7" {
		t.Errorf("notes after the next load: %s", got)
	}
}

// What the loader brings between the listing and the gate is in the new table.
func TestReloadBesideARunningLoader(t *testing.T) {
	t.Parallel()
	for name, days := range map[string]warehouse.Days{"whole": {}, "days": {From: time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC), To: time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := setup(t)
			w := k.tenure(k.loader(k.client))
			k.notes(2)
			k.wave(w)
			client, more := k.open(), 2
			client.Trace = func(s string) {
				if strings.HasPrefix(s, "COPY") && more > 0 {
					more--
					k.notes(3)
					k.wave(w)
				}
			}
			k.client = client
			k.mustReload(Reload{Target: "app.notes", Days: days})
			if got := k.one("SELECT COUNT(*), COUNT(DISTINCT id) FROM app.notes"); got != "8|8" {
				t.Errorf("notes: %s, want 8|8", got)
			}
			k.notes(1)
			k.wave(w)
			if got := k.one("SELECT COUNT(*), COUNT(DISTINCT id) FROM app.notes"); got != "9|9" {
				t.Errorf("notes after the next load: %s, want 9|9", got)
			}
		})
	}
}

func TestReloadTakesCompactedFiles(t *testing.T) {
	t.Parallel()
	k := setup(t)
	w := k.tenure(k.loader(k.client))
	cols := eventColumns(col("n", wire.Int64))
	k.eventsSchema("app.tracks", cols)
	for range 4 {
		k.commit(0, table{name: "app.tracks", columns: cols, rows: events(2)})
	}
	k.wave(w)
	w.lowWritten = time.Time{}
	k.wave(w)
	if replaced := k.compact(); replaced != 4 {
		t.Fatalf("%d files were replaced", replaced)
	}
	k.collect() // the originals are gone
	k.mustReload(Reload{Target: "app.tracks"})
	if got := k.one("SELECT COUNT(*), COUNT(DISTINCT id) FROM app.tracks"); got != "8|8" {
		t.Errorf("tracks: %s, want 8|8", got)
	}
}

func TestReloadThatWouldLoseRowsIsRefused(t *testing.T) {
	t.Parallel()
	k := setup(t)
	w := k.tenure(k.loader(k.client))
	k.notes(2)
	k.notes(3)
	k.wave(w)
	files, err := k.lake.Files(t.Context(), "app.notes", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := k.lake.Store.Delete(t.Context(), files[0].Key); err != nil {
		t.Fatal(err)
	}
	day := warehouse.Days{From: time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC), To: time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)}
	for _, days := range []warehouse.Days{{}, day} {
		if _, err := k.reload(Reload{Target: "app.notes", Days: days}); !errors.Is(err, errFewer) {
			t.Errorf("a reload that loses rows ended with %v", err)
		}
		if got := k.one("SELECT COUNT(*) FROM app.notes"); got != "5" {
			t.Errorf("%s notes after a refused reload", got)
		}
	}
	k.mustReload(Reload{Target: "app.notes", Force: true})
	if got := k.one("SELECT COUNT(*) FROM app.notes"); got != "3" && got != "2" {
		t.Errorf("%s notes after a forced reload", got)
	}
}

// A view of the ordinary kind stays with the table that it was made over.
func TestReloadRefusesBoundViews(t *testing.T) {
	t.Parallel()
	k := setup(t)
	w := k.tenure(k.loader(k.client))
	k.notes(2)
	k.wave(w)
	k.exec("CREATE VIEW app.early AS SELECT id FROM app.notes")
	if _, err := k.reload(Reload{Target: "app.notes"}); err == nil || !strings.Contains(err.Error(), "app.early") {
		t.Errorf("reload under a bound view: %v", err)
	}
	if got := k.query("SELECT table_name FROM svv_tables WHERE table_schema = 'app' AND table_type = 'BASE TABLE'"); !slices.Equal(got, []string{"notes"}) {
		t.Errorf("tables: %v", got)
	}
	day := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	k.mustReload(Reload{Target: "app.notes", Days: warehouse.Days{From: day, To: day.AddDate(0, 0, 1)}})
}

func TestReloadKeepsEncodings(t *testing.T) {
	t.Parallel()
	k := setup(t)
	w := k.tenure(k.loader(k.client))
	k.notes(2)
	k.wave(w)
	k.exec("ALTER TABLE app.notes ALTER COLUMN note ENCODE lzo")
	k.mustReload(Reload{Target: "app.notes"})
	if got := k.one("SELECT encoding FROM svv_redshift_columns WHERE schema_name = 'app' AND table_name = 'notes' AND column_name = 'note'"); got != "lzo" {
		t.Errorf("note is encoded %s, want lzo", got)
	}
}

// What --force goes without is named ever after, and not tried again.
func TestForcedReloadNamesWhatItLeavesOut(t *testing.T) {
	t.Parallel()
	k := setup(t)
	w := k.tenure(k.loader(k.client))
	k.notes(2)
	k.notes(3)
	k.wave(w)
	files, err := k.lake.Files(t.Context(), "app.notes", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := k.lake.Store.Put(t.Context(), files[0].Key, []byte(strings.Repeat("x", int(files[0].Bytes)))); err != nil {
		t.Fatal(err)
	}
	if _, err := k.reload(Reload{Target: "app.notes"}); err == nil || !strings.Contains(err.Error(), "--force") {
		t.Errorf("reload with a spoilt file: %v", err)
	}
	if out := k.mustReload(Reload{Target: "app.notes", Force: true}); len(out.LeftOut) != 1 {
		t.Errorf("left out: %v", out.LeftOut)
	}
	if got := k.query("SELECT target, reason, file_key FROM millstream.held"); !slices.Equal(got, []string{"app.notes|skipped|" + files[0].Key}) {
		t.Errorf("held: %v", got)
	}
}

func TestReloadRefusesWhatItWouldHarm(t *testing.T) {
	t.Parallel()
	k := setup(t)
	w := k.tenure(k.loader(k.client))
	k.notes(2)
	k.mirrorSchema("shop_public.orders", []string{"id"}, orderColumns)
	k.eventsSchema("app.identifies", eventColumns())
	k.eventsSchema("app.never", eventColumns(col("x", wire.String)))
	k.commit(0, table{name: "app.identifies", columns: eventColumns(), rows: events(1)})
	k.wave(w)
	k.exec("ALTER TABLE app.notes ADD COLUMN mine BIGINT")
	for target, want := range map[string]string{
		"app.notes": "[mine]", "shop_public.orders": "cdc", "app.users": "app.identifies", "app.never": "never been loaded", "app.nonesuch": "no table", "notes": "schema.table",
	} {
		if _, err := k.reload(Reload{Target: target}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("reload %s: %v, want a word about %s", target, err, want)
		}
	}
}

func TestReloadOfIdentifiesMakesUsersAnew(t *testing.T) {
	t.Parallel()
	k := setup(t)
	w := k.tenure(k.loader(k.client))
	cols := eventColumns(col("email", wire.String))
	k.eventsSchema("app.identifies", cols)
	k.commit(0, table{name: "app.identifies", columns: cols, rows: []row{{"user_id": "a", "email": "old"}, {"user_id": "a", "email": "new"}}})
	k.wave(w)
	k.exec("DROP TABLE app.users")
	k.mustReload(Reload{Target: "app.identifies"})
	if got := k.query("SELECT id, email FROM app.users"); !slices.Equal(got, []string{"a|new"}) {
		t.Errorf("users: %v", got)
	}
}
