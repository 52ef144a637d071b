// Package sqlstore is the metric store over database/sql: what PostgreSQL and
// SQLite say alike. The drivers, pgstore and sqlitestore, add connections and
// the few statements in which the two differ.
package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/millstream-data/millstream/internal/metric"
)

// Dialect is what the two databases say differently.
type Dialect interface {
	// Statements splits a migration and fills in the dialect's types.
	Statements(migration string) []string
	// Lock makes tx the only one that holds the lock, until it ends.
	Lock(ctx context.Context, tx *sql.Tx) error
	// Snapshot are the options of a transaction whose reads are one instant.
	Snapshot() *sql.TxOptions
	// NowMS is the expression of the store's clock in unix milliseconds.
	NowMS() string
	// PutCells replaces rows of one table; zones are the numbers of their zones.
	PutCells(ctx context.Context, tx *sql.Tx, table string, rows []metric.Row, zones []int) error
	// PutDims adds values that are not known yet.
	PutDims(ctx context.Context, tx *sql.Tx, dims []Dim) error
	// LoadCells calls yield with the rows of one table that are among keys.
	LoadCells(ctx context.Context, tx *sql.Tx, table string, keys []metric.Key, zones []int, yield func(i int, r metric.Row)) error
}

// Dim is a row of rollup_dim.
type Dim struct {
	Metric int
	Dim    uint64
	Vals   string // JSON
}

// Store implements metric.Store.
type Store struct {
	w, r    *sql.DB // equal where writers need no queue of their own
	d       Dialect
	timeout time.Duration

	mu    sync.Mutex
	zones map[string]int
	names map[int]string
}

// Open brings the schema of w up to date. Reads go to r. The store owns both.
func Open(ctx context.Context, w, r *sql.DB, d Dialect, timeout time.Duration) (*Store, error) {
	s := &Store{w: w, r: r, d: d, timeout: timeout, zones: map[string]int{"": 0}, names: map[int]string{0: ""}}
	if err := s.migrate(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Close implements metric.Store.
func (s *Store) Close() error {
	err := s.w.Close()
	if s.r != s.w {
		err = errors.Join(err, s.r.Close())
	}
	return err
}

// Ping implements metric.Store.
func (s *Store) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	var one int
	if err := s.r.QueryRowContext(ctx, `SELECT MAX(format) FROM rollup_format`).Scan(&one); err != nil {
		return fmt.Errorf("ping metric store: %w", err)
	}
	return nil
}

// write runs do in one transaction. An error after do may mean that it was applied.
func (s *Store) write(ctx context.Context, do func(*sql.Tx) error) error {
	return inTx(ctx, s.w, nil, s.timeout, do)
}

func (s *Store) read(ctx context.Context, do func(*sql.Tx) error) error {
	return inTx(ctx, s.r, s.d.Snapshot(), s.timeout, do)
}

func inTx(ctx context.Context, db *sql.DB, opts *sql.TxOptions, timeout time.Duration, do func(*sql.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	tx, err := db.BeginTx(ctx, opts)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // of an ended transaction it does nothing
	if err := do(tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// each calls scan for every row of a query.
func each(ctx context.Context, tx *sql.Tx, scan func(*sql.Rows) (more bool, err error), query string, args ...any) error {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // the error that matters is rows.Err
	for rows.Next() {
		more, err := scan(rows)
		if err != nil || !more {
			return err
		}
	}
	return rows.Err()
}

// Agree implements metric.Store.
func (s *Store) Agree(ctx context.Context, terms metric.Terms) error {
	return s.write(ctx, func(tx *sql.Tx) error {
		if err := s.d.Lock(ctx, tx); err != nil {
			return err
		}
		var ms, most int64
		err := tx.QueryRowContext(ctx, `SELECT dedup_window_ms, dedup_max_records FROM rollup_store WHERE one = 1`).Scan(&ms, &most)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			if _, err = tx.ExecContext(ctx, `INSERT INTO rollup_store VALUES (1, $1, '', $2, $3, 0)`,
				newID(), terms.Window.Milliseconds(), terms.MaxRecords); err != nil {
				return fmt.Errorf("insert rollup_store: %w", err)
			}
			return nil
		case err != nil:
			return fmt.Errorf("read rollup_store: %w", err)
		}
		if have := (metric.Terms{Window: time.Duration(ms) * time.Millisecond, MaxRecords: most}); have != terms {
			return fmt.Errorf("%w: it holds dedup.window %s and dedup.max_records %d, the configuration says %s and %d",
				metric.ErrTerms, have.Window, have.MaxRecords, terms.Window, terms.MaxRecords)
		}
		return nil
	})
}

func table(zone string) string {
	if zone == "" {
		return "rollup_fine"
	}
	return "rollup_cell"
}

// zoneNo returns the number of a zone, giving it one if it has none. What the
// transaction reads is believed when it has committed and not before: a number
// that was rolled back is given to another zone.
func (s *Store) zoneNo(ctx context.Context, name string) (int, error) {
	if no, ok := s.knownZone(name); ok {
		return no, nil
	}
	var read map[string]int
	err := s.write(ctx, func(tx *sql.Tx) error {
		if err := s.d.Lock(ctx, tx); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO rollup_zone SELECT COALESCE(MAX(zone), 0) + 1, CAST($1 AS TEXT) FROM rollup_zone WHERE true ON CONFLICT (name) DO NOTHING`, name); err != nil {
			return err
		}
		var err error
		read, err = readZones(ctx, tx)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("number of zone %s: %w", name, err)
	}
	s.learnZones(read)
	return read[name], nil
}

func (s *Store) knownZone(name string) (int, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	no, ok := s.zones[name]
	return no, ok
}

// learnZones keeps what a committed transaction saw; numbers never change.
func (s *Store) learnZones(read map[string]int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, no := range read {
		s.zones[name], s.names[no] = no, name
	}
}

// refreshZones learns the numbers that a reading transaction sees.
func (s *Store) refreshZones(ctx context.Context, tx *sql.Tx) error {
	read, err := readZones(ctx, tx)
	if err == nil {
		s.learnZones(read)
	}
	return err
}

func readZones(ctx context.Context, tx *sql.Tx) (map[string]int, error) {
	out := map[string]int{}
	err := each(ctx, tx, func(rows *sql.Rows) (bool, error) {
		var (
			no   int
			name string
		)
		if err := rows.Scan(&no, &name); err != nil {
			return false, err
		}
		out[name] = no
		return true, nil
	}, `SELECT zone, name FROM rollup_zone`)
	return out, err
}

func (s *Store) zoneName(no int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.names[no]
}
