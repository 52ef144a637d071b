//go:build cgo

package models

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/millstream-data/millstream/internal/local/redshift"
)

const daily = `-- test: not_null(day), unique(day, currency), accepted_values(currency, 'EUR', 'USD')
-- test: relationship(currency, app.orders.currency), row_change(60%)
-- test: sql SELECT * FROM {this} WHERE revenue < 0
SELECT day, currency, SUM(total) AS revenue
FROM app.orders GROUP BY 1, 2 ORDER BY day
`

func TestModelsBuildAndRefresh(t *testing.T) {
	t.Parallel()
	k := setup(t, map[string]string{"daily": daily, "best": "SELECT MAX(revenue) AS best FROM daily", "seen": "-- materialize: view\nSELECT day FROM daily"})
	first := k.build()
	for _, name := range []string{"daily", "best", "seen"} {
		k.ok(first[name])
	}
	if r := first["daily"]; r.Rows != 3 || len(r.Tests) != 6 || len(r.Changed) != 0 {
		t.Errorf("%+v", r)
	}
	for sql, want := range map[string]string{
		"SELECT best FROM models.best":     "30.00",
		"SELECT COUNT(*) FROM models.seen": "3",
		"SELECT column_name FROM svv_redshift_columns WHERE schema_name = 'models' AND table_name = 'daily' AND sortkey = 1":       "day",
		"SELECT model, materialize, rows, attempts, built_at IS NOT NULL, failed_at IS NULL FROM millstream.models ORDER BY model": "models.best|table|1|0|t|t models.daily|table|3|0|t|t models.seen|view|0|0|t|t",
	} {
		if got := k.query(sql); got != want {
			t.Errorf("%s: %q, want %q", sql, got, want)
		}
	}
	k.exec("INSERT INTO app.orders VALUES ('d', '2026-11-21', 'EUR', 5)")
	k.write("daily", strings.Replace(daily, "SUM(total) AS revenue", "SUM(total) AS revenue, COUNT(*) AS orders", 1))
	k.write("seen", "-- materialize: view\nSELECT day, orders FROM daily")
	again := k.build()
	k.ok(again["daily"])
	k.ok(again["seen"])
	if diff := cmp.Diff([]string{"column orders is new"}, again["daily"].Changed); diff != "" {
		t.Errorf("changed columns (-want +got):\n%s", diff)
	}
	if got := k.query("SELECT orders FROM models.seen WHERE day = '2026-11-21'"); got != "2" {
		t.Errorf("the view shows %q", got)
	}
	if got := k.tables(); got != "best daily seen" {
		t.Errorf("tables: %s", got)
	}
	if r := k.build("seen")["seen"]; r.Outcome != OutcomeChecked {
		t.Errorf("a view as it is: %s, %v", r.Outcome, r.Err)
	}
}

func TestModelsFailingTestKeepsTheOldTable(t *testing.T) {
	t.Parallel()
	cases := []struct{ name, test, want string }{
		{"not_null", "not_null(day)", "not_null.sql:1: test not_null(day) fails: 1 row, such as (, GBP, -1.00)"},
		{"one", "unique(currency)", "such as (EUR, 3)"},
		{"accepted", "accepted_values(currency, 'EUR', 'USD')", "such as (GBP)"},
		{"row_change", "row_change(10%)", "3 rows before, 5 now: +66.7%"},
		{"relationship", "relationship(currency, app.currencies.code)", "test relationship(currency, app.currencies.code) fails: 1 row, such as (GBP)"},
		{"sql", "sql SELECT currency FROM {this} WHERE revenue < 0 -- never", "fails: 1 row, such as (GBP)"},
		{"sql_unknown", "sql SELECT 1 FROM {this}, app.nothing", "sql_unknown.sql:1: app.nothing is no model and no table"},
		{"sql_refused", "sql SELECT nothing FROM {this}", "(Redshift, 42703)"},
	}
	const body = "\nSELECT day, currency, SUM(total) AS revenue FROM app.orders GROUP BY 1, 2"
	k := setup(t, map[string]string{"other": "SELECT 1 AS n FROM app.orders"})
	for _, c := range cases {
		k.write(c.name, "--"+body)
		if strings.HasPrefix(c.name, "sql") { // of a kind each
			k.write("on_"+c.name, "SELECT COUNT(*) AS n FROM "+c.name)
		}
	}
	k.exec("CREATE TABLE app.currencies (code VARCHAR(8))")
	k.exec("INSERT INTO app.currencies VALUES ('EUR'), ('USD')")
	for _, r := range k.build() {
		k.ok(r)
	}
	k.exec("INSERT INTO app.orders VALUES ('x', NULL, 'GBP', -1), ('y', '2026-11-22', 'EUR', 1)")
	for _, c := range cases {
		k.write(c.name, "-- test: "+c.test+body)
	}
	got := k.build()
	k.ok(got["other"])
	p, s := k.look()
	decided := p.Decide(s)
	for _, c := range cases {
		if r := got[c.name]; r.Outcome != OutcomeFailed || !strings.Contains(fmt.Sprint(r.Err), c.want) {
			t.Errorf("%s: %s: %v, want %q", c.name, r.Outcome, r.Err, c.want)
		}
		if on, ok := got["on_"+c.name]; ok && on.Outcome != OutcomeSkipped {
			t.Errorf("what reads from %s: %s", c.name, on.Outcome)
		}
		if n := k.query("SELECT COUNT(*) FROM models." + c.name); n != "3" {
			t.Errorf("%s: %s rows are shown, want the 3 of before", c.name, n)
		}
		if d := decided[p.Model(c.name)]; d.Standing != Failed && d.Standing != Broken {
			t.Errorf("%s: decided %+v", c.name, d)
		}
		k.write(c.name, "-- test: warn "+c.test+body)
	}
	if left := k.tables(); strings.Contains(left, "__") {
		t.Errorf("what failed is left behind: %s", left)
	}
	got = k.build()
	for _, c := range cases {
		if r := got[c.name]; !strings.HasPrefix(c.name, "sql_") && (r.Outcome != OutcomeBuilt || r.Tests[0].Failures != 1) {
			t.Errorf("%s with warn: %s %v %+v", c.name, r.Outcome, r.Err, r.Tests)
		}
	}
}

func TestModelsErrorsNameFileLineAndWords(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"missing": "-- Note\nSELECT day,\n  revenu\nFROM app.orders", "twice": "SELECT day, day FROM app.orders", "type": "SELECT 'x'::INT AS n FROM app.orders",
		"renamed": "SELECT day\nFROM app.order",
	}
	k := setup(t, files)
	got := k.build()
	for name, want := range map[string]string{
		"missing": `missing.sql:3: column "revenu" does not exist`, "twice": "42701", "type": "type.sql:1: ",
		"renamed": "renamed.sql:2: app.order is no model and no table of the warehouse; did you mean app.orders?",
	} {
		if r := got[name]; r.Outcome != OutcomeFailed || !strings.Contains(fmt.Sprint(r.Err), want) {
			t.Errorf("%s: %s: %v, want %q", name, r.Outcome, r.Err, want)
		}
	}
	if got := k.query("SELECT COUNT(*) FROM millstream.models WHERE attempts = 1 AND error LIKE '%.sql:%'"); got != "4" {
		t.Errorf("noted failures: %s", got)
	}
}

func TestModelsDoNotTakeOthersTables(t *testing.T) {
	t.Parallel()
	k := setup(t, map[string]string{"orders": "-- schema: app\nSELECT 1 AS n", "tracks": "-- schema: app\nSELECT 1 AS n"})
	k.exec("INSERT INTO millstream.positions (target, topic, part, next_offset) VALUES ('app.tracks', 'millstream.events', 0, 5)")
	got := k.build()
	for name, want := range map[string]string{"orders": "app.orders is there already, and no model has made it", "tracks": "a table that the loader fills"} {
		if r := got[name]; r.Outcome != OutcomeFailed || !strings.Contains(fmt.Sprint(r.Err), want) {
			t.Errorf("%s: %s %v, want %q", name, r.Outcome, r.Err, want)
		}
	}
	if n := k.query("SELECT COUNT(*) FROM app.orders"); n != "3" {
		t.Errorf("%s orders are left", n)
	}
}

func TestModelsTableBecomesViewAndBack(t *testing.T) {
	t.Parallel()
	k := setup(t, map[string]string{"m": "SELECT day FROM app.orders"})
	for _, src := range []string{"-- materialize: view\nSELECT day FROM app.orders", "SELECT day FROM app.orders", "-- materialize: view\nSELECT day FROM app.orders"} {
		k.ok(k.build()["m"])
		k.write("m", src)
		k.ok(k.build()["m"])
		if got := k.query("SELECT COUNT(*) FROM models.m"); got != "3" || k.tables() != "m" {
			t.Errorf("%s rows; tables %s", got, k.tables())
		}
	}
}

// TestModelsCrashAnywhereLeavesTheOldTable cuts the connection after each
// statement of a build that changes something, and before COMMIT, with
// MILLSTREAM_TEST_LONG before each; the next build is whole.
func TestModelsCrashAnywhereLeavesTheOldTable(t *testing.T) {
	t.Parallel()
	k := setup(t, map[string]string{"daily": daily})
	k.ok(k.build()["daily"])
	k.sent = nil
	k.ok(k.build()["daily"])
	statements := k.sent
	crash := func(action redshift.FaultAction, i int) {
		st, skip := statements[i][:min(60, len(statements[i]))], 0
		for _, beside := range []string{"__new_", "__old_"} { // an id follows
			st, _, _ = strings.Cut(st, beside)
		}
		for _, earlier := range statements[:i] {
			if strings.Contains(folded(earlier), folded(st)) {
				skip++
			}
		}
		struck := k.server.Faults().Struck()
		k.server.Faults().Inject(redshift.Fault{Match: st, Action: action, Skip: skip})
		p, s := k.look()
		k.builder.Build(t.Context(), k.gate, p, s, p.Models, func(Result) {})
		k.server.Faults().Clear()
		if k.server.Faults().Struck() == struck {
			t.Fatalf("%s statement %d, %s: it was not sent", action, i, st)
		}
		if got := k.query("SELECT COUNT(*) FROM models.daily"); got != "3" {
			t.Fatalf("%s statement %d, %s: %s rows are shown", action, i, st, got)
		}
		if left := k.tables(); left != "daily" && !strings.HasPrefix(left, "daily daily__new_") && !strings.HasPrefix(left, "daily daily__old_") || strings.Count(left, " ") > 1 {
			t.Fatalf("%s statement %d, %s: tables %s", action, i, st, left)
		}
	}
	for i, st := range statements {
		if i < 8 { // of the look at the warehouse
			continue
		}
		if changes := !strings.HasPrefix(st, "SELECT") && !strings.HasPrefix(st, "SET"); changes {
			crash(redshift.CutAfter, i)
		}
		if st == "COMMIT" || os.Getenv("MILLSTREAM_TEST_LONG") != "" {
			crash(redshift.CutBefore, i)
		}
	}
	k.ok(k.build()["daily"])
	if left := k.tables(); left != "daily" {
		t.Errorf("after all: tables %s", left)
	}
}

func folded(s string) string { return strings.ToLower(strings.Join(strings.Fields(s), " ")) }
