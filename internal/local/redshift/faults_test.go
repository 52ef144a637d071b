//go:build cgo

package redshift

import (
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

func TestFaults(t *testing.T) {
	t.Parallel()
	w := setup(t, func(c *Config) { c.Faults = true })
	check := w.connect()
	check.do("CREATE TABLE public.t (n INT)")
	count := func() string { return check.one("SELECT count(*) FROM t") }
	lost := func(c *client, statement string) {
		t.Helper()
		_, err := c.Exec(t.Context(), statement)
		var pg *pgconn.PgError
		if err == nil || errors.As(err, &pg) {
			t.Errorf("%s: got %v, want a lost connection", statement, err)
		}
	}

	w.Faults().Inject(Fault{Match: "commit", Action: CutBefore})
	c := w.connect()
	c.do("BEGIN", "INSERT INTO t VALUES (1)")
	lost(c, "COMMIT")
	eventually(t, "the lost session's lock is free", func() bool { return len(w.heldBy("public.t")) == 0 })
	if got := count(); got != "0" {
		t.Errorf("cut before COMMIT: %s rows, want 0", got)
	}

	w.Faults().Inject(Fault{Match: "commit", Action: CutAfter})
	c = w.connect()
	c.do("BEGIN", "INSERT INTO t VALUES (1)")
	lost(c, "COMMIT")
	if got := count(); got != "1" {
		t.Errorf("cut after COMMIT: %s rows, want 1", got)
	}

	w.Faults().Inject(Fault{Match: "insert into t", Action: CutDuring, Skip: 1})
	c = w.connect()
	c.do("INSERT INTO t VALUES (2)")
	lost(c, "INSERT INTO t VALUES (3)")
	eventually(t, "the statement outlives its client", func() bool { return count() == "3" })

	w.Faults().Inject(Fault{Match: "insert", Action: FailWith, Code: "57014", Text: "system is in resize mode", Times: 2})
	c = w.connect()
	for range 2 {
		if err := c.refusal("57014", "INSERT INTO t VALUES (4)"); err.Message != "system is in resize mode" {
			t.Errorf("got %q", err.Message)
		}
	}
	c.do("INSERT INTO t VALUES (4)")

	w.Faults().Inject(Fault{Match: "insert", Action: DelayBy, Delay: time.Hour})
	c.do("SET statement_timeout TO 20")
	c.fails("57014", "INSERT INTO t VALUES (5)")

	w.Faults().RefuseConnections(1)
	if _, err := pgx.Connect(t.Context(), w.dsn()); err == nil {
		t.Error("the connection was not refused")
	}
	if got := w.Faults().Struck(); got != 6 {
		t.Errorf("struck %d times, want 6", got)
	}
	c = w.connect()
	c.do(`SELECT millstream_local.fault('{"match": "select 42", "action": "fail", "code": "XX000", "text": "1023"}')`)
	c.fails("XX000", "SELECT 42")
	setup(t).connect().fails("0A000", "SELECT millstream_local.fault('clear')")
}

// heldBy lists the sessions that hold a table's lock.
func (w *warehouse) heldBy(table string) []int32 {
	w.locks.mu.Lock()
	defer w.locks.mu.Unlock()
	var out []int32
	if t := w.locks.tables[table]; t != nil {
		for owner := range t.holders {
			out = append(out, owner)
		}
	}
	return out
}
