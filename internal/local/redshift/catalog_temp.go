//go:build cgo

package redshift

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// ownCatalogue returns a query for a table of the catalogue that differs between sessions: what goes on, and everything
// about tables if the session has temporary ones, which the registry does not hold.
func (s *session) ownCatalogue(name tableName) (query string, found bool) {
	key := name.table
	switch name.schema {
	case "", "pg_catalog":
		if query, found = s.liveRelation(name.table); found {
			return query, true
		}
	case "information_schema":
		key = "is_" + key
	default:
		return "", false
	}
	if len(s.temps) == 0 || !catalogNames[key] {
		return "", false
	}
	query = catalogQueries(quoteString(s.srv.cfg.Database), quoteString(s.srv.cfg.User), s.srv.cfg.Isolation)[key]
	if !strings.Contains(query, "_rs.tables") && !strings.Contains(query, "_rs.columns") && !strings.Contains(query, "_rs.schemas") {
		return "", false
	}
	tables, columns, schema := s.tempRows()
	for registry, rows := range map[string]string{"tables": tables, "columns": columns, "schemas": schema} {
		query = strings.ReplaceAll(query, "_rs."+registry, "(SELECT * FROM _rs."+registry+" UNION ALL "+rows+")")
	}
	return query, true
}

// tempSchema is the schema of the session's temporary tables.
func (s *session) tempSchema() string { return fmt.Sprintf("pg_temp_%d", s.pid) }

// tempRows are the temporary tables as rows of the registry.
func (s *session) tempRows() (tables, columns, schema string) {
	var tableRows, columnRows []string
	for _, name := range slices.Sorted(maps.Keys(s.temps)) {
		t := s.temps[name]
		tableRows = append(tableRows, fmt.Sprintf("(%d, %s, %s, 'r', %s, '', TIMESTAMP %s)", t.oid, quoteString(s.tempSchema()), quoteString(name), quoteString(t.diststyle),
			quoteString(s.connected.Format("2006-01-02 15:04:05"))))
		for i, c := range t.cols {
			columnRows = append(columnRows, columnRow(t.oid, i+1, c))
		}
	}
	return "VALUES " + strings.Join(tableRows, ", "), "VALUES " + strings.Join(columnRows, ", "),
		fmt.Sprintf("VALUES (%d, %s)", tempOIDs-int64(s.pid), quoteString(s.tempSchema()))
}

func (s *session) tempOIDs() string {
	oids := make([]string, 0, len(s.temps))
	for _, t := range s.temps {
		oids = append(oids, fmt.Sprint(t.oid))
	}
	slices.Sort(oids)
	return strings.Join(oids, ", ")
}
