package redshift

import (
	"slices"
	"strings"
)

// node is a token or, if open is set, a bracketed group; raw nodes hold finished SQL in val.
type node struct {
	token
	open byte // '(' or '[', else 0
	kids []node
	raw  bool
}

// tree groups tokens by their brackets. A stray closing bracket stays a token, for DuckDB's parser to refuse.
func tree(toks []token) []node {
	nodes, _ := subtree(toks, 0, 0)
	return nodes
}

func subtree(toks []token, i int, closing byte) ([]node, int) {
	var out []node
	for i < len(toks) {
		t := toks[i]
		i++
		if t.kind != tokOp {
			out = append(out, node{token: t, raw: t.kind == tokSQL})
			continue
		}
		switch {
		case len(t.val) == 1 && t.val[0] == closing && closing != 0:
			return out, i
		case t.val == "(" || t.val == "[":
			n := node{token: t, open: t.val[0]}
			end := byte(')')
			if n.open == '[' {
				end = ']'
			}
			n.kids, i = subtree(toks, i, end)
			out = append(out, n)
		default:
			out = append(out, node{token: t})
		}
	}
	return out, i
}

func rawNode(sql string) node { return node{raw: true, token: token{pre: " ", val: sql}} }

// word builds a keyword with a blank before it.
func word(s string) node { return node{token: token{kind: tokWord, pre: " ", val: s}} }

func (n node) is(words ...string) bool {
	if n.raw || n.kind != tokWord || n.open != 0 {
		return false
	}
	return slices.Contains(words, n.val)
}

func (n node) op(sym string) bool { return !n.raw && n.open == 0 && n.kind == tokOp && n.val == sym }

// name reports whether n can stand for a name.
func (n node) name() bool {
	return !n.raw && n.open == 0 && (n.kind == tokQuoted || n.kind == tokWord)
}

// render writes nodes as DuckDB reads them.
func render(nodes []node) string {
	var b strings.Builder
	writeNodes(&b, nodes)
	return strings.TrimSpace(b.String())
}

func writeNodes(b *strings.Builder, nodes []node) {
	for i, n := range nodes {
		b.WriteString(n.pre)
		switch {
		case n.is("at") && (i+1 == len(nodes) || !nodes[i+1].is("time")): // a name, unless AT TIME ZONE
			b.WriteString(quoteIdent(n.val))
		case n.raw:
			b.WriteString(n.val)
		case n.open == '(':
			b.WriteByte('(')
			writeNodes(b, n.kids)
			b.WriteByte(')')
		case n.open == '[':
			b.WriteByte('[')
			writeNodes(b, n.kids)
			b.WriteByte(']')
		case n.kind == tokWord && !plainWord(n.val), n.kind == tokQuoted:
			b.WriteString(quoteIdent(n.val))
		case n.kind == tokString:
			b.WriteString(quoteString(n.val))
		case n.kind == tokParam:
			b.WriteString("$" + n.val)
		default:
			b.WriteString(n.val)
		}
	}
}

// plainWord reports whether DuckDB reads w, unquoted, as Redshift does: its own reserved words are names there.
func plainWord(w string) bool {
	switch w {
	case "describe", "show", "summarize", "pivot", "pivot_longer", "pivot_wider", "unpivot", "lambda", // reserved
		"anti", "asof", "collation", "columns", "generated", "glob", "map", "positional", "semi", "struct", "try_cast", "unpack": // not a column's name
		return false
	}
	for i := range len(w) {
		if w[i] == '#' || w[i] == '$' {
			return false
		}
	}
	return true
}

// splitNodes cuts at the top-level commas.
func splitNodes(nodes []node) [][]node {
	var out [][]node
	start := 0
	for i, n := range nodes {
		if n.op(",") {
			out = append(out, nodes[start:i])
			start = i + 1
		}
	}
	if start == 0 && len(nodes) == 0 {
		return nil
	}
	return append(out, nodes[start:])
}

// find returns the index of the first of these words from i on, or len(nodes).
func find(nodes []node, i int, words ...string) int {
	for ; i < len(nodes); i++ {
		if nodes[i].is(words...) {
			return i
		}
	}
	return len(nodes)
}

// tableName is a table as a statement names it; schema is empty if it was left out.
type tableName struct{ schema, table string }

func (t tableName) String() string {
	if t.schema == "" {
		return t.table
	}
	return t.schema + "." + t.table
}

// sql is the name for DuckDB.
func (t tableName) sql() string {
	if t.schema == "" {
		return quoteIdent(t.table)
	}
	return quoteIdent(t.schema) + "." + quoteIdent(t.table)
}

// nameAt reads a dotted name at i and returns the index behind it. A database before the schema is dropped.
func nameAt(nodes []node, i int) (parts []string, next int) {
	for i < len(nodes) && nodes[i].name() {
		parts = append(parts, nodes[i].val)
		i++
		if i+1 >= len(nodes) || !nodes[i].op(".") || !nodes[i+1].name() {
			break
		}
		i++
	}
	return parts, i
}

func tableAt(nodes []node, i int) (tableName, int, error) {
	parts, next := nameAt(nodes, i)
	switch len(parts) {
	case 0:
		near := "end of input"
		if i < len(nodes) {
			near = `"` + nodes[i].val + `"`
		}
		return tableName{}, i, syntaxError("syntax error at or near " + near)
	case 1:
		return tableName{table: parts[0]}, next, nil
	}
	return tableName{schema: parts[len(parts)-2], table: parts[len(parts)-1]}, next, nil
}
