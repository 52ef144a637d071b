package models

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const good = `-- Revenue by day and currency.
-- schema: finance
-- materialize: table
-- refresh: on_change, at most every 10m
-- test: not_null(day), unique(day, currency), accepted_values(currency, 'EUR', 'it''s', -1), warn row_change(30%)
-- test: sql SELECT * FROM {this} WHERE revenue < 0
-- test: relationship(currency, app.currencies.code), warn relationship(day, days.day)
-- distkey: currency
SELECT DATE_TRUNC('day', received_at) AS day, currency, SUM(total) AS revenue
FROM app.order_completed GROUP BY 1, 2 ORDER BY day;
`

func TestModelsHeader(t *testing.T) {
	t.Parallel()
	m, err := Parse("models/daily_revenue.sql", "daily_revenue", "models", good)
	if err != nil {
		t.Fatal(err)
	}
	var tests []string
	for _, c := range m.Tests {
		tests = append(tests, c.String())
	}
	got := []any{m.Name.String(), m.View, m.Refresh.String(), m.DistKey, m.SortKey, m.line, tests, distinct(m.refs), strings.HasSuffix(m.sql, "ORDER BY day")}
	want := []any{"finance.daily_revenue", false, "on_change, at most every 10m", "currency", []string{"day"}, 9, []string{
		"not_null(day)", "unique(day, currency)", `accepted_values(currency, 'EUR', 'it''s', -1)`, "warn row_change(30%)",
		"sql SELECT * FROM {this} WHERE revenue < 0", "relationship(currency, app.currencies.code)", "warn relationship(day, days.day)",
	}, []string{"app.order_completed"}, true}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestModelsFileMistakesNameLineAndWayOut(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, file, src, want string }{
		{"unknown option", "a", "-- materialise: view\nSELECT 1", `models/a.sql:1: unknown option "materialise": did you mean materialize?`},
		{"unknown option, near none", "a", "\n-- owner: me\nSELECT 1", `models/a.sql:2: unknown option "owner": there are schema, materialize`},
		{"a remark is none", "a", "-- Note: prose, see https://example.org\n-- https://example.org\nSELECT 1", ""},
		{"a capital does not hide a slip", "a", "-- Materialise: view\nSELECT 1", "did you mean materialize?"},
		{"capitals are fine", "a", "-- Materialize: view\nSELECT 1", ""},
		{"an option twice", "a", "-- schema: x\n-- schema: y\nSELECT 1", "models/a.sql:2: schema stands twice"},
		{"an empty option", "a", "-- schema:\nSELECT 1", "write a schema's name"},
		{"a wrong value", "a", "-- materialize: incremental\nSELECT 1", `models/a.sql:1: materialize: "incremental" is unknown: write table or view`},
		{"a wrong refresh", "a", "-- refresh: hourly\nSELECT 1", "write on_change; on_change, at most every 10m; every 1h; at 03:00 UTC; or manual"},
		{"a refresh too often", "a", "-- refresh: every 1s\nSELECT 1", "is shorter than 10s"},
		{"a time zone that is none", "a", "-- refresh: at 03:00 Mars\nSELECT 1", "Europe/Berlin"},
		{"unknown test", "a", "-- test: notnull(x)\nSELECT 1", `unknown test "notnull"; did you mean not_null?`},
		{"a test without brackets", "a", "-- test: unique\nSELECT 1", `write not_null(column)`},
		{"a test of no column", "a", "-- test: unique()\nSELECT 1", "names no column"},
		{"row_change without percent", "a", "-- test: row_change(30)\nSELECT 1", "row_change(30%)"},
		{"values without quotes", "a", "-- test: accepted_values(c, EUR)\nSELECT 1", "write 'eur'"},
		{"relationship to no column", "a", "-- test: relationship(c, d)\nSELECT 1", "write relationship(column, table.column)"},
		{"sql without this", "a", "-- test: sql SELECT 1\nSELECT 1", "FROM {this}"},
		{"tests without comma", "a", "-- test: not_null(a) unique(b)\nSELECT 1", "separate tests by commas"},
		{"no SELECT", "a", "-- schema: x\n", "models/a.sql:1: holds no SELECT"},
		{"CREATE TABLE", "a", "\nCREATE TABLE x AS SELECT 1", "models/a.sql:2: begins with CREATE: a model is one SELECT"},
		{"two statements", "a", "SELECT 1;\nSELECT 2;", "models/a.sql:2: a second statement follows"},
		{"an open quote", "a", "SELECT 1\n, 'x", "models/a.sql:2: the quote ' that opens here is never closed"},
		{"an open bracket", "a", "-- schema: x\n\nSELECT (1", "models/a.sql:3: the ( that opens here"},
		{"a file's name that is no table's", "Daily-Revenue", "SELECT 1", "must be of lower-case letters"},
		{"a name that builds use", "a__new", "SELECT 1", "rename the file"},
		{"a view with keys", "a", "-- materialize: view\n-- sortkey: b\nSELECT 1", "a view has no distkey"},
		{"the ledger's schema", "a", "-- schema: millstream\nSELECT 1", "no schema for models"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse("models/"+c.file+".sql", c.file, "models", c.src)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
