//go:build cgo

package loader

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millstream-data/millstream/internal/local/redshift"
	"github.com/millstream-data/millstream/internal/wire"
)

func TestWarehouseLimits(t *testing.T) {
	t.Parallel()
	k := setup(t)
	w := k.tenure(k.loader(k.client))
	k.exec("CREATE SCHEMA app")
	wide := make([]string, 1599)
	for i := range wide {
		wide[i] = fmt.Sprintf("c%d INT", i)
	}
	k.exec("CREATE TABLE app.wide (" + strings.Join(wide, ", ") + ")")
	long := strings.Repeat("n", 127)
	words := eventColumns(col("order", wire.String), col("timestamp", wire.Timestamp), col("select", wire.Int64), col(`a "quoted" name`, wire.String), col(long, wire.String))
	k.commit(0,
		table{name: "app.wide", columns: eventColumns(), rows: events(1)},
		table{name: "app.group", columns: words, rows: events(1, row{"order": `\'; DROP TABLE x; --`, "timestamp": k.now, "select": 7, `a "quoted" name`: `it's \n`, long: "L"})},
		table{name: "app." + long, columns: eventColumns(), rows: events(1)},
		table{name: "app.emoji", columns: noteColumns, rows: events(1, row{"note": strings.Repeat("😀", 8)})}, // 32 bytes in a VARCHAR(64)
		table{name: "app.tracks", columns: eventColumns(), rows: events(1)})
	k.wave(w)
	if got := k.query("SELECT target, reason FROM millstream.held"); !slices.Equal(got, []string{"app.wide|columns"}) {
		t.Errorf("held: %v, want the table that would have 1,605 columns", got)
	}
	if got, want := k.one(`SELECT "order", "select", "a ""quoted"" name", "`+long+`" FROM app."group"`), `\'; DROP TABLE x; --|7|it's \n|L`; got != want {
		t.Errorf("reserved words and odd texts: %s, want %s", got, want)
	}
	if got := k.one(`SELECT COUNT(*) FROM app."` + long + `"`); got != "1" {
		t.Errorf("%s rows in the table with the longest name", got)
	}
	k.commit(0, table{name: "app.emoji", columns: noteColumns, rows: events(1, row{"note": strings.Repeat("😀", 16)})}, // 64, its border
		table{name: "app.emoji", columns: slices.Clip(noteColumns), rows: events(1, row{"note": strings.Repeat("😀", 16383) + "abc"})}) // 65,535
	k.wave(w)
	if got := k.query("SELECT OCTET_LENGTH(note), LEN(note) FROM app.emoji ORDER BY 1"); !slices.Equal(got, []string{"32|8", "64|16", "65535|16386"}) {
		t.Errorf("emoji: %v", got)
	}
	if _, err := w.conn.Exec(t.Context(), "SELECT 'a\x00b'"); err == nil {
		t.Error("a statement with a NUL was sent: the server would read half of it")
	}
}

// Somebody adds the column between the look at the catalogue and the gate.
func TestAddColumnRace(t *testing.T) {
	t.Parallel()
	k := setup(t)
	client, armed := k.open(), false
	var once sync.Once
	client.Trace = func(s string) {
		if armed && s == "LOCK TABLE millstream.gate" {
			once.Do(func() { k.exec("ALTER TABLE app.notes ADD COLUMN note VARCHAR(4096)") })
		}
	}
	w := k.tenure(k.loader(client))
	k.commit(0, table{name: "app.notes", columns: eventColumns(), rows: events(1)})
	k.wave(w)
	armed = true
	w.lowWritten = time.Now()
	k.commit(0, table{name: "app.notes", columns: noteColumns, rows: events(2, row{"note": "x"})})
	failures, err := w.once(t.Context(), t.Context())
	if err != nil || len(failures) != 1 || classOf(failures[0]) != "raced" {
		t.Errorf("the race ended with %v, %v", failures, err)
	}
	k.wave(w)
	if got := k.one("SELECT COUNT(*), COUNT(note) FROM app.notes"); got != "3|2" {
		t.Errorf("notes: %s, want 3|2", got)
	}
	if got := k.one("SELECT COUNT(*) FROM millstream.held"); got != "0" {
		t.Errorf("%s are held", got)
	}
}

// A COPY whose client is gone goes on to its end, into a table that nobody else
// sees.
func TestAutocommitCopySurvives(t *testing.T) {
	t.Parallel()
	k := setup(t)
	w := k.tenure(k.loader(k.client))
	k.commit(0, table{name: "app.notes", columns: noteColumns, rows: events(3)})
	k.server.Faults().Inject(redshift.Fault{Match: "copy", Action: redshift.CutDuring})
	if failures, err := w.once(t.Context(), t.Context()); err != nil || len(failures) != 1 {
		t.Fatalf("the cut was not noticed: %v, %v", failures, err)
	}
	k.wave(w)
	if got := k.one("SELECT COUNT(*), COUNT(DISTINCT id) FROM app.notes"); got != "3|3" {
		t.Errorf("notes: %s, want 3|3", got)
	}
	if got := k.one("SELECT SUM(rows_staged) FROM millstream.loads"); got != "3" {
		t.Errorf("%s rows are in the history, want 3", got)
	}
}

func TestDroppedUsersAreNotMadeAnewWithoutTheirRows(t *testing.T) {
	t.Parallel()
	k := setup(t)
	w := k.tenure(k.loader(k.client))
	cols := eventColumns(col("email", wire.String))
	k.eventsSchema("app.identifies", cols)
	identify := func(user string) {
		k.commit(0, table{name: "app.identifies", columns: cols, rows: []row{{"user_id": user, "email": user}}})
		k.wave(w)
	}
	identify("a")
	k.exec("DROP TABLE app.users")
	identify("b")
	if got := k.query("SELECT target, reason FROM millstream.held"); !slices.Equal(got, []string{"app.identifies|dropped"}) {
		t.Errorf("held: %v", got)
	}
	k.mustReload(Reload{Target: "app.identifies"})
	identify("c")
	if got := k.query("SELECT id FROM app.users ORDER BY 1"); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("users: %v", got)
	}
}
