//go:build integration

package cdc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/testkit"
)

// standby is a hot standby of the server that MILLSTREAM_TEST_POSTGRES names.
type standby struct {
	port int
	bin  string
	dir  string
	as   []string // PostgreSQL refuses to run as root
}

func newStandby(t *testing.T) *standby {
	t.Helper()
	admin, err := pgconn.ParseConfig(os.Getenv("MILLSTREAM_TEST_POSTGRES"))
	if err != nil {
		t.Fatal(err)
	}
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if len(bins) == 0 {
		t.Fatal("PostgreSQL's programs must be in /usr/lib/postgresql/<version>/bin")
	}
	slices.Sort(bins)
	dir, err := os.MkdirTemp("/tmp", "millstream-standby") //nolint:usetesting // the server's user must reach it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &standby{bin: bins[len(bins)-1], dir: filepath.Join(dir, "data"), port: freePort(t)}
	if os.Geteuid() == 0 {
		s.as = []string{"runuser", "-u", "postgres", "--"}
		if err := errors.Join(os.Chmod(dir, 0o755), exec.Command("chown", "postgres", dir).Run()); err != nil { //nolint:gosec // a directory of the test's own
			t.Fatal(err)
		}
	}
	if out, err := s.command(t.Context(), "pg_basebackup", "-D", s.dir, "-R", "-X", "stream", "-c", "fast", "-h", admin.Host, "-p", fmt.Sprint(admin.Port), "-U", admin.User).CombinedOutput(); err != nil {
		t.Fatalf("pg_basebackup: %v: %s", err, out)
	}
	run := s.command(context.WithoutCancel(t.Context()), "postgres", "-D", s.dir, "-p", strconv.Itoa(s.port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
		"-c", "max_prepared_transactions=20", "-c", "max_connections=200", "-c", "max_standby_streaming_delay=100ms", "-c", "fsync=off")
	run.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(-run.Process.Pid, syscall.SIGQUIT); _ = run.Wait() })
	testkit.Eventually(t, "the standby answers", func() error {
		c, err := pgconn.Connect(t.Context(), s.dsn("postgres"))
		if err == nil {
			closeConn(c)
		}
		return err
	})
	return s
}

func (s *standby) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	all := append(slices.Clone(s.as), append([]string{filepath.Join(s.bin, name)}, args...)...)
	cmd := exec.CommandContext(ctx, all[0], all[1:]...) //nolint:gosec // programs of the server under test
	cmd.Dir = "/"
	return cmd
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func (s *standby) dsn(db string) string {
	admin, _ := pgconn.ParseConfig(os.Getenv("MILLSTREAM_TEST_POSTGRES")) // was parsed before
	return fmt.Sprintf("postgres://%s@127.0.0.1:%d/%s?sslmode=disable", admin.User, s.port, db)
}

// missed counts commits without a flush that a page did not show, although its
// sample ended after them.
func (s *standby) missed(t *testing.T, db *pgTorture, f faults, tries int) (n int) {
	t.Helper()
	o := rulesOrigin(t, db, f, func(c *SourceConfig) { c.HorizonDSN, c.DSN = c.DSN, config.Secret(s.dsn(db.name)) })
	testkit.Eventually(t, "the table is on the standby", func() error {
		_, err := o.describe(t.Context(), "public", "orders", nil)
		return err
	})
	p := db.plan(t, o)
	for range tries {
		rows, err := pgQuery(t.Context(), db.conn, "INSERT INTO orders (counter) VALUES (1) RETURNING id")
		if err != nil {
			t.Fatal(err)
		}
		r, err := o.look(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		pg, err := o.read(gated(t.Context(), r.lsn), p, query{kind: queryLoad, limit: 100000, bytes: 1 << 30})
		if err != nil {
			t.Fatal(err)
		}
		key := fmt.Sprintf(`{"id":%s}`, rows[0][0])
		if !slices.ContainsFunc(pg.rows, func(r row) bool { return string(r.key) == key }) {
			n++
		}
	}
	return n
}

// A page on a standby shows what had committed when its sample ended, flushed or
// not. After a promotion its server is refused, for the samples are another's.
func TestReplicaGate(t *testing.T) { //nolint:tparallel // the standby is promoted at last
	t.Parallel()
	s, db := newStandby(t), newPGTorture(t, tortureTable)
	db.sqlOn(db.conn, "SET synchronous_commit = off")
	if n := s.missed(t, db, faults{}, 20); n > 0 {
		t.Errorf("%d of 20 pages lacked a row that had committed before their sample", n)
	}
	noticed := 0
	for tries := 0; noticed == 0 && tries < 20; tries++ { // the standby has to be behind for a moment
		noticed = s.missed(t, db, faults{writtenLSN: true}, 20)
	}
	if noticed == 0 {
		t.Error("with the written position nothing was missed: the test is too weak")
	}
	t.Run("a standby alone has a lookback and its own X", func(t *testing.T) {
		o := rulesOrigin(t, db, faults{}, func(c *SourceConfig) { c.DSN = config.Secret(s.dsn(db.name)) })
		if r, err := o.look(t.Context()); err != nil || r.basis != basisLookback || r.xid == "" || r.lsn != "" || !r.standby {
			t.Errorf("got %+v, %v, want a lookback with xid and without lsn", r, err)
		}
	})
	t.Run("promoted", func(t *testing.T) {
		o := rulesOrigin(t, db, faults{}, func(c *SourceConfig) { c.HorizonDSN, c.DSN = c.DSN, config.Secret(s.dsn(db.name)) })
		alone := rulesOrigin(t, db, faults{}, func(c *SourceConfig) { c.DSN = config.Secret(s.dsn(db.name)) })
		before, err := alone.look(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		p := db.plan(t, o)
		super := db.connect(s.dsn("postgres"))
		db.sqlOn(super, "SELECT pg_promote()")
		closeConn(super)
		var r *refusal
		if _, err := o.read(gated(t.Context(), "0/1"), p, query{kind: queryLoad, limit: 10, bytes: 1 << 20}); !errors.As(err, &r) || !strings.Contains(r.code, "promoted") {
			t.Errorf("a page of a promoted server beside the old primary: got %v, want it refused", err)
		}
		after, err := alone.look(t.Context())
		if err != nil || after.basis != basisActivity || after.timeline == before.timeline || after.lsn == "" {
			t.Errorf("a sample of the promoted server: got %+v, %v, want its own method and a timeline", after, err)
		}
	})
}

// A page that a standby cancels, since the primary has cleaned up what it needs,
// comes again.
func TestRecoveryConflict(t *testing.T) {
	t.Parallel()
	for _, e := range []*pgconn.PgError{{Code: "40001"}, {Code: "57014"}, {Code: "55P03"}, {Code: "40P01"}} {
		if err := pgErr("read", e); !errors.Is(err, errBusy) {
			t.Errorf("SQLSTATE %s: got %v, want a page that comes again", e.Code, err)
		}
	}
	if err := pgErr("read", &pgconn.PgError{Code: "57P01"}); errors.Is(err, errBusy) || err == nil {
		t.Errorf("a session that is ended: got %v, want an origin that is away", err)
	}
}
