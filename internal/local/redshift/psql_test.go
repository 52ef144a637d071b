//go:build cgo

package redshift

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// psqlGolden holds what psql 15 asks a server that calls itself 8.0.2, and the answers. TestPsql records the questions.
const psqlGolden = "testdata/psql15.txt"

// psqlSetup makes what the commands show; in this order, so that oids are the same each time.
var psqlSetup = []string{
	"CREATE SCHEMA app",
	`CREATE TABLE app.t (id VARCHAR(256) ENCODE zstd, total NUMERIC(38,9) NOT NULL, n INT DEFAULT 7, items SUPER, at TIMESTAMP, seen TIMESTAMPTZ, day DATE, raw VARBYTE(16)) DISTKEY (id) SORTKEY (at)`,
	"CREATE TABLE public.keyed (a INT, b VARCHAR(10), v CHAR(2), PRIMARY KEY (a, b), UNIQUE (a))",
	"CREATE TABLE public.refers (x INT PRIMARY KEY, a INT REFERENCES keyed (a))",
	"CREATE VIEW public.v AS SELECT a, v FROM keyed",
	"COMMENT ON TABLE keyed IS 'a table with keys'", "COMMENT ON COLUMN keyed.v IS 'a column'", "COMMENT ON SCHEMA app IS 'events'",
	"GRANT SELECT ON keyed TO GROUP analysts", "GRANT USAGE ON SCHEMA app TO PUBLIC",
	"CREATE TEMP TABLE scratch (n INT)",
}

// psqlCommands are the backslash commands that ask the server something.
var psqlCommands = []string{
	`\d`, `\d+`, `\d app.t`, `\d+ app.t`, `\d keyed`, `\d+ keyed`, `\d refers`, `\d v`, `\d+ v`, `\d app.*`, `\d k*`, `\d scratch`, `\dt`, `\dt+`, `\dt app.*`, `\dt *.*`, `\dv`, `\dv+`, `\di`, `\di+`,
	`\ds`, `\dn`, `\dn+`, `\df`, `\df+`, `\da`, `\du`, `\du+`, `\dg`, `\l`, `\l+`, `\dp`, `\z`, `\dp app.*`, `\ddp`, `\dT`, `\dT+ super`, `\dC`, `\do`, `\dc`, `\dD`, `\dL`, `\db`, `\db+`, `\sv v`,
}

// psqlQuestion is one query of a command with its rows.
type psqlQuestion struct{ command, query, rows string }

func (q psqlQuestion) String() string {
	return fmt.Sprintf("### %s\n%s\n=\n%s\n", q.command, q.query, q.rows)
}

func readPsqlGolden(t *testing.T) []psqlQuestion {
	t.Helper()
	text, err := os.ReadFile(psqlGolden)
	if err != nil {
		t.Fatal(err)
	}
	var out []psqlQuestion
	for part := range strings.SplitSeq(strings.TrimPrefix(string(text), "### "), "\n### ") {
		command, rest, _ := strings.Cut(part, "\n")
		query, rows, found := strings.Cut(rest, "\n=\n")
		if !found {
			t.Fatalf("%s: %q has no answer", psqlGolden, part)
		}
		out = append(out, psqlQuestion{command, query, strings.TrimSuffix(rows, "\n")})
	}
	return out
}

func TestPsqlBackslash(t *testing.T) {
	t.Parallel()
	c := setup(t).connect()
	c.do(psqlSetup...)
	asked := map[string]bool{}
	var out strings.Builder
	for _, q := range readPsqlGolden(t) {
		asked[q.command] = true
		rows, err := c.tryRows(q.query)
		got := strings.ReplaceAll(strings.Join(rows, "\n"), fmt.Sprint("pg_temp_", c.PgConn().PID()), "pg_temp_1")
		if err != nil {
			got = err.Error()
		}
		if diff := cmp.Diff(q.rows, got); diff != "" && os.Getenv("MILLSTREAM_TEST_UPDATE") == "" {
			t.Errorf("%s: %s\n(-want +got):\n%s", q.command, q.query, diff)
		}
		out.WriteString(psqlQuestion{q.command, q.query, got}.String())
	}
	for _, command := range psqlCommands {
		if !asked[command] {
			t.Errorf("%s is not in %s: record it (see TestPsql)", command, psqlGolden)
		}
	}
	if os.Getenv("MILLSTREAM_TEST_UPDATE") != "" {
		if err := os.WriteFile(psqlGolden, []byte(out.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// Tab completion sends these as the user types; those for servers of 8.0 differ from today's.
func TestPsqlCompletion(t *testing.T) {
	t.Parallel()
	c := setup(t).connect()
	c.do(psqlSetup...)
	for _, query := range []string{
		`SELECT c.relname, NULL::pg_catalog.text FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'f', 'v', 'm', 'p') AND (c.relname) LIKE 'ke%' AND pg_catalog.pg_table_is_visible(c.oid) AND c.relnamespace <> (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = 'pg_catalog')
UNION ALL
SELECT NULL::pg_catalog.text, n.nspname FROM pg_catalog.pg_namespace n WHERE n.nspname LIKE 'ke%' AND n.nspname NOT LIKE E'pg\\_%'
LIMIT 1000`,
		`SELECT c.relname, n.nspname FROM pg_catalog.pg_class c, pg_catalog.pg_namespace n WHERE n.oid = c.relnamespace AND c.relkind IN ('r', 'f', 'v', 'm', 'p') AND (c.relname) LIKE 'ke%' AND n.nspname = 'public' AND c.relnamespace <> (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = 'pg_catalog')
UNION ALL
SELECT NULL::pg_catalog.text, n.nspname FROM pg_catalog.pg_namespace n WHERE n.nspname LIKE 'pub%' AND n.nspname NOT LIKE E'pg\\_%' AND n.nspname = NULL
LIMIT 1000`,
	} {
		if got := c.rows(query); len(got) == 0 || !strings.HasPrefix(got[0], "keyed|") {
			t.Errorf("%s: got %v", query, got)
		}
	}
	if got := c.one(`SELECT a.attname FROM pg_catalog.pg_attribute a, pg_catalog.pg_class c WHERE c.oid = a.attrelid AND a.attnum > 0 AND NOT a.attisdropped AND (a.attname) LIKE 'v%'
		AND (c.relname) = 'keyed' AND pg_catalog.pg_table_is_visible(c.oid) LIMIT 1000`); got != "v" {
		t.Errorf("a column: got %s", got)
	}
}
