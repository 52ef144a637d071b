//go:build cgo

package redshift

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// bucket is an object store in memory.
type bucket struct {
	mu      sync.Mutex
	objects map[string][]byte // by bucket/key
}

func (b *bucket) put(url string, body []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.objects[strings.TrimPrefix(url, "s3://")] = body
}

// damage breaks a file's first page and leaves its footer.
func (b *bucket) damage(url string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	body := b.objects[strings.TrimPrefix(url, "s3://")]
	copy(body[4:], strings.Repeat("\xff", 40))
}

func (b *bucket) get(bucket, key string) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	body, found := b.objects[bucket+"/"+key]
	if !found {
		return nil, fmt.Errorf("get %s/%s: %w", bucket, key, fs.ErrNotExist)
	}
	return body, nil
}

// Size implements Objects.
func (b *bucket) Size(_ context.Context, bucket, key string) (int64, error) {
	body, err := b.get(bucket, key)
	return int64(len(body)), err
}

// Open implements Objects.
func (b *bucket) Open(_ context.Context, bucket, key string) (io.ReadCloser, error) {
	body, err := b.get(bucket, key)
	return io.NopCloser(bytes.NewReader(body)), err
}

// warehouse is a running server with its object store.
type warehouse struct {
	*Server
	t       testing.TB
	objects *bucket
}

func testConfig(t testing.TB) Config {
	cfg := DefaultConfig()
	cfg.Listen = "127.0.0.1:0"
	cfg.Dir = filepath.Join(t.TempDir(), "db")
	cfg.Memory = 256 << 20
	return cfg
}

func setup(t *testing.T, change ...func(*Config)) *warehouse {
	t.Helper()
	cfg := testConfig(t)
	for _, f := range change {
		f(&cfg)
	}
	w, stop := start(t, cfg)
	t.Cleanup(stop)
	return w
}

// start runs a server until stop, which may be called twice.
func start(t testing.TB, cfg Config) (*warehouse, func()) {
	t.Helper()
	objects := &bucket{objects: map[string][]byte{}}
	s, err := New(cfg, objects, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	var once sync.Once
	return &warehouse{s, t, objects}, func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("run: %v", err)
			}
			if err := s.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
}

// dsn is how clients reach w.
func (w *warehouse) dsn() string {
	return fmt.Sprintf("postgres://millstream:millstream@%s/millstream?sslmode=disable", w.Addr())
}

// in is w for a subtest.
func (w *warehouse) in(t *testing.T) *warehouse { return &warehouse{w.Server, t, w.objects} }

// client is one client connection.
type client struct {
	*pgx.Conn
	t testing.TB
}

func (w *warehouse) connect(mode ...pgx.QueryExecMode) *client {
	w.t.Helper()
	cfg, err := pgx.ParseConfig(w.dsn())
	if err != nil {
		w.t.Fatal(err)
	}
	cfg.DefaultQueryExecMode = pgx.QueryExecModeExec
	if len(mode) > 0 {
		cfg.DefaultQueryExecMode = mode[0]
	}
	conn, err := pgx.ConnectConfig(context.Background(), cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return &client{conn, w.t}
}

// do runs statements that must succeed.
func (c *client) do(statements ...string) {
	c.t.Helper()
	for _, s := range statements {
		if _, err := c.Exec(c.t.Context(), s); err != nil {
			c.t.Fatalf("%s: %v", s, err)
		}
	}
}

// fails runs a statement that must fail with SQLSTATE code.
func (c *client) fails(code, statement string) {
	c.t.Helper()
	_ = c.refusal(code, statement)
}

// refusal is fails for who looks at the error.
func (c *client) refusal(code, statement string) *pgconn.PgError {
	c.t.Helper()
	_, err := c.Exec(c.t.Context(), statement)
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != code {
		c.t.Fatalf("%s: got %v, want SQLSTATE %s", statement, err, code)
	}
	return pg
}

// rows runs a query by the simple protocol and returns its rows, values joined by |, NULL as ∅.
func (c *client) rows(query string) []string {
	c.t.Helper()
	out, err := c.tryRows(query)
	if err != nil {
		c.t.Fatalf("%s: %v", query, err)
	}
	return out
}

func (c *client) tryRows(query string) ([]string, error) {
	results, err := c.PgConn().Exec(c.t.Context(), query).ReadAll()
	if err != nil {
		return nil, err
	}
	out := []string{}
	for _, row := range results[len(results)-1].Rows {
		parts := make([]string, len(row))
		for i, v := range row {
			parts[i] = string(v)
			if v == nil {
				parts[i] = "∅"
			}
		}
		out = append(out, strings.Join(parts, "|"))
	}
	return out, nil
}

// one is rows for a query of one row.
func (c *client) one(query string) string {
	c.t.Helper()
	rows := c.rows(query)
	if len(rows) != 1 {
		c.t.Fatalf("%s: %d rows, want 1: %v", query, len(rows), rows)
	}
	return rows[0]
}

// eventually polls until f holds.
func eventually(t testing.TB, why string, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !f() {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", why)
		}
		<-time.After(2 * time.Millisecond)
	}
}
