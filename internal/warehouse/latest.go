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
// row a key, for the keys that were staged. An absent or null value erases
// nothing. The values come from the table of events and not from the staging
// tables: where chains lag behind each other, a newer value may have come with
// an earlier load. What is older than all staged rows cannot count: the target
// has it, unless a staged row overrides it.
func (l Latest) Gather() string {
	cols := l.columns()
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TEMP TABLE %s DISTKEY (\"id\") AS\nSELECT DISTINCT s.\"id\" AS \"id\", MAX(s.\"received_at\") OVER (PARTITION BY s.\"id\") AS \"received_at\"", Ident(l.Temp))
	for _, c := range cols[2:] {
		fmt.Fprintf(&b, ",\n  LAST_VALUE(s.%[1]s) IGNORE NULLS OVER (PARTITION BY s.\"id\" ORDER BY s.\"received_at\", s.\"_partition\", s.\"_offset\" ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS %[1]s", Ident(c.Name))
	}
	list := join(cols, ", ", func(c Column) string {
		switch {
		case c.Name == "id":
			return fmt.Sprintf("e.%s AS \"id\"", Ident(l.Key))
		case c.Type.Kind == Super:
			// LAST_VALUE over SUPER is not documented. What is too long for a text was none that a batcher wrote.
			return fmt.Sprintf("CASE WHEN JSON_SIZE(e.%[1]s) <= %[2]d THEN JSON_SERIALIZE(e.%[1]s) END AS %[1]s", Ident(c.Name), MaxVarchar)
		}
		return "e." + Ident(c.Name)
	})
	var keys []string
	for _, s := range l.Staged {
		if s.has(l.Key) {
			keys = append(keys, fmt.Sprintf("SELECT %s FROM %s", Ident(l.Key), Ident(s.Name)))
		}
	}
	fmt.Fprintf(&b, "\nFROM (SELECT %s, e.\"_partition\", e.\"_offset\" FROM %s e WHERE e.\"received_at\" >= %s AND e.%s IN (%s)) s",
		list, l.From.SQL(), Time(l.Since), Ident(l.Key), strings.Join(keys, " UNION ALL "))
	return b.String()
}

// Merge returns the statement that brings the gathered rows into the target. A
// gathered row that is older than the target's, of which somebody has deleted
// the events, fills only what is null there.
func (l Latest) Merge() string {
	cols := l.columns()
	t := l.Target.SQL()
	newer := fmt.Sprintf(`s."received_at" >= %s."received_at"`, t)
	var sets, exprs []string
	names := []string{}
	for _, c := range cols {
		value := "s." + Ident(c.Name)
		if c.Type.Kind == Super {
			value = expr(value, c.Lake, c.Type)
		}
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
