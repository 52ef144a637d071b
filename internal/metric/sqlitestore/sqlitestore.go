// Package sqlitestore keeps the metric store in an SQLite file: one writer at a
// time, readers beside it, every commit synced to the disk.
package sqlitestore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	_ "modernc.org/sqlite" // the driver named sqlite

	"github.com/millstream-data/millstream/internal/metric"
	"github.com/millstream-data/millstream/internal/metric/sqlstore"
)

// Open opens the store in file, which is made where it is missing.
func Open(ctx context.Context, file string, cfg metric.StoreConfig) (*sqlstore.Store, error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		return nil, err
	}
	pragmas := url.Values{"_pragma": {
		"journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(OFF)",
		fmt.Sprintf("busy_timeout(%d)", cfg.StatementTimeout.Milliseconds()),
	}}
	read := "file:" + (&url.URL{Path: file}).EscapedPath() + "?" + pragmas.Encode()
	w, err := sql.Open("sqlite", read+"&_txlock=immediate")
	if err != nil {
		return nil, err
	}
	w.SetMaxOpenConns(1) // SQLite has one writer; a queue in here is fairer than its busy waits
	r, err := sql.Open("sqlite", read)
	if err != nil {
		return nil, err
	}
	r.SetMaxOpenConns(cfg.MaxConns)
	return sqlstore.Open(ctx, w, r, dialect{}, cfg.StatementTimeout)
}

type dialect struct{}

func (dialect) Statements(migration string) []string {
	return []string{strings.ReplaceAll(migration, "WITHCELLS", "WITHOUT ROWID")}
}

// Lock does nothing: a transaction of the writer holds the write lock from its beginning.
func (dialect) Lock(context.Context, *sql.Tx) error { return nil }

// Snapshot: in WAL mode a transaction's reads are as of its first one.
func (dialect) Snapshot() *sql.TxOptions { return nil }

func (dialect) NowMS() string { return `CAST(unixepoch('subsec') * 1000 AS INTEGER)` }

func (dialect) PutDims(ctx context.Context, tx *sql.Tx, dims []sqlstore.Dim) error {
	if len(dims) == 0 {
		return nil
	}
	st, err := tx.PrepareContext(ctx, `INSERT INTO rollup_dim VALUES ($1, $2, $3) ON CONFLICT (metric, dim) DO NOTHING`)
	if err != nil {
		return err
	}
	defer func() { _ = st.Close() }() // the transaction's end closes it too
	for _, d := range dims {
		if _, err := st.ExecContext(ctx, d.Metric, int64(d.Dim), d.Vals); err != nil { //nolint:gosec // a hash in a signed column
			return err
		}
	}
	return nil
}

func (dialect) PutCells(ctx context.Context, tx *sql.Tx, table string, rows []metric.Row, zones []int) error {
	st, err := tx.PrepareContext(ctx, `INSERT INTO `+table+` VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
		ON CONFLICT (metric, ver, zone, bucket, dim, src, rev) DO UPDATE SET n = excluded.n, bad = excluded.bad, state = excluded.state, last_off = excluded.last_off`)
	if err != nil {
		return err
	}
	defer func() { _ = st.Close() }() // the transaction's end closes it too
	for i, r := range rows {
		if _, err := st.ExecContext(ctx, r.Metric, r.Ver, zones[i], r.Bucket, int64(r.Dim), r.Src, r.Rev, r.N, r.Bad, r.State, r.LastOff); err != nil { //nolint:gosec // a hash in a signed column
			return err
		}
	}
	return nil
}

func (dialect) LoadCells(ctx context.Context, tx *sql.Tx, table string, keys []metric.Key, zones []int, yield func(int, metric.Row)) error {
	st, err := tx.PrepareContext(ctx, `SELECT n, bad, state, last_off FROM `+table+`
		WHERE metric = $1 AND ver = $2 AND zone = $3 AND bucket = $4 AND dim = $5 AND src = $6 AND rev = $7`)
	if err != nil {
		return err
	}
	defer func() { _ = st.Close() }() // the transaction's end closes it too
	for i, k := range keys {
		var r metric.Row
		err := st.QueryRowContext(ctx, k.Metric, k.Ver, zones[i], k.Bucket, int64(k.Dim), k.Src, k.Rev).Scan(&r.N, &r.Bad, &r.State, &r.LastOff) //nolint:gosec // a hash in a signed column
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return err
		}
		yield(i, r)
	}
	return nil
}
