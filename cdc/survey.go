package cdc

import "context"

// tableInfo is a table or view as the origin's catalogue lists it.
type tableInfo struct {
	schema, name string
	kind         relationKind
	rows         int64 // the catalogue's estimate; -1 if it has none
	bytes        int64 // without indexes; -1 if unknown
	readable     bool  // this role may SELECT from the whole of it
}

func (t tableInfo) String() string { return t.schema + "." + t.name }

// relationKind is what a relation is; views and what lies elsewhere are read
// less safely than tables.
type relationKind string

const (
	relationTable       relationKind = "table"
	relationPartitioned relationKind = "partitioned"
	relationView        relationKind = "view"
	relationMatView     relationKind = "matview"
	relationForeign     relationKind = "foreign"
)

// surveyor is the part of an origin that planning and the commands ask, and
// polls do not.
type surveyor interface {
	// tables lists the tables and views of the database in the order of their
	// names, without the system's own and without the parts of partitioned ones.
	tables(ctx context.Context) ([]tableInfo, error)
	// survey runs one SELECT or EXPLAIN, read only and within
	// timeouts.statement, and returns its rows as text; NULL is "". The
	// arguments are as in statement.values.
	survey(ctx context.Context, sql string, args ...string) ([][]string, error)
}

// dialectOf is the dialect of a kind of source.
func dialectOf(kind string) dialect {
	switch {
	case kind == kindPostgres:
		return pgDialect{}
	case mysqlFamily(kind):
		return mysqlDialect{}
	}
	return sqliteDialect{}
}

// qualified is a table's name in SQL.
func qualified(kind, schema, table string) string {
	d := dialectOf(kind)
	return d.ident(schema) + "." + d.ident(table)
}
