package cdc

import (
	"context"
	"database/sql"

	"github.com/millstream-data/millstream/cdc/keystore"
)

// within serves probes; SQLite has no digests.
func (o *sqliteOrigin) within(ctx context.Context, p *plan, f func(snapshot) error) error {
	return o.inside(ctx, p, func(ctx context.Context, tx *sql.Tx) error { return f(sqliteSnapshot{o, tx}) })
}

func (o *sqliteOrigin) formula(*plan) string { return "" }

// sqliteSnapshot is a read transaction.
type sqliteSnapshot struct {
	o  *sqliteOrigin
	tx *sql.Tx
}

func (s sqliteSnapshot) rows(ctx context.Context, p *plan, q query) (*page, error) {
	return s.o.rows(ctx, s.tx, p, q)
}

func (s sqliteSnapshot) digest(context.Context, *plan, query) (keystore.Digest, error) {
	panic("BUG: reconcile on SQLite is refused by the configuration")
}
