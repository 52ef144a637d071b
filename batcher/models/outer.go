package models

import (
	"slices"
	"strconv"
)

// maxSortKey is how many columns a sort key gets from an ORDER BY: more of them
// sort nothing that a query would notice.
const maxSortKey = 4

// outer is what the outermost SELECT of a query says of its result.
type outer struct {
	names []string // of the output columns in order; empty where one has no name that can be told
	whole bool     // names are all of them: there is no *
	sort  []string // output columns that the ORDER BY begins with
	note  string   // why sort ends before the ORDER BY does; empty if it does not
}

// readOuter reads the outermost SELECT. The tokens have passed tables.
func readOuter(toks []token) outer {
	p, err := newParser(toks)
	if err != nil {
		return outer{}
	}
	i := 0
	if len(toks) > 0 && toks[0].is("with") {
		i = p.ctes(1, len(toks), scope{}.with())
	}
	var o outer
	o.names, o.whole = p.selectList(i)
	o.sort, o.note = p.orderBy(i, o)
	return o
}

// selectList reads the output names of the SELECT at i.
func (p *parser) selectList(i int) (names []string, whole bool) {
	if i >= len(p.toks) || !p.toks[i].is("select") {
		return nil, false
	}
	i++
	for i < len(p.toks) && p.toks[i].is("distinct", "all") {
		i++
	}
	if i+1 < len(p.toks) && p.toks[i].is("top") {
		i += 2
	}
	whole = true
	for first := i; ; i++ {
		switch {
		case i >= len(p.toks), p.toks[i].sign(","), p.toks[i].is("from") && !p.distinctFrom(i),
			p.toks[i].kind == kindWord && (fromEnds[p.toks[i].text] || p.toks[i].is("into")):
			name, star := outputName(p.toks[first:i])
			names, whole = append(names, name), whole && !star
			if i >= len(p.toks) || !p.toks[i].sign(",") {
				return names, whole
			}
			first = i + 1
		case p.toks[i].sign("("):
			i = p.mate[i]
		}
	}
}

// outputName returns the name of a column by how it is written: its alias, or
// its own.
func outputName(item []token) (name string, star bool) {
	n := len(item)
	if n == 0 {
		return "", false
	}
	last := item[n-1]
	switch {
	case last.sign("*"):
		return "", true
	case !last.name():
		return "", n >= 2 && starsBut(item)
	case n == 1:
		return last.text, false
	}
	switch before := item[n-2]; {
	case before.is("as"), before.sign("."):
		return last.text, false
	case before.sign(")"), before.sign("]"), before.kind == kindString, before.kind == kindNumber, before.name(), before.is("end", "null", "true", "false"):
		if n >= 3 && item[n-3].sign("::") { // a type of two words, or an alias: nobody can tell
			return "", false
		}
		return last.text, false
	}
	return "", false
}

// starsBut says that an item is a * with EXCLUDE.
func starsBut(item []token) bool {
	for i, t := range item {
		if t.is("exclude") && i > 0 && item[i-1].sign("*") {
			return true
		}
	}
	return false
}

// orderBy reads the outermost ORDER BY from i on.
func (p *parser) orderBy(i int, o outer) (columns []string, note string) {
	from := -1
	for ; i < len(p.toks); i++ {
		switch {
		case p.toks[i].sign("("):
			i = p.mate[i]
		case p.toks[i].is("order") && i+1 < len(p.toks) && p.toks[i+1].is("by"):
			from = i + 2
		}
	}
	if from < 0 {
		return nil, ""
	}
	for i = from; i < len(p.toks) && len(columns) < maxSortKey; i++ {
		first := i
		for i < len(p.toks) && !p.toks[i].sign(",") && !p.toks[i].is("limit", "offset", "fetch", "for") {
			if p.toks[i].sign("(") {
				i = p.mate[i]
			}
			i++
		}
		name, why := o.column(p.toks[first:i])
		if name == "" {
			return columns, why
		}
		columns = append(columns, name)
		if i >= len(p.toks) || !p.toks[i].sign(",") {
			return columns, ""
		}
	}
	return columns, ""
}

// column returns the output column that an item of ORDER BY names, or why it
// names none.
func (o outer) column(item []token) (name, why string) {
	for len(item) > 1 && item[len(item)-1].is("asc", "desc", "nulls", "first", "last") {
		item = item[:len(item)-1]
	}
	switch n := len(item); {
	case n == 1 && item[0].kind == kindNumber:
		at, err := strconv.Atoi(item[0].text)
		if err != nil || at < 1 || at > len(o.names) || o.names[at-1] == "" || !o.whole && slices.Contains(o.names[:at], "") {
			return "", "ORDER BY " + item[0].text + " is a column without a name of its own: give it one with AS"
		}
		return o.names[at-1], ""
	case n == 1 && item[0].name(), n == 3 && item[0].name() && item[1].sign(".") && item[2].name():
		name = item[n-1].text
	default:
		return "", "ORDER BY has an expression: only columns of the result can be sort keys"
	}
	if o.whole && !slices.Contains(o.names, name) {
		return "", "ORDER BY " + name + " is no column of the result"
	}
	return name, ""
}
