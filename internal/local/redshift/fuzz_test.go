//go:build cgo

package redshift

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// FuzzStatement sends any text, by the simple and the extended protocol: the answer is a result or an error of
// PostgreSQL's form, and the session works on.
func FuzzStatement(f *testing.F) {
	for i, part := range strings.Split(dialectTable, "\n\n") {
		if statement, _, found := strings.Cut(part, ";\n"); found && i%10 == 0 {
			f.Add(statement)
		}
	}
	for _, text := range []string{
		"", ";", ";;", "(", ")", "SELECT", "SELECT (", "'", `"`, "/*", "$$", "$1", "SELECT $1", "BEGIN; SELECT nope", "COMMIT", "FETCH", "FETCH ALL FROM", "DECLARE c CURSOR FOR", "CLOSE", "EXECUTE", "PREPARE p AS",
		"PREPARE p AS SELECT $1", "EXECUTE p(1)", "DEALLOCATE", "SET", "SET x", "SHOW", "RESET", "GRANT", "GRANT x ON", "GRANT SELECT ON t TO", "COMMENT ON", "COMMENT ON TABLE t IS", "COPY", "COPY t FROM", "LOCK", "INSERT INTO",
		"INSERT INTO t VALUES", "UPDATE t SET", "DELETE", "MERGE INTO", "CREATE TABLE", "CREATE TABLE t (", "CREATE TABLE t (a INT PRIMARY", "ALTER TABLE t ADD", "ALTER TABLE t DROP CONSTRAINT", "TRUNCATE", "DROP TABLE", "CANCEL",
		"EXPLAIN", "VALUES", "WITH", "WITH a AS", "SELECT 1::", "SELECT CAST(1 AS", "SELECT a.b.c.d", "SELECT operator(", "SELECT 1 operator()", "SELECT * FROM", "SELECT TOP", "SELECT pg_terminate_backend(", "SELECT x FROM y z(",
	} {
		f.Add(text)
	}
	cfg := DefaultConfig()
	cfg.Listen, cfg.Dir, cfg.Memory, cfg.Threads = "127.0.0.1:0", f.TempDir(), 256<<20, 1
	s, err := New(cfg, &bucket{objects: map[string][]byte{}}, slog.New(slog.DiscardHandler))
	if err != nil {
		f.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	f.Cleanup(func() {
		cancel()
		_ = errors.Join(<-done, s.Close())
	})
	w := &warehouse{Server: s}
	f.Fuzz(func(t *testing.T, text string) {
		conn, err := pgx.Connect(t.Context(), w.dsn())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close(context.Background()) }()
		c := &client{conn, t}
		c.do("SET statement_timeout TO 2000")
		for _, send := range []func(context.Context) error{
			func(ctx context.Context) error { _, err := conn.PgConn().Exec(ctx, text).ReadAll(); return err },
			func(ctx context.Context) error { _, err := conn.PgConn().Prepare(ctx, "", text, nil); return err },
		} {
			if strings.Contains(text, "\x00") {
				return // ends a message in the protocol
			}
			ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
			err := send(ctx)
			stop()
			if pg, ok := errors.AsType[*pgconn.PgError](err); err != nil && !ok || ok && strings.Contains(pg.Message, "a defect of") {
				t.Fatalf("%q: %v", text, err)
			}
			_, _ = conn.Exec(t.Context(), "ROLLBACK")
			if _, err := conn.Exec(t.Context(), "SELECT 1"); err != nil {
				t.Fatalf("after %q: %v", text, err)
			}
		}
	})
}
