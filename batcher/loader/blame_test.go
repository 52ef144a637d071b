//go:build cgo

package loader

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/local/redshift"
	"github.com/millstream-data/millstream/internal/warehouse"
)

// Redshift names no file here: each is whole, but one has other rows than its
// commit promises.
func TestPoisonFileBisect(t *testing.T) {
	t.Parallel()
	k := setup(t)
	l := k.loader(k.client)
	var bad lake.File
	for i := range 40 {
		wrong := func(f *lake.File) {
			if i == 23 {
				f.Rows++
				bad = *f
			}
		}
		k.commit(0, table{name: "app.notes", columns: noteColumns, rows: events(2), change: wrong})
	}
	k.wave(k.tenure(l))
	k.wave(k.tenure(l))
	if got := k.one("SELECT COUNT(*), COUNT(DISTINCT id) FROM app.notes"); got != "78|78" {
		t.Errorf("notes: %s, want 78|78", got)
	}
	if got := k.query("SELECT file_key, reason FROM millstream.held"); !slices.Equal(got, []string{bad.Key + "|count"}) {
		t.Errorf("held: %v", got)
	}
	if got := value(t, l.metrics.bisects); got > 12 {
		t.Errorf("%v COPYs to find one file of 40, want at most twice its logarithm", got)
	}
	if got := k.one("SELECT next_offset FROM millstream.positions WHERE target = 'app.notes'"); got != "80" {
		t.Errorf("position: %s, want 80", got)
	}
}

func TestRefusedFileIsNamedByRedshift(t *testing.T) {
	t.Parallel()
	k := setup(t)
	l := k.loader(k.client)
	c := k.commit(0, table{name: "app.notes", columns: noteColumns, rows: events(2)})
	k.commit(0, table{name: "app.notes", columns: noteColumns, rows: events(2, row{"note": strings.Repeat("x", 300)}), change: func(f *lake.File) { f.MaxBytes["note"] = 3 }})
	missing := k.commit(0, table{name: "app.notes", columns: noteColumns, rows: events(2)})
	k.commit(0, table{name: "app.notes", columns: noteColumns, rows: events(2)})
	if err := k.lake.Store.Put(t.Context(), c.Files[0].Key, []byte(strings.Repeat("x", int(c.Files[0].Bytes)))); err != nil {
		t.Fatal(err)
	}
	if err := k.lake.Store.Delete(t.Context(), missing.Files[0].Key); err != nil {
		t.Fatal(err)
	}
	k.wave(k.tenure(l))
	held := k.query("SELECT first_offset, reason, error FROM millstream.held ORDER BY 1")
	if len(held) != 3 || !strings.HasPrefix(held[0], "0|file|XX000") || !strings.Contains(held[1], "column note") || !strings.Contains(held[2], "NoSuchKey") {
		t.Errorf("held: %s", strings.Join(held, "\n"))
	}
	if got := value(t, l.metrics.bisects); got != 0 {
		t.Errorf("%v COPYs searched for files that Redshift names", got)
	}
	if got := k.one("SELECT COUNT(*) FROM app.notes"); got != "2" {
		t.Errorf("%s notes, want those of the one good file", got)
	}
}

func TestFileThatAMirrorCannotLoadIsNamed(t *testing.T) {
	t.Parallel()
	k := setup(t)
	k.mirrorSchema("shop_public.orders", []string{"id"}, orderColumns)
	var last lake.Commit
	for i := range 3 {
		last = k.commit(0, table{name: "shop_public.orders", columns: orderColumns, rows: []row{{"id": int64(i), "_op": "r"}}})
	}
	if err := k.lake.Store.Delete(t.Context(), last.Files[0].Key); err != nil {
		t.Fatal(err)
	}
	k.wave(k.tenure(k.loader(k.client)))
	if got := k.one("SELECT file_key, reason, error FROM millstream.held"); !strings.HasPrefix(got, "*|file|file "+last.Files[0].Key) {
		t.Errorf("held: %s", got)
	}
}

// A load that takes too long is done in halves; of a file that takes too long
// alone the others do not wait.
func TestCopyThatTimesOutIsHalved(t *testing.T) {
	t.Parallel()
	k := setup(t)
	for range 4 {
		k.commit(0, table{name: "app.notes", columns: noteColumns, rows: events(2)})
	}
	slow := redshift.Fault{Match: "copy", Action: redshift.FailWith, Code: "57014", Text: "Query cancelled on user's request: statement timeout", Times: 2}
	k.server.Faults().Inject(slow) // the load and its first half
	w := k.tenure(k.loader(k.client))
	k.wave(w)
	if got := k.one("SELECT COUNT(*), COUNT(DISTINCT id) FROM app.notes"); got != "8|8" {
		t.Errorf("notes: %s, want 8|8", got)
	}
	k.commit(0, table{name: "app.notes", columns: noteColumns, rows: events(2)})
	k.commit(0, table{name: "app.notes", columns: noteColumns, rows: events(2)})
	k.server.Faults().Inject(slow) // the load and its first file
	k.wave(w)
	if got := k.one("SELECT COUNT(*), COUNT(DISTINCT id) FROM app.notes"); got != "10|10" {
		t.Errorf("notes: %s, want 10|10", got)
	}
	if got := k.query("SELECT first_offset, reason FROM millstream.held"); !slices.Equal(got, []string{"8|slow"}) {
		t.Errorf("held: %v", got)
	}
}

func TestInsertThatTimesOutIsHalved(t *testing.T) {
	t.Parallel()
	k := setup(t)
	w := k.tenure(k.loader(k.client))
	w.patience.tooSlow("app.notes") // its locks are asked for: what takes long now is work
	k.commit(0, table{name: "app.notes", columns: noteColumns, rows: events(1)})
	k.wave(w)
	for range 4 {
		k.commit(0, table{name: "app.notes", columns: noteColumns, rows: events(1)})
	}
	k.server.Faults().Inject(redshift.Fault{Match: `insert into "app"`, Action: redshift.FailWith, Code: "57014", Text: "statement timeout"})
	for _, want := range []string{"1", "3", "5"} { // nothing, two of four files, and four again
		k.wave(w)
		if got := k.one("SELECT COUNT(*) FROM app.notes"); got != want {
			t.Errorf("%s notes, want %s", got, want)
		}
	}
	if got := w.patience.limits(); len(got) != 0 && got["app.notes"] < 4 {
		t.Errorf("loads stay at %v files", got)
	}
	k.commit(0, table{name: "app.notes", columns: noteColumns, rows: events(1)})
	k.server.Faults().Inject(redshift.Fault{Match: `insert into "app"`, Action: redshift.FailWith, Code: "57014", Text: "statement timeout"})
	k.wave(w) // of one commit there is no half
	if got := k.query("SELECT file_key, reason FROM millstream.held"); !slices.Equal(got, []string{"*|slow"}) {
		t.Errorf("held: %v", got)
	}
}

func TestColumnMadeNarrowerSinceTheCatalogueWasRead(t *testing.T) {
	t.Parallel()
	for name, drops := range map[string]int{"once": 1, "always": 9} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := setup(t)
			client, loaded := k.open(), false
			client.Trace = func(s string) {
				if loaded && strings.HasPrefix(s, "COPY") && drops > 0 {
					drops--
					k.exec(`ALTER TABLE app.notes DROP COLUMN note`)
					k.exec(`ALTER TABLE app.notes ADD COLUMN note VARCHAR(16)`)
				}
			}
			w := k.tenure(k.loader(client))
			for range 2 {
				k.commit(0, table{name: "app.notes", columns: noteColumns, rows: events(1, row{"note": strings.Repeat("x", 100)})})
				k.wave(w)
				loaded = true
			}
			want, held := "100", "0"
			if name == "always" {
				want, held = "", "1"
			}
			if got := k.one("SELECT MAX(LEN(note)) FROM app.notes"); got != want {
				t.Errorf("longest note %s, want %s", got, want)
			}
			if got := k.one("SELECT COUNT(*) FROM millstream.held WHERE file_key = '*' AND reason = 'too_long'"); got != held {
				t.Errorf("%s targets held, want %s", got, held)
			}
		})
	}
}

func TestLoadErrorNamesItsFile(t *testing.T) {
	t.Parallel()
	url := "s3://lake/" + strings.Repeat("k", 300)
	for _, c := range []struct {
		e    warehouse.LoadError
		want bool
	}{
		{warehouse.LoadError{File: url}, true},
		{warehouse.LoadError{File: url[:256]}, true}, // a CHAR(256)
		{warehouse.LoadError{File: url[:100]}, false},
		{warehouse.LoadError{Words: fmt.Sprintf("File '%s' has an incompatible Parquet schema", url)}, true},
		{warehouse.LoadError{File: "s3://lake/other", Words: url}, false},
		{warehouse.LoadError{}, false},
	} {
		if got := c.e.Names(url); got != c.want {
			t.Errorf("%+v: %v", c.e, got)
		}
	}
}

// value is what a counter or gauge stands at.
func value(t *testing.T, m prometheus.Metric) float64 {
	t.Helper()
	var out dto.Metric
	if err := m.Write(&out); err != nil {
		t.Fatal(err)
	}
	return out.GetCounter().GetValue() + out.GetGauge().GetValue()
}
