//go:build cgo

package redshift

import (
	"context"
	"fmt"
	"strings"
)

// createTable runs CREATE TABLE with a column list, LIKE, or AS a query.
func (s *session) createTable(ctx context.Context, st statement, nodes []node) (*result, error) {
	at := find(nodes, 0, "table") + 1
	t := &tableMeta{temp: at > 2, diststyle: "AUTO(ALL)"}
	ifNotExists := at+2 < len(nodes) && nodes[at].is("if")
	if ifNotExists {
		at += 3
	}
	var err error
	if t.name, at, err = tableAt(nodes, at); err != nil {
		return nil, err
	}
	t.temp = t.temp || strings.HasPrefix(t.name.table, "#")
	exists, err := s.claimName(ctx, t)
	if err != nil {
		return nil, err
	}
	if exists {
		if ifNotExists {
			s.inform("00000", errRelationExists(t.name.table).msg+" and will be skipped")
			return &result{tag: st.tag}, nil
		}
		return nil, errRelationExists(t.name.table)
	}
	var body []node
	if at < len(nodes) && nodes[at].open == '(' {
		body = nodes[at].kids
		at++
	}
	as := find(nodes, at, "as")
	attrs, err := tableAttributes(nodes[at:as])
	if err != nil {
		return nil, err
	}
	if as < len(nodes) {
		return s.createTableAs(ctx, t, attrs, body, nodes[as+1:])
	}
	if body == nil {
		return nil, syntaxError("syntax error in CREATE TABLE")
	}
	if err := s.defineColumns(ctx, t, body); err != nil {
		return nil, err
	}
	if err := attrs.apply(t); err != nil {
		return nil, err
	}
	if err := s.makeIdentities(ctx, t); err != nil {
		return nil, err
	}
	defs := make([]string, len(t.cols))
	for i, c := range t.cols {
		defs[i] = columnSQL(c)
	}
	if _, err := s.exec(ctx, createHead(t)+" ("+strings.Join(defs, ", ")+")"); err != nil {
		return nil, err
	}
	return &result{tag: st.tag}, s.store(ctx, t, "")
}

func createHead(t *tableMeta) string {
	if t.temp {
		return "CREATE TEMP TABLE " + quoteIdent(t.name.table)
	}
	return "CREATE TABLE " + t.name.sql()
}

func columnSQL(c columnMeta) string {
	out := quoteIdent(c.name) + " " + c.typ.duck
	if c.deflt != "" {
		out += " DEFAULT " + c.deflt
	}
	if c.notNull {
		out += " NOT NULL"
	}
	return out
}

// claimName completes the table's schema, locks the name and reports whether it is taken.
func (s *session) claimName(ctx context.Context, t *tableMeta) (taken bool, err error) {
	if t.temp {
		if err := s.touch(ctx); err != nil {
			return false, err
		}
		return s.temps[t.name.table] != nil, nil
	}
	if t.name.schema == "" {
		t.name.schema = s.path[0]
	}
	if forbiddenSchema(t.name.schema) {
		return false, pgError("42501", "permission denied for schema %s", t.name.schema)
	}
	if err := s.srv.locks.acquire(ctx, s.pid, t.name.String(), lockExclusive); err != nil {
		return false, err
	}
	s.wrote[t.name.String()] = true
	if err := s.touch(ctx); err != nil {
		return false, err
	}
	found, err := s.schemaExists(ctx, t.name.schema)
	if err != nil {
		return false, err
	}
	if !found {
		return false, pgError("3F000", "schema %q does not exist", t.name.schema)
	}
	old, err := s.stored(ctx, t.name)
	return old != nil, err
}

// defineColumns reads the list in CREATE TABLE (…).
func (s *session) defineColumns(ctx context.Context, t *tableMeta, body []node) error {
	for _, part := range splitNodes(body) {
		if len(part) == 0 {
			return syntaxError("syntax error in CREATE TABLE")
		}
		switch {
		case part[0].is("like"):
			name, _, err := tableAt(part, 1)
			if err != nil {
				return err
			}
			model, err := s.table(ctx, name)
			if err != nil {
				return err
			}
			t.diststyle = model.diststyle
			for _, c := range model.cols {
				if find(part, 2, "including") == len(part) || c.identity() {
					c.deflt = ""
				}
				t.cols = append(t.cols, c)
			}
		case part[0].is("primary", "unique", "foreign", "constraint"):
			c, err := constraintDef(part)
			if err != nil {
				return err
			}
			t.constraints = append(t.constraints, c)
		default:
			c, err := columnDef(part)
			if err != nil {
				return err
			}
			if t.column(c.name) != nil {
				return pgError("42701", "column %q duplicated", c.name)
			}
			t.constraints = append(t.constraints, c.keys...)
			c.keys = nil
			t.cols = append(t.cols, c)
		}
	}
	if err := t.requireKeys(); err != nil {
		return err
	}
	return checkWidth(len(t.cols))
}

func checkWidth(n int) error {
	if n > maxColumns {
		return pgError("54011", "tables can have at most %d columns", maxColumns)
	}
	return nil
}

// columnDef reads name type [attributes].
func columnDef(part []node) (columnMeta, error) {
	if !part[0].name() {
		return columnMeta{}, syntaxError("syntax error in column definition")
	}
	c := columnMeta{name: part[0].val}
	if len(c.name) > 127 {
		return c, pgError("42622", "identifier %q exceeds 127 bytes", c.name) // (confirm)
	}
	var err error
	var i int
	if c.typ, i, err = typeAt(part, 1); err != nil {
		return c, err
	}
	for i < len(part) {
		switch {
		case part[i].is("default") && i+1 < len(part):
			end := i + 1
			for end < len(part) && !part[end].is("encode", "distkey", "sortkey", "not", "null", "unique", "primary", "references", "collate") || end == i+1 {
				end++
			}
			rw := newRewriter(environment{})
			rw.live = true
			if c.deflt, err = rw.expr(part[i+1 : end]); err != nil {
				return c, err
			}
			i = end
		case part[i].is("encode") && i+1 < len(part):
			c.encoding = part[i+1].val
			i += 2
		case part[i].is("distkey"):
			c.distkey = true
			i++
		case part[i].is("sortkey"):
			c.sortkey = 1
			i++
		case part[i].is("not") && i+1 < len(part) && part[i+1].is("null"):
			c.notNull = true
			i += 2
		case part[i].is("identity", "generated"):
			if c.spec, i, err = identityAt(part, i); err != nil {
				return c, err
			}
		default: // NULL, COLLATE: parsed, without effect
			key, next, found, err := inlineConstraint(c.name, part, i)
			if err != nil {
				return c, err
			}
			if found {
				c.keys = append(c.keys, key)
			}
			i = max(next, i+1)
		}
	}
	return c, nil
}

// attributes is what follows the column list.
type attributes struct {
	diststyle string
	distkey   string
	sortkey   []string
}

func tableAttributes(nodes []node) (attributes, error) {
	var a attributes
	for i := 0; i < len(nodes); {
		var next node
		if i+1 < len(nodes) {
			next = nodes[i+1]
		}
		switch {
		case nodes[i].is("diststyle"):
			a.diststyle = strings.ToUpper(next.val)
			i += 2
		case nodes[i].is("distkey") && next.open == '(':
			parts, _ := nameAt(next.kids, 0)
			if len(parts) != 1 {
				return a, syntaxError("syntax error in DISTKEY")
			}
			a.distkey = parts[0]
			i += 2
		case nodes[i].is("compound", "interleaved"):
			i++
		case nodes[i].is("sortkey") && next.open == '(':
			for _, part := range splitNodes(next.kids) {
				parts, _ := nameAt(part, 0)
				if len(parts) != 1 {
					return a, syntaxError("syntax error in SORTKEY")
				}
				a.sortkey = append(a.sortkey, parts[0])
			}
			i += 2
		case nodes[i].is("sortkey", "encode", "backup"): // AUTO, YES, NO
			i += 2
		default:
			return a, syntaxError(fmt.Sprintf("syntax error at or near %q", nodes[i].val))
		}
	}
	return a, nil
}

// apply marks keys on the columns.
func (a attributes) apply(t *tableMeta) error {
	if a.diststyle != "" {
		t.diststyle = a.diststyle
	}
	if a.distkey != "" {
		c := t.column(a.distkey)
		if c == nil {
			return pgError("42703", "column %q named in DISTKEY does not exist", a.distkey)
		}
		c.distkey = true
	}
	for _, c := range t.cols {
		if c.distkey {
			t.diststyle = "KEY(" + c.name + ")"
		}
	}
	for i, name := range a.sortkey {
		c := t.column(name)
		if c == nil {
			return pgError("42703", "column %q named in SORTKEY does not exist", name)
		}
		c.sortkey = i + 1
	}
	return nil
}

// createTableAs creates a table from a query, with the query's types.
func (s *session) createTableAs(ctx context.Context, t *tableMeta, attrs attributes, body, query []node) (*result, error) {
	if len(query) == 1 && query[0].open == '(' {
		query = query[0].kids
	}
	rw := newRewriter(s.env())
	text, err := rw.query(query)
	if err != nil {
		return nil, err
	}
	if err := s.lockReads(ctx, rw); err != nil {
		return nil, err
	}
	from, err := s.describeQuery(ctx, text)
	if err != nil {
		return nil, err
	}
	rename(from, query)
	s.declareLengths(ctx, rw, from, query)
	for i, part := range splitNodes(body) {
		if i < len(from) && len(part) == 1 && part[0].name() {
			from[i].name = part[0].val
		}
	}
	if err := checkWidth(len(from)); err != nil {
		return nil, err
	}
	names, exprs := make([]string, len(from)), make([]string, len(from))
	for i, c := range from {
		typ, err := parseType(c.typ.declared)
		if err != nil {
			return nil, err
		}
		if t.column(c.name) != nil {
			return nil, pgError("42701", "column %q duplicated", c.name)
		}
		t.cols = append(t.cols, columnMeta{name: c.name, typ: typ})
		names[i] = fmt.Sprintf(`"c%d"`, i)
		exprs[i] = fmt.Sprintf("CAST(%s AS %s) AS %s", names[i], typ.duck, quoteIdent(c.name))
	}
	if err := attrs.apply(t); err != nil {
		return nil, err
	}
	n, err := s.exec(ctx, fmt.Sprintf("%s AS SELECT %s FROM (%s) AS \"_q\"(%s)", createHead(t), strings.Join(exprs, ", "), text, strings.Join(names, ", ")))
	if err != nil {
		return nil, err
	}
	return &result{tag: "SELECT", counted: true, count: n}, s.store(ctx, t, "")
}
