package cdc

import (
	"context"
	"database/sql"
	"time"
)

// stream reads a table of which each row has its place in one transaction: the
// pages are cut by place, since the rows have no names.
func (o *sqliteOrigin) stream(ctx context.Context, p *plan, q query, each func(*page) error) error {
	return o.insideFor(ctx, p, func(ctx context.Context, tx *sql.Tx) error {
		began := time.Now()
		for {
			started := time.Now()
			pg, err := o.rows(ctx, tx, p, q)
			if err != nil {
				return err
			}
			pg.at, pg.took = began, time.Since(started)
			if err := each(pg); err != nil || !pg.full {
				return err
			}
			q.skip += len(pg.rows)
		}
	})
}
