//go:build cgo

package redshift

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

func TestSettingsEndWithTheirTransaction(t *testing.T) {
	t.Parallel()
	c := setup(t).connect()
	c.do("CREATE SCHEMA app", "CREATE TABLE app.t (n INT)", "SET statement_timeout TO 60000",
		"BEGIN", "SET search_path TO app", "SET LOCAL statement_timeout TO 5000", "SELECT n FROM t")
	if got := c.one("SHOW statement_timeout"); got != "5000" {
		t.Errorf("within: %s", got)
	}
	c.do("ROLLBACK")
	c.fails("42P01", "SELECT n FROM t")
	if got := c.one("SHOW statement_timeout"); got != "60000" {
		t.Errorf("after SET LOCAL: %s", got)
	}
	c.do("BEGIN", "SET search_path TO app", "SET LOCAL timezone TO 'Asia/Kolkata'", "COMMIT", "SELECT n FROM t")
	if got := c.one("SHOW timezone"); got != "UTC" {
		t.Errorf("SET LOCAL outlived its transaction: %s", got)
	}
	c.do("SET query_group TO 'x'", "RESET ALL")
	c.fails("42P01", "SELECT n FROM t")
	if got := c.one("SHOW query_group"); got != "unset" {
		t.Errorf("after RESET ALL: %s", got)
	}
	if all := strings.Join(c.rows("SHOW ALL"), ","); !strings.Contains(all, `search_path|"$user", public`) {
		t.Errorf("SHOW ALL: %s", all)
	}
	c.fails("42704", "SET nothing TO 1")
	c.fails("22023", "SET statement_timeout TO 'soon'")
	c.fails("22023", "SET timezone TO 'Atlantis'")
	c.fails("55P02", "SET server_version TO '9'")
}

func TestSearchPathMayNameASchemaThatComesLater(t *testing.T) {
	t.Parallel()
	c := setup(t).connect()
	c.do("SET search_path TO later, public", "CREATE TABLE public.t (n INT)", "SELECT n FROM t", "CREATE SCHEMA later", "CREATE TABLE u (n INT)", "SELECT n FROM u")
	if got := c.one("SELECT tablename FROM pg_tables WHERE schemaname = 'later'"); got != "u" {
		t.Errorf("got %s, want u", got)
	}
}

func TestTimesAreInTheSessionsZone(t *testing.T) {
	t.Parallel()
	c := setup(t).connect()
	c.do("CREATE TABLE public.t (tz TIMESTAMPTZ, tt TIME, ttz TIMETZ)", "INSERT INTO t VALUES ('2026-11-21 06:15:02.5+00', '10:11:12', '10:11:12+05:30')")
	for _, test := range []struct{ zone, want string }{
		{"UTC", "2026-11-21 06:15:02.5+00|10:11:12|10:11:12+05:30"},
		{"Europe/Berlin", "2026-11-21 07:15:02.5+01|10:11:12|10:11:12+05:30"},
		{"Asia/Kolkata", "2026-11-21 11:45:02.5+05:30|10:11:12|10:11:12+05:30"},
	} {
		c.do("SET TIME ZONE '" + test.zone + "'")
		if got := c.one("SELECT tz, tt, ttz FROM t"); got != test.want {
			t.Errorf("%s: got %s, want %s", test.zone, got, test.want)
		}
		if got := c.one("SELECT ABS(DATEDIFF(second, GETDATE(), CURRENT_TIMESTAMP::TIMESTAMP)) < 5"); got != "t" {
			t.Errorf("%s: GETDATE is not in the session's zone", test.zone)
		}
	}
}

func TestFloatsHaveTheirCertainDigits(t *testing.T) {
	t.Parallel()
	c := setup(t).connect()
	const query = "SELECT 0.1::FLOAT8 + 0.2::FLOAT8, 1.1::REAL, 1e15::FLOAT8, 123456789012345::FLOAT8, 0.00001::FLOAT8, -1.5::FLOAT8, 0::FLOAT8"
	if got, want := c.one(query), "0.3|1.1|1e+15|123456789012345|1e-05|-1.5|0"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	c.do("SET extra_float_digits TO 2")
	if got, want := c.one(query), "0.30000000000000004|1.1|1e+15|123456789012345|1e-05|-1.5|0"; got != want {
		t.Errorf("with extra digits: got %s, want %s", got, want)
	}
}

func TestStartUpParameters(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, test := range []struct{ param, query, want string }{
		{"options=-c%20statement_timeout%3D1234%20-ctimezone%3DAsia/Kolkata", "SELECT current_setting('server_version')", "8.0.2"},
		{"statement_timeout=1234", "SHOW statement_timeout", "1234"},
		{"search_path=app", "SHOW search_path", "app"},
		{"client_encoding=UTF8", "SHOW client_encoding", "UTF8"},
		{"driver_version=Redshift%20JDBC%20Driver%202.1", "SELECT 1", "1"},
		{"nonsense=1", "", `unrecognized configuration parameter "nonsense"`},
		{"options=-c%20nonsense%3D1", "", `unrecognized configuration parameter "nonsense"`},
		{"client_encoding=LATIN1", "", "client_encoding"},
	} {
		conn, err := pgx.Connect(t.Context(), w.dsn()+"&"+test.param)
		if test.query == "" {
			if pg, ok := errors.AsType[*pgconn.PgError](err); !ok || pg.Severity != "FATAL" || !strings.Contains(pg.Message, test.want) {
				t.Errorf("%s: got %v, want FATAL %s", test.param, err, test.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", test.param, err)
			continue
		}
		c := &client{conn, t}
		if got := c.one(test.query); got != test.want {
			t.Errorf("%s: got %s, want %s", test.param, got, test.want)
		}
		_ = conn.Close(t.Context())
	}
}

func TestErrorsPointAtTheWord(t *testing.T) {
	t.Parallel()
	c := setup(t).connect()
	c.do("CREATE TABLE public.t (n INT)")
	for _, test := range []struct {
		text string
		at   int32
	}{
		{"SELECT nope FROM t", 8},
		{"SELECT 'äö', nope FROM t", 14},
		{"SELECT 1; SELECT * FROM app.missing", 29},
		{"SELECT * FRM t", 14},
		{"SELECT 1,\n  nosuchfunction(n) FROM t", 13},
		{"SELEC 1", 1},
		{"SELECT 'open", 8},
		{"SELECT 1 / 'x'::INT", 0},
	} {
		_, err := c.tryRows(test.text)
		if pg, ok := errors.AsType[*pgconn.PgError](err); !ok || pg.Position != test.at {
			t.Errorf("%s: got %+v, want position %d", test.text, err, test.at)
		}
	}
}

func TestStatementOfSixteenMegabytes(t *testing.T) {
	t.Parallel()
	c := setup(t).connect()
	if got := c.one("SELECT 1 /*" + strings.Repeat("x", 16<<20-14) + "*/"); got != "1" {
		t.Errorf("at the limit: got %s", got)
	}
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeExec, pgx.QueryExecModeDescribeExec} {
		_, err := c.Exec(t.Context(), "SELECT $1::INT /*"+strings.Repeat("x", 16<<20)+"*/", mode, 1)
		if err == nil || !strings.Contains(err.Error(), "Statement is too large") {
			t.Errorf("%v, above it: %v", mode, fmt.Sprint(err))
		}
	}
	if got := c.one("SELECT 2"); got != "2" {
		t.Errorf("afterwards: got %s", got)
	}
}

func TestWarningsOfTransactions(t *testing.T) {
	t.Parallel()
	w := setup(t)
	cfg, err := pgx.ParseConfig(w.dsn())
	if err != nil {
		t.Fatal(err)
	}
	var notices []string
	cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { notices = append(notices, n.Severity+" "+n.Message) }
	conn, err := pgx.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	c := &client{conn, t}
	c.do("COMMIT", "BEGIN", "BEGIN", "DROP TABLE IF EXISTS gone", "ROLLBACK")
	want := "WARNING there is no transaction in progress,WARNING there is already a transaction in progress,INFO Table \"gone\" does not exist and will be skipped"
	if got := strings.Join(notices, ","); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
