package cdc

import (
	"context"
	"database/sql"
	"fmt"
)

func (o *sqliteOrigin) tables(ctx context.Context) ([]tableInfo, error) {
	rows, err := o.survey(ctx, `SELECT name, type FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY name`)
	if err != nil {
		return nil, err
	}
	out := make([]tableInfo, 0, len(rows))
	for _, r := range rows {
		out = append(out, tableInfo{schema: "main", name: r[0], kind: relationKind(r[1]), rows: -1, bytes: -1, readable: true})
	}
	return out, nil
}

func (o *sqliteOrigin) survey(ctx context.Context, text string, args ...string) ([][]string, error) {
	ctx, cancel := context.WithTimeout(ctx, o.cfg.Timeouts.Statement)
	defer cancel()
	values := make([]any, len(args))
	for i, a := range args {
		values[i] = parseSQLiteLiteral(a)
	}
	rows, err := o.pages.QueryContext(ctx, text, values...)
	if err != nil {
		return nil, sqliteErr("survey", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err tells
	cols, err := rows.Columns()
	if err != nil {
		return nil, sqliteErr("survey", err)
	}
	cells, into := make([]sql.NullString, len(cols)), make([]any, len(cols))
	for i := range cells {
		into[i] = &cells[i]
	}
	var out [][]string
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return nil, fmt.Errorf("survey: %w", err)
		}
		row := make([]string, len(cells))
		for i, c := range cells {
			row[i] = c.String
		}
		out = append(out, row)
	}
	return out, sqliteErr("survey", rows.Err())
}
