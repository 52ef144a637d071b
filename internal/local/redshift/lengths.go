//go:build cgo

package redshift

import (
	"context"
	"strconv"
)

// declareLengths gives the text columns of a query the lengths that Redshift gives them, where the query shows them: a column's
// own, a cast's, a literal's. What is computed keeps the greatest.
func (s *session) declareLengths(ctx context.Context, rw *rewriter, cols []column, query []node) {
	for len(query) == 1 && query[0].open == '(' {
		query = query[0].kids
	}
	start := find(query, 0, "select") + 1
	if start > len(query) {
		return
	}
	if start < len(query) && query[start].is("distinct", "all") {
		start++
	}
	end := selectEnd(query, start)
	if find(query, 0, "union", "except", "intersect", "minus") < len(query) {
		return
	}
	known := s.sourceTypes(ctx, rw)
	items := splitNodes(query[start:end])
	if len(items) == 1 && len(items[0]) == 1 && items[0][0].op("*") {
		for i := range cols {
			adopt(&cols[i], known[cols[i].name])
		}
		return
	}
	if len(items) != len(cols) {
		return
	}
	for i, item := range items {
		adopt(&cols[i], itemType(item, known))
	}
}

// adopt takes a declared type over if it is stored as the inferred one is.
func adopt(c *column, t colType) {
	if t.oid != 0 && c.typ.oid == oidVarchar && t.duck == "VARCHAR" {
		c.typ = t
	}
}

// itemType is the type that an item of a select list shows, the zero value if it shows none.
func itemType(item []node, known map[string]colType) colType {
	if n := len(item); n > 1 && item[n-1].name() && (item[n-2].is("as") || aliasable(item[n-2])) {
		item = item[:n-1]
		if item[len(item)-1].is("as") {
			item = item[:len(item)-1]
		}
	}
	for i := len(item) - 2; i > 0; i-- {
		if t, next, err := typeAt(item, i+1); item[i].op("::") && err == nil && next == len(item) {
			return t
		}
	}
	if len(item) == 1 && item[0].kind == tokString && !item[0].raw {
		if t, err := makeType("varchar", []string{strconv.Itoa(max(1, len(item[0].val)))}); err == nil {
			return t
		}
	}
	if len(item) == 2 && item[0].is("cast") && item[1].open == '(' {
		if as := find(item[1].kids, 0, "as"); as < len(item[1].kids) {
			t, _, err := typeAt(item[1].kids, as+1)
			if err == nil {
				return t
			}
		}
	}
	if parts, next := nameAt(item, 0); next == len(item) && len(parts) > 0 {
		return known[parts[len(parts)-1]]
	}
	return colType{}
}

// sourceTypes are the declared types of the columns that a query reads, by name; what is not the same in all its tables
// is left out.
func (s *session) sourceTypes(ctx context.Context, rw *rewriter) map[string]colType {
	out := map[string]colType{}
	for _, name := range rw.reads {
		t, err := s.lookup(ctx, name)
		if err != nil || t == nil {
			continue
		}
		for _, c := range t.cols {
			if other, found := out[c.name]; found && other != c.typ {
				out[c.name] = colType{}
				continue
			}
			out[c.name] = c.typ
		}
	}
	return out
}
