package warehouse

import (
	"fmt"
	"strings"
)

// CellTypes are the types of millstream.daily_metrics.
func CellTypes() map[string]string {
	return map[string]string{
		"metric": "VARCHAR(128)", "version": "INTEGER", "day": "DATE", "zone": "VARCHAR(64)", "dims": "SUPER", "dims_key": "VARCHAR(64)",
		"value": "NUMERIC(38,9)", "estimate": "DOUBLE PRECISION", "method": "VARCHAR(32)", "events": "BIGINT", "late": "BIGINT", "revision": "INTEGER", "sealed_at": "TIMESTAMP",
	}
}

// Cells says how staged cells come into millstream.daily_metrics: all cells of
// a day and revision take the place of those of lower ones.
type Cells struct {
	Target  Name
	Staging Staging
	Temp    string // the staged days, each with its revision
}

// Gather returns the statement that finds the staged days.
func (c Cells) Gather() string {
	return fmt.Sprintf(`CREATE TEMP TABLE %s AS SELECT "metric", "version", "zone", "day", MAX("revision") AS "revision" FROM %s GROUP BY 1, 2, 3, 4`, Ident(c.Temp), Ident(c.Staging.Name))
}

// sameDay joins on what a revision replaces as a whole.
func sameDay(a, b string) string {
	return join([]string{"metric", "version", "zone", "day"}, " AND ", func(k string) string { return a + "." + Ident(k) + " = " + b + "." + Ident(k) })
}

// Delete returns the statement that removes the cells of lower revisions.
func (c Cells) Delete() string {
	t := c.Target.SQL()
	return fmt.Sprintf(`DELETE FROM %s USING %s d WHERE %s AND %s."revision" < d."revision"`, t, Ident(c.Temp), sameDay("d", t), t)
}

// Insert returns the statement that brings in the newest staged revision of the
// days of which no cell of an equal or higher one is left.
func (c Cells) Insert() string {
	var names, exprs []string
	for _, col := range c.Staging.Columns {
		names, exprs = append(names, col.Name), append(exprs, expr("s."+Ident(col.Name), col.Lake, col.Type))
	}
	t := c.Target.SQL()
	return fmt.Sprintf("INSERT INTO %s (%s)\nSELECT %s FROM %s s JOIN %s d ON %s AND d.\"revision\" = s.\"revision\"\nLEFT JOIN (SELECT DISTINCT \"metric\", \"version\", \"zone\", \"day\", \"revision\" FROM %s) t ON %s AND t.\"revision\" >= s.\"revision\"\nWHERE t.\"metric\" IS NULL",
		t, idents(names), strings.Join(exprs, ", "), Ident(c.Staging.Name), Ident(c.Temp), sameDay("d", "s"), t, sameDay("t", "s"))
}
