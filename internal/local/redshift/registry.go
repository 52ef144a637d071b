//go:build cgo

package redshift

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// columnMeta is a column as it was declared.
type columnMeta struct {
	name     string
	typ      colType
	encoding string
	deflt    string // DuckDB's expression, empty if none
	notNull  bool
	distkey  bool
	sortkey  int           // position in the sort key, from 1
	spec     *identitySpec // of an IDENTITY column that is being created
	keys     []constraint  // that the definition of a new column declares
}

// tableMeta is a table or view as it was declared. It is never changed: statements replace it.
type tableMeta struct {
	oid         int64
	name        tableName
	temp        bool
	view        bool
	diststyle   string
	cols        []columnMeta
	constraints []constraint // of a new table
	staged      []string     // files of a COPY over which the table is a view, nil if it is a table
}

// tempOIDs is where the oids of temporary tables begin, which no file keeps.
const tempOIDs = 1 << 30

// maxColumns is Redshift's.
const maxColumns = 1600

func (t *tableMeta) column(name string) *columnMeta {
	for i := range t.cols {
		if t.cols[i].name == name {
			return &t.cols[i]
		}
	}
	return nil
}

// sql is the table's name for DuckDB.
func (t *tableMeta) sql() string {
	if t.temp {
		return "temp.main." + quoteIdent(t.name.table)
	}
	return t.name.sql()
}

// table looks a table up: temporary ones first, then the search path. A missing one is 42P01.
func (s *session) table(ctx context.Context, name tableName) (*tableMeta, error) {
	t, err := s.lookup(ctx, name)
	if err == nil && t == nil {
		err = errNoRelation(name.String())
	}
	return t, err
}

// lookup is table that returns nil for a missing one.
func (s *session) lookup(ctx context.Context, name tableName) (*tableMeta, error) {
	schemas := []string{name.schema}
	if name.schema == "" {
		if t := s.temps[name.table]; t != nil {
			return t, nil
		}
		schemas = s.path
	}
	for _, schema := range schemas {
		t, err := s.stored(ctx, tableName{schema, name.table})
		if err != nil || t != nil {
			return t, err
		}
	}
	return nil, nil
}

// stored reads a table from the registry.
func (s *session) stored(ctx context.Context, name tableName) (*tableMeta, error) {
	rows, err := s.duck.QueryContext(ctx, fmt.Sprintf(`SELECT t.oid, t.kind, t.diststyle, coalesce(c.name, ''), coalesce(c.type, ''), coalesce(c.encoding, ''),
		coalesce(c.deflt, ''), coalesce(c.not_null, false), coalesce(c.distkey, false), coalesce(c.sortkey, 0)
		FROM _rs.tables t LEFT JOIN _rs.columns c ON c.table_oid = t.oid
		WHERE t.schema_name = %s AND t.table_name = %s ORDER BY c.ordinal`, quoteString(name.schema), quoteString(name.table)))
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var t *tableMeta
	for rows.Next() {
		var oid int64
		var kind, dist, typ string
		var c columnMeta
		if err := rows.Scan(&oid, &kind, &dist, &c.name, &typ, &c.encoding, &c.deflt, &c.notNull, &c.distkey, &c.sortkey); err != nil {
			return nil, err
		}
		if t == nil {
			t = &tableMeta{oid: oid, name: name, view: kind == "v", diststyle: dist}
		}
		if c.name == "" {
			continue
		}
		if c.typ, err = parseType(typ); err != nil {
			return nil, err
		}
		t.cols = append(t.cols, c)
	}
	return t, rows.Err()
}

// store writes a new table or view into the registry, within the transaction that creates it.
func (s *session) store(ctx context.Context, t *tableMeta, definition string) error {
	if t.temp {
		t.oid = tempOIDs + s.srv.tempTables.Add(1)
		s.temps[t.name.table] = t
		return nil
	}
	kind := "r"
	if t.view {
		kind = "v"
	}
	if err := s.duck.QueryRowContext(ctx, "SELECT nextval('_rs.oids')").Scan(&t.oid); err != nil {
		return err
	}
	if _, err := s.exec(ctx, fmt.Sprintf("INSERT INTO _rs.tables VALUES (%d, %s, %s, %s, %s, %s, %s)", t.oid, quoteString(t.name.schema),
		quoteString(t.name.table), quoteString(kind), quoteString(t.diststyle), quoteString(definition), stamp())); err != nil {
		return err
	}
	if len(t.cols) == 0 {
		return nil
	}
	rows := make([]string, len(t.cols))
	for i, c := range t.cols {
		rows[i] = columnRow(t.oid, i+1, c)
	}
	if _, err := s.exec(ctx, "INSERT INTO _rs.columns VALUES "+strings.Join(rows, ", ")); err != nil {
		return err
	}
	return s.storeConstraints(ctx, t, t.constraints)
}

func columnRow(oid int64, ordinal int, c columnMeta) string {
	return fmt.Sprintf("(%d, %d, %s, %s, %s, %s, %t, %t, %d, %d, %d)", oid, ordinal, quoteString(c.name), quoteString(c.typ.declared),
		quoteString(c.encoding), quoteString(c.deflt), c.notNull, c.distkey, c.sortkey, c.typ.oid, c.typ.typmod)
}

// forget takes a table out of the registry.
func (s *session) forget(ctx context.Context, t *tableMeta) error {
	if t.temp {
		delete(s.temps, t.name.table)
		return nil
	}
	if _, err := s.exec(ctx, fmt.Sprintf("DELETE FROM _rs.columns WHERE table_oid = %d", t.oid)); err != nil {
		return err
	}
	for _, text := range []string{
		"DELETE FROM _rs.tables WHERE oid = %d", "DELETE FROM _rs.grants WHERE object = %d", "DELETE FROM _rs.comments WHERE object = %d",
		"DELETE FROM _rs.constraints WHERE %[1]d IN (table_oid, ref_table)",
	} {
		if _, err := s.exec(ctx, fmt.Sprintf(text, t.oid)); err != nil {
			return err
		}
	}
	return nil
}

// amend changes a stored table: stored ones by SQL on the registry, temporary ones by edit on a copy.
func (s *session) amend(ctx context.Context, t *tableMeta, statement string, edit func(*tableMeta)) error {
	if t.temp {
		next := *t
		next.cols = append([]columnMeta(nil), t.cols...)
		edit(&next)
		delete(s.temps, t.name.table)
		s.temps[next.name.table] = &next
		return nil
	}
	_, err := s.exec(ctx, statement)
	return err
}

// schemaExists asks the registry.
func (s *session) schemaExists(ctx context.Context, name string) (bool, error) {
	var n int
	err := s.duck.QueryRowContext(ctx, "SELECT count(*) FROM _rs.schemas WHERE name = "+quoteString(name)).Scan(&n)
	return n > 0, err
}

// stamp is now in the form of the registry's timestamps.
func stamp() string { return quoteString(time.Now().UTC().Format("2006-01-02 15:04:05.000000")) }

// superColumns are the names of the SUPER columns of the tables among words.
func (s *session) superColumns(words map[string]bool) map[string]bool {
	out := map[string]bool{}
	quoted := make([]string, 0, len(words))
	for w := range words {
		quoted = append(quoted, quoteString(w))
		if t := s.temps[w]; t != nil {
			for _, c := range t.cols {
				if c.typ.oid == oidSuper {
					out[c.name] = true
				}
			}
		}
	}
	names, err := s.strings(context.Background(), `SELECT DISTINCT c.name FROM _rs.columns c JOIN _rs.tables t ON t.oid = c.table_oid
		WHERE c.type = 'super' AND t.table_name IN (`+strings.Join(quoted, ", ")+`)`)
	if err != nil {
		return out // the statement itself will meet the same error
	}
	for _, name := range names {
		out[name] = true
	}
	return out
}

// isTable reports whether a table or view of that name is stored.
func (s *session) isTable(name tableName) bool {
	t, err := s.stored(context.Background(), name)
	return err == nil && t != nil
}
