// Package pgstore keeps the metric store in PostgreSQL, through pgx.
package pgstore

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/millstream-data/millstream/internal/metric"
	"github.com/millstream-data/millstream/internal/metric/sqlstore"
)

// Open opens the store that cfg names.
func Open(ctx context.Context, cfg metric.StoreConfig) (*sqlstore.Store, error) {
	conn, err := pgx.ParseConfig(cfg.DSN)
	if err != nil {
		return nil, fmt.Errorf("metric_store.dsn: %w", err) // pgx leaves the password out
	}
	if pw := cfg.Password.Reveal(); pw != "" {
		conn.Password = pw
	}
	conn.RuntimeParams["application_name"] = "millstream"
	conn.RuntimeParams["statement_timeout"] = strconv.FormatInt(cfg.StatementTimeout.Milliseconds(), 10)
	conn.RuntimeParams["idle_in_transaction_session_timeout"] = "10000" // ends the locks of a client that died
	db := stdlib.OpenDB(*conn)
	db.SetMaxOpenConns(cfg.MaxConns)
	db.SetMaxIdleConns(cfg.MaxConns)
	return sqlstore.Open(ctx, db, db, dialect{}, cfg.StatementTimeout)
}

type dialect struct{}

func (dialect) Statements(migration string) []string {
	migration = strings.NewReplacer("BLOB", "BYTEA", "WITHCELLS", "WITH (fillfactor = 70)").Replace(migration)
	var out []string
	for s := range strings.SplitSeq(migration, ";") {
		if strings.TrimSpace(s) != "" {
			out = append(out, s)
		}
	}
	return out
}

// Lock takes an advisory lock, whose number means Millstream's metric store and nothing else.
func (dialect) Lock(ctx context.Context, tx *sql.Tx) error {
	if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('millstream metric store ' || current_schema(), 0))`); err != nil {
		return fmt.Errorf("lock metric store: %w", err)
	}
	return nil
}

func (dialect) Snapshot() *sql.TxOptions {
	return &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}
}

func (dialect) NowMS() string { return `(extract(epoch from clock_timestamp()) * 1000)::bigint` }

func (dialect) PutDims(ctx context.Context, tx *sql.Tx, dims []sqlstore.Dim) error {
	if len(dims) == 0 {
		return nil
	}
	var (
		metrics []int32
		hashes  []int64
		vals    []string
	)
	for _, d := range dims {
		metrics, hashes, vals = append(metrics, int32(d.Metric)), append(hashes, int64(d.Dim)), append(vals, d.Vals) //nolint:gosec // the columns' types
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO rollup_dim SELECT * FROM unnest($1::int[], $2::bigint[], $3::text[]) ON CONFLICT (metric, dim) DO NOTHING`, metrics, hashes, vals)
	return err
}

// columns are the arrays that a statement over many keys gets.
type columns struct {
	metric, ver, zone, src, rev []int32
	bucket, dim                 []int64
}

func (c *columns) add(k metric.Key, zone int) { //nolint:gosec // the columns' types
	c.metric, c.ver, c.zone = append(c.metric, int32(k.Metric)), append(c.ver, int32(k.Ver)), append(c.zone, int32(zone))
	c.bucket, c.dim = append(c.bucket, k.Bucket), append(c.dim, int64(k.Dim))
	c.src, c.rev = append(c.src, int32(k.Src)), append(c.rev, int32(k.Rev))
}

func (c *columns) args() []any {
	return []any{c.metric, c.ver, c.zone, c.bucket, c.dim, c.src, c.rev}
}

func (dialect) PutCells(ctx context.Context, tx *sql.Tx, table string, rows []metric.Row, zones []int) error {
	var (
		c            columns
		n, bad, last []int64
		state        [][]byte
	)
	for i, r := range rows {
		c.add(r.Key, zones[i])
		n, bad, last, state = append(n, r.N), append(bad, r.Bad), append(last, r.LastOff), append(state, r.State)
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO `+table+` (metric, ver, zone, bucket, dim, src, rev, n, bad, state, last_off)
		SELECT * FROM unnest($1::int[], $2::int[], $3::int[], $4::bigint[], $5::bigint[], $6::int[], $7::int[], $8::bigint[], $9::bigint[], $10::bytea[], $11::bigint[])
		ON CONFLICT (metric, ver, zone, bucket, dim, src, rev) DO UPDATE SET n = excluded.n, bad = excluded.bad, state = excluded.state, last_off = excluded.last_off`,
		append(c.args(), n, bad, state, last)...)
	return err
}

func (dialect) LoadCells(ctx context.Context, tx *sql.Tx, table string, keys []metric.Key, zones []int, yield func(int, metric.Row)) error {
	var c columns
	for i, k := range keys {
		c.add(k, zones[i])
	}
	rows, err := tx.QueryContext(ctx, `SELECT k.i, c.n, c.bad, c.state, c.last_off
		FROM unnest($1::int[], $2::int[], $3::int[], $4::bigint[], $5::bigint[], $6::int[], $7::int[]) WITH ORDINALITY AS k (metric, ver, zone, bucket, dim, src, rev, i)
		JOIN `+table+` c USING (metric, ver, zone, bucket, dim, src, rev)`, c.args()...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // the error that matters is rows.Err
	for rows.Next() {
		var (
			i int
			r metric.Row
		)
		if err := rows.Scan(&i, &r.N, &r.Bad, &r.State, &r.LastOff); err != nil {
			return err
		}
		yield(i-1, r)
	}
	return rows.Err()
}
