//go:build cgo

package redshift

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCatalogueNamesTheBlockingSession(t *testing.T) {
	t.Parallel()
	w := setup(t)
	a, b, c := w.connect(), w.connect(), w.connect()
	a.do("CREATE SCHEMA app", "CREATE TABLE app.t (n INT)", "BEGIN", "SELECT * FROM app.t")
	alter := b.later(w, "ALTER TABLE app.t ADD COLUMN m INT")
	const locks = `SELECT t.pid, TRIM(t.txn_owner), t.lock_mode, t.granted, t.txn_start <= SYSDATE FROM svv_transactions t JOIN pg_class c ON c.oid = t.relation
		JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'app' AND c.relname = 't' AND t.pid <> pg_backend_pid() ORDER BY t.granted DESC`
	reader, writer := a.one("SELECT pg_backend_pid()"), c.one("SELECT lock_owner_pid FROM stv_locks WHERE lock_status LIKE 'Waiting%'")
	want := []string{reader + "|millstream|AccessShareLock|t|t", writer + "|millstream|AccessExclusiveLock|f|t"}
	if diff := cmp.Diff(want, c.rows(locks)); diff != "" {
		t.Errorf("svv_transactions (-want +got):\n%s", diff)
	}
	if got := c.one("SELECT mode FROM pg_locks WHERE pid = " + reader + " AND granted AND relation IS NOT NULL"); got != "AccessShareLock" {
		t.Errorf("pg_locks: %s", got)
	}
	if got := c.one("SELECT count(*) FROM stv_sessions WHERE TRIM(user_name) = current_user"); got != "3" {
		t.Errorf("stv_sessions: %s", got)
	}
	if got := c.one("SELECT query FROM stv_recents WHERE pid = " + writer); !strings.HasPrefix(got, "alter table app.t") {
		t.Errorf("stv_recents: %s", got)
	}
	if got := c.one("SELECT pg_terminate_backend(" + reader + ")"); got != "1" {
		t.Errorf("pg_terminate_backend: %s", got)
	}
	if err := <-alter; err != nil {
		t.Errorf("behind the session that was ended: %v", err)
	}
	if got := c.one("SELECT pg_cancel_backend(1)"); got != "0" {
		t.Errorf("pg_cancel_backend of nobody: %s", got)
	}
}

func TestQueryHistory(t *testing.T) {
	t.Parallel()
	w := setup(t)
	c := w.connect()
	c.do("SET query_group TO 'mine'", "CREATE TABLE public.t (n INT)", "INSERT INTO t VALUES (1), (2)")
	c.fails("42703", "SELECT nope FROM t")
	got := c.rows("SELECT query_type, status, TRIM(query_label), TRIM(error_message), returned_rows FROM sys_query_history WHERE session_id = pg_backend_pid() AND query_type <> 'UTILITY' ORDER BY start_time")
	want := []string{"CTAS|success|mine||0", "INSERT|success|mine||2", `SELECT|failed|mine|column "nope" does not exist|0`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("sys_query_history (-want +got):\n%s", diff)
	}
	if got := c.one("SELECT count(*) FROM stl_query WHERE aborted = 1"); got != "1" {
		t.Errorf("stl_query: %s", got)
	}
	c.fails("0A000", "CREATE VIEW public.v AS SELECT pid FROM stl_query")
	for range queriesKept {
		c.do("SELECT 1")
	}
	if got := c.one("SELECT count(*) FROM stl_query"); got != "1000" {
		t.Errorf("the history is not bounded: %s", got)
	}
}
