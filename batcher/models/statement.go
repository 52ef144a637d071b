package models

import (
	"fmt"
	"strings"

	"github.com/millstream-data/millstream/internal/warehouse"
)

// beside returns the name of the table in which the build called id makes m.
func (m *Model) beside(id string) warehouse.Name { return m.Name.Beside(suffixNew + id) }

// old returns the name under which the table that a build has replaced waits
// for its readers to end.
func (m *Model) old(id string) warehouse.Name { return m.Name.Beside(suffixOld + id) }

// leftover says that a build of m has given a table its name: a ULID is its end,
// so that no analyst's copy is taken for one.
func (m *Model) leftover(table string) bool {
	id := table[max(0, len(table)-ulidBytes):]
	return (table == m.beside(id).Table || table == m.old(id).Table) && strings.Trim(id, "0123456789abcdefghjkmnpqrstvwxyz") == ""
}

// create returns the statement that makes m's rows, or its view, under a name.
// The SELECT begins on the second line, so that a position in the statement
// tells the line of the file. CREATE TABLE AS chooses the encodings.
func (m *Model) create(as warehouse.Name, text string) string {
	if m.View {
		return fmt.Sprintf("CREATE VIEW %s AS\n%s\nWITH NO SCHEMA BINDING", as.SQL(), text)
	}
	var keys string
	switch m.DistKey {
	case "":
		keys = " DISTSTYLE AUTO"
	case "all", "even":
		keys = " DISTSTYLE " + strings.ToUpper(m.DistKey)
	default:
		keys = " DISTKEY (" + warehouse.Ident(m.DistKey) + ")"
	}
	if len(m.SortKey) > 0 {
		quoted := make([]string, len(m.SortKey))
		for i, c := range m.SortKey {
			quoted[i] = warehouse.Ident(c)
		}
		keys += " SORTKEY (" + strings.Join(quoted, ", ") + ")"
	}
	return fmt.Sprintf("CREATE TABLE %s%s AS\n%s", as.SQL(), keys, text)
}

func drop(n warehouse.Name, r relation) string {
	if r.view {
		return "DROP VIEW " + n.SQL()
	}
	return "DROP TABLE " + n.SQL()
}

func rename(from, to warehouse.Name) string {
	return fmt.Sprintf("ALTER TABLE %s RENAME TO %s", from.SQL(), warehouse.Ident(to.Table))
}

// failures returns the statements that count the rows of on that a test finds,
// and that show some of them. row_change has none: it compares counts.
func (t Test) failures(on warehouse.Name, names func(ref) (warehouse.Name, bool)) (count, show string) {
	table := on.SQL()
	var rows string
	switch t.kind {
	case testNotNull:
		rows = fmt.Sprintf("SELECT * FROM %s WHERE %s", table, columnsWith(t.columns, " OR ", " IS NULL"))
	case testUnique:
		by := columnsWith(t.columns, ", ", "")
		rows = fmt.Sprintf("SELECT %s, COUNT(*) AS \"rows_\" FROM %s WHERE %s GROUP BY %s HAVING COUNT(*) > 1", by, table, columnsWith(t.columns, " AND ", " IS NOT NULL"), by)
	case testAccepted:
		rows = fmt.Sprintf("SELECT %s FROM %s WHERE %[1]s NOT IN (%[3]s)", warehouse.Ident(t.columns[0]), table, strings.Join(t.values, ", "))
	case testRelationship:
		to := warehouse.Name{Schema: t.to.schema, Table: t.to.table}
		if n, ok := names(t.to); ok {
			to = n
		}
		rows = fmt.Sprintf("SELECT t.%[1]s FROM %[2]s t LEFT JOIN %[3]s o ON o.%[4]s = t.%[1]s WHERE o.%[4]s IS NULL AND t.%[1]s IS NOT NULL",
			warehouse.Ident(t.columns[0]), table, to.SQL(), warehouse.Ident(t.columns[1]))
	case testSQL:
		rows = strings.ReplaceAll(qualified(t.sql, t.refs, names), this, table) + "\n" // it may end with a comment
	case testRowChange:
		return "", ""
	}
	return fmt.Sprintf("SELECT COUNT(*) FROM (%s) f", rows), fmt.Sprintf("SELECT * FROM (%s) f LIMIT %d", rows, shown)
}

// shown is how many of the rows that a test finds are told.
const shown = 3

// columnsWith writes quoted columns with text behind each and between.
func columnsWith(columns []string, between, behind string) string {
	out := make([]string, len(columns))
	for i, c := range columns {
		out[i] = warehouse.Ident(c) + behind
	}
	return strings.Join(out, between)
}
