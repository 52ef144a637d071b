//go:build cgo

package loader

import (
	"strings"
	"testing"

	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/local/redshift"
	"github.com/millstream-data/millstream/internal/telemetry"
	"github.com/millstream-data/millstream/internal/wire"
)

// A column that somebody drops comes again without its former values: people
// are told, and of a new column they are not.
func TestColumnThatCameAgainIsNamed(t *testing.T) {
	t.Parallel()
	k := setup(t)
	w := k.tenure(k.loader(k.client))
	k.notes(1)
	k.wave(w)
	wider := eventColumns(col("note", wire.String), col("plan", wire.String))
	s := lake.Schema{V: 1, Table: "app.notes", Version: len(wider), Kind: lake.SchemaEvents, CreatedAt: lake.Time{Time: k.now}}
	for _, c := range wider {
		since := 1
		if c.Name == "plan" {
			since = len(wider)
		}
		s.Columns = append(s.Columns, lake.SchemaColumn{Name: c.Name, Type: c.Type, Since: since})
	}
	if err := k.lake.CreateSchema(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	load := func() {
		k.commit(0, table{name: "app.notes", columns: wider, rows: events(1, row{"note": "x", "plan": "pro"})})
		k.wave(w)
	}
	load()
	k.shows("SELECT target FROM millstream.maintenance")
	k.exec("ALTER TABLE app.notes DROP COLUMN note")
	load()
	load()
	k.shows("SELECT target, act, after FROM millstream.maintenance", "app.notes|column made anew|note")
	if got := k.one("SELECT reason FROM millstream.maintenance"); !strings.Contains(got, "loader reload --target app.notes") {
		t.Errorf("people are told %q", got)
	}
	k.shows("SELECT COUNT(*), COUNT(note) FROM app.notes", "4|2")
}

// Health says what the last wave came to until another has ended.
func TestHealthKeepsWhatTheLastWaveSaid(t *testing.T) {
	t.Parallel()
	k := setup(t)
	w := k.tenure(k.loader(k.client))
	k.notes(1)
	k.server.Faults().Inject(redshift.Fault{Match: "copy ", Action: redshift.FailWith, Code: "53100", Text: "disk full", Times: always})
	w.failing = true
	w.say(telemetry.NotReady("The warehouse has not worked for an hour."))
	k.waves(w, 1)
	if c := w.said.Load(); c.State != telemetry.StateNotReady {
		t.Errorf("while waves fail health says %v", c)
	}
	w.failing = false
	k.waves(w, 1)
	if c := w.said.Load(); c.State == telemetry.StateNotReady {
		t.Errorf("a wave that follows a good one says %v", c)
	}
}
