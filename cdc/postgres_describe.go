package cdc

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/wire"
)

// Columns with their types' domains resolved, and those of arrays' elements; the
// modifier of a domain counts where the column has none.
const pgColumns = `SELECT a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.atttypid, a.attnotnull, a.atthasmissing OR a.attgenerated <> '',
  b.oid, b.mod, b.typname, b.typtype, b.typcategory, coalesce(e.oid, 0), coalesce(e.typtype, 'b'), coalesce(e.typdelim, ','),
  current_setting('server_encoding') = 'UTF8' AND b.typname <> 'bpchar' AND EXISTS (SELECT FROM pg_collation co JOIN pg_database db ON db.datname = current_database()
    WHERE co.oid = a.attcollation AND (co.collcollate IN ('C', 'POSIX') AND co.collprovider = 'c' OR co.collprovider = 'b' OR co.collprovider = 'd'
      AND (db.datcollate IN ('C', 'POSIX') AND coalesce(to_jsonb(db) ->> 'datlocprovider', 'c') = 'c' OR to_jsonb(db) ->> 'datlocprovider' = 'b')))
FROM pg_attribute a CROSS JOIN LATERAL (
  WITH RECURSIVE d AS (
    SELECT t.oid, t.typname, t.typtype, t.typcategory, t.typbasetype, t.typtypmod, a.atttypmod AS mod, t.typelem FROM pg_type t WHERE t.oid = a.atttypid
    UNION ALL SELECT t.oid, t.typname, t.typtype, t.typcategory, t.typbasetype, t.typtypmod, d.typtypmod, t.typelem FROM d JOIN pg_type t ON t.oid = d.typbasetype WHERE d.typtype = 'd')
  SELECT * FROM d WHERE typtype <> 'd') b
LEFT JOIN LATERAL (
  WITH RECURSIVE d AS (
    SELECT t.oid, t.typtype, t.typdelim, t.typbasetype FROM pg_type t WHERE b.typcategory = 'A' AND t.oid = b.typelem
    UNION ALL SELECT t.oid, t.typtype, d.typdelim, t.typbasetype FROM d JOIN pg_type t ON t.oid = d.typbasetype WHERE d.typtype = 'd')
  SELECT * FROM d WHERE typtype <> 'd') e ON true
WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`

// pgMoneyScale is how many digits money has after the point: lc_monetary says.
const pgMoneyScale = `SELECT scale('0'::money::numeric)`

const pgIndexes = `SELECT i.indisprimary, i.indisunique AND i.indpred IS NULL AND i.indimmediate,
  (SELECT string_agg(coalesce(a.attname, ''), chr(1) ORDER BY k.n) FROM unnest(i.indkey[0:i.indnkeyatts - 1]) WITH ORDINALITY k(attnum, n)
     LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum > 0)
FROM pg_index i WHERE i.indrelid = $1::oid AND i.indisvalid ORDER BY i.indexrelid`

const pgSystem = `SELECT system_identifier FROM pg_control_system()`

func (o *pgOrigin) describe(ctx context.Context, schema, table string, _ []string) (relation, error) {
	rel := relation{schema: schema, table: table}
	err := o.with(ctx, func(c *pgconn.PgConn) error {
		if _, err := c.Exec(ctx, o.frame(schema+"."+table+"/plan", "", "")).ReadAll(); err != nil {
			return err
		}
		if err := o.describeIn(ctx, c, &rel); err != nil {
			return err
		}
		_, err := c.Exec(ctx, "COMMIT").ReadAll()
		return err
	})
	return rel, pgErr("describe "+schema+"."+table, err)
}

func (o *pgOrigin) describeIn(ctx context.Context, c *pgconn.PgConn, rel *relation) error {
	rows, err := pgQuery(ctx, c, `SELECT c.oid, c.relkind, coalesce(pg_relation_filenode(c.oid), 0), has_table_privilege(c.oid, 'SELECT'), has_schema_privilege(n.oid, 'USAGE'), c.relrowsecurity, c.reltuples::bigint, c.relpages
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2`, rel.schema, rel.table)
	if err != nil {
		return err
	}
	name := rel.schema + "." + rel.table
	if len(rows) == 0 {
		return refuse("table_missing", "create it, or mend its name in the configuration", "there is no table %s in database %s", name, o.conf.Database)
	}
	v := texts(rows[0])
	oid, kind := v[0], v[1]
	switch {
	case kind != "r" && kind != "p":
		return refuse("not_a_table", "name its tables", "%s is no ordinary or partitioned table", name)
	case v[4] != "t":
		return refuse("grant_missing", fmt.Sprintf("GRANT USAGE ON SCHEMA %s TO %s", quoteIdent(rel.schema), quoteIdent(o.conf.User)), "user %s may not use schema %s", o.conf.User, rel.schema)
	case v[3] != "t":
		return refuse("grant_missing", fmt.Sprintf("GRANT SELECT ON %s.%s TO %s", quoteIdent(rel.schema), quoteIdent(rel.table), quoteIdent(o.conf.User)), "user %s may not read %s", o.conf.User, name)
	}
	if rows, err = pgQuery(ctx, c, pgSystem); err != nil {
		return err
	}
	rel.rows, _ = strconv.ParseInt(v[6], 10, 64) // an estimate: nothing hangs on it
	rel.blocks, _ = strconv.ParseInt(v[7], 10, 64)
	rel.server, _, _ = strings.Cut(c.ParameterStatus("server_version"), ".")
	rel.identity, rel.rewrite = string(rows[0][0])+"/"+oid, v[2]
	if rows, err = pgQuery(ctx, c, strings.NewReplacer("$1", "$1::oid", "$2", "$2::text").Replace(pagePrint), oid, quoteIdent(rel.schema)+"."+quoteIdent(rel.table)); err != nil {
		return err
	}
	if len(rows) > 0 {
		// The page compares with what this very expression gives.
		rel.rewrite, rel.print = string(rows[0][1]), string(rows[0][2])
		if leaves := string(rows[0][3]); leaves != "" {
			rel.leaves = strings.Split(leaves, ",")
		}
	}
	if rel.columns, err = pgDescribeColumns(ctx, c, oid); err != nil {
		return err
	}
	if rows, err = pgQuery(ctx, c, pgIndexes, oid); err != nil {
		return err
	}
	for _, r := range rows {
		v := texts(r)
		cols := strings.Split(v[2], "\x01")
		// An index over an expression has an empty name and is of no use as a key.
		unique := v[1] == "t" && !slices.Contains(cols, "")
		rel.indexes = append(rel.indexes, index{columns: cols, primary: v[0] == "t", unique: unique})
	}
	return nil
}

func pgDescribeColumns(ctx context.Context, c *pgconn.PgConn, oid string) ([]column, error) {
	rows, err := pgQuery(ctx, c, pgColumns, oid)
	if err != nil {
		return nil, err
	}
	out := make([]column, 0, len(rows))
	for _, r := range rows {
		v := texts(r)
		var nums [5]int
		for i, s := range []string{v[0], v[3], v[6], v[7], v[11]} {
			if nums[i], err = strconv.Atoi(s); err != nil {
				return nil, fmt.Errorf("column %s: %w", v[1], err)
			}
		}
		col := column{name: v[1], origin: v[2], number: nums[0], oid: uint32(nums[1]), notNull: v[4] == "t", filled: v[5] == "t", byBytes: v[14] == "t"} //nolint:gosec // an oid
		t := pgType{oid: uint32(nums[2]), mod: nums[3], name: v[8], kind: v[9][0], category: v[10][0]}                                                   //nolint:gosec // an oid
		t.element = pgElement{oid: uint32(nums[4]), kind: v[12][0], delim: v[13][0]}                                                                     //nolint:gosec // an oid
		col.setPostgres(t)
		if t.oid == oidMoney {
			if err := col.setMoney(ctx, c); err != nil {
				return nil, err
			}
		}
		out = append(out, col)
	}
	return out, nil
}

func (c *column) setMoney(ctx context.Context, conn *pgconn.PgConn) error {
	rows, err := pgQuery(ctx, conn, pgMoneyScale)
	if err != nil {
		return err
	}
	scale, err := strconv.Atoi(string(rows[0][0]))
	if err != nil {
		return fmt.Errorf("scale of money: %w", err)
	}
	c.setType(valueDecimal, event.FormText, wire.Decimal(19, scale), fmt.Sprintf("NUMERIC(19,%d)", scale))
	return nil
}

func texts(row [][]byte) []string {
	out := make([]string, len(row))
	for i, v := range row {
		out[i] = string(v)
	}
	return out
}

func micros(s []byte) time.Time {
	if s == nil {
		return time.Time{}
	}
	n, err := strconv.ParseInt(string(s), 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}
