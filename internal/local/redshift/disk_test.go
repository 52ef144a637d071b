//go:build cgo && unix

package redshift

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/millstream-data/millstream/internal/testkit"
)

// obeyDiskSignals lets the log of the server in dir grow no more at SIGUSR1, and as much as it wants at SIGUSR2: what a
// full disk and one with room are to DuckDB.
func obeyDiskSignals(dir string) {
	signal.Ignore(syscall.SIGXFSZ)
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGUSR1, syscall.SIGUSR2)
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		panic(err)
	}
	for sig := range told {
		limit := before
		if info, err := os.Stat(filepath.Join(dir, databaseFile+".wal")); err == nil && sig == syscall.SIGUSR1 {
			limit.Cur = uint64(info.Size()) + 300
		}
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			panic(err)
		}
	}
}

// What a client was told is committed is there, word for word, and nothing else is: also for what is written after a
// commit that found the disk full, and after a kill -9 then.
func TestFullDiskLosesAndSpoilsNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p, addr := spawnProcess(t, dir)
	t.Cleanup(func() { _ = p.Process.Kill(); _ = p.Wait() })
	connect := func() (*pgx.Conn, error) {
		return pgx.Connect(t.Context(), "postgres://millstream:millstream@"+addr+"/millstream?sslmode=disable")
	}
	reconnect := func() *pgx.Conn {
		t.Helper()
		var c *pgx.Conn
		testkit.Eventually(t, "the server takes sessions", func() error {
			var err error
			c, err = connect()
			return err
		})
		return c
	}
	c := reconnect()
	if _, err := c.Exec(t.Context(), "CREATE TABLE public.t (n INT, v VARCHAR(256))"); err != nil {
		t.Fatal(err)
	}
	n, told := 0, 0 // rows tried and rows said to be there
	insert := func() error {
		n++
		_, err := c.Exec(t.Context(), fmt.Sprintf("INSERT INTO t VALUES (%d, '%s-%[1]d')", n, strings.Repeat("x", n%50)))
		if err == nil {
			told++
		}
		return err
	}
	compare := func(when string) {
		t.Helper()
		var rows, right int
		if err := c.QueryRow(t.Context(), "SELECT COUNT(*), SUM(CASE WHEN v = REPEAT('x', n % 50) || '-' || n THEN 1 ELSE 0 END) FROM t").Scan(&rows, &right); err != nil || rows != told || right != rows {
			t.Fatalf("%s: %d rows of %d, %d of them as written, %v", when, rows, told, right, err)
		}
	}
	for round := range 3 {
		if err := insert(); err != nil {
			t.Fatal(err)
		}
		_ = p.Process.Signal(syscall.SIGUSR1)
		var err error
		for deadline := time.Now().Add(20 * time.Second); err == nil && time.Now().Before(deadline); {
			err = insert()
		}
		if e := (*pgconn.PgError)(nil); !errors.As(err, &e) || e.Code != "53100" {
			t.Fatalf("round %d: %v, want the disk to be full", round, err)
		}
		testkit.Eventually(t, "new sessions are told to wait for room", func() error {
			if _, err := connect(); err == nil || !strings.Contains(err.Error(), "57P03") {
				return fmt.Errorf("got %w", err)
			}
			return nil
		})
		_ = p.Process.Signal(syscall.SIGUSR2)
		c = reconnect()
		for range 5 {
			if err := insert(); err != nil {
				t.Fatalf("round %d: with room: %v", round, err)
			}
		}
		compare(fmt.Sprintf("round %d", round))
	}
	_ = p.Process.Kill()
	_ = p.Wait()
	p, addr = spawnProcess(t, dir)
	c = reconnect()
	compare("after a kill")
	_ = c.Close(context.Background())
}
