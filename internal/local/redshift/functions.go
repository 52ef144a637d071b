package redshift

import (
	"fmt"
	"strings"
)

// call is one function call with its arguments as they were written.
type call struct {
	name        string
	args        [][]node
	distinct    bool
	approximate bool
	nulls       string // IGNORE NULLS, RESPECT NULLS
	within      []node // of WITHIN GROUP (ORDER BY …)
	over        *node  // the window, for functions that become more than one
	table       bool   // in FROM
}

// translator writes a call for DuckDB.
type translator func(rw *rewriter, c call) (string, error)

// call rewrites the function call whose name is at in[at] and whose bracket follows.
func (rw *rewriter) call(out, in []node, at int, name string, approximate bool) ([]node, int, error) {
	c := call{name: name, approximate: approximate, table: rw.inFrom}
	rw.inFrom = false
	kids := in[at+1].kids
	if len(kids) > 0 && kids[0].is("distinct", "all") {
		c.distinct = kids[0].is("distinct")
		kids = kids[1:]
	}
	if len(kids) > 0 && kids[0].is("select", "with") {
		c.args = [][]node{kids}
	} else {
		c.args = splitNodes(kids)
	}
	i := at + 2
	if i+2 < len(in) && in[i].is("within") && in[i+1].is("group") && in[i+2].open == '(' {
		c.within = in[i+2].kids
		i += 3
	}
	if i+1 < len(in) && in[i].is("ignore", "respect") && in[i+1].is("nulls") {
		c.nulls = in[i].val + " nulls"
		i += 2
	}
	if wrapsWindow(name) && i+1 < len(in) && in[i].is("over") {
		c.over = &in[i+1]
		i += 2
	}
	if err := framed(name, in, i); err != nil {
		return nil, i, err
	}
	sql, err := rw.translate(c)
	if err != nil {
		return nil, i, err
	}
	n := rawNode(sql)
	n.pre = in[at].pre
	return append(out, n), i, nil
}

// framed refuses what Redshift refuses of windows: an aggregate over an order without a frame, and a window by name.
func framed(name string, in []node, i int) error {
	var window node
	switch {
	case i > 1 && in[i-2].is("over"): // taken with the call
		window = in[i-1]
	case i+1 < len(in) && in[i].is("over"):
		window = in[i+1]
	default:
		return nil
	}
	if window.name() {
		return syntaxError("syntax error at or near " + quoteNear(window))
	}
	switch name {
	case "sum", "avg", "count", "min", "max", "stddev", "stddev_samp", "stddev_pop", "variance", "var_samp", "var_pop", "bit_and", "bit_or", "bool_and", "bool_or",
		"first_value", "last_value", "nth_value":
	default:
		return nil
	}
	if window.open == '(' && find(window.kids, 0, "order") < len(window.kids) && find(window.kids, 0, "rows", "range", "groups") == len(window.kids) {
		return pgError("0A000", "Aggregate window functions with an ORDER BY clause require a frame clause")
	}
	return nil
}

func (rw *rewriter) translate(c call) (string, error) {
	if t := translatorOf(c.name); t != nil {
		return t(rw, c)
	}
	if err := refusedFunction(c.name); err != nil {
		return "", err
	}
	if least, most, bounded := arity(c.name); bounded && (len(c.args) < least || len(c.args) > most) {
		return "", wrongArguments(c)
	}
	if c.approximate {
		return "", unsupported("APPROXIMATE " + strings.ToUpper(c.name))
	}
	args, err := rw.args(c)
	if err != nil {
		return "", err
	}
	return rw.plain(c, quoteFunction(c.name), args)
}

// quoteFunction leaves words alone that are grammar rather than names.
func quoteFunction(name string) string {
	switch name {
	case "coalesce", "nullif", "exists", "grouping", "substring", "trim", "position", "overlay":
		return name
	}
	return quoteIdent(name)
}

// plain writes an ordinary call.
func (rw *rewriter) plain(c call, name string, args []string) (string, error) {
	var b strings.Builder
	b.WriteString(name + "(")
	if c.distinct {
		b.WriteString("DISTINCT ")
	}
	b.WriteString(strings.Join(args, ", "))
	if c.nulls != "" {
		b.WriteString(" " + c.nulls)
	}
	b.WriteString(")")
	if c.within != nil {
		order, err := rw.expr(c.within)
		if err != nil {
			return "", err
		}
		b.WriteString(" WITHIN GROUP (" + order + ")")
	}
	return b.String(), nil
}

// args rewrites every argument.
func (rw *rewriter) args(c call) ([]string, error) {
	out := make([]string, len(c.args))
	for i, a := range c.args {
		s, err := rw.expr(a)
		if err != nil {
			return nil, err
		}
		out[i] = s
	}
	return out, nil
}

// wrongArguments is Redshift's answer to a call of a known function that none of its forms fits.
func wrongArguments(c call) error {
	return pgError("42883", "function %s with %d arguments does not exist", c.name, len(c.args))
}

// template rewrites the arguments and puts them for $1, $2 …; $* is all of them.
func template(least, most int, tmpl string) translator {
	return func(rw *rewriter, c call) (string, error) {
		if len(c.args) < least || len(c.args) > most {
			return "", wrongArguments(c)
		}
		args, err := rw.args(c)
		if err != nil {
			return "", err
		}
		out := strings.ReplaceAll(tmpl, "$*", strings.Join(args, ", "))
		for i := len(args); i > 0; i-- {
			out = strings.ReplaceAll(out, fmt.Sprintf("$%d", i), "("+args[i-1]+")")
		}
		return out, nil
	}
}

// renamed calls the same thing by DuckDB's name.
func renamed(name string) translator {
	return func(rw *rewriter, c call) (string, error) {
		args, err := rw.args(c)
		if err != nil {
			return "", err
		}
		return rw.plain(c, name, args)
	}
}

// literalOf returns the value of an argument that must be a literal or a bare word.
func literalOf(arg []node) (string, bool) {
	if len(arg) == 1 && !arg[0].raw && arg[0].open == 0 && (arg[0].kind == tokString || arg[0].kind == tokWord || arg[0].kind == tokQuoted || arg[0].kind == tokNumber) {
		return arg[0].val, true
	}
	return "", false
}

// timestampArg rewrites an argument that is a moment; a bare literal needs its type said.
func (rw *rewriter) timestampArg(arg []node) (string, error) {
	s, err := rw.expr(arg)
	if err == nil && len(arg) == 1 && arg[0].kind == tokString {
		s = "TIMESTAMP " + s
	}
	return s, err
}
