package warehouse

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// bookkeeping are the columns that the batcher puts after an origin's own.
var bookkeeping = []string{"_op", "_pass", "_page", "_strategy", "_poll", "_read_at", "_partition", "_offset"}

// OriginColumns returns the columns of a mirrored table's files without the
// batcher's own; ok is false if those are not all there once.
func OriginColumns(columns []Column) (own []Column, ok bool) {
	for _, c := range columns {
		if !slices.Contains(bookkeeping, c.Name) {
			own = append(own, c)
		}
	}
	return own, len(own) == len(columns)-len(bookkeeping) && len(own) > 0
}

// Changes are staged changes of a mirrored table.
type Changes struct {
	Staged  []Staging
	Columns []Column          // the origin's, by their newest names
	Key     []string          // empty: the table has none
	Renamed map[string]string // newest names by those that staged columns have
	Temp    string            // the last change of each key
}

// union returns the rows of all staging tables with the columns cs by name,
// and the batcher's own ones in more.
func (c Changes) union(cs []Column, more ...string) string {
	return join(c.Staged, "\n  UNION ALL ", func(s Staging) string {
		var list []string
		for _, col := range cs {
			list = append(list, c.staged(s, col))
		}
		for _, name := range more {
			list = append(list, Ident(name))
		}
		return "SELECT " + strings.Join(list, ", ") + " FROM " + Ident(s.Name)
	})
}

// staged is a column as a staging table has it, perhaps by an older name.
func (c Changes) staged(s Staging, col Column) string {
	for _, own := range s.Columns {
		switch {
		case own.Name == col.Name:
			return Ident(col.Name)
		case c.Renamed[own.Name] == col.Name:
			return Ident(own.Name) + " AS " + Ident(col.Name)
		}
	}
	return fmt.Sprintf("CAST(NULL AS %s) AS %s", s.columnType(col).SQL(), Ident(col.Name))
}

// Look returns the query that tells of each poll and partition how many
// changes came, how many of them are not of keys that are new to the origin,
// how many are deletions, and how many break the order of pass and page.
func (c Changes) Look() string {
	return fmt.Sprintf(`SELECT "_poll", "_partition", COUNT(*), SUM(CASE WHEN "_op" = 'c' THEN 0 ELSE 1 END), SUM(CASE WHEN "_op" = 'd' THEN 1 ELSE 0 END),
  SUM(CASE WHEN "_last_pass" > "_pass" OR "_last_pass" = "_pass" AND "_last_page" > "_page" THEN 1 ELSE 0 END)
FROM (SELECT "_poll", "_partition", "_op", "_pass", "_page", LAG("_pass") OVER (PARTITION BY "_partition" ORDER BY "_offset") AS "_last_pass",
  LAG("_page") OVER (PARTITION BY "_partition" ORDER BY "_offset") AS "_last_page" FROM (%s) a) b GROUP BY 1, 2`,
		c.union(nil, "_poll", "_partition", "_op", "_pass", "_page", "_offset"))
}

// Gather returns the statement that keeps the last change of each key: a key
// stays in one partition, and within it offset order is snapshot order.
func (c Changes) Gather() string {
	dist := ""
	if len(c.Key) == 1 {
		dist = " DISTKEY (" + idents(c.Key) + ")"
	}
	return fmt.Sprintf("CREATE TEMP TABLE %s%s AS\nSELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY %s ORDER BY \"_offset\" DESC) AS \"_rn\" FROM (%s) a) b WHERE \"_rn\" = 1",
		Ident(c.Temp), dist, idents(c.Key), c.union(c.Columns, "_op", "_partition", "_offset"))
}

// Deleted returns the query that counts the keys whose last change is a
// deletion.
func (c Changes) Deleted() string {
	return fmt.Sprintf("SELECT COUNT(*) FROM %s WHERE \"_op\" = 'd'", Ident(c.Temp))
}

// After restricts changes to those behind an offset of each partition. Nil: all
// changes.
type After map[int32]int64

// and is the condition on changes c, to stand behind another one.
func (a After) and() string {
	if a == nil {
		return ""
	}
	parts := slices.Sorted(maps.Keys(a))
	return " AND (" + join(parts, " OR ", func(part int32) string {
		return fmt.Sprintf(`c."_partition" = %d AND c."_offset" > %d`, part, a[part])
	}) + ")"
}

// same joins the last changes c with a table by key.
func (c Changes) same(table string) string {
	return join(c.Key, " AND ", func(k string) string { return table + "." + Ident(k) + " = c." + Ident(k) })
}

// Delete returns the statement that removes from table the rows of changed
// keys. Delete and insert, because MERGE cannot update and delete by a column.
func (c Changes) Delete(table Name, after After) string {
	return fmt.Sprintf("DELETE FROM %s USING %s c WHERE %s%s", table.SQL(), Ident(c.Temp), c.same(table.SQL()), after.and())
}

// Insert returns the statement that brings the rows that were not deleted into
// table.
func (c Changes) Insert(table Name, after After) string {
	names, exprs := c.values("c")
	return fmt.Sprintf("INSERT INTO %s (%s)\nSELECT %s FROM %s c WHERE c.\"_op\" <> 'd'%s", table.SQL(), names, exprs, Ident(c.Temp), after.and())
}

func (c Changes) values(alias string) (names, exprs string) {
	list := make([]string, len(c.Columns))
	for i, col := range c.Columns {
		list[i] = col.Name
	}
	return idents(list), join(c.Columns, ", ", func(col Column) string { return expr(alias+"."+Ident(col.Name), col.Lake, col.Type) })
}

// Append returns the statement that brings all rows of a poll into table: of a
// table without a key only a poll says what belongs together.
func (c Changes) Append(table Name, poll string, after After) string {
	names, exprs := c.values("c")
	return fmt.Sprintf("INSERT INTO %s (%s)\nSELECT %s FROM (%s) c WHERE c.\"_poll\" = %s%s", table.SQL(), names, exprs,
		c.union(c.Columns, "_poll", "_partition", "_offset"), Literal(poll), after.and())
}

// Collect returns the statement that notes in table the keys that exist.
func (c Changes) Collect(table Name, after After) string {
	keys := join(c.Key, ", ", func(k string) string {
		for _, col := range c.Columns {
			if col.Name == k {
				return expr("c."+Ident(k), col.Lake, col.Type)
			}
		}
		return "c." + Ident(k)
	})
	return fmt.Sprintf("INSERT INTO %s (%s)\nSELECT %s FROM %s c WHERE c.\"_op\" <> 'd'%s", table.SQL(), idents(c.Key), keys, Ident(c.Temp), after.and())
}

// DeleteRange returns the statement that removes the rows of table with lo ≤
// column < hi whose key is not in keys, a table with the columns key; without
// key, whatever lies in the range. lo and hi are SQL.
func DeleteRange(table Name, column, lo, hi string, keys Name, key []string) string {
	out := fmt.Sprintf("DELETE FROM %s WHERE %s >= %s AND %s < %s", table.SQL(), Ident(column), lo, Ident(column), hi)
	if len(key) == 0 {
		return out
	}
	on := join(key, " AND ", func(k string) string { return "w." + Ident(k) + " = " + table.SQL() + "." + Ident(k) })
	return out + fmt.Sprintf("\n  AND NOT EXISTS (SELECT 1 FROM %s w WHERE %s)", keys.SQL(), on)
}

// CreateKeys returns the statements that create the table in which a bounded
// poll's keys are collected.
func (c Changes) CreateKeys(table Name) []string {
	var columns []string
	for _, k := range c.Key {
		for _, col := range c.Columns {
			if col.Name == k {
				columns = append(columns, Ident(k)+" "+col.Type.SQL())
			}
		}
	}
	create := fmt.Sprintf("CREATE TABLE %s (%s)", table.SQL(), strings.Join(columns, ", "))
	if len(c.Key) == 1 {
		create += " DISTKEY (" + idents(c.Key) + ")"
	}
	return []string{"CREATE SCHEMA IF NOT EXISTS " + Ident(table.Schema), DropTable(table), create}
}

// DropTable returns the statement that drops a table if there is one.
func DropTable(n Name) string { return "DROP TABLE IF EXISTS " + n.SQL() }

// RenameTable returns the statement that renames a table within its schema.
func RenameTable(n Name, to string) string {
	return "ALTER TABLE " + n.SQL() + " RENAME TO " + Ident(to)
}

// RenameColumn returns the statement that renames a column.
func RenameColumn(n Name, from, to string) string {
	return fmt.Sprintf("ALTER TABLE %s RENAME COLUMN %s TO %s", n.SQL(), Ident(from), Ident(to))
}

// Beside returns the name of a table that stands beside n for a while; a name
// of the greatest length loses its end.
func (n Name) Beside(suffix string) Name {
	return Name{n.Schema, cut(n.Table, maxNameBytes-len(suffix)) + suffix}
}
