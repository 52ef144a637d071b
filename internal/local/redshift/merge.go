//go:build cgo

package redshift

import (
	"context"
	"fmt"
	"strings"
)

// merge runs MERGE INTO t USING s ON … WHEN MATCHED … WHEN NOT MATCHED …
func (s *session) merge(ctx context.Context, st statement, nodes []node) (*result, error) {
	name, i, err := tableAt(nodes, 2)
	if err != nil {
		return nil, err
	}
	alias, i := aliasAt(nodes, i)
	on := find(nodes, i, "on")
	when := find(nodes, on, "when")
	if i >= len(nodes) || !nodes[i].is("using") || on == len(nodes) {
		return nil, syntaxError("syntax error in MERGE")
	}
	if nodes[i+1].open != 0 {
		return nil, pgError("0A000", "MERGE with a subquery as source is not supported") // (confirm)
	}
	remove := find(nodes, on, "remove")
	when = min(when, remove)
	rw := newRewriter(s.env())
	source, err := rw.list(nodes[i+1:on], clauses{on: true, from: true, expect: true})
	if err != nil {
		return nil, err
	}
	cond, err := rw.expr(nodes[on+1 : when])
	if err != nil {
		return nil, err
	}
	t, err := s.target(ctx, name, lockWrite, rw)
	if err != nil {
		return nil, err
	}
	target := t.sql() + alias
	if remove < len(nodes) {
		n, err := s.mergeDuplicates(ctx, t, target, nodes[i+1:on], render(source), cond)
		return &result{tag: st.tag, counted: true, count: n}, err
	}
	row := t.sql() + ".rowid"
	if alias != "" {
		row = strings.TrimPrefix(alias, " AS ") + ".rowid"
	}
	var twice int
	if err := s.duck.QueryRowContext(ctx, fmt.Sprintf("SELECT count(*) FROM (SELECT 1 FROM %s JOIN %s ON %s GROUP BY %s HAVING count(*) > 1 LIMIT 1)",
		target, render(source), cond, row)).Scan(&twice); err != nil {
		return nil, err
	}
	if twice > 0 {
		return nil, pgError("XX000", "Found multiple matches to update the same tuple")
	}
	actions, err := mergeActions(rw, t, nodes[when:])
	if err != nil {
		return nil, err
	}
	n, err := s.exec(ctx, fmt.Sprintf("MERGE INTO %s USING %s ON %s %s", target, render(source), cond, actions))
	return &result{tag: st.tag, counted: true, count: n}, err
}

// mergeDuplicates is MERGE … REMOVE DUPLICATES: rows of the target that match give way to the source's, each once.
func (s *session) mergeDuplicates(ctx context.Context, t *tableMeta, target string, source []node, using, cond string) (int64, error) {
	name, _, err := tableAt(source, 0)
	if err != nil {
		return 0, err
	}
	from, err := s.table(ctx, name)
	if err != nil {
		return 0, err
	}
	if len(from.cols) != len(t.cols) {
		return 0, pgError("42601", "MERGE with REMOVE DUPLICATES needs source and target with the same columns") // (confirm)
	}
	if _, err := s.exec(ctx, fmt.Sprintf("DELETE FROM %s USING %s WHERE %s", target, using, cond)); err != nil {
		return 0, err
	}
	return s.insertFrom(ctx, t, t.cols, false, "SELECT DISTINCT * FROM "+from.sql())
}

// mergeActions rewrites the WHEN branches.
func mergeActions(rw *rewriter, t *tableMeta, nodes []node) (string, error) {
	var b strings.Builder
	for len(nodes) > 0 {
		end := find(nodes, 1, "when")
		for end < len(nodes) && insideCase(nodes, end) {
			end = find(nodes, end+1, "when")
		}
		branch := nodes[:end]
		nodes = nodes[end:]
		then := find(branch, 0, "then")
		if then+1 >= len(branch) {
			return "", syntaxError("syntax error in MERGE")
		}
		head, body := branch[:then], branch[then+1:]
		if find(head, 0, "and") < len(head) {
			return "", syntaxError(`syntax error at or near "AND"`)
		}
		action, err := mergeAction(rw, t, body)
		if err != nil {
			return "", err
		}
		b.WriteString(render(head) + " THEN " + action + " ")
	}
	return b.String(), nil
}

// insideCase reports whether the WHEN at i belongs to a CASE expression.
func insideCase(nodes []node, i int) bool {
	depth := 0
	for _, n := range nodes[:i] {
		if n.is("case") {
			depth++
		} else if n.is("end") {
			depth--
		}
	}
	return depth > 0
}

func mergeAction(rw *rewriter, t *tableMeta, body []node) (string, error) {
	switch {
	case body[0].is("delete"):
		return "DELETE", nil
	case body[0].is("update") && len(body) > 2:
		var sets []assignment
		for _, part := range splitNodes(body[2:]) {
			a, err := assign(rw, part)
			if err != nil {
				return "", err
			}
			sets = append(sets, a)
		}
		list, err := assignments(t, sets)
		return "UPDATE SET " + list, err
	case body[0].is("insert"):
		return mergeInsert(rw, t, body[1:])
	}
	return "", syntaxError("syntax error in MERGE")
}

func mergeInsert(rw *rewriter, t *tableMeta, body []node) (string, error) {
	var names []string
	if len(body) > 0 && body[0].open == '(' {
		var err error
		if names, err = columnNames(body[0].kids); err != nil {
			return "", err
		}
		body = body[1:]
	}
	if len(body) != 2 || !body[0].is("values") || body[1].open != '(' {
		return "", syntaxError("syntax error in MERGE")
	}
	cols, err := targetColumns(t, names)
	if err != nil {
		return "", err
	}
	values := splitNodes(body[1].kids)
	if len(values) != len(cols) {
		return "", syntaxError("INSERT has another number of expressions than target columns")
	}
	into, exprs := make([]string, len(cols)), make([]string, len(cols))
	for i, v := range values {
		expr, err := rw.expr(v)
		if err != nil {
			return "", err
		}
		into[i], exprs[i] = quoteIdent(cols[i].name), fit("("+expr+")", cols[i], "")
	}
	return fmt.Sprintf("INSERT (%s) VALUES (%s)", strings.Join(into, ", "), strings.Join(exprs, ", ")), nil
}
