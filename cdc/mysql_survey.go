package cdc

import (
	"context"
	"errors"
	"strconv"
)

func (o *mysqlOrigin) tables(ctx context.Context) ([]tableInfo, error) {
	sql := "SELECT table_schema, table_name, table_type, IFNULL(table_rows, -1), IFNULL(data_length, -1) FROM information_schema.tables " +
		"WHERE table_schema NOT IN ('mysql', 'information_schema', 'performance_schema', 'sys') AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED', 'VIEW')"
	if o.conf.DBName != "" {
		sql += " AND table_schema = " + mysqlText(o.conf.DBName)
	}
	rows, err := o.survey(ctx, sql+" ORDER BY table_schema, table_name")
	if err != nil {
		return nil, err
	}
	out := make([]tableInfo, 0, len(rows))
	for _, v := range rows {
		info := tableInfo{schema: v[0], name: v[1], kind: relationTable}
		if v[2] == "VIEW" {
			info.kind = relationView
		}
		n, errRows := strconv.ParseInt(v[3], 10, 64)
		size, errSize := strconv.ParseInt(v[4], 10, 64)
		if err := errors.Join(errRows, errSize); err != nil {
			return nil, mysqlErr("size of "+info.String(), err)
		}
		info.rows, info.bytes = n, size
		if info.readable, err = o.mayRead(ctx, info); err != nil {
			return nil, err
		}
		out = append(out, info)
	}
	return out, nil
}

// mayRead asks for every column and no row: the catalogue shows a table also to
// whom one of its columns is granted.
func (o *mysqlOrigin) mayRead(ctx context.Context, t tableInfo) (bool, error) {
	_, err := o.survey(ctx, "SELECT * FROM "+qualified(o.cfg.Kind, t.schema, t.name)+" LIMIT 0")
	if _, refused := errors.AsType[*refusal](err); refused || errors.Is(err, errChanged) {
		return false, nil // not granted, dropped meanwhile, or a view over what is gone
	}
	return err == nil, err
}

func (o *mysqlOrigin) survey(ctx context.Context, sql string, args ...string) ([][]string, error) {
	if len(args) > 0 {
		panic("BUG: statements of MySQL have no parameters: " + sql)
	}
	ctx, cancel := context.WithTimeout(ctx, o.cfg.Timeouts.Statement)
	defer cancel()
	var out [][]string
	err := o.with(ctx, func(c *mysqlConn) error {
		if err := c.exec(ctx, "START TRANSACTION READ ONLY"); err != nil {
			return err
		}
		var err error
		if out, err = c.texts(ctx, sql); err != nil {
			return err
		}
		return c.exec(ctx, "COMMIT")
	})
	return out, mysqlErr("survey", err)
}
