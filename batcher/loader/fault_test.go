//go:build cgo

package loader

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/millstream-data/millstream/internal/local/redshift"
	"github.com/millstream-data/millstream/internal/warehouse"
	"github.com/millstream-data/millstream/internal/wire"
)

// recover makes waves with new tenures until one goes well, as Run does.
func (k *kit) recover(l *Loader) {
	k.t.Helper()
	var last error
	for range 20 {
		conn, err := l.warehouse.Connect(k.t.Context())
		if err == nil {
			var fence int64
			if fence, err = conn.TakeLease(k.t.Context(), l.holder, 0); err == nil {
				w := &waves{Loader: l, conn: conn, fence: fence, seen: catalogue{lake: l.lake}}
				var failures []error
				failures, err = w.once(k.t.Context(), k.t.Context())
				err = errors.Join(append(failures, err)...)
			}
			conn.Close()
		}
		if last = err; err == nil {
			return
		}
	}
	k.t.Fatalf("20 waves in a row failed: %v", last)
}

// round commits a bit of everything: a new table, a new column, a wider value,
// latest state, a mirror's changes.
func (k *kit) round(n int) {
	k.t.Helper()
	plan := col(fmt.Sprintf("plan_%d", n), wire.String)
	k.commit(0,
		table{name: "app.tracks", columns: eventColumns(), rows: events(3)},
		table{name: fmt.Sprintf("app.event_%d", n), columns: eventColumns(), rows: events(2)},
		table{name: "app.identifies", columns: eventColumns(plan), rows: events(2, row{plan.Name: "pro", "user_id": fmt.Sprint("u", n)})},
		table{name: "app.notes", columns: eventColumns(col("note", wire.String)), rows: events(1, row{"note": fmt.Sprintf("%0*d", 40+n*20, 7)})})
	k.commit(1, table{name: "app.tracks", columns: eventColumns(), rows: events(2)},
		table{name: "shop_public.orders", columns: orderColumns, rows: []row{{"id": int64(n), "total": 1.5, "_op": "r"}, {"id": int64(7), "total": float64(n), "_op": "r"}}})
}

var orderColumns = changeColumns(col("id", wire.Int64), col("total", wire.Float64))

// rounds checks that n rounds are in the warehouse once.
func (k *kit) rounds(n int) {
	k.t.Helper()
	for sql, want := range map[string]string{
		"SELECT COUNT(*), COUNT(DISTINCT id) FROM app.tracks":                                                                fmt.Sprintf("%d|%d", 5*n, 5*n),
		fmt.Sprintf("SELECT COUNT(*), COUNT(DISTINCT id) FROM app.event_%d", n-1):                                            "2|2",
		"SELECT COUNT(*), COUNT(DISTINCT id) FROM app.identifies":                                                            fmt.Sprintf("%d|%d", 2*n, 2*n),
		"SELECT COUNT(*) FROM app.users":                                                                                     fmt.Sprint(n),
		"SELECT COUNT(*), MAX(LEN(note)) FROM app.notes":                                                                     fmt.Sprintf("%d|%d", n, 40+(n-1)*20),
		"SELECT SUM(total) FROM shop_public.orders WHERE id = 7":                                                             fmt.Sprint(n - 1),
		"SELECT SUM(rows_inserted) FROM millstream.loads WHERE target = 'app.tracks'":                                        fmt.Sprint(5 * n),
		"SELECT COUNT(*) FROM millstream.held":                                                                               "0",
		"SELECT COUNT(*) FROM millstream.gate":                                                                               "0",
		"SELECT COUNT(*) FROM millstream.duplicates":                                                                         "0",
		"SELECT COUNT(*) FROM (SELECT target, topic, part FROM millstream.positions GROUP BY 1, 2, 3 HAVING COUNT(*) > 1) x": "0",
	} {
		if got := k.one(sql); got != want {
			k.t.Errorf("after %d rounds: %s: %s, want %s", n, sql, got, want)
		}
	}
}

func TestCutAtEveryStatement(t *testing.T) {
	t.Parallel()
	for i, action := range []redshift.FaultAction{redshift.CutBefore, redshift.CutAfter, redshift.CutDuring} {
		t.Run(string(action), func(t *testing.T) {
			t.Parallel()
			k := setup(t)
			k.mirrorSchema("shop_public.orders", []string{"id"}, orderColumns)
			l := k.loader(k.client)
			k.round(0)
			k.wave(k.tenure(l))
			rounds, step := 1, 9 // of three actions each strikes at other statements
			if os.Getenv("MILLSTREAM_TEST_LONG") != "" {
				step = 1
			}
			if testing.Short() {
				step = 15
			}
			for at := i % step; ; at += step {
				k.round(rounds)
				rounds++
				w := k.tenure(l)
				before := k.server.Faults().Struck()
				k.server.Faults().Inject(redshift.Fault{Action: action, Skip: at})
				failures, err := w.once(t.Context(), t.Context())
				w.conn.Close() // a server has so many sessions
				struck := k.server.Faults().Struck() > before
				k.server.Faults().Clear()
				if struck && err == nil && len(failures) == 0 {
					t.Fatalf("statement %d was cut and nobody noticed", at)
				}
				k.recover(l)
				k.rounds(rounds)
				if !struck {
					t.Logf("cut at %d statements", at)
					return
				}
			}
		})
	}
}

func TestCommitOutcomeUnknown(t *testing.T) {
	t.Parallel()
	for _, action := range []redshift.FaultAction{redshift.CutBefore, redshift.CutAfter, redshift.CutDuring} {
		t.Run(string(action), func(t *testing.T) {
			t.Parallel()
			k := setup(t)
			l := k.loader(k.client)
			w := k.tenure(l)
			k.commit(0, table{name: "app.tracks", columns: eventColumns(), rows: events(3)})
			k.server.Faults().Inject(redshift.Fault{Match: "commit", Action: action, Skip: 1}) // the first is low water's
			failures, err := w.once(t.Context(), t.Context())
			if err != nil || len(failures) != 1 || classOf(failures[0]) != string(warehouse.ClassUnknown) {
				t.Fatalf("want one unknown outcome, got %v, %v", failures, err)
			}
			k.wave(w)
			k.wave(w)
			if got := k.one("SELECT COUNT(*), COUNT(DISTINCT id) FROM app.tracks"); got != "3|3" {
				t.Errorf("tracks: %s, want 3|3", got)
			}
			if got := k.one("SELECT COUNT(*) FROM millstream.loads"); got != "1" {
				t.Errorf("%s loads are in the history, want 1", got)
			}
		})
	}
}

// What the loader ends itself, as when its lease is lost, is nobody's time-out:
// nothing is held for it.
func TestOwnCancelIsNoTimeOut(t *testing.T) {
	t.Parallel()
	k := setup(t)
	conn, err := k.client.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	k.server.Faults().Inject(redshift.Fault{Match: "select 1", Action: redshift.DelayBy, Delay: time.Minute})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := conn.Exec(ctx, "SELECT 1"); warehouse.Classify(err) != warehouse.ClassUnknown || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("class %s: %v", warehouse.Classify(err), err)
	}
}

func TestRetryClasses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, match, code, text string
		class                   warehouse.Class
	}{
		{"serialisation", "commit", "XX000", "1023", warehouse.ClassConflict},
		{"deadlock", "lock table millstream.gate", "40P01", "deadlock detected", warehouse.ClassConflict},
		{"resize", "copy", "57014", "system is in resize mode", warehouse.ClassBusy},
		{"disk full", "insert into", "53100", "disk full", warehouse.ClassBusy},
		{"column race", "create table", "42P07", "relation exists", warehouse.ClassRaced},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			k := setup(t)
			w := k.tenure(k.loader(k.client))
			k.wave(w) // low water is written, and not again for a minute
			k.commit(0, table{name: "app.tracks", columns: eventColumns(), rows: events(3)})
			k.server.Faults().Inject(redshift.Fault{Match: c.match, Action: redshift.FailWith, Code: c.code, Text: c.text})
			failures, err := w.once(t.Context(), t.Context())
			if err != nil || len(failures) != 1 || classOf(failures[0]) != string(c.class) {
				t.Fatalf("want one failure of class %s, got %v, %v", c.class, failures, err)
			}
			k.wave(w)
			if got := k.one("SELECT COUNT(*), COUNT(DISTINCT id) FROM app.tracks"); got != "3|3" {
				t.Errorf("tracks: %s, want 3|3", got)
			}
			if got := k.query("SELECT * FROM millstream.held"); len(got) != 0 {
				t.Errorf("held: %v", got)
			}
		})
	}
}
