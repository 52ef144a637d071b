package cdc

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// splitSQL takes the borders from what ANALYZE knows of the column, a whole
// hierarchy's before the parent's own; %[1]s is the column's type.
const splitSQL = `SELECT b::text FROM (SELECT histogram_bounds FROM pg_stats WHERE schemaname = $1 AND tablename = $2 AND attname = $3 ORDER BY inherited DESC LIMIT 1) s,
unnest(s.histogram_bounds::text::%[1]s[]) WITH ORDINALITY AS h(b, n) WHERE b > $4::text::%[1]s ORDER BY n`

// split takes the histogram of the key's first column; without one, integers
// are cut evenly.
func (o *pgOrigin) split(ctx context.Context, p *plan, after []string, n int) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, o.cfg.Timeouts.Statement)
	defer cancel()
	k := &p.rel.columns[p.key[0]]
	var out []string
	err := o.with(ctx, func(c *pgconn.PgConn) error {
		if _, err := c.Exec(ctx, o.frame(p.name+"/"+p.strategy.Name, "", "")).ReadAll(); err != nil {
			return err
		}
		rows, err := pgQuery(ctx, c, fmt.Sprintf(splitSQL, pgBase(k.origin)), p.rel.schema, p.rel.table, k.name, after[0])
		if err != nil {
			return err
		}
		if out = thinned(rows, n); len(rows) == 0 && k.cursor == cursorInteger {
			if out, err = pgEven(ctx, c, p, after[0], n); err != nil {
				return err
			}
		}
		_, err = c.Exec(ctx, "COMMIT").ReadAll()
		return err
	})
	return out, pgErr("borders of "+p.name, err)
}

func pgEven(ctx context.Context, c *pgconn.PgConn, p *plan, after string, n int) ([]string, error) {
	rows, err := pgQuery(ctx, c, fmt.Sprintf("SELECT max(%s)::text FROM %s.%s", quoteIdent(p.rel.columns[p.key[0]].name), quoteIdent(p.rel.schema), quoteIdent(p.rel.table)))
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	lo, errLo := strconv.ParseInt(after, 10, 64)
	hi, errHi := strconv.ParseInt(string(rows[0][0]), 10, 64)
	if errLo != nil || errHi != nil || hi <= lo {
		return nil, nil //nolint:nilerr // nothing is left to cut
	}
	return evenBorders(lo+1, hi, n), nil
}

// pgBase is a declared type without its modifier, which would be applied to each border.
func pgBase(declared string) string {
	base, rest, cut := strings.Cut(declared, "(")
	if !cut {
		return declared
	}
	_, tail, _ := strings.Cut(rest, ")")
	return base + tail
}

// thinned picks n-1 of the bounds of a histogram, evenly; the last bound is the
// greatest value and cuts nothing off.
func thinned(bounds [][][]byte, n int) []string {
	parts := min(n, len(bounds))
	var out []string
	for i := 1; i < parts; i++ {
		out = append(out, string(bounds[i*len(bounds)/parts-1][0]))
	}
	return out
}
