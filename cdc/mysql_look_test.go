//go:build integration

package cdc

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/wire"
)

// origin is what a role would read the shop by.
func (s *myShop) origin(f faults) *mysqlOrigin {
	s.Helper()
	o, err := newMySQL("shop", s.cfg.Sources["shop"])
	if err != nil {
		s.Fatal(err)
	}
	o.faults = f
	s.Cleanup(o.close)
	return o
}

func (s *myShop) thread(c *sql.Conn) int64 {
	s.Helper()
	var id int64
	if err := c.QueryRowContext(s.Context(), "SELECT CONNECTION_ID()").Scan(&id); err != nil {
		s.Fatal(err)
	}
	return id
}

func (s *myShop) look(o *mysqlOrigin) reading {
	s.Helper()
	var r reading
	testkit.Eventually(s.T, "a sample succeeds", func() (err error) { r, err = o.look(s.Context()); return err })
	if r.basis != basisProcess {
		s.Fatalf("basis: got %s, want process", r.basis)
	}
	return r
}

// notPassed fails if a watermark lies beyond the moment given.
func (s *myShop) notPassed(began time.Time) {
	s.Helper()
	for _, h := range s.changes().headers {
		if h.Kind != wire.KindPoll {
			continue
		}
		m, err := wire.DecodePoll(h.Body)
		if err != nil {
			s.Fatal(err)
		}
		if m.CompleteThrough != nil && parseStamp(*m.CompleteThrough).After(began) {
			s.Errorf("watermark %s passed the open transaction's begin %s (basis %s)", *m.CompleteThrough, began, m.Basis)
		}
	}
}

// A transaction that is open across polls, one that was prepared and lost its
// session: rows flow meanwhile, the watermark waits, and its row arrives.
func TestMariaDBLongTransaction(t *testing.T) {
	t.Parallel()
	for name, steps := range map[string][3]string{
		"open":     {"BEGIN; INSERT INTO orders (id, note) VALUES (2, 'late')", "", "COMMIT"},
		"prepared": {"XA START '%s'; INSERT INTO orders (id, note) VALUES (2, 'late'); XA END '%s'; XA PREPARE '%s'", "leaves", "XA COMMIT '%s'"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setupMaria(t, myOrders)
			s.setByDatabase()
			s.run(nil)
			s.sql("INSERT INTO orders (id, note) VALUES (1, 'first')")
			s.await(1, "first")
			long := s.connect()
			s.sqlOn(long, strings.ReplaceAll(steps[0], "%s", s.schema))
			began := time.Now()
			if steps[1] != "" {
				hangUp(long)
				long = s.conn
			}
			for i := 10; i < 14; i++ {
				s.sql(fmt.Sprintf("INSERT INTO orders (id, note) VALUES (%d, 'meanwhile')", i))
				s.await(i, "meanwhile")
			}
			s.notPassed(began)
			s.sqlOn(long, strings.ReplaceAll(steps[2], "%s", s.schema))
			s.await(2, "late")
			for v, n := range s.changes().versions() {
				if n != 1 {
					t.Errorf("version %s was published %d times", v, n)
				}
			}
		})
	}
}

// The server refreshes its list of transactions only when nobody has read it for
// 100 ms. A list under a busy monitor is not believed.
func TestStaleTransactionList(t *testing.T) {
	t.Parallel()
	s := setupMaria(t, myOrders)
	right, wrong := s.origin(faults{}), s.origin(faults{noOwnRow: true})
	s.look(right)
	s.look(wrong)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ready := make(chan struct{})
	monitor := s.connect()
	go func() {
		for n := 0; ctx.Err() == nil; n++ {
			_, _ = monitor.ExecContext(ctx, "DO (SELECT COUNT(*) FROM information_schema.innodb_trx)") // until it is stopped
			if n == 3 {
				close(ready)
			}
		}
	}()
	<-ready
	s.sql("BEGIN; INSERT INTO orders (id, note) VALUES (1, 'open')")
	defer s.sql("ROLLBACK")
	mine := s.thread(s.conn)
	lists := func(r reading) bool {
		return slices.ContainsFunc(r.procs.open, func(x openTrx) bool { return x.thread == mine })
	}
	r, err := right.look(t.Context())
	if !errors.Is(err, errStaleList) && (err != nil || !lists(r)) {
		t.Errorf("look under a monitor: got %v and lists the open transaction: %t; want it to fail, or to list it", err, lists(r))
	}
	if r, err := wrong.look(t.Context()); err != nil || lists(r) {
		t.Errorf("without the proof: got %v and lists the open transaction: %t; the monitor is too slow to test anything", err, lists(r))
	}
	stop()
	if !lists(s.look(right)) {
		t.Error("without a monitor the open transaction is not listed")
	}
}

// NOW() is fixed when a statement begins, and InnoDB hears of it when it first
// touches a row. At the next sample its session may be asleep.
func TestStatementOlderThanTransaction(t *testing.T) {
	t.Parallel()
	s := setupMaria(t, myOrders)
	o := s.origin(faults{})
	right := horizon{initial: 24 * time.Hour}
	wrong := horizon{initial: 24 * time.Hour, faults: faults{noProcessMemory: true}}
	mine := s.thread(s.conn)
	observe := func(r reading) (a, b sample) { // other tests share the server
		r.procs.running = slices.DeleteFunc(r.procs.running, func(x runningStatement) bool { return x.thread != mine })
		r.procs.open = slices.DeleteFunc(r.procs.open, func(x openTrx) bool { return x.thread != mine })
		return right.observe(r), wrong.observe(r)
	}
	observe(s.look(o))
	s.sql("BEGIN")
	gate := s.connect()
	s.sqlOn(gate, "DO GET_LOCK('"+s.schema+"', 1)")
	done := make(chan error, 1)
	go func() {
		_, err := s.conn.ExecContext(t.Context(), "INSERT INTO orders SELECT 1, 'slow', now(6) FROM dual WHERE GET_LOCK('"+s.schema+"', 60) = 1")
		done <- err
	}()
	testkit.Eventually(t, "the statement has run for a second, and InnoDB does not know", func() error {
		r := s.look(o)
		runs := slices.ContainsFunc(r.procs.running, func(x runningStatement) bool { return x.thread == mine && x.age >= time.Second })
		if !runs || slices.ContainsFunc(r.procs.open, func(x openTrx) bool { return x.thread == mine }) {
			return fmt.Errorf("running: %t", runs)
		}
		observe(r)
		return nil
	})
	s.sqlOn(gate, "DO RELEASE_LOCK('"+s.schema+"')")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	var stamp string
	if err := s.conn.QueryRowContext(t.Context(), "SELECT CAST(updated_at AS CHAR) FROM orders").Scan(&stamp); err != nil {
		t.Fatal(err)
	}
	micros, _ := mysqlMicros(stamp)
	now := time.UnixMicro(micros).UTC()
	good, bad := observe(s.look(o))
	if good.raw.After(now) {
		t.Errorf("raw %s is after the stamp %s of the open transaction", good.raw, now)
	}
	if !bad.raw.After(now) {
		t.Errorf("without the memory of the process list raw is %s, which is not after the stamp %s: nothing was tested", bad.raw, now)
	}
	s.sql("ROLLBACK")
}

// SELECT alone is enough; PROCESS gives the horizon. What is missing is named.
func TestMariaDBLeastPrivilege(t *testing.T) {
	t.Parallel()
	s := setupMaria(t, myOrders)
	user := "u" + s.schema[len(s.schema)-20:]
	s.sql(fmt.Sprintf("CREATE USER %s IDENTIFIED BY 'p?s@s'", user))
	s.Cleanup(func() { s.sql("DROP USER " + user) })
	s.edit(func(src *SourceConfig) {
		src.DSN = config.Secret(fmt.Sprintf("mariadb://%s:p%%3Fs%%40s@%s/", user, s.conf.Addr))
	})
	mends := func(code, mend string) {
		t.Helper()
		if findings := Check(t.Context(), s.cfg); !slices.ContainsFunc(findings, func(f Finding) bool { return f.Code == code && strings.Contains(f.Mend, mend) }) {
			t.Errorf("check: got %+v, want %s with %q", findings, code, mend)
		}
	}
	mends("grant_missing", "GRANT SELECT ON `"+s.schema+"`.`orders`")
	s.sql("GRANT SELECT (id) ON orders TO " + user)
	mends("column_grants", "GRANT SELECT ON")
	s.run(nil)
	s.sql("INSERT INTO orders (id, note) VALUES (1, 'a')")
	s.sql("GRANT SELECT ON orders TO " + user)
	s.await(1, "a")
	o := s.origin(faults{})
	if r, err := o.look(t.Context()); err != nil || r.basis != basisLookback {
		t.Errorf("without PROCESS: got %v and basis %s, want lookback", err, r.basis)
	}
	s.edit(func(src *SourceConfig) { src.Horizon.Method = string(basisProcess) })
	if _, err := s.origin(faults{}).look(t.Context()); err == nil || !strings.Contains(err.Error(), "GRANT PROCESS") {
		t.Errorf("method process without PROCESS: got %v, want the grant", err)
	}
	s.sql("GRANT PROCESS ON *.* TO " + user)
	if r := s.look(s.origin(faults{})); r.threads == 0 {
		t.Error("no thread runs, not even our own")
	}
}
