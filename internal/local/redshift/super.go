package redshift

import (
	"strings"
)

// SUPER values are JSON to DuckDB, which compares and computes with JSON in ways of its own. A path into a SUPER is
// recognised by its look and by the names of SUPER columns and unnested elements; where it meets a value of another
// type it is turned into that type first, and into NULL where it is of another, as Redshift's dynamic typing does.

// superNumber is a SUPER in arithmetic.
func superNumber(path string) string { return "TRY_CAST(" + path + " AS DOUBLE)" }

// super reports whether nodes are a path into a SUPER.
func (rw *rewriter) super(nodes []node) bool {
	if len(nodes) == 0 || !nodes[0].name() {
		return false
	}
	subscript := false
	var parts []string
	for i, n := range nodes {
		switch {
		case n.open == '[':
			subscript = true
		case n.name() && (i == 0 || nodes[i-1].op(".")):
			parts = append(parts, n.val)
		case !n.op("."):
			return false
		}
	}
	if subscript || rw.elements[parts[0]] {
		return true
	}
	supers := rw.superColumns()
	return supers[parts[0]] || len(parts) > 1 && supers[parts[1]] || len(parts) > 2 && supers[parts[2]]
}

// superColumns are the names of the SUPER columns of all tables that the statement names.
func (rw *rewriter) superColumns() map[string]bool {
	if rw.supers == nil {
		rw.supers = map[string]bool{}
		if rw.env.supers != nil && len(rw.words) > 0 {
			rw.supers = rw.env.supers(rw.words)
		}
	}
	return rw.supers
}

// leftSuper returns where the operand before in[i] begins in out, if it is a path into a SUPER.
func (rw *rewriter) leftSuper(out, in []node, i int) (start int, found bool) {
	from := operandStart(in[:i])
	if from == i || !rw.super(in[from:i]) {
		return 0, false
	}
	start = operandStart(out)
	return start, start < len(out)
}

// columns reports whether nodes are column or table.column.
func columns(nodes []node) bool {
	return (len(nodes) == 1 || len(nodes) == 3) && nodes[0].name() && nodes[len(nodes)-1].name()
}

func replaceOperand(out []node, start int, sql string) {
	out[start] = rawNode(sql)
	for i := start + 1; i < len(out); i++ {
		out[i] = rawNode("")
	}
}

// superText turns the operand before in[i] into text if it is a SUPER.
func (rw *rewriter) superText(out, in []node, i int) {
	at := i
	if at > 0 && in[at-1].is("not") {
		return
	}
	if start, found := rw.leftSuper(out, in, at); found {
		replaceOperand(out, start, `"_rs".text_of(`+render(out[start:])+")")
	}
}

func (rw *rewriter) superOperand(out, in []node, i int) {
	if start, found := rw.leftSuper(out, in, i); found {
		replaceOperand(out, start, superNumber(render(out[start:])))
	}
}

// superIn turns the operand of IN into what the first value of the list is.
func (rw *rewriter) superIn(out, in []node, i int) {
	at := i
	if at > 0 && in[at-1].is("not") {
		return
	}
	start, found := rw.leftSuper(out, in, at)
	if kids := in[i+1].kids; found && len(kids) > 0 {
		if first := kids[0]; first.kind == tokString {
			replaceOperand(out, start, `"_rs".text_of(`+render(out[start:])+")")
		} else if first.kind == tokNumber {
			replaceOperand(out, start, superNumber(render(out[start:])))
		}
	}
}

// superComparison compares a SUPER with a value of another type.
func (rw *rewriter) superComparison(out, in []node, i int) ([]node, int, bool, error) {
	end := patternEnd(in, i+1)
	if columns(in[operandStart(in[:i]):i]) && columns(in[i+1:end]) {
		return out, i, false, nil // as joins compare; not worth asking for types
	}
	start, left := rw.leftSuper(out, in, i)
	right := end > i+1 && rw.super(in[i+1:end])
	if left == right || end == i+1 || in[i+1].is("any", "all", "some", "case") {
		return out, i, false, nil
	}
	other, err := rw.expr(in[i+1 : end])
	if err != nil {
		return nil, i, true, err
	}
	if left {
		replaceOperand(out, start, `"_rt".main.as_like(`+render(out[start:])+", "+other+")")
		return append(out, in[i], rawNode(other)), end, true, nil
	}
	from := operandStart(out)
	if from == len(out) {
		return out, i, false, nil
	}
	return append(out, in[i], rawNode(`"_rt".main.as_like(`+other+", "+render(out[from:])+")")), end, true, nil
}

// superArithmetic computes with a SUPER as a number, or joins it as text.
func (rw *rewriter) superArithmetic(out, in []node, i int) ([]node, int, bool, error) {
	wrap := superNumber
	if in[i].op("||") {
		wrap = func(path string) string { return `"_rs".text_of(` + path + ")" }
	}
	start, left := rw.leftSuper(out, in, i)
	if left {
		replaceOperand(out, start, wrap(render(out[start:])))
	}
	end := operandEnd(in, i+1)
	if end == i+1 || !rw.super(in[i+1:end]) || len(out) == 0 || operandStart(out) == len(out) {
		return out, i, false, nil
	}
	right, err := rw.expr(in[i+1 : end])
	return append(out, in[i], rawNode(wrap(right))), end, true, err
}

// scan notes the words of a statement and the aliases and elements of every FROM in it, before any of it is rewritten:
// a select list stands before the FROM that explains it.
func (rw *rewriter) scan(nodes []node) {
	query := len(nodes) > 0 && nodes[0].is("select", "with", "insert", "update", "delete", "merge") || find(nodes, 0, "select") < len(nodes)
	from := false
	for i, n := range nodes {
		if n.open != 0 {
			rw.scan(n.kids)
		}
		if n.name() {
			rw.words[n.val] = true
		}
		switch {
		case !query:
		case n.is("from") && (i == 0 || !nodes[i-1].is("distinct")):
			from = true
			rw.scanItem(nodes, i+1)
		case from && (n.op(",") || n.is("join")):
			rw.scanItem(nodes, i+1)
		case n.is("where", "group", "having", "order", "limit", "union", "except", "intersect", "minus", "select", "set", "qualify", "when"):
			from = false
		}
	}
}

// scanItem notes one item of a FROM.
func (rw *rewriter) scanItem(nodes []node, i int) {
	unpivot := i < len(nodes) && nodes[i].is("unpivot")
	if unpivot {
		i++
	}
	if i >= len(nodes) || !nodes[i].name() {
		return
	}
	path, i := pathAt(nodes, i)
	name := path[len(path)-1].val
	if i < len(nodes) && nodes[i].is("as") {
		i++
	}
	if i < len(nodes) && nodes[i].name() && (nodes[i].kind == tokQuoted || !reserved(nodes[i].val)) && !nodes[i].is("at") {
		name = nodes[i].val
	}
	if unpivot || rw.path(path) {
		rw.elements[name] = true
	}
	rw.aliases[name] = true
}

// pathAt reads a name with its dots and subscripts.
func pathAt(nodes []node, i int) ([]node, int) {
	start := i
	for i++; i < len(nodes); i++ {
		subscript, name := nodes[i].open == '[', nodes[i].name() && nodes[i-1].op(".")
		dot := nodes[i].op(".") && i+1 < len(nodes) && nodes[i+1].name()
		if !subscript && !name && !dot {
			break
		}
	}
	return nodes[start:i], i
}

// path reports whether an item of FROM is a path into a SUPER of an item before it rather than a table.
func (rw *rewriter) path(item []node) bool {
	switch {
	case len(item) == 1:
		return rw.elements[item[0].val]
	case !rw.aliases[item[0].val]:
		return false
	}
	return len(item) != 3 || rw.env.isTable == nil || !rw.env.isTable(tableName{item[0].val, item[2].val})
}

// unnest writes FROM path [AS] element [AT index] and FROM UNPIVOT path AS value AT attribute.
func (rw *rewriter) unnest(out, in []node, i int) ([]node, int, error) {
	unpivot := in[i].is("unpivot")
	if unpivot {
		i++
	}
	path, i := pathAt(in, i)
	text, err := rw.expr(path)
	if err != nil {
		return nil, i, err
	}
	element, index := path[len(path)-1].val, ""
	if i < len(in) && in[i].is("as") {
		i++
	}
	if i < len(in) && in[i].name() && !in[i].is("at") && (in[i].kind == tokQuoted || !reserved(in[i].val)) {
		element = in[i].val
		i++
	}
	if i+1 < len(in) && in[i].is("at") && in[i+1].name() {
		index = in[i+1].val
		i += 2
	}
	name := quoteIdent(element)
	var b strings.Builder
	switch {
	case unpivot:
		if index == "" {
			index = "_at"
		}
		b.WriteString(`(SELECT json_extract(` + text + `, '$."' || "_k" || '"') AS ` + name + `, "_k" AS ` + quoteIdent(index) + ` FROM (SELECT unnest(json_keys(` + text + `)) AS "_k"))`)
	case index != "":
		list := `"_rt".main.elements(` + text + ")"
		b.WriteString("(SELECT unnest(" + list + ") AS " + name + ", unnest(range(len(" + list + "))) AS " + quoteIdent(index) + ")")
	default:
		b.WriteString(`(SELECT unnest("_rt".main.elements(` + text + ")) AS " + name + ")")
	}
	return append(out, rawNode("LATERAL "+b.String()+" AS "+name)), i, nil
}
