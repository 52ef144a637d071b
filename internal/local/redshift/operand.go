package redshift

// reserved reports whether a bare word ends an expression or a FROM item rather than names something.
func reserved(w string) bool {
	switch w {
	case "all", "and", "any", "as", "asc", "between", "case", "check", "cross", "current_date", "current_timestamp", "current_user",
		"default", "desc", "distinct", "else", "end", "except", "exists", "false", "fetch", "for", "foreign", "from", "full", "group", "having",
		"ignore", "ilike", "in", "inner", "intersect", "into", "is", "isnull", "join", "lateral", "left", "like", "limit", "minus", "natural", "not",
		"notnull", "null", "nulls", "offset", "on", "only", "or", "order", "outer", "over", "overlaps", "primary", "qualify", "references",
		"respect", "right", "select", "session_user", "set", "similar", "some", "table", "then", "to", "top", "true", "union", "unique", "user",
		"using", "values", "when", "where", "window", "with", "within":
		return true
	}
	return false
}

// keywordBeforeParen reports whether a bracket behind w is no argument list.
func keywordBeforeParen(w string) bool {
	switch w {
	case "left", "right", "isnull", "user", "current_user", "session_user", "current_date", "current_timestamp":
		return false
	case "by", "filter", "interval", "row", "sets", "rollup", "cube", "escape", "partition", "update", "insert", "delete", "matched", "rows", "range":
		return true
	}
	return reserved(w)
}

// operandStart returns where the postfix expression begins that out ends with, len(out) if there is none.
func operandStart(out []node) int {
	j := len(out) - 1
	for j >= 0 && out[j].open == '[' {
		j--
	}
	if j < 0 {
		return len(out)
	}
	switch n := out[j]; {
	case n.raw:
		return j
	case n.open == '(':
		if j > 0 && out[j-1].is("over", "filter", "group") {
			if out[j-1].is("group") {
				j--
			}
			return operandStart(out[:j-1])
		}
		if j > 0 && out[j-1].name() && !reserved(out[j-1].val) {
			return chainStart(out, j-1)
		}
		return j
	case n.is("end"):
		return caseStart(out, j)
	case n.kind == tokString && j > 0 && out[j-1].is("date", "timestamp", "timestamptz", "time", "interval"):
		return j - 1
	case n.kind == tokString, n.kind == tokNumber, n.kind == tokParam:
		return j
	case n.is("null", "true", "false"):
		return j
	case n.name() && (n.kind == tokQuoted || !reserved(n.val)):
		return chainStart(out, j)
	}
	return len(out)
}

// chainStart walks back over a dotted name that ends at j, and over what its first part hangs on.
func chainStart(out []node, j int) int {
	for j >= 2 && out[j-1].op(".") {
		if start := operandStart(out[:j-1]); start < j-1 {
			return start
		}
		j -= 2
	}
	return j
}

func caseStart(out []node, j int) int {
	depth := 0
	for ; j >= 0; j-- {
		switch {
		case out[j].is("end"):
			depth++
		case out[j].is("case"):
			if depth--; depth == 0 {
				return j
			}
		}
	}
	return len(out)
}

// operandEnd returns the index behind the postfix expression that begins at in[i].
func operandEnd(in []node, i int) int {
	if i < len(in) && (in[i].op("-") || in[i].op("+")) {
		i++
	}
	if i >= len(in) {
		return i
	}
	if in[i].is("case") {
		for depth := 0; i < len(in); i++ {
			if in[i].is("case") {
				depth++
			} else if in[i].is("end") {
				if depth--; depth == 0 {
					i++
					break
				}
			}
		}
	} else if in[i].name() {
		_, i = nameAt(in, i)
		if i < len(in) && in[i].open == '(' {
			i++
		}
	} else {
		i++
	}
	for i < len(in) {
		switch {
		case in[i].open == '[':
			i++
		case in[i].op("::"):
			_, next, err := typeAt(in, i+1)
			if err != nil {
				return i
			}
			i = next
		default:
			return i
		}
	}
	return i
}
