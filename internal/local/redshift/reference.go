//go:build cgo

package redshift

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// MeasureReference has DuckDB alone read Parquet files into tables of a new
// database in dir, with the threads and the memory that c gives to the server:
// the yardstick of what COPY and the loader make of the same files. files are
// paths by table. It returns the rows and the time until they were durable.
func MeasureReference(ctx context.Context, c Config, dir string, files map[string][]string) (rows int64, elapsed time.Duration, err error) {
	db, err := sql.Open("duckdb", fmt.Sprintf("%s?threads=%d&memory_limit=%dKiB", filepath.Join(dir, "reference.duckdb"), c.Threads, int64(c.Memory)>>10))
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = db.Close() }() // its folder goes
	start := time.Now()
	for table, paths := range files {
		quoted := make([]string, len(paths))
		for i, p := range paths {
			quoted[i] = quoteString(p)
		}
		name := quoteIdent(table)
		res, err := db.ExecContext(ctx, "CREATE TABLE "+name+" AS SELECT * FROM read_parquet(["+strings.Join(quoted, ", ")+"])")
		if err != nil {
			return 0, 0, fmt.Errorf("read %s: %w", table, err)
		}
		n, err := res.RowsAffected()
		if err != nil {
			return 0, 0, err
		}
		rows += n
	}
	if _, err := db.ExecContext(ctx, "CHECKPOINT"); err != nil {
		return 0, 0, err
	}
	return rows, time.Since(start), nil
}
