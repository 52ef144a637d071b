package sqlstore

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/millstream-data/millstream/internal/metric"
)

// migrations are numbered from 1 and only ever added to. BLOB and WITHCELLS
// stand for what a dialect writes there.
func migrations() []string {
	cells := func(name string) string {
		return `CREATE TABLE ` + name + ` (
	metric INT NOT NULL, ver INT NOT NULL, zone INT NOT NULL, bucket BIGINT NOT NULL, dim BIGINT NOT NULL, src INT NOT NULL, rev INT NOT NULL,
	n BIGINT NOT NULL, bad BIGINT NOT NULL, state BLOB NOT NULL, last_off BIGINT NOT NULL,
	PRIMARY KEY (metric, ver, zone, bucket, dim, src, rev)) WITHCELLS`
	}
	return []string{`
CREATE TABLE rollup_store (one INT PRIMARY KEY, id TEXT NOT NULL, tzdata TEXT NOT NULL, dedup_window_ms BIGINT NOT NULL, dedup_max_records BIGINT NOT NULL, export_next BIGINT NOT NULL);
CREATE TABLE rollup_src (src INT PRIMARY KEY, topic TEXT NOT NULL, topic_id TEXT NOT NULL, part INT NOT NULL, UNIQUE (topic, part));
CREATE TABLE rollup_pos (src INT PRIMARY KEY, next_off BIGINT NOT NULL, fence BIGINT NOT NULL, owner TEXT NOT NULL, clock_ms BIGINT NOT NULL,
	dedup_floor BIGINT NOT NULL, floor_clock_ms BIGINT NOT NULL, watermark_ms BIGINT NOT NULL, published_off BIGINT NOT NULL, updated_ms BIGINT NOT NULL);
CREATE TABLE rollup_set (set_no INT PRIMARY KEY, hash TEXT NOT NULL, files TEXT NOT NULL, created_ms BIGINT NOT NULL);
CREATE TABLE rollup_metric (metric INT NOT NULL, ver INT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL, definition TEXT NOT NULL, hash TEXT NOT NULL, state TEXT NOT NULL, PRIMARY KEY (metric, ver));
CREATE TABLE rollup_start (metric INT NOT NULL, ver INT NOT NULL, src INT NOT NULL, off BIGINT NOT NULL, PRIMARY KEY (metric, ver, src));
CREATE TABLE rollup_dim (metric INT NOT NULL, dim BIGINT NOT NULL, vals TEXT NOT NULL, PRIMARY KEY (metric, dim));
CREATE TABLE rollup_zone (zone INT PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE rollup_day (zone INT NOT NULL, day BIGINT NOT NULL, state TEXT NOT NULL, revision INT NOT NULL, from_s BIGINT NOT NULL, to_s BIGINT NOT NULL, sealed_ms BIGINT NOT NULL, tzdata TEXT NOT NULL, PRIMARY KEY (zone, day));
CREATE TABLE rollup_cut (zone INT NOT NULL, day BIGINT NOT NULL, rev INT NOT NULL, src INT NOT NULL, due_off BIGINT NOT NULL, off BIGINT, PRIMARY KEY (zone, day, rev, src));
CREATE TABLE rollup_base (metric INT NOT NULL, ver INT NOT NULL, zone INT NOT NULL, day BIGINT NOT NULL, base INT NOT NULL, upto TEXT NOT NULL, PRIMARY KEY (metric, ver, zone, day));
` + cells("rollup_cell") + ";\n" + cells("rollup_fine") + ";"}
}

// migrate brings the schema up to date, one process at a time.
func (s *Store) migrate(ctx context.Context) error {
	return s.write(ctx, func(tx *sql.Tx) error {
		if err := s.d.Lock(ctx, tx); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS rollup_format (format INT PRIMARY KEY)`); err != nil {
			return fmt.Errorf("create rollup_format: %w", err)
		}
		var have int
		if err := tx.QueryRowContext(ctx, `SELECT COALESCE(MAX(format), 0) FROM rollup_format`).Scan(&have); err != nil {
			return fmt.Errorf("read rollup_format: %w", err)
		}
		all := migrations()
		if have > len(all) {
			return fmt.Errorf("format %d, this binary knows %d: %w; start the newer one", have, len(all), metric.ErrFormat)
		}
		for no := have; no < len(all); no++ {
			for _, stmt := range s.d.Statements(all[no]) {
				if _, err := tx.ExecContext(ctx, stmt); err != nil {
					return fmt.Errorf("migration %d: %w", no+1, err)
				}
			}
			if _, err := tx.ExecContext(ctx, `INSERT INTO rollup_format VALUES ($1)`, no+1); err != nil {
				return fmt.Errorf("migration %d: %w", no+1, err)
			}
		}
		return nil
	})
}
