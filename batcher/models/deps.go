package models

import (
	"maps"
	"slices"
)

// ref is a table that a query reads, where it does so.
type ref struct {
	schema     string // empty: not qualified
	table      string
	start, end int // bytes of the source
	line       int
}

func (r ref) String() string {
	if r.schema == "" {
		return r.table
	}
	return r.schema + "." + r.table
}

// parser walks through tokens with their brackets matched.
type parser struct {
	toks []token
	mate []int // for "(" the index of its ")"
	refs []ref
}

// newParser matches the brackets of toks.
func newParser(toks []token) (*parser, error) {
	p := &parser{toks: toks, mate: make([]int, len(toks))}
	var open []int
	for i, t := range toks {
		switch {
		case t.sign("("):
			open = append(open, i)
		case t.sign(")"):
			if len(open) == 0 {
				return nil, at(t.line, "this ) closes nothing")
			}
			p.mate[open[len(open)-1]] = i
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		return nil, at(toks[open[len(open)-1]].line, "the ( that opens here is never closed")
	}
	return p, nil
}

// tables returns the tables that a query reads: names after FROM and JOIN at
// every depth, but for names of its WITH clauses, functions, and paths into
// SUPER values of tables beside them.
func tables(toks []token) ([]ref, error) {
	p, err := newParser(toks)
	if err != nil {
		return nil, err
	}
	p.query(0, len(toks), scope{})
	return p.refs, nil
}

// scope are the names that mean something else than a table of the warehouse.
type scope struct {
	ctes    map[string]bool // of WITH clauses
	aliases map[string]bool // of what stands before in FROM, here and outside
}

// with returns a scope of its own, to which more can be added.
func (s scope) with(ctes ...string) scope {
	out := scope{ctes: map[string]bool{}, aliases: map[string]bool{}}
	maps.Copy(out.ctes, s.ctes)
	maps.Copy(out.aliases, s.aliases)
	for _, c := range ctes {
		out.ctes[c] = true
	}
	return out
}

// group walks what stands between brackets: a query, the items of a FROM, or an
// expression, in which FROM means something else.
func (p *parser) group(i, end int, s scope, inFrom bool) {
	switch {
	case i < end && p.toks[i].is("select", "with"):
		p.query(i, end, s)
	case inFrom:
		p.from(i, end, s)
	default:
		p.expression(i, end, s)
	}
}

// expression walks through groups only.
func (p *parser) expression(i, end int, s scope) {
	for ; i < end; i++ {
		if p.toks[i].sign("(") {
			p.group(i+1, p.mate[i], s, false)
			i = p.mate[i]
		}
	}
}

// fromEnds are the words that end the list after FROM.
var fromEnds = set("where group having qualify order limit offset fetch union intersect except minus window select connect start for with")

// query walks a query, perhaps several joined by UNION and the like.
func (p *parser) query(i, end int, s scope) {
	s = s.with()
	if i < end && p.toks[i].is("with") {
		i = p.ctes(i+1, end, s)
	}
	for i < end {
		t := p.toks[i]
		switch {
		case t.sign("("):
			p.group(i+1, p.mate[i], s, false)
			i = p.mate[i] + 1
		case t.is("from") && !p.distinctFrom(i):
			i = p.from(i+1, end, s)
		case t.is("union", "intersect", "except", "minus"):
			s = scope{ctes: s.ctes}.with() // the next query has aliases of its own
			i++
		default:
			i++
		}
	}
}

// distinctFrom tells IS [NOT] DISTINCT FROM.
func (p *parser) distinctFrom(i int) bool {
	return i >= 2 && p.toks[i-1].is("distinct") && p.toks[i-2].is("is", "not")
}

// ctes walks the list after WITH, adds its names to s and returns where it
// ends. A name is known in those that follow, and with RECURSIVE in its own.
func (p *parser) ctes(i, end int, s scope) int {
	recursive := i < end && p.toks[i].is("recursive")
	if recursive {
		i++
	}
	for i < end && (p.toks[i].kind == kindWord || p.toks[i].kind == kindQuoted) {
		name := p.toks[i].text
		i++
		if i < end && p.toks[i].sign("(") { // its columns
			i = p.mate[i] + 1
		}
		for i < end && p.toks[i].is("as", "not", "materialized") {
			i++
		}
		if i >= end || !p.toks[i].sign("(") {
			return i
		}
		inner := s
		if recursive {
			inner = s.with(name)
		}
		p.group(i+1, p.mate[i], inner, false)
		s.ctes[name] = true
		i = p.mate[i] + 1
		if i >= end || !p.toks[i].sign(",") {
			return i
		}
		i++
	}
	return i
}

// from walks the list after FROM and returns where it ends.
func (p *parser) from(i, end int, s scope) int {
	item := true // a table may stand here
	for i < end {
		t := p.toks[i]
		switch {
		case t.kind == kindWord && fromEnds[t.text]:
			return i
		case t.sign(","), t.is("join"):
			item = true
			i++
		case item && t.is("only", "lateral", "table"):
			i++
		case item && t.is("unpivot"):
			item = false
			i++
		case item && t.sign("("):
			p.group(i+1, p.mate[i], s, true)
			i = p.alias(p.mate[i]+1, end, s, "")
			item = false
		case item && (t.kind == kindWord || t.kind == kindQuoted):
			i = p.table(i, end, s)
			item = false
		case t.sign("("):
			p.group(i+1, p.mate[i], s, false)
			i = p.mate[i] + 1
		default:
			i++
		}
	}
	return i
}

// table walks a name in FROM and its alias, and notes it if it is a table's.
func (p *parser) table(i, end int, s scope) int {
	first := i
	parts := []string{p.toks[i].text}
	i++
	for i+1 < end && p.toks[i].sign(".") && (p.toks[i+1].kind == kindWord || p.toks[i+1].kind == kindQuoted) {
		parts = append(parts, p.toks[i+1].text)
		i += 2
	}
	last := p.toks[i-1]
	table := parts[len(parts)-1]
	switch {
	case i < end && p.toks[i].sign("("): // a function
		p.group(i+1, p.mate[i], s, false)
		return p.alias(p.mate[i]+1, end, s, "")
	case len(parts) > 1 && s.aliases[parts[0]]: // a path into a SUPER value
		table = ""
	case len(parts) == 1 && s.ctes[table]:
	case len(parts) == 1:
		p.refs = append(p.refs, ref{"", table, p.toks[first].start, last.end, p.toks[first].line})
	case len(parts) == 2:
		p.refs = append(p.refs, ref{parts[0], table, p.toks[first].start, last.end, p.toks[first].line})
	} // of another database: not ours to watch
	for i < end && p.toks[i].sign("[") { // a path
		for i < end && !p.toks[i].sign("]") {
			i++
		}
		i = min(i+1, end)
	}
	return p.alias(i, end, s, table)
}

// alias notes the alias at i, or name if there is none, and returns what
// follows.
func (p *parser) alias(i, end int, s scope, name string) int {
	if i < end && p.toks[i].is("as") {
		i++
	}
	if i < end && p.toks[i].name() {
		name = p.toks[i].text
		i++
	}
	if name != "" {
		s.aliases[name] = true
	}
	return i
}

// distinct returns the names in refs, once each and in order.
func distinct(refs []ref) []string {
	var out []string
	for _, r := range refs {
		out = append(out, r.String())
	}
	slices.Sort(out)
	return slices.Compact(out)
}
