//go:build cgo

package redshift

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

func TestLocalRedshiftAbort(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, bad := range []string{"SELECT nope", "SELEC", "SELECT 'x'::INT", "INSERT INTO missing VALUES (1)", "SAVEPOINT a"} {
		for _, end := range []string{"ROLLBACK", "COMMIT", "END", "ABORT"} {
			c := w.connect()
			c.do("DROP TABLE IF EXISTS public.t", "CREATE TABLE public.t (n INT)", "BEGIN", "INSERT INTO t VALUES (1)")
			if _, err := c.Exec(t.Context(), bad); err == nil {
				t.Fatalf("%s: no error", bad)
			}
			if status := c.PgConn().TxStatus(); status != 'E' {
				t.Errorf("after %s: status %c, want E", bad, status)
			}
			c.fails("25P02", "SELECT 1")
			tag, err := c.Exec(t.Context(), end)
			if err != nil || tag.String() != "ROLLBACK" {
				t.Errorf("%s: got %s, %v, want ROLLBACK", end, tag, err)
			}
			if status := c.PgConn().TxStatus(); status != 'I' {
				t.Errorf("after %s: status %c, want I", end, status)
			}
			if got := c.one("SELECT count(*) FROM t"); got != "0" {
				t.Errorf("%s, %s: %s rows, want 0", bad, end, got)
			}
			_ = c.Close(t.Context())
		}
	}
}

func TestAbortInExtendedProtocol(t *testing.T) {
	t.Parallel()
	c := setup(t).connect(pgx.QueryExecModeCacheStatement)
	c.do("CREATE TABLE public.t (n INT)", "BEGIN")
	if _, err := c.Exec(t.Context(), "INSERT INTO t VALUES ($1)", 1); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Exec(t.Context(), "INSERT INTO nope VALUES ($1)", 1); err == nil {
		t.Fatal("no error")
	}
	if status := c.PgConn().TxStatus(); status != 'E' {
		t.Errorf("status %c, want E", status)
	}
	_, err := c.Exec(t.Context(), "INSERT INTO t VALUES ($1)", 2)
	if err == nil || !strings.Contains(err.Error(), "25P02") {
		t.Errorf("got %v, want 25P02", err)
	}
	c.do("ROLLBACK")
	if got := c.one("SELECT count(*) FROM t"); got != "0" {
		t.Errorf("%s rows, want 0", got)
	}
}

func TestQueryStringIsOneTransaction(t *testing.T) {
	t.Parallel()
	w := setup(t)
	c := w.connect()
	c.do("CREATE TABLE public.t (n INT)")
	c.fails("42703", "INSERT INTO t VALUES (1); INSERT INTO t VALUES (2); SELECT nope FROM t")
	if got := c.one("SELECT count(*) FROM t"); got != "0" {
		t.Errorf("%s rows of a string that failed, want 0", got)
	}
	results, err := c.PgConn().Exec(t.Context(), "INSERT INTO t VALUES (1); SELECT n FROM t; BEGIN; INSERT INTO t VALUES (2); SELECT n FROM t ORDER BY n").ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var tags []string
	for _, r := range results {
		tags = append(tags, r.CommandTag.String())
	}
	if diff := cmp.Diff([]string{"INSERT 0 1", "SELECT 1", "BEGIN", "INSERT 0 1", "SELECT 2"}, tags); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
	if status := c.PgConn().TxStatus(); status != 'T' {
		t.Errorf("status %c, want T: BEGIN within a string goes on behind it", status)
	}
	c.do("ROLLBACK")
}

func TestDDLRollsBack(t *testing.T) {
	t.Parallel()
	c := setup(t).connect()
	c.do("CREATE SCHEMA app", "CREATE TABLE app.t (n INT)", "CREATE TABLE app.u (n INT)", "INSERT INTO app.u VALUES (7)",
		"BEGIN", "ALTER TABLE app.t ADD COLUMN m INT", "CREATE TEMP TABLE tmp (n INT)", "ALTER TABLE app.t RENAME TO t__old", "ALTER TABLE app.u RENAME TO t",
		"INSERT INTO app.t VALUES (8)", "DROP TABLE app.t__old", "ROLLBACK")
	c.fails("42703", "SELECT m FROM app.t")
	c.fails("42P01", "SELECT * FROM tmp")
	want := []string{"t|n|integer", "u|n|integer"}
	if diff := cmp.Diff(want, c.rows(`SELECT table_name, column_name, data_type FROM svv_columns WHERE table_schema = 'app' ORDER BY 1`)); diff != "" {
		t.Errorf("svv_columns (-want +got):\n%s", diff)
	}
	if got := c.one("SELECT n FROM app.u"); got != "7" {
		t.Errorf("u: got %s, want 7", got)
	}
}

func TestSwapByTwoRenames(t *testing.T) {
	t.Parallel()
	c := setup(t).connect()
	c.do("CREATE SCHEMA app", "CREATE TABLE app.t (n INT)", "CREATE TABLE app.t__refresh (n INT)", "INSERT INTO app.t VALUES (1)", "INSERT INTO app.t__refresh VALUES (2)",
		"BEGIN", "ALTER TABLE app.t RENAME TO t__old", "ALTER TABLE app.t__refresh RENAME TO t", "COMMIT", "DROP TABLE app.t__old")
	if got := c.one("SELECT n FROM app.t"); got != "2" {
		t.Errorf("got %s, want 2", got)
	}
}

func TestTruncateCommits(t *testing.T) {
	t.Parallel()
	c := setup(t).connect()
	c.do("CREATE TABLE public.t (n INT)", "INSERT INTO t VALUES (1)", "BEGIN", "TRUNCATE t", "ROLLBACK")
	if got := c.one("SELECT count(*) FROM t"); got != "0" {
		t.Errorf("%s rows, want 0: TRUNCATE commits", got)
	}
}

func TestTemporaryTablesAreTheSessions(t *testing.T) {
	t.Parallel()
	w := setup(t)
	a, b := w.connect(), w.connect()
	a.do("CREATE TEMP TABLE stg (n VARCHAR(4))", "INSERT INTO stg VALUES ('a')", "BEGIN", "INSERT INTO stg VALUES ('b')", "COMMIT")
	if got := a.one("SELECT count(*) FROM stg"); got != "2" {
		t.Errorf("own: got %s, want 2", got)
	}
	a.fails("22001", "INSERT INTO stg VALUES ('longer')")
	b.fails("42P01", "SELECT * FROM stg")
	b.do("CREATE TEMP TABLE stg (n INT)")
	a.do("DROP TABLE stg", "CREATE TABLE #hash (n INT)", "INSERT INTO #hash VALUES (1)")
	b.do("INSERT INTO stg VALUES (1)")
}

func TestAggregateOverRowsOfTheTransaction(t *testing.T) {
	t.Parallel()
	c := setup(t).connect()
	c.do("CREATE TABLE public.t (k VARCHAR(8), n BIGINT)", "BEGIN", "INSERT INTO t VALUES ('a', 1)")
	if got := c.one("SELECT 'x', MIN(n), MAX(n), COUNT(*) FROM t WHERE k = 'b'"); got != "x|∅|∅|0" {
		t.Errorf("over rows that the filter leaves out: got %q", got)
	}
	c.do("INSERT INTO t (k, n) SELECT 'b', MAX(n) FROM t WHERE k = 'b'", "COMMIT")
	if got := strings.Join(c.rows("SELECT k, n FROM t ORDER BY k"), ","); got != "a|1,b|∅" {
		t.Errorf("rows: got %q", got)
	}
}
