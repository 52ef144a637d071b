//go:build cgo

package models

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millstream-data/millstream/internal/warehouse"
)

func TestModelsLetLoadsPassWhileATableIsRead(t *testing.T) {
	t.Parallel()
	k := setup(t, map[string]string{"n": "SELECT COUNT(*) AS n FROM app.orders"})
	k.ok(k.build()["n"])
	reader := k.connect()
	for _, s := range []string{"BEGIN", "SELECT * FROM models.n"} {
		if _, err := reader.Exec(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	loads := 0
	k.builder.wait = 200 * time.Millisecond
	k.builder.pause = func(ctx context.Context, _ time.Duration) bool { // as a load does: the gate is free
		loads++
		if err := ByHand(k.client, time.Second).Gated(ctx, k.conn, func() error { return nil }); err != nil {
			t.Error(err)
		}
		return true
	}
	k.exec("INSERT INTO app.orders VALUES ('d', '2026-11-21', 'EUR', 5)")
	if r := k.build()["n"]; r.Outcome != OutcomePutOff || !errors.Is(r.Err, errReaders) || !strings.Contains(r.Err.Error(), "pg_terminate_backend(") {
		t.Errorf("%s: %v", r.Outcome, r.Err)
	}
	if got := k.query("SELECT n FROM models.n"); got != "3" || loads != swapTries-1 {
		t.Errorf("%s orders are shown, want those of before; %d pauses", got, loads)
	}
	if _, err := reader.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	k.ok(k.build()["n"])
	if got := k.query("SELECT n FROM models.n"); got != "4" || k.tables() != "n" {
		t.Errorf("%s orders; tables %s", got, k.tables())
	}
}

// What a build notes of itself does not keep the gate from loads either.
func TestModelsRowsWaitShortlyForALock(t *testing.T) {
	t.Parallel()
	k := setup(t, map[string]string{"bad": "SELECT nonesuch FROM app.orders"})
	k.build()
	analyst := k.connect()
	for _, s := range []string{"BEGIN", "UPDATE millstream.models SET attempts = attempts"} {
		if _, err := analyst.Exec(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	k.builder.wait = 200 * time.Millisecond
	p, _ := k.look()
	if err := k.builder.noteFailure(ctx, ByHand(k.client, time.Second), p.Model("bad"), errors.New("again")); warehouse.Classify(err) != warehouse.ClassSlow {
		t.Errorf("noted behind a lock: %v", err)
	}
}

// TestModelsDueAfterALoadThatCommitsMeanwhile holds a load between its row in
// millstream.loads and COMMIT, until the build asks for the gate.
func TestModelsDueAfterALoadThatCommitsMeanwhile(t *testing.T) {
	t.Parallel()
	k := setup(t, map[string]string{"n": "SELECT COUNT(*) AS n FROM app.orders"})
	load := k.connect()
	for _, s := range []string{
		"BEGIN", "LOCK TABLE millstream.gate", "INSERT INTO app.orders VALUES ('d', '2026-11-21', 'EUR', 5)",
		warehouse.InsertLoads([]warehouse.Load{{ID: "l", Target: "app.orders", Kind: "events", StartedAt: time.Now()}}),
	} {
		if _, err := load.Exec(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	<-time.After(1100 * time.Millisecond) // the server's clock counts seconds: the build reads in a later one
	commit := sync.OnceFunc(func() {
		if _, err := load.Exec(t.Context(), "COMMIT"); err != nil {
			t.Error(err)
		}
	})
	k.builder.client.Trace = func(s string) {
		if s == "BEGIN" {
			commit()
		}
	}
	k.ok(k.build()["n"])
	p, s := k.look()
	s.Now = s.Now.Add(time.Hour)
	if d := p.Decide(s)[p.Model("n")]; k.query("SELECT n FROM models.n") != "4" && d.Standing != Due {
		t.Errorf("the load is not in the model, which is %s: %s", d.Standing, d.Why)
	}
}

func TestModelsListDropsOnlyWhatWasBuilt(t *testing.T) {
	t.Parallel()
	k := setup(t, map[string]string{"orders": "-- schema: app\nSELECT 1 AS n", "seen": "-- materialize: view\nSELECT 1 AS n"})
	k.exec("CREATE SCHEMA models")
	for _, s := range []string{"seen__new", "seen__old"} {
		k.exec("CREATE TABLE models." + s + " AS SELECT 1 AS n")
	}
	for _, r := range k.build() {
		t.Logf("%s: %s %v", r.Model.Name, r.Outcome, r.Err)
	}
	k.write("orders", "SELECT day FROM app.v")
	k.write("seen", "SELECT 1 AS n")
	k.exec("CREATE VIEW app.v AS SELECT * FROM app.orders")
	k.ok(k.build("orders")["orders"])
	p, s := k.look()
	if d := p.Decide(s)[p.Model("orders")]; d.Standing != Fresh || !strings.Contains(d.Why, "app.v: what changes under that view is not seen") {
		t.Errorf("over a view: %s, %s", d.Standing, d.Why)
	}
	p.byName, p.Models = nil, nil
	var out strings.Builder
	if err := p.WriteList(&out, s); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"app.orders: its file is gone, and it was never built: DELETE FROM millstream.models WHERE model = 'app.orders';",
		`models.seen: its file is gone, what it has made is not: DROP VIEW "models"."seen"; DELETE FROM`,
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s\nwant %s", out.String(), want)
		}
	}
	if got := k.tables(); got != "orders seen seen__new seen__old" {
		t.Errorf("tables: %s", got)
	}
}
