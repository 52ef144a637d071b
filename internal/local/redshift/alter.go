//go:build cgo

package redshift

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// drop runs DROP TABLE and DROP VIEW.
func (s *session) drop(ctx context.Context, st statement, nodes []node) (*result, error) {
	i := 2
	quiet := i+1 < len(nodes) && nodes[i].is("if")
	if quiet {
		i += 2
	}
	end := find(nodes, i, "cascade", "restrict")
	for _, part := range splitNodes(nodes[i:end]) {
		name, _, err := tableAt(part, 0)
		if err != nil {
			return nil, err
		}
		if forbiddenSchema(name.schema) {
			return nil, pgError("42501", "permission denied for schema %s", name.schema)
		}
		if err := s.lock(ctx, name, lockExclusive); err != nil {
			return nil, err
		}
		if err := s.touch(ctx); err != nil {
			return nil, err
		}
		t, err := s.lookup(ctx, name)
		if err != nil {
			return nil, err
		}
		what := "Table"
		if st.kind == kindDropView {
			what = "View"
		}
		if t == nil && quiet {
			s.inform("00000", fmt.Sprintf("%s %q does not exist and will be skipped", what, name.String()))
			continue
		}
		if t == nil || t.view != (st.kind == kindDropView) {
			return nil, pgError("42P01", "%s %q does not exist", what, name.String())
		}
		if referred, err := s.referredTo(ctx, t); err != nil || referred && !nodes[len(nodes)-1].is("cascade") {
			return nil, errors.Join(err, pgError("2BP01", "cannot drop table %s because other objects depend on it", name).withHint("Use DROP ... CASCADE to drop the dependent objects too."))
		}
		if t.staged != nil {
			what = "View" // to the engine
		}
		if _, err := s.exec(ctx, "DROP "+what+" "+t.sql()); err != nil {
			return nil, err
		}
		if err := s.forget(ctx, t); err != nil {
			return nil, err
		}
		if err := s.dropIdentities(ctx, t); err != nil {
			return nil, err
		}
	}
	return &result{tag: st.tag}, nil
}

func (s *session) dropSchema(ctx context.Context, st statement, nodes []node) (*result, error) {
	i := 2
	quiet := i+1 < len(nodes) && nodes[i].is("if")
	if quiet {
		i += 2
	}
	if i >= len(nodes) || !nodes[i].name() {
		return nil, syntaxError("syntax error in DROP SCHEMA")
	}
	name := nodes[i].val
	if forbiddenSchema(name) {
		return nil, pgError("42501", "permission denied for schema %s", name)
	}
	if err := s.srv.locks.acquire(ctx, s.pid, "schema "+name, lockExclusive); err != nil {
		return nil, err
	}
	if err := s.touch(ctx); err != nil {
		return nil, err
	}
	found, err := s.schemaExists(ctx, name)
	if err != nil || !found {
		if err == nil && !quiet {
			err = pgError("3F000", "schema %q does not exist", name)
		}
		return &result{tag: st.tag}, err
	}
	tables, err := s.strings(ctx, "SELECT table_name FROM _rs.tables WHERE schema_name = "+quoteString(name))
	if err != nil {
		return nil, err
	}
	if len(tables) > 0 && find(nodes, i, "cascade") == len(nodes) {
		return nil, pgError("2BP01", "cannot drop schema %s because other objects depend on it", name)
	}
	for _, table := range tables {
		if err := s.lock(ctx, tableName{name, table}, lockExclusive); err != nil {
			return nil, err
		}
	}
	for _, text := range []string{
		"DROP SCHEMA " + quoteIdent(name) + " CASCADE",
		"DELETE FROM _rs.columns WHERE table_oid IN (SELECT oid FROM _rs.tables WHERE schema_name = " + quoteString(name) + ")",
		"DELETE FROM _rs.constraints WHERE table_oid IN (SELECT oid FROM _rs.tables WHERE schema_name = " + quoteString(name) + ") OR ref_table IN (SELECT oid FROM _rs.tables WHERE schema_name = " + quoteString(name) + ")",
		"DELETE FROM _rs.grants WHERE object IN (SELECT oid FROM _rs.tables WHERE schema_name = " + quoteString(name) + " UNION SELECT oid FROM _rs.schemas WHERE name = " + quoteString(name) + ")",
		"DELETE FROM _rs.tables WHERE schema_name = " + quoteString(name),
		"DELETE FROM _rs.schemas WHERE name = " + quoteString(name),
	} {
		if _, err := s.exec(ctx, text); err != nil {
			return nil, err
		}
	}
	return &result{tag: st.tag}, nil
}

// strings runs a query of one text column.
func (s *session) strings(ctx context.Context, text string) ([]string, error) {
	rows, err := s.duck.QueryContext(ctx, text)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var out []string
	for rows.Next() {
		var v string
		if err := rows.Scan(&v); err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

// truncate empties a table and, as on Redshift, commits the transaction that it is in.
func (s *session) truncate(ctx context.Context, st statement, nodes []node) (*result, error) {
	i := 1
	if i < len(nodes) && nodes[i].is("table") {
		i++
	}
	name, _, err := tableAt(nodes, i)
	if err != nil {
		return nil, err
	}
	t, err := s.target(ctx, name, lockExclusive, nil)
	if err != nil {
		return nil, err
	}
	if _, err := s.exec(ctx, "DELETE FROM "+t.sql()); err != nil {
		return nil, err
	}
	return &result{tag: st.tag}, s.commit()
}

// alterTable runs the forms of ALTER TABLE; alone says that no transaction block surrounds it.
func (s *session) alterTable(ctx context.Context, st statement, nodes []node, alone bool) (*result, error) {
	name, i, err := tableAt(nodes, 2)
	if err != nil {
		return nil, err
	}
	if i >= len(nodes) {
		return nil, syntaxError("syntax error at end of input")
	}
	rest := nodes[i+1:]
	column := func() { // the word COLUMN may be left out
		if len(rest) > 0 && rest[0].is("column") {
			rest = rest[1:]
		}
	}
	isType := nodes[i].is("alter") && find(rest, 0, "type") < len(rest)
	if isType && !alone {
		return nil, pgError("0A000", "ALTER TABLE ALTER COLUMN cannot run inside a transaction block")
	}
	t, err := s.target(ctx, name, lockExclusive, nil)
	if err != nil {
		return nil, err
	}
	switch {
	case nodes[i].is("add"):
		column()
		err = s.addColumn(ctx, t, rest)
	case nodes[i].is("drop") && len(rest) > 0 && rest[0].is("constraint"):
		err = s.dropConstraint(ctx, t, rest)
	case nodes[i].is("drop"):
		column()
		err = s.dropColumn(ctx, t, rest)
	case nodes[i].is("rename") && len(rest) > 1 && rest[0].is("to"):
		err = s.renameTable(ctx, t, rest[1])
	case nodes[i].is("rename"):
		column()
		err = s.renameColumn(ctx, t, rest)
	case isType:
		column()
		err = s.alterType(ctx, t, rest)
	case nodes[i].is("alter"):
		err = s.alterStorage(ctx, t, rest)
	case nodes[i].is("append"):
		err = pgError("0A000", "the local Redshift does not support ALTER TABLE APPEND; use INSERT … SELECT")
	case nodes[i].is("owner"): // there is one user
	default:
		err = unsupported("ALTER TABLE … " + strings.ToUpper(nodes[i].val))
	}
	return &result{tag: st.tag}, err
}

func (s *session) addColumn(ctx context.Context, t *tableMeta, rest []node) error {
	if len(rest) == 0 {
		return syntaxError("syntax error in ALTER TABLE")
	}
	if rest[0].is("primary", "unique", "foreign", "constraint") {
		return s.addConstraint(ctx, t, rest)
	}
	for _, n := range rest {
		if n.op(",") { // Redshift adds one column a statement
			return syntaxError(`syntax error at or near ","`)
		}
	}
	c, err := columnDef(rest)
	if err != nil {
		return err
	}
	if t.column(c.name) != nil {
		return pgError("42701", "column %q of relation %q already exists", c.name, t.name.table)
	}
	if err := checkWidth(len(t.cols) + 1); err != nil {
		return err
	}
	if c.notNull && c.deflt == "" {
		return pgError("42601", "ALTER TABLE ADD COLUMN defined as NOT NULL must have a non-null default expression")
	}
	def := c
	def.notNull = false // DuckDB adds no constraint with a column; existing rows hold the default
	if _, err := s.exec(ctx, "ALTER TABLE "+t.sql()+" ADD COLUMN "+columnSQL(def)); err != nil {
		return err
	}
	ordinal := fmt.Sprintf("(SELECT coalesce(max(ordinal), 0) + 1 FROM _rs.columns WHERE table_oid = %d)", t.oid)
	row := strings.Replace(columnRow(t.oid, -1, c), fmt.Sprintf("(%d, -1,", t.oid), fmt.Sprintf("(%d, %s,", t.oid, ordinal), 1)
	return s.amend(ctx, t, "INSERT INTO _rs.columns VALUES "+row, func(t *tableMeta) { t.cols = append(t.cols, c) })
}

func (s *session) dropColumn(ctx context.Context, t *tableMeta, rest []node) error {
	c, err := columnOf(t, rest)
	if err != nil {
		return err
	}
	if c.distkey || c.sortkey > 0 {
		return pgError("0A000", "cannot drop distkey or sortkey column %q", c.name) // (confirm)
	}
	if _, err := s.exec(ctx, "ALTER TABLE "+t.sql()+" DROP COLUMN "+quoteIdent(c.name)); err != nil {
		return err
	}
	name := c.name
	return s.amend(ctx, t, fmt.Sprintf("DELETE FROM _rs.columns WHERE table_oid = %d AND name = %s", t.oid, quoteString(name)), func(t *tableMeta) {
		kept := t.cols[:0]
		for _, c := range t.cols {
			if c.name != name {
				kept = append(kept, c)
			}
		}
		t.cols = kept
	})
}

func columnOf(t *tableMeta, rest []node) (*columnMeta, error) {
	if len(rest) == 0 || !rest[0].name() {
		return nil, syntaxError("syntax error in ALTER TABLE")
	}
	c := t.column(rest[0].val)
	if c == nil {
		return nil, pgError("42703", "column %q of relation %q does not exist", rest[0].val, t.name.table)
	}
	return c, nil
}

func (s *session) renameTable(ctx context.Context, t *tableMeta, to node) error {
	if !to.name() {
		return syntaxError("syntax error in ALTER TABLE")
	}
	next := tableName{t.name.schema, to.val}
	if err := s.lock(ctx, next, lockExclusive); err != nil {
		return err
	}
	if t.temp {
		next.schema = ""
		if s.temps[next.table] != nil {
			return errRelationExists(next.table)
		}
	} else if old, err := s.stored(ctx, next); err != nil || old != nil {
		if err == nil {
			err = errRelationExists(next.table)
		}
		return err
	}
	if _, err := s.exec(ctx, "ALTER TABLE "+t.sql()+" RENAME TO "+quoteIdent(to.val)); err != nil {
		return err
	}
	return s.amend(ctx, t, fmt.Sprintf("UPDATE _rs.tables SET table_name = %s WHERE oid = %d", quoteString(to.val), t.oid), func(t *tableMeta) { t.name = next })
}

func (s *session) renameColumn(ctx context.Context, t *tableMeta, rest []node) error {
	c, err := columnOf(t, rest)
	if err != nil {
		return err
	}
	if len(rest) != 3 || !rest[1].is("to") || !rest[2].name() {
		return syntaxError("syntax error in ALTER TABLE")
	}
	to := rest[2].val
	if t.column(to) != nil {
		return pgError("42701", "column %q of relation %q already exists", to, t.name.table)
	}
	if _, err := s.exec(ctx, fmt.Sprintf("ALTER TABLE %s RENAME COLUMN %s TO %s", t.sql(), quoteIdent(c.name), quoteIdent(to))); err != nil {
		return err
	}
	from := c.name
	return s.amend(ctx, t, fmt.Sprintf("UPDATE _rs.columns SET name = %s WHERE table_oid = %d AND name = %s", quoteString(to), t.oid, quoteString(from)),
		func(t *tableMeta) { t.column(from).name = to })
}

// alterType widens a VARCHAR, which is all that Redshift does; only the registry knows its length.
func (s *session) alterType(ctx context.Context, t *tableMeta, rest []node) error {
	c, err := columnOf(t, rest)
	if err != nil {
		return err
	}
	at := find(rest, 0, "type")
	typ, _, err := typeAt(rest, at+1)
	if err != nil {
		return err
	}
	switch {
	case c.typ.oid != oidVarchar || typ.oid != oidVarchar:
		return pgError("0A000", "cannot alter type of column %q: only the size of a VARCHAR column can change", c.name) // (confirm)
	case typ.limit == c.typ.limit:
		return pgError("0A000", "target column size should be different")
	case typ.limit < c.typ.limit:
		var longest int
		if err := s.duck.QueryRowContext(ctx, fmt.Sprintf("SELECT coalesce(max(strlen(%s)), 0) FROM %s", quoteIdent(c.name), t.sql())).Scan(&longest); err != nil {
			return err
		}
		if longest > typ.limit {
			return pgError("0A000", "column %q holds values longer than %d bytes", c.name, typ.limit) // (confirm)
		}
	}
	switch c.encoding {
	case "bytedict", "runlength", "text255", "text32k":
		return pgError("0A000", "cannot alter type of column %q with encoding %s", c.name, c.encoding) // (confirm)
	}
	name := c.name
	return s.amend(ctx, t, fmt.Sprintf("UPDATE _rs.columns SET type = %s, typmod = %d WHERE table_oid = %d AND name = %s", quoteString(typ.declared), typ.typmod, t.oid, quoteString(name)),
		func(t *tableMeta) { t.column(name).typ = typ })
}
