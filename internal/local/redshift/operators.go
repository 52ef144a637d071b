package redshift

import (
	"strings"
)

// infix rewrites the operator at in[i] if DuckDB means something else by it, or if an operand is a SUPER.
func (rw *rewriter) infix(out, in []node, i int) (_ []node, next int, done bool, err error) {
	n := in[i]
	switch {
	case n.op("/"), n.op("%"):
		out, next, err = rw.divide(out, in, i)
		return out, next, true, err
	case n.op("^"):
		return append(out, n), i + 1, true, nil
	case n.op("#"):
		return rw.around(out, in, i, "xor")
	case n.op("|") && i+1 < len(in) && in[i+1].op("/"):
		return rw.prefix(out, in, i+2, "sqrt")
	case n.op("||") && i+1 < len(in) && in[i+1].op("/"):
		return rw.prefix(out, in, i+2, "rs_cbrt")
	case n.is("like", "ilike"), n.op("~~"), n.op("!~~"), n.op("~~*"), n.op("!~~*"):
		out, next, err = rw.like(out, in, i)
		return out, next, true, err
	case n.is("similar") && i+1 < len(in) && in[i+1].is("to"):
		out, next, err = rw.similar(out, in, i)
		return out, next, true, err
	case n.is("interval") && i+1 < len(in) && in[i+1].kind == tokString && !in[i+1].raw:
		out, next, err = rw.interval(out, in, i)
		return out, next, true, err
	case n.is("in") && i+1 < len(in) && in[i+1].open == '(':
		rw.superIn(out, in, i)
	case comparison(n):
		out, next, done, err = rw.superComparison(out, in, i)
		return out, next, done, err
	case n.op("+"), n.op("-"), n.op("*"), n.op("||"):
		out, next, done, err = rw.superArithmetic(out, in, i)
		return out, next, done, err
	}
	return out, i, false, nil
}

func comparison(n node) bool {
	switch n.val {
	case "=", "<>", "!=", "<", ">", "<=", ">=":
		return n.kind == tokOp && !n.raw && n.open == 0
	}
	return false
}

// divide guards the divisor: DuckDB answers NULL where Redshift stops. A divisor that is a number needs no guard.
func (rw *rewriter) divide(out, in []node, i int) ([]node, int, error) {
	end := operandEnd(in, i+1)
	if end == i+1 || in[i+1].kind == tokOp && in[i+1].open == 0 && !in[i+1].op("-") && !in[i+1].op("+") {
		near := "end of input"
		if i+1 < len(in) {
			near = quoteNear(in[i+1])
		}
		return nil, i, syntaxError("syntax error at or near " + near)
	}
	rw.superOperand(out, in, i)
	divisor, err := rw.expr(in[i+1 : end])
	if err != nil {
		return nil, i, err
	}
	if rw.super(in[i+1 : end]) {
		divisor = superNumber(divisor)
	}
	if literal := in[end-1]; literal.kind != tokNumber || strings.Trim(literal.val, "0.") == "" {
		divisor = `"_rt".main.nonzero(` + divisor + ")"
	}
	return append(out, in[i], rawNode(divisor)), end, nil
}

func quoteNear(n node) string { return `"` + n.val + `"` }

// around writes name(left, right) for an operator.
func (rw *rewriter) around(out, in []node, i int, name string) ([]node, int, bool, error) {
	start, end := operandStart(out), operandEnd(in, i+1)
	if start == len(out) || end == i+1 {
		return nil, i, true, syntaxError("syntax error at or near " + quoteNear(in[i]))
	}
	right, err := rw.expr(in[i+1 : end])
	return append(out[:start], rawNode(name+"("+render(out[start:])+", "+right+")")), end, true, err
}

func (rw *rewriter) prefix(out, in []node, i int, name string) ([]node, int, bool, error) {
	end := operandEnd(in, i)
	operand, err := rw.expr(in[i:end])
	return append(out, rawNode(name+"("+operand+")")), end, true, err
}

// patternEnd is the index behind a pattern: operands joined by ||.
func patternEnd(in []node, i int) int {
	end := operandEnd(in, i)
	for end < len(in) && in[end].op("||") {
		end = operandEnd(in, end+1)
	}
	return end
}

// like gives LIKE the escape character that it has on Redshift without being told.
func (rw *rewriter) like(out, in []node, i int) ([]node, int, error) {
	rw.superText(out, in, i)
	end := patternEnd(in, i+1)
	pattern, err := rw.expr(in[i+1 : end])
	if err != nil {
		return nil, i, err
	}
	word := map[string]string{"~~": "LIKE", "!~~": "NOT LIKE", "~~*": "ILIKE", "!~~*": "NOT ILIKE"}[in[i].val]
	if word == "" {
		word = strings.ToUpper(in[i].val)
	}
	out = append(out, rawNode(word), rawNode(pattern))
	if end < len(in) && in[end].is("escape") {
		return out, end, nil
	}
	if literal := in[i+1]; end != i+2 || literal.kind != tokString || strings.Contains(literal.val, `\`) {
		out = append(out, rawNode(`ESCAPE '\'`))
	}
	return out, end, nil
}

// similar writes SIMILAR TO as a regular expression.
func (rw *rewriter) similar(out, in []node, i int) ([]node, int, error) {
	rw.superText(out, in, i)
	end := patternEnd(in, i+2)
	pattern, err := rw.expr(in[i+2 : end])
	if err != nil {
		return nil, i, err
	}
	if end < len(in) && in[end].is("escape") {
		return nil, i, unsupported("SIMILAR TO … ESCAPE")
	}
	return append(out, rawNode("SIMILAR TO rs_similar("+pattern+")")), end, nil
}

// interval reads an INTERVAL literal and the qualifier behind it, such as DAY or HOUR TO SECOND.
func (rw *rewriter) interval(out, in []node, i int) ([]node, int, error) {
	unit, next := "", i+2
	if next < len(in) && in[next].kind == tokWord && in[next].open == 0 {
		if _, found := datePartName(in[next].val); found && !in[next].raw {
			unit = in[next].val
			next++
			if next+1 < len(in) && in[next].is("to") {
				unit += " to " + in[next+1].val
				next += 2
			}
		}
	}
	text, err := intervalText(in[i+1].val, unit)
	return append(out, rawNode("INTERVAL "+quoteString(text))), next, err
}

// foreign refuses what DuckDB's grammar has and Redshift's lacks.
func foreign(out, in []node, i int) error {
	n := in[i]
	prev := node{}
	if len(out) > 0 {
		prev = out[len(out)-1]
	}
	next := node{}
	if i+1 < len(in) {
		next = in[i+1]
	}
	bad := false
	switch {
	case n.open == '[':
		bad = operandStart(out) == len(out) || prev.is("array")
	case n.op("{"), n.op("}"), n.op("->"), n.op("->>"), n.op(":="), n.op("=>"), n.op("]"), n.op(")"):
		bad = true
	case n.op("*"):
		bad = prev.op("*")
	case n.is("exclude", "replace"):
		bad = prev.op("*")
	case n.is("filter"):
		bad = next.open == '(' && len(next.kids) > 0 && next.kids[0].is("where")
	case n.is("all"):
		bad = prev.is("by")
	case n.is("percent"):
		bad = prev.kind == tokNumber
	case n.is("lateral"), n.is("fetch") && next.is("first", "next"):
		bad = true
	case n.is("sample"):
		bad = prev.is("using")
	case n.is("tablesample"):
		bad = next.open == '(' || next.name()
	case n.kind == tokString:
		bad = prev.kind == tokString && !prev.raw
	}
	if !bad {
		return nil
	}
	near := n.val
	if n.kind == tokWord {
		near = strings.ToUpper(near)
	}
	return syntaxError(`syntax error at or near "` + near + `"`)
}

// operator rewrites the regular expression operators, whose DuckDB namesakes match whole strings.
func (rw *rewriter) operator(out, in []node, i int, op string) ([]node, int, error) {
	if !strings.Contains(op, "~") || strings.Contains(op, "~~") {
		return append(out, node{token: token{kind: tokOp, pre: " ", val: op}}), i, nil
	}
	if i > 0 && in[i-1].kind == tokOp {
		rw.superText(out, in, i-1)
	}
	end := patternEnd(in, i)
	right, err := rw.expr(in[i:end])
	if err != nil {
		return nil, i, err
	}
	flags := ""
	if strings.HasSuffix(op, "*") {
		flags = "(?i)"
	}
	not := ""
	if strings.HasPrefix(op, "!") {
		not = "!"
	}
	return append(out, rawNode(not+"~ ('"+flags+`[\s\S]*(?:' || (`+right+`) || ')[\s\S]*')`)), end, nil
}
