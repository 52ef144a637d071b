package warehouse

import (
	"fmt"
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

// Mirror says how staged changes come into a mirrored table.
type Mirror struct {
	Target Name
	Temp   string // the last change of each key
	Key    []string
	Staged []Staging
}

// columns are the origin's columns of all staging tables, once each.
func (m Mirror) columns() []Column {
	var all []Column
	for _, s := range m.Staged {
		own, _ := OriginColumns(s.Columns)
		for _, c := range own {
			if !slices.ContainsFunc(all, func(o Column) bool { return o.Name == c.Name }) {
				all = append(all, c)
			}
		}
	}
	return all
}

// Gather returns the statement that keeps the last change of each key: a key
// stays in one partition, and within it offset order is snapshot order.
func (m Mirror) Gather() string {
	cols := m.columns()
	source := join(m.Staged, "\n  UNION ALL ", func(s Staging) string {
		list := join(cols, ", ", func(c Column) string {
			if s.has(c.Name) {
				return Ident(c.Name)
			}
			return fmt.Sprintf("CAST(NULL AS %s) AS %s", s.columnType(c).SQL(), Ident(c.Name))
		})
		return fmt.Sprintf(`SELECT %s, "_op", "_offset" FROM %s`, list, Ident(s.Name))
	})
	dist := ""
	if len(m.Key) == 1 {
		dist = " DISTKEY (" + idents(m.Key) + ")"
	}
	return fmt.Sprintf("CREATE TEMP TABLE %s%s AS\nSELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY %s ORDER BY \"_offset\" DESC) AS \"_rn\" FROM (%s) a) b WHERE \"_rn\" = 1",
		Ident(m.Temp), dist, idents(m.Key), source)
}

// Delete returns the statement that removes the rows of all changed keys.
// Delete and insert, because MERGE cannot update and delete by a column.
func (m Mirror) Delete() string {
	on := join(m.Key, " AND ", func(k string) string {
		return fmt.Sprintf("%s.%s = c.%s", m.Target.SQL(), Ident(k), Ident(k))
	})
	return fmt.Sprintf("DELETE FROM %s USING %s c WHERE %s", m.Target.SQL(), Ident(m.Temp), on)
}

// Insert returns the statement that brings in the rows that were not deleted.
func (m Mirror) Insert() string {
	var names, exprs []string
	for _, c := range m.columns() {
		names, exprs = append(names, c.Name), append(exprs, expr("c."+Ident(c.Name), c.Lake, c.Type))
	}
	return fmt.Sprintf("INSERT INTO %s (%s)\nSELECT %s FROM %s c WHERE c.\"_op\" <> 'd'", m.Target.SQL(), idents(names), strings.Join(exprs, ", "), Ident(m.Temp))
}

// Deleted returns the query that counts the keys whose last change is a
// deletion.
func (m Mirror) Deleted() string {
	return fmt.Sprintf("SELECT COUNT(*) FROM %s WHERE \"_op\" = 'd'", Ident(m.Temp))
}
