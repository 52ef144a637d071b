//go:build cgo

package redshift

import (
	"context"
	"fmt"
	"strings"
)

// svvTableInfo tells sizes as a cluster of one node and two slices would: a block of 1 MB for each column, three of the
// system's among them, on each slice, twice with a sort key; and the rows, at 8 bytes a value. Tables are always sorted,
// free of deleted rows, and their statistics up to date. counts is a query for the rows n of each oid.
func svvTableInfo(database, counts string) string {
	return `SELECT ` + database + ` AS "database", t.schema_name AS "schema", t.oid AS table_id, t.table_name AS "table", 'Y' AS encoded, t.diststyle, c.sortkey1, c.sortkeys AS sortkey_num,
		CAST((c.n + 3) * CASE WHEN t.diststyle = 'ALL' THEN 1 ELSE 2 END * CASE WHEN c.sortkeys > 0 THEN 2 ELSE 1 END + d.n * c.n * 8 // 1048576 AS BIGINT) AS "size",
		CAST(0 AS DECIMAL(10,4)) AS pct_used, CAST(0 AS BIGINT) AS "empty", CAST(d.n AS DECIMAL(38,0)) AS tbl_rows, CAST(d.n AS DECIMAL(38,0)) AS estimated_visible_rows,
		CAST(0 AS DECIMAL(5,2)) AS unsorted, CAST(0 AS DECIMAL(5,2)) AS stats_off, CAST(1 AS DECIMAL(19,2)) AS skew_rows, CAST(0 AS DECIMAL(12,2)) AS vacuum_sort_benefit, t.created AS create_time
		FROM _rs.tables t JOIN (` + counts + `) d ON d.oid = t.oid
		JOIN (SELECT table_oid, count(*) AS n, count(*) FILTER (WHERE sortkey > 0) AS sortkeys, max(name) FILTER (WHERE sortkey = 1) AS sortkey1 FROM _rs.columns GROUP BY table_oid) c ON c.table_oid = t.oid
		WHERE t.kind = 'r' AND d.n > 0`
}

// countedTables is svv_table_info with the rows that there are: what DuckDB estimates, which the stored view has, still
// includes those that were deleted or updated.
func (s *session) countedTables() (query string, found bool) {
	rows, err := s.duck.QueryContext(context.Background(), "SELECT oid, schema_name, table_name FROM _rs.tables WHERE kind = 'r'")
	if err != nil {
		return "", false
	}
	defer func() { _ = rows.Close() }()
	counts := []string{"SELECT CAST(0 AS BIGINT) AS oid, CAST(0 AS BIGINT) AS n"}
	for rows.Next() {
		var oid int64
		var name tableName
		if err := rows.Scan(&oid, &name.schema, &name.table); err != nil {
			return "", false
		}
		counts = append(counts, fmt.Sprintf("SELECT %d, count(*) FROM %s.%s", oid, quoteIdent(name.schema), quoteIdent(name.table)))
	}
	return svvTableInfo(quoteString(s.srv.cfg.Database), strings.Join(counts, " UNION ALL ")), rows.Err() == nil
}
