// Package driver opens the metric store that a configuration names. It is a
// package of its own because the drivers know the seam, and the seam must not
// know them.
package driver

import (
	"context"
	"fmt"

	"github.com/millstream-data/millstream/internal/metric"
	"github.com/millstream-data/millstream/internal/metric/pgstore"
	"github.com/millstream-data/millstream/internal/metric/sqlitestore"
)

// Open returns the store of cfg, its schema brought up to date. The caller
// closes it. An SQLite file and its folder are made where they are missing.
func Open(ctx context.Context, cfg metric.StoreConfig) (metric.Store, error) {
	if err := cfg.Configured(); err != nil {
		return nil, err
	}
	if file, ok := cfg.SQLiteFile(); ok {
		s, err := sqlitestore.Open(ctx, file, cfg)
		if err != nil {
			return nil, fmt.Errorf("open metric store %s: %w", file, err)
		}
		return s, nil
	}
	s, err := pgstore.Open(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open metric store: %w", err)
	}
	return s, nil
}
