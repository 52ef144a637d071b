//go:build cgo

package redshift

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// waiting reports how many sessions wait for a lock.
func (w *warehouse) waiting() int {
	w.locks.mu.Lock()
	defer w.locks.mu.Unlock()
	n := 0
	for _, t := range w.locks.tables {
		n += len(t.queue)
	}
	return n
}

// later runs a statement that has to wait and returns a channel with its error.
func (c *client) later(w *warehouse, statement string) <-chan error {
	c.t.Helper()
	before := w.waiting()
	done := make(chan error, 1)
	go func() {
		_, err := c.Exec(context.Background(), statement)
		done <- err
	}()
	eventually(c.t, statement+" waits for its lock", func() bool { return w.waiting() == before+1 })
	return done
}

func TestLocalRedshiftLocks(t *testing.T) {
	t.Parallel()
	const table = "CREATE TABLE public.t (n INT)"
	t.Run("a read behind LOCK sees the last winner", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		a, b := w.connect(), w.connect()
		a.do(table, "BEGIN", "LOCK TABLE t", "INSERT INTO t VALUES (1)")
		b.do("BEGIN", "SELECT 1")
		got := b.later(w, "LOCK TABLE t")
		a.do("COMMIT")
		if err := <-got; err != nil {
			t.Fatal(err)
		}
		if n := b.one("SELECT count(*) FROM t"); n != "1" {
			t.Errorf("behind the lock: got %s rows, want 1", n)
		}
	})
	t.Run("one writer a table, and its conflict does not surface", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		a, b := w.connect(), w.connect()
		a.do(table, "INSERT INTO t VALUES (1)", "BEGIN", "UPDATE t SET n = n + 1")
		got := b.later(w, "UPDATE t SET n = n + 1")
		if n := w.connect().one("SELECT n FROM t"); n != "1" {
			t.Errorf("a reader beside a writer: got %s, want 1", n)
		}
		a.do("COMMIT")
		if err := <-got; err != nil {
			t.Fatal(err)
		}
		if n := a.one("SELECT n FROM t"); n != "3" {
			t.Errorf("after both: got %s, want 3", n)
		}
	})
	t.Run("an ALTER waits for open readers, and readers wait behind it", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		a, b, c := w.connect(), w.connect(), w.connect()
		a.do(table, "BEGIN", "SELECT * FROM t")
		alter := b.later(w, "ALTER TABLE t ADD COLUMN m INT")
		read := c.later(w, "SELECT m FROM t")
		a.do("COMMIT")
		if err := errors.Join(<-alter, <-read); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("a cycle gives 40P01 to one and lets the other go on", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		a, b := w.connect(), w.connect()
		a.do(table, "CREATE TABLE public.u (n INT)", "BEGIN", "LOCK t")
		b.do("BEGIN", "LOCK u")
		got := a.later(w, "LOCK u")
		b.fails("40P01", "LOCK t")
		b.do("ROLLBACK")
		if err := <-got; err != nil {
			t.Fatal(err)
		}
	})
	t.Run("statement_timeout ends a wait", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		a, b := w.connect(), w.connect()
		a.do(table, "BEGIN", "LOCK t")
		b.do("SET statement_timeout TO 300")
		b.fails("57014", "SELECT * FROM t")
		a.do("COMMIT")
		b.do("SELECT * FROM t")
	})
	t.Run("a lost session frees its locks", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		a, b := w.connect(), w.connect()
		a.do(table, "BEGIN", "LOCK t", "INSERT INTO t VALUES (1)")
		got := b.later(w, "LOCK t")
		_ = a.PgConn().Conn().Close()
		if err := <-got; err != nil {
			t.Fatal(err)
		}
		if n := b.one("SELECT count(*) FROM t"); n != "0" {
			t.Errorf("%s rows of a lost session, want 0", n)
		}
	})
}

func TestCancelInterrupts(t *testing.T) {
	t.Parallel()
	w := setup(t)
	a, b := w.connect(), w.connect()
	a.do("CREATE TABLE public.t (n INT)", "BEGIN", "LOCK t")
	got := b.later(w, "SELECT * FROM t")
	if err := b.PgConn().CancelRequest(t.Context()); err != nil {
		t.Fatal(err)
	}
	var pg *pgconn.PgError
	if err := <-got; !errors.As(err, &pg) || pg.Code != "57014" {
		t.Errorf("got %v, want 57014", err)
	}
	// a long query, too, not only a wait
	b.do("CREATE TABLE public.big (n INT)", "INSERT INTO big VALUES (1), (2), (3), (4), (5), (6), (7), (8), (9), (10)")
	done := make(chan error, 1)
	go func() {
		_, err := b.Exec(context.Background(), "SELECT count(*) FROM big a, big b, big c, big d, big e, big f, big g, big h, big i, big j, big k, big l WHERE a.n + b.n + c.n + l.n = 0")
		done <- err
	}()
	deadline := time.After(time.Minute)
	for {
		_ = b.PgConn().CancelRequest(t.Context())
		select {
		case err := <-done:
			if !errors.As(err, &pg) || pg.Code != "57014" {
				t.Errorf("got %v, want 57014", err)
			}
			eventually(t, "no late cancel hits the next statement", func() bool {
				_, err := b.tryRows("SELECT count(*) FROM big")
				return err == nil
			})
			return
		case <-time.After(10 * time.Millisecond):
		case <-deadline:
			t.Fatal("the query was not interrupted")
		}
	}
}

// A cancel that arrives while DuckDB's transaction begins must not leave one behind that nobody knows of.
func TestCancelAtAnyMomentLeavesASessionThatWorks(t *testing.T) {
	t.Parallel()
	w := setup(t)
	c := w.connect()
	c.do("CREATE TABLE public.t (n INT)")
	ended := make(chan struct{})
	var cancels sync.WaitGroup
	cancels.Go(func() {
		for {
			_ = c.PgConn().CancelRequest(t.Context())
			select {
			case <-ended:
				return
			default:
			}
		}
	})
	for range 100 {
		if _, err := c.tryRows("SELECT count(*) FROM t"); err != nil {
			if pg, ok := errors.AsType[*pgconn.PgError](err); !ok || pg.Code != "57014" {
				t.Errorf("got %v, want 57014", err)
				break
			}
		}
	}
	close(ended)
	cancels.Wait()
	eventually(t, "statements run again", func() bool {
		_, err := c.tryRows("SELECT count(*) FROM t")
		return err == nil
	})
}

func TestSerializableRefusesWhatWasOvertaken(t *testing.T) {
	t.Parallel()
	for _, isolation := range []string{IsolationSnapshot, IsolationSerializable} {
		t.Run(isolation, func(t *testing.T) {
			t.Parallel()
			w := setup(t, func(c *Config) { c.Isolation = isolation })
			a, b := w.connect(), w.connect()
			a.do("CREATE TABLE public.t (n INT)", "CREATE TABLE public.u (n INT)", "BEGIN", "SELECT * FROM t")
			b.do("INSERT INTO t VALUES (1)")
			a.do("INSERT INTO u SELECT count(*) FROM t")
			if isolation == IsolationSnapshot {
				a.do("COMMIT")
				if got := a.one("SELECT n FROM u"); got != "0" {
					t.Errorf("the snapshot moved: got %s, want 0", got)
				}
				return
			}
			if err := a.refusal("XX000", "COMMIT"); err.Message != "1023" {
				t.Errorf("got %q, want 1023", err.Message)
			}
			if got := a.one("SELECT count(*) FROM u"); got != "0" {
				t.Errorf("%s rows of a transaction that lost, want 0", got)
			}
		})
	}
}
