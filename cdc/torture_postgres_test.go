//go:build integration

package cdc

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/event"
)

// pgTorture is a database of its own on the server that MILLSTREAM_TEST_POSTGRES
// names: transactions of writers hold the horizon of their database alone.
type pgTorture struct {
	*testing.T
	dsn   string
	conn  *pgconn.PgConn
	gids  atomic.Int64
	name  string
	naive map[time.Duration]*pgconn.PgConn
}

const tortureTable = `CREATE TABLE orders (id bigserial PRIMARY KEY, counter bigint NOT NULL, pad text, updated_at timestamptz DEFAULT now());
CREATE INDEX ON orders (updated_at, id)`

func newPGTorture(t *testing.T, ddl string) *pgTorture {
	t.Helper()
	admin := os.Getenv("MILLSTREAM_TEST_POSTGRES")
	if admin == "" {
		t.Fatal("MILLSTREAM_TEST_POSTGRES must be the DSN of a superuser of a PostgreSQL server")
	}
	db := &pgTorture{T: t, name: "t" + strings.ToLower(event.ULID(time.Now())), naive: map[time.Duration]*pgconn.PgConn{}}
	super := db.connect(admin)
	db.sqlOn(super, "CREATE DATABASE "+db.name)
	t.Cleanup(func() { db.sqlOn(super, "DROP DATABASE "+db.name+" WITH (FORCE)"); closeConn(super) })
	head, tail, _ := strings.Cut(admin, "?")
	db.dsn = head[:strings.LastIndex(head, "/")+1] + db.name + "?" + tail
	db.conn = db.connect(db.dsn)
	db.sqlOn(db.conn, ddl)
	for _, delay := range []time.Duration{0, time.Second, 5 * time.Second} {
		db.naive[delay] = db.connect(db.dsn)
	}
	t.Cleanup(func() {
		for _, c := range db.naive {
			closeConn(c)
		}
		closeConn(db.conn)
	})
	return db
}

func (db *pgTorture) connect(dsn string) *pgconn.PgConn {
	db.Helper()
	c, err := pgconn.Connect(context.Background(), dsn)
	if err != nil {
		db.Fatal(err)
	}
	return c
}

func (db *pgTorture) sqlOn(c *pgconn.PgConn, text string) {
	db.Helper()
	if _, err := c.Exec(context.Background(), text).ReadAll(); err != nil {
		db.Fatalf("%s: %v", text, err)
	}
}

func (db *pgTorture) rows() (map[int64]int64, error) {
	rows, err := pgQuery(context.Background(), db.conn, "SELECT id, counter FROM orders")
	out := map[int64]int64{}
	for _, r := range rows {
		out[decimalOr0(string(r[0]))] = decimalOr0(string(r[1]))
	}
	return out, err
}

func (db *pgTorture) above(stamp string, delay time.Duration) ([]tortureRow, string, error) {
	if stamp == "" {
		stamp = "-infinity"
	}
	rows, err := pgQuery(context.Background(), db.naive[delay], `SELECT id, counter, updated_at FROM orders
WHERE updated_at > $1::timestamptz AND updated_at <= clock_timestamp() - $2::interval ORDER BY updated_at`, stamp, delay.String())
	out := make([]tortureRow, len(rows))
	for i, r := range rows {
		out[i] = tortureRow{decimalOr0(string(r[0])), decimalOr0(string(r[1]))}
		stamp = string(r[2])
	}
	return out, stamp, err
}

func (db *pgTorture) session() tortureSession {
	return &pgTortureSession{db: db, c: db.connect(db.dsn)}
}

type pgTortureSession struct {
	db *pgTorture
	c  *pgconn.PgConn
	n  int
}

func (s *pgTortureSession) do(sql string, args ...string) ([][][]byte, error) {
	return pgQuery(context.Background(), s.c, sql, args...)
}

func (s *pgTortureSession) exec(sql string) error {
	_, err := s.do(sql)
	return err
}

func (s *pgTortureSession) begin() (time.Time, error) {
	if err := s.exec("BEGIN"); err != nil {
		return time.Time{}, err
	}
	if err := s.exec("SET LOCAL lock_timeout = '2s'"); err != nil {
		return time.Time{}, err
	}
	return s.stamp()
}

func (s *pgTortureSession) stamp() (time.Time, error) {
	rows, err := s.do("SELECT (extract(epoch FROM now()) * 1000000)::bigint")
	if err != nil {
		return time.Time{}, err
	}
	return micros(rows[0][0]), nil
}

func (s *pgTortureSession) insert(bare bool) (int64, error) {
	stamp := "now()"
	if s.n++; bare {
		stamp = "NULL"
	} else if s.n%3 == 0 {
		stamp = "clock_timestamp()"
	}
	rows, err := s.do("INSERT INTO orders (counter, pad, updated_at) VALUES (1, repeat('x', 40), " + stamp + ") RETURNING id")
	if err != nil {
		return 0, err
	}
	return decimalOr0(string(rows[0][0])), nil
}

func (s *pgTortureSession) update(id int64, stamped bool) (int64, error) {
	set := ", updated_at = now()"
	if !stamped {
		set = ""
	}
	rows, err := s.do("UPDATE orders SET counter = counter + 1"+set+" WHERE id = $1::bigint RETURNING counter", strconv.FormatInt(id, 10))
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	return decimalOr0(string(rows[0][0])), nil
}

func (s *pgTortureSession) delete(id int64) (bool, error) {
	rows, err := s.do("DELETE FROM orders WHERE id = $1::bigint RETURNING id", strconv.FormatInt(id, 10))
	return len(rows) > 0, err
}

func (s *pgTortureSession) savepoint() error  { return s.exec("SAVEPOINT s") }
func (s *pgTortureSession) release() error    { return s.exec("RELEASE s") }
func (s *pgTortureSession) rollbackTo() error { return s.exec("ROLLBACK TO s") }
func (s *pgTortureSession) rollback() error   { return s.exec("ROLLBACK") }
func (s *pgTortureSession) commit() error     { return s.exec("COMMIT") }

func (s *pgTortureSession) chain() (time.Time, error) {
	if err := s.exec("COMMIT AND CHAIN"); err != nil {
		return time.Time{}, err
	}
	return s.stamp()
}

// prepare leaves some of the server's max_prepared_transactions to other tests.
func (s *pgTortureSession) prepare() (func(bool) error, error) {
	n := s.db.gids.Add(1)
	gid := fmt.Sprintf("%s-%d", s.db.name, n)
	rows, err := s.do("SELECT count(*) FROM pg_prepared_xacts")
	if err != nil {
		return nil, err
	}
	if decimalOr0(string(rows[0][0])) > 5 {
		return nil, errNotPrepared
	}
	if err := s.exec("PREPARE TRANSACTION '" + gid + "'"); err != nil {
		return nil, err
	}
	return func(commit bool) error {
		if commit {
			return s.exec("COMMIT PREPARED '" + gid + "'")
		}
		return s.exec("ROLLBACK PREPARED '" + gid + "'")
	}, nil
}

func (s *pgTortureSession) close() { closeConn(s.c) }

// sourceOf is a source that reads orders by strategies of its own.
func (db *pgTorture) sourceOf(strategies []StrategyConfig) SourceConfig {
	var src SourceConfig
	src.SetDefaults()
	src.Kind, src.DSN = kindPostgres, config.Secret(db.dsn)
	src.Connections.Max = 2
	src.Horizon.Settle = 2 * time.Second
	src.Breaker.Min = 10 * time.Millisecond
	src.Page.Start, src.Page.Min = 200, 50
	table := polledBy(strategies...)
	table.Clock.SetBy = byDatabase
	for i := range table.Strategies {
		table.Strategies[i].Every = 300 * time.Millisecond
	}
	src.Tables = map[string]TableConfig{"public.orders": table}
	return src
}

// tortureSources are the strategies under torture with what each promises.
func tortureSources() map[string]guarantee {
	one := func(c StrategyConfig) []StrategyConfig { return []StrategyConfig{c} }
	return map[string]guarantee{
		"id":    {strategies: one(StrategyConfig{Kind: kindIncremental, Name: "id", ID: "id"}), inserts: true},
		"stamp": {strategies: one(StrategyConfig{Kind: kindIncremental, Name: "stamp", Timestamp: Columns{"updated_at"}}), stamped: true},
		"both":  {strategies: one(StrategyConfig{Kind: kindIncremental, Name: "both", Timestamp: Columns{"updated_at"}, ID: "id"}), inserts: true, stamped: true},
		"xmin":  {strategies: one(StrategyConfig{Kind: kindXmin, Name: "xmin"}), inserts: true, stamped: true, updates: true},
		"reconcile": {
			strategies: one(StrategyConfig{Kind: kindReconcile, Name: "reconcile", Publish: publishDiff, Digest: wordAuto, Scan: wordAuto, Budget: 1}),
			inserts:    true, stamped: true, updates: true, deletes: true,
		},
		"diff": {strategies: one(StrategyConfig{Kind: kindFull, Name: "diff", Publish: publishDiff}), inserts: true, stamped: true, updates: true, deletes: true},
	}
}

func tortureShop(t *testing.T, db *pgTorture, seed uint64, sources map[string]guarantee) *torture {
	t.Helper()
	w := &torture{shop: setup(t, orders), db: db, writers: 16, seed: seed, sources: sources}
	w.cfg.Marks.Quiet = time.Millisecond
	w.cfg.Sources = map[string]SourceConfig{}
	for name, p := range sources {
		w.cfg.Sources[name] = db.sourceOf(p.strategies)
	}
	return w
}

// The gate: random transactions, kills and zombies, and a mirror for each
// strategy that must be what it promises. MILLSTREAM_TEST_TORTURE=10m with
// MILLSTREAM_TEST_SEEDS=20 is the long run.
func TestTorture(t *testing.T) { //nolint:tparallel // a run fills the machine
	t.Parallel()
	for seed := range testSeeds(t, 1) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			db := newPGTorture(t, tortureTable)
			tortureShop(t, db, seed, tortureSources()).run(tortureTime(t, 30*time.Second))
		})
	}
}
