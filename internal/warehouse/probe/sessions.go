package probe

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/millstream-data/millstream/internal/warehouse"
)

func transactionProbes() []Probe {
	return []Probe{
		{Area: areaTransactions, Name: "what is read behind LOCK includes the last winner", Expected: "1", do: behindLock},
		{Area: areaTransactions, Name: "a lost session lets its lock go", Expected: "within a minute", do: lostSession},
		{Area: areaTransactions, Name: "an error ends a transaction", Expected: "error 25P02 ", Statements: nil, do: abort},
		{Area: areaTransactions, Name: "a client that goes away in COMMIT", Expected: "all or nothing", do: lostInCommit},
		{Area: areaTransactions, Name: "a swap under a reader", Expected: "waits for the reader's transaction", do: swapUnderReader},
		{Area: areaTransactions, Name: "each reads what the other writes", Expected: "as the level says", do: writeSkew},
		{Area: areaTransactions, Name: "SAVEPOINT", Expected: "error 0A000 ", Statements: []string{"BEGIN", "SAVEPOINT a"}},
	}
}

func clientProbes() []Probe {
	return []Probe{
		{Area: areaClient, Name: "SET query_group", Expected: "", Statements: []string{"SET query_group TO 'millstream_load'"}},
		{Area: areaClient, Name: "statement_timeout", Expected: "5000", Statements: []string{"SET statement_timeout TO 5000", "SHOW statement_timeout"}},
		{Area: areaClient, Name: "UTF-8 beyond the first plane", Expected: "😀|4", Statements: []string{"SELECT '😀', OCTET_LENGTH('😀')"}},
		{Area: areaClient, Name: "a silent session lives", Expected: "1", do: silence},
		{Area: areaClient, Name: "cancel ends a statement that waits", Expected: "cancelled", do: cancelled},
	}
}

// sessions opens n sessions for do and closes them.
func (r *run) sessions(ctx context.Context, n int, do func(c []*warehouse.Conn) (string, error)) (string, error) {
	var all []*warehouse.Conn
	defer func() {
		for _, c := range all {
			c.Close()
		}
	}()
	for range n {
		c, err := r.Warehouse.Connect(ctx)
		if err != nil {
			return "", err
		}
		all = append(all, c)
	}
	return do(all)
}

// exec runs statements on c.
func (r *run) exec(ctx context.Context, c *warehouse.Conn, statements ...string) error {
	for _, st := range statements {
		if _, err := c.Exec(ctx, r.fill(st, "")); err != nil {
			return err
		}
	}
	return nil
}

// behindLock has two loaders race: the second one begins while the first one
// holds the gate, and reads what that one wrote.
func behindLock(ctx context.Context, r *run) (string, error) {
	return r.sessions(ctx, 2, func(c []*warehouse.Conn) (string, error) {
		if err := r.exec(ctx, c[0], "CREATE TABLE {s}.gate1 (n INT)", "CREATE TABLE {s}.pos1 (n INT)", "BEGIN", "LOCK TABLE {s}.gate1", "INSERT INTO {s}.pos1 VALUES (1)"); err != nil {
			return "", err
		}
		type told struct {
			seen string
			err  error
		}
		second := make(chan told, 1)
		go func() {
			err := r.exec(ctx, c[1], "BEGIN", "LOCK TABLE {s}.gate1")
			if err != nil {
				second <- told{"", err}
				return
			}
			res, err := c[1].Exec(ctx, r.fill("SELECT COUNT(*) FROM {s}.pos1", ""))
			second <- told{answer(res), err}
		}()
		pause(ctx, 2*time.Second) // the second one waits at the gate by then
		if err := r.exec(ctx, c[0], "COMMIT"); err != nil {
			return "", err
		}
		got := <-second
		return got.seen, got.err
	})
}

// lostSession measures how long the gate stays shut after its holder is gone.
func lostSession(ctx context.Context, r *run) (string, error) {
	return r.sessions(ctx, 2, func(c []*warehouse.Conn) (string, error) {
		if err := r.exec(ctx, c[0], "CREATE TABLE {s}.gate2 (n INT)", "BEGIN", "LOCK TABLE {s}.gate2"); err != nil {
			return "", err
		}
		c[0].Close()
		start := time.Now()
		if err := r.exec(ctx, c[1], "SET statement_timeout TO 300000", "BEGIN", "LOCK TABLE {s}.gate2"); err != nil {
			return "", err
		}
		if took := time.Since(start); took > time.Minute {
			return fmt.Sprintf("after %.0f s", took.Seconds()), nil
		}
		return "within a minute", nil
	})
}

// abort runs a statement after one that failed.
func abort(ctx context.Context, r *run) (string, error) {
	return r.sessions(ctx, 1, func(c []*warehouse.Conn) (string, error) {
		if err := r.exec(ctx, c[0], "BEGIN"); err != nil {
			return "", err
		}
		_ = r.exec(ctx, c[0], "SELECT * FROM {s}.no_such_table") // meant to fail
		res, err := c[0].Exec(ctx, "SELECT 1")
		return answer(res), err
	})
}

// silence lets a session rest, as a long COPY does.
func silence(ctx context.Context, r *run) (string, error) {
	return r.sessions(ctx, 1, func(c []*warehouse.Conn) (string, error) {
		pause(ctx, r.Silence)
		res, err := c[0].Exec(ctx, "SELECT 1")
		return answer(res), err
	})
}

// cancelled ends the context of a statement that waits for a lock.
func cancelled(ctx context.Context, r *run) (string, error) {
	return r.sessions(ctx, 2, func(c []*warehouse.Conn) (string, error) {
		if err := r.exec(ctx, c[0], "CREATE TABLE {s}.gate3 (n INT)", "BEGIN", "LOCK TABLE {s}.gate3"); err != nil {
			return "", err
		}
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		start := time.Now()
		err := r.exec(short, c[1], "LOCK TABLE {s}.gate3")
		if err == nil || time.Since(start) > 30*time.Second {
			return fmt.Sprintf("after %.0f s: %v", time.Since(start).Seconds(), err), nil
		}
		if strings.Contains(err.Error(), "transaction") { // LOCK outside a transaction
			return "", err
		}
		return "cancelled", nil
	})
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
