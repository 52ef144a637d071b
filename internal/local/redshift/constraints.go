//go:build cgo

package redshift

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// The kinds of constraints, by PostgreSQL's letters. Redshift records them for its planner and enforces none.
const (
	primaryKey = "p"
	uniqueKey  = "u"
	foreignKey = "f"
)

// constraint is a declared key.
type constraint struct {
	name    string
	kind    string
	columns []string
	refers  tableName // of a foreign key
	targets []string  // its columns there; nil means the primary key
}

// constraintDef reads [CONSTRAINT name] PRIMARY KEY (…) | UNIQUE (…) | FOREIGN KEY (…) REFERENCES t [(…)].
func constraintDef(part []node) (constraint, error) {
	var c constraint
	i := 0
	if part[0].is("constraint") && len(part) > 2 {
		c.name, i = part[1].val, 2
	}
	switch {
	case i+2 < len(part) && part[i].is("primary", "foreign") && part[i+1].is("key") && part[i+2].open == '(':
		c.kind = part[i].val[:1]
		i += 2
	case i+1 < len(part) && part[i].is("unique") && part[i+1].open == '(':
		c.kind = uniqueKey
		i++
	default:
		return c, syntaxError("syntax error in a table constraint")
	}
	var err error
	if c.columns, err = columnNames(part[i].kids); err != nil {
		return c, err
	}
	if c.kind == foreignKey {
		_, err = c.references(part, i+1)
	}
	return c, err
}

// references reads REFERENCES t [(…)] at i and returns the index behind it.
func (c *constraint) references(part []node, i int) (int, error) {
	if i >= len(part) || !part[i].is("references") {
		return i, syntaxError("syntax error in FOREIGN KEY")
	}
	var err error
	if c.refers, i, err = tableAt(part, i+1); err != nil {
		return i, err
	}
	if i < len(part) && part[i].open == '(' {
		c.targets, err = columnNames(part[i].kids)
		i++
	}
	return i, err
}

// inlineConstraint reads what stands behind a column's type: PRIMARY KEY, UNIQUE, REFERENCES t (…). found tells
// whether one begins at i.
func inlineConstraint(column string, part []node, i int) (c constraint, next int, found bool, err error) {
	c.columns = []string{column}
	switch {
	case part[i].is("primary") && i+1 < len(part) && part[i+1].is("key"):
		c.kind = primaryKey
		return c, i + 2, true, nil
	case part[i].is("unique"):
		c.kind = uniqueKey
		return c, i + 1, true, nil
	case part[i].is("references"):
		c.kind = foreignKey
		next, err = c.references(part, i)
		return c, next, true, err
	}
	return c, i, false, nil
}

// complete names a constraint as PostgreSQL would.
func (c *constraint) complete(table string) {
	if c.name != "" {
		return
	}
	switch c.kind {
	case primaryKey:
		c.name = table + "_pkey"
	case uniqueKey:
		c.name = table + "_" + strings.Join(c.columns, "_") + "_key"
	case foreignKey:
		c.name = table + "_" + strings.Join(c.columns, "_") + "_fkey"
	}
}

// requireKeys checks the keys of a new table and makes the columns of its primary key NOT NULL.
func (t *tableMeta) requireKeys() error {
	primary := 0
	for i := range t.constraints {
		c := &t.constraints[i]
		c.complete(t.name.table)
		for _, name := range c.columns {
			col := t.column(name)
			if col == nil {
				return pgError("42703", "column %q named in key does not exist", name)
			}
			col.notNull = col.notNull || c.kind == primaryKey
		}
		if c.kind == primaryKey {
			primary++
		}
	}
	if primary > 1 {
		return pgError("42P16", "multiple primary keys for table %q are not allowed", t.name.table)
	}
	return nil
}

// storeConstraints records the keys of a stored table, foreign ones last: they may refer to the others.
func (s *session) storeConstraints(ctx context.Context, t *tableMeta, list []constraint) error {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b constraint) int { return strings.Compare(b.kind, a.kind) })
	for _, c := range list {
		target, targets := "NULL", "NULL"
		if c.kind == foreignKey {
			other, err := s.table(ctx, c.refers)
			if err != nil {
				return err
			}
			if targets, err = s.referred(ctx, other, c.targets); err != nil {
				return err
			}
			target = fmt.Sprint(other.oid)
		}
		if _, err := s.exec(ctx, fmt.Sprintf("INSERT INTO _rs.constraints VALUES (nextval('_rs.oids'), nextval('_rs.oids'), %d, %s, %s, %s, %s, %s)",
			t.oid, quoteString(c.name), quoteString(c.kind), ordinalsOf(t.oid, c.columns), target, targets)); err != nil {
			return err
		}
	}
	return nil
}

// referred finds the key of other that a foreign key's target columns name, and returns it as SQL.
func (s *session) referred(ctx context.Context, other *tableMeta, columns []string) (string, error) {
	for _, name := range columns {
		if other.column(name) == nil {
			return "", pgError("42703", "column %q referenced in foreign key constraint does not exist", name)
		}
	}
	condition := "kind = 'p'"
	if columns != nil {
		condition = "list_sort(columns) = list_sort(" + ordinalsOf(other.oid, columns) + ")"
	}
	var n int
	if err := s.duck.QueryRowContext(ctx, fmt.Sprintf("SELECT count(*) FROM _rs.constraints WHERE table_oid = %d AND kind <> 'f' AND %s", other.oid, condition)).Scan(&n); err != nil {
		return "", err
	}
	switch {
	case n == 0 && columns == nil:
		return "", pgError("42704", "there is no primary key for referenced table %q", other.name.table)
	case n == 0:
		return "", pgError("42830", "there is no unique constraint matching given keys for referenced table %q", other.name.table)
	case columns == nil:
		return fmt.Sprintf("(SELECT columns FROM _rs.constraints WHERE table_oid = %d AND kind = 'p')", other.oid), nil
	}
	return ordinalsOf(other.oid, columns), nil
}

// ordinalsOf is an expression: the list of the ordinals of a table's columns, in the order of names.
func ordinalsOf(oid int64, names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = quoteString(n)
	}
	list := "[" + strings.Join(quoted, ", ") + "]"
	return fmt.Sprintf("(SELECT list(CAST(ordinal AS SMALLINT) ORDER BY list_position(%s, name)) FROM _rs.columns WHERE table_oid = %d AND list_contains(%s, name))", list, oid, list)
}

// addConstraint runs ALTER TABLE … ADD [CONSTRAINT …] key.
func (s *session) addConstraint(ctx context.Context, t *tableMeta, rest []node) error {
	c, err := constraintDef(rest)
	if err != nil {
		return err
	}
	c.complete(t.name.table)
	for _, name := range c.columns {
		col := t.column(name)
		if col == nil {
			return pgError("42703", "column %q named in key does not exist", name)
		}
		if c.kind == primaryKey && !col.notNull {
			return pgError("42601", "column %q of a primary key must be NOT NULL", name) // (confirm)
		}
	}
	if t.temp {
		return nil
	}
	names, err := s.strings(ctx, fmt.Sprintf("SELECT CASE kind WHEN 'p' THEN ' ' ELSE name END FROM _rs.constraints WHERE table_oid = %d", t.oid))
	if err != nil {
		return err
	}
	if slices.Contains(names, c.name) {
		return pgError("42710", "constraint %q for relation %q already exists", c.name, t.name.table)
	}
	if c.kind == primaryKey && slices.Contains(names, " ") {
		return pgError("42P16", "multiple primary keys for table %q are not allowed", t.name.table)
	}
	return s.storeConstraints(ctx, t, []constraint{c})
}

// dropConstraint runs ALTER TABLE … DROP CONSTRAINT name [CASCADE|RESTRICT].
func (s *session) dropConstraint(ctx context.Context, t *tableMeta, rest []node) error {
	if len(rest) < 2 || !rest[1].name() {
		return syntaxError("syntax error in DROP CONSTRAINT")
	}
	n, err := s.exec(ctx, fmt.Sprintf("DELETE FROM _rs.constraints WHERE table_oid = %d AND name = %s", t.oid, quoteString(rest[1].val)))
	if err == nil && n == 0 {
		return pgError("42704", "constraint %q of relation %q does not exist", rest[1].val, t.name.table)
	}
	return err
}

// referredTo reports whether another table's foreign key refers to t.
func (s *session) referredTo(ctx context.Context, t *tableMeta) (bool, error) {
	if t.temp {
		return false, nil
	}
	var n int
	err := s.duck.QueryRowContext(ctx, fmt.Sprintf("SELECT count(*) FROM _rs.constraints WHERE ref_table = %d AND table_oid <> %d", t.oid, t.oid)).Scan(&n)
	return n > 0, err
}
