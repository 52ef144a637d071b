package cdc

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
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

// split cuts integers evenly; a small database's other keys are one range.
func (o *sqliteOrigin) split(ctx context.Context, p *plan, after []string, n int) ([]string, error) {
	k := &p.rel.columns[p.key[0]]
	lo, err := strconv.ParseInt(after[0], 10, 64)
	if k.cursor != cursorInteger || err != nil {
		return nil, nil //nolint:nilerr // a text
	}
	var hi sql.NullInt64
	text := fmt.Sprintf(`SELECT max(%s) FROM %s`, quoteIdent(k.name), quoteIdent(p.rel.table))
	if err := o.pages.QueryRowContext(ctx, text).Scan(&hi); err != nil {
		return nil, sqliteErr("borders of "+p.name, err)
	}
	if hi.Int64 <= lo {
		return nil, nil
	}
	return evenBorders(lo+1, hi.Int64, n), nil
}
