package cdc

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"
)

// The size of a partitioned table is that of its leaves. reltuples is -1 until
// the table was analysed once.
const pgTables = `SELECT n.nspname, c.relname, c.relkind, s.rows, s.bytes, has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, LATERAL (
  SELECT CASE WHEN bool_or(l.reltuples < 0) THEN -1 ELSE sum(l.reltuples)::bigint END AS rows, coalesce(sum(pg_table_size(l.oid)), 0)::bigint AS bytes
  FROM pg_class l WHERE CASE WHEN c.relkind = 'p' THEN l.oid IN (SELECT relid FROM pg_partition_tree(c.oid) WHERE isleaf) ELSE l.oid = c.oid END) s
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\_%'
ORDER BY n.nspname, c.relname`

var pgRelationKinds = map[string]relationKind{
	"r": relationTable, "p": relationPartitioned, "v": relationView, "m": relationMatView, "f": relationForeign,
}

func (o *pgOrigin) tables(ctx context.Context) ([]tableInfo, error) {
	rows, err := o.survey(ctx, pgTables)
	if err != nil {
		return nil, err
	}
	out := make([]tableInfo, 0, len(rows))
	for _, r := range rows {
		t := tableInfo{schema: r[0], name: r[1], kind: pgRelationKinds[r[2]], readable: r[5] == "t"}
		if t.rows, err = strconv.ParseInt(r[3], 10, 64); err != nil {
			t.rows = -1
		}
		if t.bytes, err = strconv.ParseInt(r[4], 10, 64); err != nil {
			t.bytes = -1
		}
		out = append(out, t)
	}
	return out, nil
}

func (o *pgOrigin) survey(ctx context.Context, sql string, args ...string) ([][]string, error) {
	ctx, cancel := context.WithTimeout(ctx, o.cfg.Timeouts.Statement+o.cfg.Connections.Timeout)
	defer cancel()
	var out [][]string
	err := o.with(ctx, func(c *pgconn.PgConn) error {
		if _, err := c.Exec(ctx, o.frame("survey", "", "")).ReadAll(); err != nil {
			return err
		}
		rows, err := pgQuery(ctx, c, sql, args...)
		for _, r := range rows {
			out = append(out, texts(r))
		}
		if err != nil {
			return err
		}
		_, err = c.Exec(ctx, "COMMIT").ReadAll()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("survey: %w", pgErr("survey", err))
	}
	return out, nil
}
