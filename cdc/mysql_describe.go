package cdc

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

func (o *mysqlOrigin) describe(ctx context.Context, schema, table string, _ []string) (relation, error) {
	ctx, cancel := context.WithTimeout(ctx, o.cfg.Timeouts.Snapshot)
	defer cancel()
	rel := relation{schema: schema, table: table}
	err := o.with(ctx, func(c *mysqlConn) error {
		if err := o.readable(ctx, c, &rel); err != nil {
			return err
		}
		return o.frame(ctx, c, &rel, func() error { return o.describeIn(ctx, c, &rel) })
	})
	return rel, mysqlErr("describe "+schema+"."+table, err)
}

// readable finds out whether the user may read the table, and every column: the
// views of information_schema leave out what it may not, as if it did not exist.
func (o *mysqlOrigin) readable(ctx context.Context, c *mysqlConn, rel *relation) error {
	name, qualified := rel.schema+"."+rel.table, mysqlName(rel)
	user := mysqlText(o.conf.User) + "@'%'"
	_, err := c.texts(ctx, "SELECT * FROM "+qualified+" LIMIT 0")
	switch mysqlCode(err) {
	case mysqlNoTable, mysqlNoDatabase:
		return refuse("table_missing", "create it, or mend its name in the configuration", "there is no table %s", name)
	case 1044, 1142, mysqlColumnRefused:
		rows, err := c.texts(ctx, "SELECT 1 FROM information_schema.columns"+mysqlWhere(rel)+" AND privileges LIKE '%select%' LIMIT 1")
		if err != nil {
			return err
		}
		mend := fmt.Sprintf("GRANT SELECT ON %s TO %s", qualified, user)
		if len(rows) > 0 { // the catalogue would hide the others, as if they did not exist
			return refuse("column_grants", mend, "user %s may not read every column of %s", o.conf.User, name)
		}
		return refuse("grant_missing", mend, "user %s may not read %s", o.conf.User, name)
	}
	return err
}

// mysqlWhere finds the rows of a table in information_schema.
func mysqlWhere(rel *relation) string {
	return " WHERE table_schema = " + mysqlText(rel.schema) + " AND table_name = " + mysqlText(rel.table)
}

func (o *mysqlOrigin) describeIn(ctx context.Context, c *mysqlConn, rel *relation) error {
	where := mysqlWhere(rel)
	rows, err := c.texts(ctx, "SELECT table_type, engine FROM information_schema.tables"+where)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return errChanged
	}
	kind, engine := rows[0][0], rows[0][1]
	switch {
	case kind == "SEQUENCE" || kind == "SYSTEM VIEW":
		return refuse("not_a_table", "name its tables", "%s.%s is a %s", rel.schema, rel.table, strings.ToLower(kind))
	case kind != "VIEW" && engine != "InnoDB":
		rel.warnings = append(rel.warnings, fmt.Sprintf("the engine is %s, which has no snapshots: a page may mix states", engine))
	}
	if rows, err = c.texts(ctx, mysqlPrint(rel)); err != nil {
		return err
	}
	rel.print, rel.rewrite = rows[0][0], rows[0][1]
	if kind != "VIEW" {
		made, err := mysqlMade(ctx, c, rel, mysqlMadeByID)
		switch {
		case err == nil:
			rel.rewrite = made
		case mysqlCode(err) != mysqlNoPrivilege:
			return err
		}
	}
	if rel.columns, err = mysqlColumns(ctx, c, rel, where); err != nil {
		return err
	}
	rel.indexes, err = mysqlIndexes(ctx, c, where)
	return err
}

// mysqlMadeByID leads a name of what a table was made as where the user may see
// InnoDB's own: ids of its tablespaces. Elsewhere it is the time that it was
// made at, in whole seconds, which TRUNCATE does not change on MariaDB.
const mysqlMadeByID = "id:"

func madeByID(made string) bool { return strings.HasPrefix(made, mysqlMadeByID) }

// innodbTables is the view of InnoDB's own tables, which needs PROCESS.
func (c *mysqlConn) innodbTables() string {
	if c.maria {
		return "information_schema.innodb_sys_tables"
	}
	return "information_schema.innodb_tables"
}

// mysqlMade is what the table is made as now, in the manner of was; of a
// partitioned table that of all partitions.
func mysqlMade(ctx context.Context, c *mysqlConn, rel *relation, was string) (string, error) {
	if !madeByID(was) {
		return was, nil // the page has compared it
	}
	// InnoDB writes names as files are named, and partitions behind them.
	file := func(s string) string { return "CAST(CONVERT(" + mysqlText(s) + " USING filename) AS BINARY)" }
	name := "CONCAT(" + file(rel.schema) + ", '/', " + file(rel.table) + ")"
	rows, err := c.texts(ctx, "SELECT GROUP_CONCAT(table_id ORDER BY table_id) FROM "+c.innodbTables()+
		" WHERE SUBSTRING_INDEX(SUBSTRING_INDEX(CAST(name AS BINARY), '#P#', 1), '#p#', 1) = "+name)
	if err != nil {
		return "", err
	}
	return mysqlMadeByID + rows[0][0], nil
}

func mysqlColumns(ctx context.Context, c *mysqlConn, rel *relation, where string) ([]column, error) {
	checked, err := mysqlJSONChecks(ctx, c, rel)
	if err != nil {
		return nil, err
	}
	rows, err := c.texts(ctx, `SELECT column_name, data_type, column_type, is_nullable, extra, column_default, IFNULL(generation_expression, ''),
  IFNULL(character_maximum_length, 0), IFNULL(numeric_precision, 0), IFNULL(numeric_scale, 0), IFNULL(datetime_precision, 0)
FROM information_schema.columns`+where+` ORDER BY ordinal_position`)
	if err != nil {
		return nil, err
	}
	out := make([]column, 0, len(rows))
	for _, v := range rows {
		col := column{name: v[0], origin: v[2], notNull: v[3] == "NO"}
		// A column that is added NOT NULL fills old rows with 0 or ''.
		col.filled = col.notNull || v[5] != "" && v[5] != "NULL" || v[6] != ""
		t := mysqlType{data: v[1], full: v[2], json: slices.Contains(checked, v[0]), maria: c.maria}
		for i, into := range []*int{&t.length, &t.precision, &t.scale, &t.fraction} {
			n, err := strconv.ParseInt(v[7+i], 10, 64)
			if err != nil {
				return nil, fmt.Errorf("column %s: %w", v[0], err)
			}
			*into = int(n)
		}
		col.setMySQL(t)
		out = append(out, col)
	}
	return out, nil
}

// mysqlJSONChecks returns the columns that MariaDB declares as JSON, which is a
// longtext with a check.
func mysqlJSONChecks(ctx context.Context, c *mysqlConn, rel *relation) ([]string, error) {
	if !c.maria {
		return nil, nil
	}
	rows, err := c.texts(ctx, "SELECT check_clause FROM information_schema.check_constraints WHERE constraint_schema = "+mysqlText(rel.schema)+" AND table_name = "+mysqlText(rel.table))
	if err != nil {
		return nil, err
	}
	var out []string
	for _, v := range rows {
		inner, is := strings.CutPrefix(v[0], "json_valid(`")
		if inner, closed := strings.CutSuffix(inner, "`)"); is && closed {
			out = append(out, strings.ReplaceAll(inner, "``", "`"))
		}
	}
	return out, nil
}

// mysqlIndexes reads the indexes; a part that is a prefix or an expression has an
// empty name, and is of no use as a key.
func mysqlIndexes(ctx context.Context, c *mysqlConn, where string) ([]index, error) {
	rows, err := c.texts(ctx, "SELECT index_name, non_unique, IF(sub_part IS NULL, column_name, NULL) FROM information_schema.statistics"+where+
		" AND index_type IN ('BTREE', 'HASH') ORDER BY index_name, seq_in_index")
	if err != nil {
		return nil, err
	}
	var out []index
	last := ""
	for _, v := range rows {
		if v[0] != last || len(out) == 0 {
			out, last = append(out, index{unique: v[1] == "0", primary: v[0] == "PRIMARY"}), v[0]
		}
		x := &out[len(out)-1]
		x.columns = append(x.columns, v[2])
		x.unique = x.unique && v[2] != ""
	}
	return out, nil
}
