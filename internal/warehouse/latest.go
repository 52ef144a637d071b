package warehouse

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// fixedEvent are the columns of event tables that latest state leaves out.
var fixedEvent = []string{
	"id", "received_at", "timestamp", "original_timestamp", "sent_at", "anonymous_id", "user_id", "group_id", "_unmapped", "_partition", "_offset",
}

// Latest says how the newest values of identifies or groups come into users or
// accounts.
type Latest struct {
	Target Name
	From   Name // identifies or groups
	Key    string
	Temp   string
	Staged []Staging
	Since  time.Time // received_at of the oldest staged row
}

// LatestOf returns where the rows of a table of events leave their latest
// state; ok is false for tables that leave none.
func LatestOf(n Name) (target Name, key string, ok bool) {
	switch n.Table {
	case "identifies":
		return Name{n.Schema, "users"}, "user_id", true
	case "groups":
		return Name{n.Schema, "accounts"}, "group_id", true
	}
	return Name{}, "", false
}

// LatestColumns returns the columns of latest state for those of its table of
// events, in order: the key as id, received_at, then traits and context.
func LatestColumns(key string, columns []Column) []Column {
	var out []Column
	for _, want := range []string{key, "received_at"} {
		for _, c := range columns {
			if c.Name == want {
				if want == key {
					c.Name = "id"
				}
				out = append(out, c)
			}
		}
	}
	for _, c := range columns {
		if !slices.Contains(fixedEvent, c.Name) {
			out = append(out, c)
		}
	}
	return out
}

// columns are those of all staging tables, once each.
func (l Latest) columns() []Column {
	var all []Column
	for _, s := range l.Staged {
		for _, c := range s.Columns {
			if !slices.ContainsFunc(all, func(o Column) bool { return o.Name == c.Name }) {
				all = append(all, c)
			}
		}
	}
	return LatestColumns(l.Key, all)
}

// Gather returns the statement that finds the newest value of each column, one
// row a key, among the rows that were inserted. An absent or null value erases
// nothing.
func (l Latest) Gather() string {
	cols := l.columns()
	source := l.source(cols)
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TEMP TABLE %s DISTKEY (\"id\") AS\nSELECT DISTINCT s.\"id\" AS \"id\", MAX(s.\"received_at\") OVER (PARTITION BY s.\"id\") AS \"received_at\"", Ident(l.Temp))
	for _, c := range cols[2:] {
		fmt.Fprintf(&b, ",\n  LAST_VALUE(s.%[1]s) IGNORE NULLS OVER (PARTITION BY s.\"id\" ORDER BY s.\"received_at\", s.\"_partition\", s.\"_offset\" ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS %[1]s", Ident(c.Name))
	}
	fmt.Fprintf(&b, "\nFROM (%s) s", source)
	return b.String()
}

// source is the inserted rows with the columns cols and their offsets.
func (l Latest) source(cols []Column) string {
	return join(l.Staged, "\n  UNION ALL ", func(s Staging) string {
		list := join(cols, ", ", func(c Column) string {
			from := c.Name
			if from == "id" {
				from = l.Key
			}
			if !s.has(from) {
				return fmt.Sprintf("CAST(NULL AS %s) AS %s", s.columnType(c).SQL(), Ident(c.Name))
			}
			return fmt.Sprintf("e.%s AS %s", Ident(from), Ident(c.Name))
		})
		return fmt.Sprintf(`SELECT %s, e."_partition", e."_offset" FROM %s e JOIN %s i ON i."id" = e."id" AND i."_partition" = e."_partition" AND i."_offset" = e."_offset" AND i."received_at" >= %s WHERE e.%s IS NOT NULL`,
			list, Ident(s.Name), l.From.SQL(), Time(l.Since), Ident(l.Key))
	})
}

// Merge returns the statement that brings the gathered rows into the target. A
// gathered row that is older than the target's fills only what is null there.
func (l Latest) Merge() string {
	cols := l.columns()
	t := l.Target.SQL()
	newer := fmt.Sprintf(`s."received_at" >= %s."received_at"`, t)
	var sets, exprs []string
	names := []string{}
	for _, c := range cols {
		value := expr("s."+Ident(c.Name), c.Lake, c.Type)
		names, exprs = append(names, c.Name), append(exprs, value)
		switch c.Name {
		case "id":
		case "received_at":
			sets = append(sets, fmt.Sprintf(`"received_at" = GREATEST(%s."received_at", s."received_at")`, t))
		default:
			own := t + "." + Ident(c.Name)
			sets = append(sets, fmt.Sprintf("%s = CASE WHEN %s THEN COALESCE(%s, %s) ELSE COALESCE(%s, %s) END", Ident(c.Name), newer, value, own, own, value))
		}
	}
	return fmt.Sprintf("MERGE INTO %[1]s USING %[2]s s ON %[1]s.\"id\" = s.\"id\"\nWHEN MATCHED THEN UPDATE SET %[3]s\nWHEN NOT MATCHED THEN INSERT (%[4]s) VALUES (%[5]s)",
		t, Ident(l.Temp), strings.Join(sets, ",\n  "), idents(names), strings.Join(exprs, ", "))
}
