package warehouse

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// LastLoad is the newest load of a target, and through when the target is
// loaded.
type LastLoad struct {
	Kind              string
	Rows              int64 // inserted or updated
	Seconds           float64
	At                time.Time
	Through, Complete time.Time // zero: not known; Complete is of mirrors
}

// LastLoads reads the newest load of each target.
func (c *Conn) LastLoads(ctx context.Context) (map[string]LastLoad, error) {
	res, err := c.Exec(ctx, `SELECT f.target, l.kind, l.rows_inserted + l.rows_updated, DATEDIFF(millisecond, l.started_at, l.committed_at), l.committed_at, f.loaded_through, f.complete_through
FROM millstream.freshness f JOIN (SELECT target, MAX(load_id) AS load_id FROM millstream.loads GROUP BY target) n ON n.target = f.target
JOIN millstream.loads l ON l.load_id = n.load_id AND l.target = n.target`)
	if err != nil {
		return nil, err
	}
	out := map[string]LastLoad{}
	for _, row := range res.Rows {
		l := LastLoad{Kind: row[1]}
		for _, f := range []struct {
			text string
			into *time.Time
		}{{row[4], &l.At}, {row[5], &l.Through}, {row[6], &l.Complete}} {
			if f.text == "" {
				continue
			}
			if *f.into, err = time.Parse("2006-01-02 15:04:05.999999", f.text); err != nil {
				return nil, fmt.Errorf("newest load of %s: %w", row[0], err)
			}
		}
		l.Rows, _ = strconv.ParseInt(row[2], 10, 64) // NULL, of what somebody wrote by hand
		if ms, err := strconv.ParseFloat(row[3], 64); err == nil {
			l.Seconds = max(0, ms/1000) // GETDATE() has whole seconds
		}
		out[row[0]] = l
	}
	return out, nil
}

// ColumnNames reads the columns of all tables in schemas, by schema.table, in
// order.
func (c *Conn) ColumnNames(ctx context.Context, schemas []string) (map[string][]string, error) {
	out := map[string][]string{}
	if len(schemas) == 0 {
		return out, nil
	}
	res, err := c.Exec(ctx, "SELECT table_schema, table_name, column_name FROM svv_columns WHERE table_schema IN ("+literals(unique(schemas))+") ORDER BY table_schema, table_name, ordinal_position")
	if err != nil {
		return nil, err
	}
	for _, row := range res.Rows {
		target := row[0] + "." + row[1]
		out[target] = append(out[target], row[2])
	}
	return out, nil
}

// Binding is a view that keeps a table from being swapped, because it is bound
// to it and not to its name.
type Binding struct{ View, Table string }

// Bindings finds the views that are bound to one of tables, in one look.
func (c *Conn) Bindings(ctx context.Context, tables []string) ([]Binding, error) {
	if len(tables) == 0 {
		return nil, nil
	}
	res, err := c.Exec(ctx, "SELECT schemaname, viewname, definition FROM pg_views WHERE schemaname NOT IN ('pg_catalog', 'information_schema', 'millstream') ORDER BY 1, 2")
	if err != nil {
		return nil, err
	}
	var out []Binding
	for _, row := range res.Rows {
		text := strings.ToLower(strings.ReplaceAll(row[2], `"`, ""))
		if strings.Contains(text, "no schema binding") {
			continue
		}
		for _, t := range tables {
			if mentionsName(text, strings.ToLower(t)) {
				out = append(out, Binding{row[0] + "." + row[1], t})
			}
		}
	}
	return out, nil
}

// Miscounted reads the mirrors whose last refresh did not add up: other rows
// came than cdc counted, so the old table stays.
func (c *Conn) Miscounted(ctx context.Context) ([]string, error) {
	return c.column(ctx, "SELECT DISTINCT target FROM millstream.polls WHERE state = 'counts' ORDER BY 1")
}
