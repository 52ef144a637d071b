//go:build cgo && unix

package redshift

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// killedServer is set for the process that TestLocalRedshiftKill kills; it serves the folder that it names.
const killedServer = "MILLSTREAM_TEST_REDSHIFT_DIR"

func TestMain(m *testing.M) {
	dir := os.Getenv(killedServer) // how a test's subprocess is told what it is
	if dir == "" {
		os.Exit(m.Run())
	}
	cfg := DefaultConfig()
	cfg.Listen, cfg.Dir, cfg.Memory = "127.0.0.1:0", dir, 256<<20
	s, err := New(cfg, &bucket{objects: map[string][]byte{}}, slog.New(slog.DiscardHandler))
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	go obeyDiskSignals(dir)
	fmt.Println("listening", s.Addr())
	_ = s.Run(context.Background())
}

// spawn starts a server in a process of its own and returns its address and what kills it.
func spawn(t *testing.T, dir string) (addr string, kill func()) {
	t.Helper()
	p, addr := spawnProcess(t, dir)
	return addr, sync.OnceFunc(func() {
		_ = p.Process.Kill()
		_ = p.Wait()
	})
}

func spawnProcess(t *testing.T, dir string) (cmd *exec.Cmd, addr string) {
	t.Helper()
	cmd = exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), killedServer+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	addr, found := strings.CutPrefix(strings.TrimSpace(line), "listening ")
	if err != nil || !found {
		t.Fatalf("the server said %q, %v", line, err)
	}
	return cmd, addr
}

func TestLocalRedshiftKill(t *testing.T) {
	t.Parallel()
	rounds := 8
	switch {
	case os.Getenv("MILLSTREAM_TEST_LONG") != "":
		rounds = 50
	case testing.Short():
		rounds = 3
	}
	dir := t.TempDir()
	committed, attempted := 0, 0 // transaction i writes two rows i into two tables and adds a column each tenth time
	for round := range rounds {
		addr, kill := spawn(t, dir)
		c, err := pgx.Connect(t.Context(), "postgres://millstream:millstream@"+addr+"/millstream?sslmode=disable")
		if err != nil {
			t.Fatal(err)
		}
		if round == 0 {
			for _, s := range []string{"CREATE SCHEMA app", "CREATE TABLE app.a (i INT, v VARCHAR(256))", "CREATE TABLE app.b (i INT)"} {
				if _, err := c.Exec(t.Context(), s); err != nil {
					t.Fatal(err)
				}
			}
		}
		committed = checkKilled(t, c, round, committed, attempted)
		stop := time.AfterFunc(time.Duration(30+40*(round%8))*time.Millisecond, kill)
		for {
			attempted++
			text := fmt.Sprintf("BEGIN; LOCK app.a; INSERT INTO app.a (i, v) VALUES (%d, 'x'); INSERT INTO app.b VALUES (%d); ", attempted, attempted)
			if attempted%10 == 0 {
				text += fmt.Sprintf("ALTER TABLE app.a ADD COLUMN c%d VARCHAR(64); UPDATE app.a SET c%d = 'y'; ", attempted, attempted)
			}
			if _, err := c.Exec(t.Context(), text+"COMMIT"); err != nil {
				break
			}
			committed = attempted
		}
		stop.Stop()
		kill()
		_ = c.Close(t.Context())
	}
	if committed == 0 {
		t.Fatal("nothing was committed: the test shows nothing")
	}
}

// A power cut may leave the last entry of DuckDB's log half written: it is cut, and what came before it is there.
func TestTornLogTailIsCut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	addr, kill := spawn(t, dir)
	dsn := func() string { return "postgres://millstream:millstream@" + addr + "/millstream?sslmode=disable" }
	c, err := pgx.Connect(t.Context(), dsn())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"CREATE TABLE public.t (n INT)", "INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)"} {
		if _, err := c.Exec(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	kill()
	log := filepath.Join(dir, databaseFile+".wal")
	info, err := os.Stat(log)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(log, info.Size()-3); err != nil {
		t.Fatal(err)
	}
	addr, kill = spawn(t, dir)
	defer kill()
	if c, err = pgx.Connect(t.Context(), dsn()); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(context.Background()) }()
	var n int
	if err := c.QueryRow(t.Context(), "SELECT count(*) FROM t").Scan(&n); err != nil || n != 1 {
		t.Errorf("got %d rows, %v; want the one before the torn entry", n, err)
	}
	if _, err := c.Exec(t.Context(), "INSERT INTO t VALUES (3)"); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// checkKilled compares what a server holds after a kill with what its clients were told, and returns the newest
// transaction that it holds: the last one may have been committed without a word.
func checkKilled(t *testing.T, c *pgx.Conn, round, committed, attempted int) int {
	t.Helper()
	var rows, distinct, highest, other, columns int
	query := "SELECT count(*), count(DISTINCT i), coalesce(max(i), 0), (SELECT count(*) FROM app.b), (SELECT count(*) FROM svv_columns WHERE table_schema = 'app' AND table_name = 'a') FROM app.a"
	if err := c.QueryRow(t.Context(), query).Scan(&rows, &distinct, &highest, &other, &columns); err != nil {
		t.Fatalf("round %d: %v", round, err)
	}
	if highest != committed && highest != attempted {
		t.Errorf("round %d: newest row %s, told %d of %d", round, strconv.Itoa(highest), committed, attempted)
	}
	if rows != distinct || other != rows {
		t.Errorf("round %d: %d rows, %d distinct, %d in the other table", round, rows, distinct, other)
	}
	return highest
}
