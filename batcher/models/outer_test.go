package models

import (
	"strings"
	"testing"
)

func TestModelsSortKeyFromOrderBy(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, sql, want, note string }{
		{"no ORDER BY", `SELECT a FROM t`, "", ""},
		{"columns", `SELECT a, b FROM t ORDER BY a, b`, "a b", ""},
		{"ordinals", `SELECT date_trunc('day', at) AS day, sum(x) total, t.c FROM t GROUP BY 1, 3 ORDER BY 1, 3 DESC NULLS LAST, 2`, "day c total", ""},
		{"at most four", `SELECT a, b, c, d, e FROM t ORDER BY 1, 2, 3, 4, 5`, "a b c d", ""},
		{"qualified and quoted", `SELECT t.a, "B" FROM t ORDER BY t.a, "B"`, "a b", ""},
		{"up to an expression", `SELECT a, b FROM t ORDER BY a, lower(b), b`, "a", "expression"},
		{"a column that is not in the result", `SELECT a FROM t ORDER BY b`, "", "no column of the result"},
		{"with a star anything may be there", `SELECT * FROM t ORDER BY b`, "b", ""},
		{"an ordinal behind a star", `SELECT *, a FROM t ORDER BY 2`, "", "without a name"},
		{"an ordinal before a star", `SELECT a, * FROM t ORDER BY 1`, "a", ""},
		{"a star without some", `SELECT * EXCLUDE (x, y) FROM t ORDER BY z`, "z", ""},
		{"a cast has no name that can be told", `SELECT a::date, b FROM t ORDER BY 1`, "", "give it one with AS"},
		{"a cast with an alias by AS", `SELECT a::date AS day FROM t ORDER BY 1`, "day", ""},
		{"inner ones do not count", `SELECT a, row_number() OVER (ORDER BY b) FROM (SELECT * FROM t ORDER BY c) s`, "", ""},
		{"after WITH", `WITH x AS (SELECT p AS q FROM t ORDER BY p) SELECT q, count(*) AS n FROM x GROUP BY 1 ORDER BY n DESC, q LIMIT 10`, "n q", ""},
		{"set operations take the first one's names", `SELECT a AS b FROM t UNION ALL SELECT c FROM u ORDER BY 1`, "b", ""},
		{"CASE", `SELECT CASE WHEN a THEN 1 END AS kind, CASE WHEN b THEN 2 END other FROM t ORDER BY 1, 2`, "kind other", ""},
		{"DISTINCT and TOP", `SELECT DISTINCT TOP 5 a FROM t ORDER BY a`, "a", ""},
		{"IS DISTINCT FROM", `SELECT a IS DISTINCT FROM b AS differs, c FROM t ORDER BY 2, 1`, "c differs", ""},
	} {
		toks, err := lex(c.sql)
		if err != nil {
			t.Fatal(err)
		}
		o := readOuter(toks)
		if got := strings.Join(o.sort, " "); got != c.want || (c.note == "") != (o.note == "") || !strings.Contains(o.note, c.note) {
			t.Errorf("%s: got %q (%s), want %q (%s)", c.name, got, o.note, c.want, c.note)
		}
	}
}
