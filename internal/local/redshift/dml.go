//go:build cgo

package redshift

import (
	"context"
	"fmt"
	"strings"
)

// target reads and locks the table that a statement changes.
func (s *session) target(ctx context.Context, name tableName, mode lockMode, rw *rewriter) (*tableMeta, error) {
	if forbiddenSchema(name.schema) {
		return nil, pgError("42501", "permission denied for schema %s", name.schema)
	}
	if err := s.lock(ctx, name, mode); err != nil {
		return nil, err
	}
	if rw != nil {
		for _, read := range rw.reads {
			if read != name {
				if err := s.lock(ctx, read, lockShare); err != nil {
					return nil, err
				}
			}
		}
	}
	if err := s.touch(ctx); err != nil {
		return nil, err
	}
	t, err := s.table(ctx, name)
	if err != nil {
		return nil, err
	}
	if t.staged != nil && (rw != nil || mode == lockExclusive) { // COPY, which has no rewriter, decides for itself
		if t, err = s.unstage(ctx, t); err != nil {
			return nil, err
		}
	}
	if t.view && mode == lockWrite {
		return nil, pgError("42809", "%q is a view", name.table)
	}
	return t, nil
}

// fit bounds expr to what column c takes, of the DuckDB type from ("" if unknown).
func fit(expr string, c columnMeta, from string) string {
	switch {
	case c.typ.oid == oidSuper && from != "JSON":
		return "to_json(" + expr + ")"
	case c.typ.duck == "VARCHAR":
		if from == "JSON" || from == "" {
			expr = `"_rs".text_of(` + expr + ")"
		} else if from != "VARCHAR" {
			expr = "CAST(" + expr + " AS VARCHAR)"
		}
		if c.typ.oid == oidBPChar {
			expr = "rtrim(" + expr + ", ' ')"
		}
		return fmt.Sprintf("CASE WHEN strlen(%s) > %d THEN %s ELSE %s END", expr, c.typ.limit, raise("22001", "value too long for type "+c.typ.declared, ""), expr)
	case c.typ.duck == "BLOB" && from == "BLOB":
		return fmt.Sprintf("CASE WHEN octet_length(%s) > %d THEN %s ELSE %s END", expr, c.typ.limit, raise("22001", "value too long for type binary varying("+fmt.Sprint(c.typ.limit)+")", ""), expr)
	}
	return expr
}

// insertion is an INSERT, taken apart.
type insertion struct {
	table   tableName
	columns []string // nil if left out
	source  []node
}

func (in insertion) values() bool { return len(in.source) > 0 && in.source[0].is("values") }

func readInsert(nodes []node) (in insertion, err error) {
	i := 0
	if in.table, i, err = tableAt(nodes, 2); err != nil {
		return in, err
	}
	if i < len(nodes) && nodes[i].open == '(' && (len(nodes[i].kids) == 0 || !nodes[i].kids[0].is("select", "with", "values")) {
		if in.columns, err = columnNames(nodes[i].kids); err != nil {
			return in, err
		}
		i++
	}
	in.source = nodes[i:]
	return in, nil
}

// columnNames reads a list of columns, of which a table's name may stand before each.
func columnNames(nodes []node) ([]string, error) {
	var out []string
	for _, part := range splitNodes(nodes) {
		parts, next := nameAt(part, 0)
		if len(parts) == 0 || next != len(part) {
			return nil, syntaxError("syntax error in the column list")
		}
		out = append(out, parts[len(parts)-1])
	}
	return out, nil
}

// insert runs INSERT INTO t [(columns)] query | VALUES | DEFAULT VALUES.
func (s *session) insert(ctx context.Context, st statement, nodes []node) (*result, error) {
	in, err := readInsert(nodes)
	if err != nil {
		return nil, err
	}
	rw := newRewriter(s.env())
	var text string
	if !in.values() {
		if text, err = rw.query(in.source); err != nil {
			return nil, err
		}
	}
	t, err := s.target(ctx, in.table, lockWrite, rw)
	if err != nil {
		return nil, err
	}
	cols, err := targetColumns(t, in.columns)
	if err != nil {
		return nil, err
	}
	if in.values() {
		if text, err = valuesText(rw, in.source[1:], cols); err != nil {
			return nil, err
		}
	}
	if err := checkIdentity(in, cols); err != nil {
		return nil, err
	}
	if len(in.source) == 2 && in.source[0].is("default") {
		n, err := s.exec(ctx, "INSERT INTO "+t.sql()+" DEFAULT VALUES")
		return &result{tag: st.tag, counted: true, count: n}, err
	}
	n, err := s.insertFrom(ctx, t, cols, in.columns != nil, text)
	return &result{tag: st.tag, counted: true, count: n}, qualified(err, rw.reads)
}

// insertFrom inserts the rows of a query, bounded to the columns' types.
func (s *session) insertFrom(ctx context.Context, t *tableMeta, cols []columnMeta, listed bool, text string) (int64, error) {
	from, err := s.describeQuery(ctx, text)
	if err != nil {
		return 0, err
	}
	if len(from) > len(cols) {
		return 0, syntaxError("INSERT has more expressions than target columns")
	}
	if len(from) < len(cols) && listed {
		return 0, syntaxError("INSERT has more target columns than expressions")
	}
	names, exprs, into := make([]string, len(from)), make([]string, len(from)), make([]string, len(from))
	for i, f := range from {
		names[i] = fmt.Sprintf(`"c%d"`, i)
		exprs[i] = fit(names[i], cols[i], f.typ.duck)
		into[i] = quoteIdent(cols[i].name)
	}
	return s.exec(ctx, fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM (%s) AS \"_q\"(%s)", t.sql(),
		strings.Join(into, ", "), strings.Join(exprs, ", "), text, strings.Join(names, ", ")))
}

func targetColumns(t *tableMeta, names []string) ([]columnMeta, error) {
	if names == nil {
		return t.cols, nil
	}
	out := make([]columnMeta, len(names))
	for i, n := range names {
		c := t.column(n)
		if c == nil {
			return nil, pgError("42703", "column %q of relation %q does not exist", n, t.name.table)
		}
		out[i] = *c
	}
	return out, nil
}

// valuesText rewrites the rows of VALUES, with DEFAULT replaced by what the column defaults to.
func valuesText(rw *rewriter, rows []node, cols []columnMeta) (string, error) {
	var b strings.Builder
	b.WriteString("VALUES ")
	for r, row := range splitNodes(rows) {
		if len(row) != 1 || row[0].open != '(' {
			return "", syntaxError("syntax error in VALUES")
		}
		if r > 0 {
			b.WriteString(", ")
		}
		b.WriteByte('(')
		for i, v := range splitNodes(row[0].kids) {
			if i > 0 {
				b.WriteString(", ")
			}
			text, err := rw.expr(v)
			if err != nil {
				return "", err
			}
			if len(v) == 1 && v[0].is("default") && i < len(cols) {
				text = "NULL"
				if cols[i].deflt != "" {
					text = cols[i].deflt
				}
			}
			b.WriteString(text)
		}
		b.WriteByte(')')
	}
	return b.String(), nil
}

// aliasAt reads [AS] alias at i.
func aliasAt(nodes []node, i int) (string, int) {
	if i < len(nodes) && nodes[i].is("as") {
		i++
	}
	if i < len(nodes) && nodes[i].name() && (nodes[i].kind == tokQuoted || !reserved(nodes[i].val)) {
		return " AS " + quoteIdent(nodes[i].val), i + 1
	}
	return "", i
}

// update runs UPDATE t SET … [FROM …] [WHERE …].
func (s *session) update(ctx context.Context, st statement, nodes []node) (*result, error) {
	name, i, err := tableAt(nodes, 1)
	if err != nil {
		return nil, err
	}
	alias, i := aliasAt(nodes, i)
	if i >= len(nodes) || !nodes[i].is("set") {
		return nil, syntaxError("syntax error in UPDATE")
	}
	end := i + 1
	for end < len(nodes) && !nodes[end].is("where") && (!nodes[end].is("from") || nodes[end-1].is("distinct")) {
		end++
	}
	rw := newRewriter(s.env())
	tail, err := rw.query(nodes[end:])
	if err != nil {
		return nil, err
	}
	sets := make([]assignment, 0, 4)
	for _, part := range splitNodes(nodes[i+1 : end]) {
		a, err := assign(rw, part)
		if err != nil {
			return nil, err
		}
		sets = append(sets, a)
	}
	t, err := s.target(ctx, name, lockWrite, rw)
	if err != nil {
		return nil, err
	}
	list, err := assignments(t, sets)
	if err != nil {
		return nil, err
	}
	n, err := s.exec(ctx, "UPDATE "+t.sql()+alias+" SET "+list+" "+tail)
	return &result{tag: st.tag, counted: true, count: n}, err
}

// assignment is column = expression, the expression rewritten.
type assignment struct{ column, expr string }

func assign(rw *rewriter, part []node) (assignment, error) {
	parts, i := nameAt(part, 0)
	if len(parts) == 0 || i >= len(part) || !part[i].op("=") {
		return assignment{}, syntaxError("syntax error in SET")
	}
	expr, err := rw.expr(part[i+1:])
	return assignment{parts[len(parts)-1], expr}, err
}

func assignments(t *tableMeta, sets []assignment) (string, error) {
	out := make([]string, len(sets))
	for i, a := range sets {
		c := t.column(a.column)
		if c == nil {
			return "", pgError("42703", "column %q of relation %q does not exist", a.column, t.name.table)
		}
		out[i] = quoteIdent(c.name) + " = " + fit("("+a.expr+")", *c, "")
	}
	return strings.Join(out, ", "), nil
}

// delete runs DELETE [FROM] t [USING …] [WHERE …].
func (s *session) delete(ctx context.Context, st statement, nodes []node) (*result, error) {
	i := 1
	if i < len(nodes) && nodes[i].is("from") {
		i++
	}
	name, i, err := tableAt(nodes, i)
	if err != nil {
		return nil, err
	}
	alias, i := aliasAt(nodes, i)
	rw := newRewriter(s.env())
	text := ""
	if i < len(nodes) && nodes[i].is("using") {
		out, err := rw.list(nodes[i+1:], clauses{on: true, from: true, expect: true})
		if err != nil {
			return nil, err
		}
		text = " USING " + render(out)
	} else if i < len(nodes) {
		if text, err = rw.query(nodes[i:]); err != nil {
			return nil, err
		}
	}
	t, err := s.target(ctx, name, lockWrite, rw)
	if err != nil {
		return nil, err
	}
	n, err := s.exec(ctx, "DELETE FROM "+t.sql()+alias+" "+text)
	return &result{tag: st.tag, counted: true, count: n}, err
}
