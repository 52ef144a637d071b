//go:build cgo

package redshift

import (
	_ "embed"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

//go:embed testdata/dialect.sql
var dialectTable string

// dialectCase is a statement with the rows that a cluster answers, or the SQLSTATE and the beginning of the message.
type dialectCase struct {
	line          int
	statement     string
	rows          []string
	code, message string
	prepares      bool // no answer is given
}

// readDialect reads a table of cases: statements that end with a semicolon at the end of a line, then their answer up
// to a blank line.
func readDialect(t *testing.T, table string) []dialectCase {
	t.Helper()
	var cases []dialectCase
	lines := strings.Split(table, "\n")
	for i := 0; i < len(lines); i++ {
		if lines[i] == "" || strings.HasPrefix(lines[i], "-- ") {
			continue
		}
		c := dialectCase{line: i + 1}
		start := i
		for !strings.HasSuffix(lines[i], ";") {
			i++
		}
		c.statement = strings.TrimSuffix(strings.Join(lines[start:i+1], "\n"), ";")
		for i++; i < len(lines) && lines[i] != ""; i++ {
			if refusal, found := strings.CutPrefix(lines[i], "!"); found {
				c.code, c.message, _ = strings.Cut(refusal, " ")
				continue
			}
			c.rows = append(c.rows, strings.ReplaceAll(lines[i], "↵", "\n"))
		}
		c.prepares = c.code == "" && c.rows == nil
		cases = append(cases, c)
	}
	return cases
}

// check runs one case.
func (c *client) check(test dialectCase) {
	c.t.Helper()
	rows, err := c.tryRows(test.statement)
	var pg *pgconn.PgError
	switch {
	case test.code != "" && (!errors.As(err, &pg) || !strings.HasPrefix(pg.Code, test.code) || !strings.HasPrefix(pg.Message, test.message)):
		c.t.Errorf("line %d: %s:\n got %q, %v\nwant SQLSTATE %s %q", test.line, test.statement, rows, err, test.code, test.message)
	case test.code != "":
		for _, word := range []string{"Binder", "Catalog Error", "Candidate", "duckdb", "DuckDB", "_rs", "_rt", "LINE 1"} {
			if strings.Contains(pg.Message+pg.Detail+pg.Hint, word) {
				c.t.Errorf("line %d: %s: the engine's own words in %q", test.line, test.statement, pg.Message)
			}
		}
	case err != nil:
		c.t.Errorf("line %d: %s: %v", test.line, test.statement, err)
	case !test.prepares && strings.Join(rows, "\n") != strings.Join(test.rows, "\n"):
		c.t.Errorf("line %d: %s:\n got %q\nwant %q", test.line, test.statement, rows, test.rows)
	}
}

func TestDialect(t *testing.T) {
	t.Parallel()
	c := setup(t).connect()
	cases := readDialect(t, dialectTable)
	for _, test := range cases {
		c.check(test)
	}
	if len(cases) < 300 {
		t.Errorf("%d cases, want 300 or more", len(cases))
	}
}

func TestDialectOfWrites(t *testing.T) {
	t.Parallel()
	c := setup(t).connect()
	c.do("CREATE TABLE public.t (id VARCHAR(8), n INT DEFAULT 7, at TIMESTAMP, j SUPER, c CHAR(4))",
		"INSERT INTO t VALUES ('a', DEFAULT, GETDATE(), JSON_PARSE('[1]'), 'x   ')",
		"INSERT INTO t (id, j) VALUES ('b', '{\"not\": parsed}')",
		"INSERT INTO t (id, n) SELECT id || '2', n + 1 FROM t WHERE id = 'a'",
		"UPDATE t SET n = s.m FROM (SELECT 'b' AS id, 9 AS m) s WHERE t.id = s.id",
		"DELETE FROM t USING (SELECT 'a2' AS id) d WHERE t.id = d.id")
	if got, want := strings.Join(c.rows("SELECT id, n, j, c FROM t ORDER BY id"), ","), `a|7|[1]|x,b|9|"{\"not\": parsed}"|∅`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	c.do("CREATE TABLE public.s (id VARCHAR(8), n INT)", "INSERT INTO s VALUES ('a', 1), ('z', 2)")
	const merge = "MERGE INTO t USING s ON t.id = s.id WHEN MATCHED THEN UPDATE SET n = CASE WHEN s.n > 0 THEN s.n ELSE t.n END WHEN NOT MATCHED THEN INSERT (id, n) VALUES (s.id, s.n)"
	c.do(merge)
	if got, want := strings.Join(c.rows("SELECT id, n FROM t ORDER BY id"), ","), "a|1,b|9,z|2"; got != want {
		t.Errorf("after MERGE: got %q, want %q", got, want)
	}
	c.do("INSERT INTO s VALUES ('a', 5)")
	if err := c.refusal("XX000", merge); err.Message != "Found multiple matches to update the same tuple" {
		t.Errorf("got %q", err.Message)
	}
	c.do("CREATE TABLE public.copy DISTSTYLE ALL SORTKEY (day) AS SELECT DATE_TRUNC('day', at) AS day, COUNT(*), SUM(n)::BIGINT AS total FROM t GROUP BY 1",
		"CREATE TABLE public.model (LIKE t)", "CREATE VIEW public.v AS SELECT id, GETDATE() AS seen FROM t WITH NO SCHEMA BINDING")
	if got, want := strings.Join(c.rows(`SELECT "column", type FROM pg_table_def WHERE tablename = 'copy'`), ","), "day|timestamp without time zone,count|bigint,total|bigint"; got != want {
		t.Errorf("CTAS: got %q, want %q", got, want)
	}
	if got := c.one("SELECT COUNT(*) FROM v WHERE seen > '2020-01-01'"); got != "3" {
		t.Errorf("view: got %s, want 3", got)
	}
}

func TestColumnNames(t *testing.T) {
	t.Parallel()
	c := setup(t).connect()
	c.do("CREATE TABLE public.t (id INT, at TIMESTAMP)", "INSERT INTO t VALUES (1, GETDATE())")
	for query, want := range map[string]string{
		"SELECT count(*), sum(id), 1, 'a', id + 1, at::date, CAST(id AS BIGINT), CASE WHEN true THEN 1 END FROM t GROUP BY id, at": "count,sum,?column?,?column?,?column?,at,id,case",
		`SELECT *, max(id) OVER (), id AS "Mixed", id other FROM t`:                                                                "id,at,max,mixed,other",
		"SELECT t.id, DATE_TRUNC('day', at), APPROXIMATE COUNT(DISTINCT id) n FROM t GROUP BY 1, 2":                                "id,date_trunc,n",
		"SELECT count(*) FROM (SELECT 1) x UNION SELECT 2":                                                                         "count",
	} {
		results, err := c.PgConn().Exec(t.Context(), query).ReadAll()
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		var names []string
		for _, f := range results[0].FieldDescriptions {
			names = append(names, f.Name)
		}
		if got := strings.Join(names, ","); got != want {
			t.Errorf("%s:\n got %s\nwant %s", query, got, want)
		}
	}
}

//go:embed testdata/differences.sql
var differencesTable string

// differencesPage is the documentation whose table must be that of differences.sql.
const differencesPage = "../../../docs/warehouse-local.md"

func TestDialectDifferences(t *testing.T) {
	t.Parallel()
	c := setup(t).connect()
	for _, test := range readDialect(t, differencesTable) {
		c.check(test)
	}
	page, err := os.ReadFile(differencesPage)
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "## What differs from a cluster")
	section, _, _ = strings.Cut(section, "\n## ")
	for line := range strings.Lines(differencesTable) {
		if row, found := strings.CutPrefix(strings.TrimSpace(line), "-- | "); found && !strings.Contains(section, "\n| "+row+"\n") {
			t.Errorf("%s lacks the row | %s", differencesPage, row)
		}
	}
	for line := range strings.Lines(section) {
		row := strings.TrimSpace(line)
		if strings.HasPrefix(row, "| ") && row != "| here | on Redshift |" && !strings.HasPrefix(row, "| EXPLAIN") && !strings.Contains(differencesTable, "-- "+row+"\n") {
			t.Errorf("testdata/differences.sql lacks the row %s", row)
		}
	}
}
