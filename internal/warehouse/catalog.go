package warehouse

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// Existing is a table as the catalogue has it: types by column name, nil if
// there is no such table.
type Existing map[string]Type

// Names are the columns' names, in order.
func (e Existing) Names() []string { return slices.Sorted(maps.Keys(e)) }

// Columns reads the catalogue of tables. It reads anew each time: an analyst
// may have changed anything since.
func (c *Conn) Columns(ctx context.Context, names []Name) (map[Name]Existing, error) {
	out := map[Name]Existing{}
	if len(names) == 0 {
		return out, nil
	}
	var schemas, tables []string
	for _, n := range names {
		schemas, tables = append(schemas, n.Schema), append(tables, n.Table)
	}
	res, err := c.Exec(ctx, columnsSQL(schemas, tables))
	if err != nil {
		return nil, err
	}
	for _, row := range res.Rows {
		n := Name{row[0], row[1]}
		if out[n] == nil {
			out[n] = Existing{}
		}
		t, err := catalogueType(row[3], row[4], row[5], row[6])
		if err != nil {
			return nil, fmt.Errorf("column %s.%s: %w", n, row[2], err)
		}
		out[n][row[2]] = t
	}
	return out, nil
}

func columnsSQL(schemas, tables []string) string {
	return "SELECT table_schema, table_name, column_name, data_type, character_maximum_length, numeric_precision, numeric_scale FROM svv_columns" +
		" WHERE table_schema IN (" + literals(unique(schemas)) + ") AND table_name IN (" + literals(unique(tables)) + ")" +
		" ORDER BY table_schema, table_name, ordinal_position"
}

func catalogueType(name, length, precision, scale string) (Type, error) {
	t := ParseType(name)
	for _, f := range []struct {
		text string
		into *int
		of   bool
	}{{length, &t.Width, t.Kind == Varchar || t.Kind == Varbyte}, {precision, &t.Precision, t.Kind == Numeric}, {scale, &t.Scale, t.Kind == Numeric}} {
		if !f.of || f.text == "" {
			continue
		}
		n, err := strconv.Atoi(f.text)
		if err != nil {
			return t, fmt.Errorf("%s %q: %w", name, f.text, err)
		}
		*f.into = n
	}
	return t, nil
}

func unique(list []string) []string {
	var out []string
	seen := map[string]bool{}
	for _, s := range list {
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}
