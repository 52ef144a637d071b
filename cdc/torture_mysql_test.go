//go:build integration

package cdc

import (
	"context"
	"database/sql"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millstream-data/millstream/internal/config"
)

// myTorture is a database of the server that MILLSTREAM_TEST_MARIADB names. Its
// stamps are of whole seconds, which is where pollers of stamps > max lose most.
type myTorture struct {
	*myShop
	xids atomic.Int64
}

const myTortureTable = `CREATE TABLE orders (id bigint AUTO_INCREMENT PRIMARY KEY, counter bigint NOT NULL, pad text, updated_at datetime DEFAULT now(), KEY (updated_at))`

func (db *myTorture) rows() (map[int64]int64, error) {
	rows, _, err := db.read("SELECT id, counter, '' FROM orders")
	out := map[int64]int64{}
	for _, r := range rows {
		out[r.id] = r.counter
	}
	return out, err
}

func (db *myTorture) above(stamp string, delay time.Duration) ([]tortureRow, string, error) {
	if stamp == "" {
		stamp = "1000-01-01"
	}
	rows, last, err := db.read(fmt.Sprintf("SELECT id, counter, CAST(updated_at AS CHAR) FROM orders WHERE updated_at > '%s' AND updated_at <= now(6) - INTERVAL %d MICROSECOND ORDER BY updated_at",
		stamp, delay.Microseconds()))
	if len(rows) == 0 {
		last = stamp
	}
	return rows, last, err
}

// read returns ids and counters, and the last row's third column.
func (db *myTorture) read(query string) (out []tortureRow, last string, err error) {
	rows, err := db.pool.QueryContext(context.WithoutCancel(db.Context()), query)
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = rows.Close() }() // rows.Err tells
	for rows.Next() {
		var r tortureRow
		if err := rows.Scan(&r.id, &r.counter, &last); err != nil {
			return nil, "", err
		}
		out = append(out, r)
	}
	return out, last, rows.Err()
}

func (db *myTorture) session() tortureSession {
	db.Helper()
	c, err := db.pool.Conn(context.WithoutCancel(db.Context()))
	if err != nil {
		db.Fatal(err)
	}
	s := &myTortureSession{db: db, c: c}
	if err := s.exec("SET innodb_lock_wait_timeout = 2"); err != nil {
		db.Fatal(err)
	}
	return s
}

// myTortureSession takes turns in how it begins: BEGIN, which InnoDB hears of at
// the first row only; WITH CONSISTENT SNAPSHOT, which it hears of at once; and XA.
type myTortureSession struct {
	db  *myTorture
	c   *sql.Conn
	n   int
	xid string // of the XA transaction that is open
}

func (s *myTortureSession) do(query string) (sql.Result, error) {
	return s.c.ExecContext(context.WithoutCancel(s.db.Context()), query)
}

func (s *myTortureSession) exec(queries ...string) error {
	for _, q := range queries {
		if _, err := s.do(q); err != nil {
			return err
		}
	}
	return nil
}

func (s *myTortureSession) begin() (time.Time, error) {
	s.n++
	s.xid = ""
	how := "BEGIN"
	switch s.n % 3 {
	case 1:
		how = "START TRANSACTION WITH CONSISTENT SNAPSHOT"
	case 2:
		s.xid = fmt.Sprintf("'%s-%d'", s.db.schema, s.db.xids.Add(1))
		how = "XA START " + s.xid
	}
	if err := s.exec(how); err != nil {
		return time.Time{}, err
	}
	var text string
	if err := s.c.QueryRowContext(context.WithoutCancel(s.db.Context()), "SELECT CAST(now(6) AS CHAR)").Scan(&text); err != nil {
		return time.Time{}, err
	}
	micros, _ := mysqlMicros(text)
	begin := time.UnixMicro(micros).UTC()
	if s.n%3 != 1 {
		// It begins with its first row, which is after what any sample can say
		// of now: the end of the run alone judges it.
		begin = begin.Add(24 * time.Hour)
	}
	return begin, nil
}

func (s *myTortureSession) insert(bare bool) (int64, error) {
	stamp, from := "now()", ""
	if s.n++; bare {
		stamp = "NULL"
	} else if s.n%11 == 0 {
		from = " FROM dual WHERE SLEEP(0.7) = 0" // now() is older than the transaction, if this is its first row
	}
	res, err := s.do("INSERT INTO orders (counter, pad, updated_at) SELECT 1, repeat('x', 40), " + stamp + from)
	if err != nil {
		return 0, err
	}
	return res.LastInsertId()
}

func (s *myTortureSession) update(id int64, stamped bool) (int64, error) {
	set := ", updated_at = now()"
	if !stamped {
		set = ""
	}
	res, err := s.do(fmt.Sprintf("UPDATE orders SET counter = LAST_INSERT_ID(counter + 1)%s WHERE id = %d", set, id))
	if err != nil {
		return 0, err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return 0, err
	}
	return res.LastInsertId()
}

func (s *myTortureSession) delete(id int64) (bool, error) {
	res, err := s.do(fmt.Sprintf("DELETE FROM orders WHERE id = %d", id))
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

func (s *myTortureSession) savepoint() error  { return s.exec("SAVEPOINT s") }
func (s *myTortureSession) release() error    { return s.exec("RELEASE SAVEPOINT s") }
func (s *myTortureSession) rollbackTo() error { return s.exec("ROLLBACK TO SAVEPOINT s") }

func (s *myTortureSession) rollback() error {
	if s.xid != "" {
		return s.exec("XA END "+s.xid, "XA ROLLBACK "+s.xid)
	}
	return s.exec("ROLLBACK")
}

func (s *myTortureSession) commit() error {
	if s.xid != "" {
		return s.exec("XA END "+s.xid, "XA COMMIT "+s.xid+" ONE PHASE")
	}
	return s.exec("COMMIT")
}

func (s *myTortureSession) chain() (time.Time, error) {
	if err := s.commit(); err != nil {
		return time.Time{}, err
	}
	return s.begin()
}

// prepare ends every second one from another session, after its own has gone.
func (s *myTortureSession) prepare() (func(bool) error, error) {
	xid := s.xid
	if xid == "" {
		return nil, errNotPrepared
	}
	if err := s.exec("XA END "+xid, "XA PREPARE "+xid); err != nil {
		return nil, err
	}
	s.xid = ""
	by := s.exec
	if s.db.xids.Add(1)%2 == 0 {
		s.close()
		by = func(queries ...string) error { return s.db.settle(queries[0]) }
	}
	return func(commit bool) error {
		if commit {
			return by("XA COMMIT " + xid)
		}
		return by("XA ROLLBACK " + xid)
	}, nil
}

// settle ends a prepared transaction whose session is going: the server refuses
// until it has gone. One that has changed nothing goes with its session.
func (db *myTorture) settle(query string) error {
	var err error
	for range 100 {
		if _, err = db.pool.ExecContext(context.WithoutCancel(db.Context()), query); err == nil {
			return nil
		}
		doze(db.Context(), nil, 20*time.Millisecond)
	}
	return err
}

// close ends the session, and with it what is open and not prepared.
func (s *myTortureSession) close() { hangUp(s.c) }

// sourceOf is a source that reads orders by strategies of its own.
func (db *myTorture) sourceOf(strategies []StrategyConfig) SourceConfig {
	var src SourceConfig
	src.SetDefaults()
	src.Kind, src.DSN = kindMariaDB, config.Secret(db.conf.FormatDSN())
	src.Connections.Max = 2
	src.Horizon.Settle = 2 * time.Second
	src.Breaker.Min = 10 * time.Millisecond
	src.Page.Start, src.Page.Min = 200, 50
	table := polledBy(strategies...)
	table.Clock.SetBy, table.Store.Range = byDatabase, 200
	for i := range table.Strategies {
		table.Strategies[i].Every = 300 * time.Millisecond
	}
	src.Tables = map[string]TableConfig{db.schema + ".orders": table}
	return src
}

// TestTorture on MariaDB, with whole-second stamps, XA and statements that are
// older than their transactions.
func TestMariaDBTorture(t *testing.T) { //nolint:tparallel // a run fills the machine
	t.Parallel()
	for seed := range testSeeds(t, 1) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			db := &myTorture{myShop: setupMaria(t, myTortureTable)}
			sources := tortureSources()
			delete(sources, "xmin")
			sources["reconcile"] = guarantee{
				strategies: []StrategyConfig{{Kind: kindReconcile, Name: "reconcile", Digest: digestMD5, Scan: wordAuto, Budget: 1, Publish: publishDiff}},
				inserts:    true, stamped: true, updates: true, deletes: true,
			}
			w := &torture{shop: db.shop, db: db, writers: 16, seed: seed, sources: sources}
			w.cfg.Marks.Quiet = time.Millisecond
			w.cfg.Sources = map[string]SourceConfig{}
			for name, p := range sources {
				w.cfg.Sources[name] = db.sourceOf(p.strategies)
			}
			w.run(tortureTime(t, 30*time.Second))
		})
	}
}
