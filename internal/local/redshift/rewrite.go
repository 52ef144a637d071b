package redshift

import (
	"strings"
	"time"
)

// environment is what a statement's text may ask of its session.
type environment struct {
	now       time.Time // the statement's clock, UTC
	user      string
	database  string
	schema    string // first of the search path
	path      []string
	pid       int32
	copyCount int64
	copyID    int64
	untyped   bool                                                  // the statement holds an argument whose type is not known when macros are bound
	catalogue func(tableName) (query string, found bool)            // what the session alone sees of the catalogue; may be nil
	supers    func(words map[string]bool) (columns map[string]bool) // SUPER columns of the tables among words; may be nil
	isTable   func(name tableName) bool                             // may be nil
	temps     string                                                // oids of the session's temporary tables, joined by commas
}

// rewriter turns Redshift's expressions and queries into DuckDB's, over one statement.
type rewriter struct {
	env      environment
	reads    []tableName     // tables in FROM, catalogue and CTEs left out
	ctes     map[string]bool // names that WITH defines; scopes are not told apart
	elements map[string]bool // names of what FROM unnests
	aliases  map[string]bool // of all items of FROM
	words    map[string]bool // of the statement
	supers   map[string]bool // names of SUPER columns, once somebody asked
	limit    string          // of a TOP that waits for its query's end
	live     bool            // the text is kept (a view, a default): the clock is read when it runs
	inFrom   bool            // the next call is a table
	leader   string          // a function that runs on the leader node alone
}

func newRewriter(env environment) *rewriter {
	return &rewriter{env: env, ctes: map[string]bool{}, elements: map[string]bool{}, aliases: map[string]bool{}, words: map[string]bool{}}
}

// query rewrites a whole SELECT.
func (rw *rewriter) query(nodes []node) (string, error) {
	rw.scan(nodes)
	out, err := rw.list(nodes, clauses{on: true})
	return render(out), err
}

// expr rewrites an expression, in which FROM is not a clause.
func (rw *rewriter) expr(nodes []node) (string, error) {
	on := len(nodes) > 0 && nodes[0].is("select", "with")
	out, err := rw.list(nodes, clauses{on: on})
	return render(out), err
}

// clauses is where in a query the walk stands.
type clauses struct {
	on     bool // FROM and its like are clauses here
	from   bool // between FROM and the next clause
	expect bool // the next node is a table
}

func (c *clauses) step(n node, out []node) {
	if !c.on {
		return
	}
	switch {
	case n.is("from") && (len(out) == 0 || !out[len(out)-1].is("distinct")):
		c.from, c.expect = true, true
	case n.is("join", "into", "update"), c.from && n.op(","):
		c.expect = true
	case n.is("where", "group", "having", "order", "limit", "union", "except", "intersect", "minus", "select", "set", "window", "qualify", "values", "when", "offset"):
		c.from, c.expect = false, false
	}
}

// list rewrites nodes in order; c is where the list begins.
func (rw *rewriter) list(in []node, c clauses) ([]node, error) {
	limitOutside := rw.limit
	rw.limit = ""
	out := make([]node, 0, len(in)+4)
	for i := 0; i < len(in); {
		c.step(in[i], out)
		var err error
		if c.expect && (in[i].name() && !in[i].is("from", "join", "lateral", "only", "into", "update") || in[i].open == '(' || in[i].kind == tokString && !in[i].raw) {
			c.expect = false
			out, i, err = rw.table(out, in, i)
		} else {
			out, i, err = rw.node(out, in, i)
		}
		if err != nil {
			return nil, err
		}
	}
	if rw.limit != "" {
		out = append(out, rawNode("LIMIT "+rw.limit))
	}
	rw.limit = limitOutside
	return out, nil
}

// node rewrites what begins at in[i] and is no table.
func (rw *rewriter) node(out, in []node, i int) ([]node, int, error) {
	n := in[i]
	if err := foreign(out, in, i); err != nil {
		return nil, i, err
	}
	if out, next, done, err := rw.infix(out, in, i); done || err != nil {
		return out, next, err
	}
	switch {
	case n.is("with") && i == 0:
		return rw.with(out, in, i)
	case n.is("select"):
		return rw.selectWord(out, in, i)
	case n.is("minus"):
		return append(out, word("except")), i + 1, nil
	case n.is("collate"):
		_, next := nameAt(in, i+1)
		return out, next, nil
	case n.is("operator") && i+1 < len(in) && in[i+1].open == '(' && len(in[i+1].kids) > 0:
		kids := in[i+1].kids
		return rw.operator(out, in, i+2, kids[len(kids)-1].val)
	case n.op("::"):
		return rw.cast(out, in, i+1)
	case n.kind == tokOp && !n.raw && strings.HasSuffix(strings.TrimSuffix(n.val, "*"), "~") && !strings.Contains(n.val, "~~") && operandStart(in[:i]) < i: // else it inverts bits
		return rw.operator(out, in, i+1, n.val)
	case n.open != 0:
		return rw.group(out, in, i)
	case n.name():
		return rw.named(out, in, i)
	}
	return append(out, n), i + 1, nil
}

func (rw *rewriter) group(out, in []node, i int) ([]node, int, error) {
	n := in[i]
	on := len(n.kids) > 0 && (n.kids[0].is("select", "with", "values") || n.kids[0].open == '(')
	kids, err := rw.list(n.kids, clauses{on: on})
	n.kids = kids
	return append(out, n), i + 1, err
}

// selectWord copies SELECT and takes out TOP.
func (rw *rewriter) selectWord(out, in []node, i int) ([]node, int, error) {
	out = append(out, in[i])
	i++
	if i+1 < len(in) && in[i].is("distinct") && in[i+1].is("on") {
		return nil, i, pgError("0A000", "SELECT DISTINCT ON is not supported")
	}
	if i < len(in) && in[i].is("distinct", "all") {
		out = append(out, in[i])
		i++
	}
	if i+1 < len(in) && in[i].is("top") && in[i+1].kind == tokNumber {
		rw.limit = in[i+1].val
		i += 2
	}
	return out, i, nil
}

// with copies the head of common table expressions and rewrites their bodies.
func (rw *rewriter) with(out, in []node, i int) ([]node, int, error) {
	out = append(out, in[i])
	i++
	if i < len(in) && in[i].is("recursive") {
		out = append(out, in[i])
		i++
	}
	for i < len(in) && in[i].name() {
		rw.ctes[in[i].val] = true
		end := i + 1
		if end < len(in) && in[end].open == '(' {
			end++
		}
		if end+1 >= len(in) || !in[end].is("as") || in[end+1].open != '(' {
			return nil, i, syntaxError("syntax error in WITH")
		}
		out = append(out, in[i:end+1]...)
		body := in[end+1]
		kids, err := rw.list(body.kids, clauses{on: true})
		if err != nil {
			return nil, i, err
		}
		body.kids = kids
		out = append(out, body)
		i = end + 2
		if i >= len(in) || !in[i].op(",") {
			break
		}
		out = append(out, in[i])
		i++
	}
	return out, i, nil
}

// table rewrites one item of a FROM list and copies its alias.
func (rw *rewriter) table(out, in []node, i int) ([]node, int, error) {
	n := in[i]
	if n.is("unpivot") && i+1 < len(in) && in[i+1].name() {
		return rw.unnest(out, in, i)
	}
	if n.name() {
		if path, _ := pathAt(in, i); rw.path(path) {
			return rw.unnest(out, in, i)
		}
	}
	switch {
	case n.kind == tokString:
		return nil, i, unsupported("reading files")
	case n.open == '(':
		if len(n.kids) == 0 {
			return nil, i, syntaxError(`syntax error at or near ")"`)
		}
		isQuery := n.kids[0].is("select", "with", "values")
		kids, err := rw.list(n.kids, clauses{on: true, from: !isQuery, expect: !isQuery})
		if err != nil {
			return nil, i, err
		}
		n.kids = kids
		out = append(out, n)
		i++
	default:
		parts, next := nameAt(in, i)
		into := len(out) > 0 && out[len(out)-1].is("into")
		if next < len(in) && in[next].open == '(' && !into && len(parts) > 0 {
			var err error
			rw.inFrom = true
			if out, i, err = rw.named(out, in, i); err != nil {
				return nil, i, err
			}
			out = rowOf(out, parts[len(parts)-1], aliased(in, i))
			break
		}
		name, next, err := tableAt(in, i)
		if err != nil {
			return nil, i, err
		}
		sql, err := rw.relation(name)
		if err != nil {
			return nil, i, err
		}
		node := rawNode(sql)
		node.pre = n.pre
		out = append(out, node)
		if sql != name.sql() && !aliased(in, next) {
			out = append(out, rawNode(quoteIdent(name.table)))
		}
		i = next
		if into && i < len(in) && in[i].open == '(' {
			return append(out, in[i]), i + 1, nil
		}
	}
	return copyAlias(out, in, i)
}

// rowOf makes a table of one row of the call that out ends with, unless it returns rows itself.
func rowOf(out []node, name string, aliased bool) []node {
	last := &out[len(out)-1]
	for _, rows := range [...]string{"generate_series(", "unnest(", "(SELECT "} {
		if strings.HasPrefix(last.val, rows) {
			return out
		}
	}
	last.val = " (SELECT " + last.val + " AS " + quoteIdent(name) + ")"
	if !aliased {
		out = append(out, rawNode(quoteIdent(name)))
	}
	return out
}

// aliased reports whether an alias stands at i.
func aliased(in []node, i int) bool {
	return i < len(in) && (in[i].is("as") || in[i].name() && !reserved(in[i].val))
}

// copyAlias copies PIVOT or UNPIVOT (…) and [AS] alias [(columns)], which would otherwise read as a function.
func copyAlias(out, in []node, i int) ([]node, int, error) {
	if i+1 < len(in) && in[i].is("pivot", "unpivot") && in[i+1].open == '(' {
		out = append(out, rawNode(strings.ToUpper(in[i].val)), in[i+1])
		i += 2
	}
	if i < len(in) && in[i].is("as") {
		out = append(out, in[i])
		i++
	}
	if i < len(in) && in[i].name() && (in[i].kind == tokQuoted || !reserved(in[i].val)) {
		out = append(out, in[i])
		i++
		if i < len(in) && in[i].open == '(' {
			out = append(out, untyped(in[i]))
			i++
		}
	}
	return out, i, nil
}

// untyped takes the types out of an alias's columns; a function that returns records has them.
func untyped(columns node) node {
	var kids []node
	for k, part := range splitNodes(columns.kids) {
		if k > 0 {
			kids = append(kids, node{token: token{kind: tokOp, val: ","}})
		}
		kids = append(kids, part[:min(len(part), 1)]...)
	}
	columns.kids = kids
	return columns
}

// relation returns DuckDB's name for a table and notes that it is read.
func (rw *rewriter) relation(name tableName) (string, error) {
	if name.schema == "" && rw.ctes[name.table] {
		return quoteIdent(name.table), nil
	}
	if rw.env.catalogue != nil {
		if query, found := rw.env.catalogue(name); found {
			if rw.live {
				return "", unsupported("views over " + name.table)
			}
			return "(" + query + ")", nil
		}
	}
	if sql, found, err := catalogRelation(name); found || err != nil {
		return sql, err
	}
	rw.reads = append(rw.reads, name)
	return name.sql(), nil
}

// named rewrites a name, a function call, or a word that stands for a value.
func (rw *rewriter) named(out, in []node, i int) ([]node, int, error) {
	n := in[i]
	if n.kind == tokWord {
		afterDot := len(out) > 0 && out[len(out)-1].op(".")
		switch {
		case n.val == "approximate" && i+2 < len(in) && in[i+1].name() && in[i+2].open == '(':
			return rw.call(out, in, i+1, in[i+1].val, true)
		case n.val == "array" && i+1 < len(in) && len(in[i+1].kids) > 0 && in[i+1].kids[0].is("select"): // psql asks so
			return append(out, n), i + 1, nil
		case keywordBeforeParen(n.val) && !afterDot:
			return append(out, n), i + 1, nil
		case !afterDot && (i+1 >= len(in) || !in[i+1].op(".") && in[i+1].open != '('):
			if sql, found := rw.value(n.val); found {
				return append(out, rawNode(sql)), i + 1, nil
			}
		}
	}
	parts, next := nameAt(in, i)
	if len(parts) > 1 && rw.elements[parts[0]] { // the element is a column of a table of its own name
		out = append(out, n, node{token: token{kind: tokOp, val: "."}}, node{token: token{kind: n.kind, val: n.val}})
		return append(out, in[i+1:next]...), next, nil
	}
	if len(parts) > 0 && next < len(in) && in[next].open == '(' {
		if len(parts) > 1 && parts[0] != "pg_catalog" && parts[0] != "millstream_local" && parts[0] != "information_schema" {
			return nil, i, pgError("42883", "function %s does not exist", strings.Join(parts, "."))
		}
		out, after, err := rw.call(out, in, next-1, parts[len(parts)-1], false)
		if err == nil {
			out[len(out)-1].pre = n.pre
		}
		return out, after, err
	}
	return append(out, in[i:next]...), next, nil
}

// value is what a word without brackets stands for.
func (rw *rewriter) value(name string) (string, bool) {
	switch name {
	case "sysdate":
		return rw.timestamp(rw.env.now), true
	case "current_user", "session_user", "user", "current_user_id":
		return quoteString(rw.env.user), true
	case "current_timestamp":
		return "CAST(" + rw.timestamp(rw.env.now) + " AS TIMESTAMPTZ)", true
	case "current_date":
		return "CAST(" + rw.timestamp(rw.env.now) + " AS DATE)", true
	}
	return "", false
}

func (rw *rewriter) timestamp(t time.Time) string {
	if rw.live {
		return "CAST(now() AS TIMESTAMP)"
	}
	return "TIMESTAMP " + quoteString(t.UTC().Format("2006-01-02 15:04:05.000000"))
}
