package redshift

// outputName is what Redshift calls an item of a select list, empty if only the catalogue can tell.
func outputName(item []node) (name string, star bool) {
	n := len(item)
	if n == 0 {
		return "", false
	}
	last := item[n-1]
	switch {
	case last.op("*") && (n == 1 || item[n-2].op(".")):
		return "", true
	case n >= 2 && item[n-2].is("as") && last.name():
		return last.val, false
	case n >= 2 && last.name() && aliasable(item[n-2]) && (last.kind == tokQuoted || !reserved(last.val)):
		return last.val, false
	}
	for i := n - 2; i > 0; i-- { // the name of expr::type is the expression's
		if item[i].op("::") {
			if _, next, err := typeAt(item, i+1); err == nil && next == n {
				return outputName(item[:i])
			}
		}
	}
	if parts, next := nameAt(item, 0); len(parts) > 0 && !item[0].is("case", "not") {
		switch {
		case next == n && (item[0].kind == tokQuoted || !item[0].is("null", "true", "false", "sysdate")):
			return parts[len(parts)-1], false
		case next == n && item[0].is("sysdate"):
			return "sysdate", false
		case next == n:
			return "?column?", false
		case item[next].open == '(' && callEnds(item, next+1):
			return callName(parts[len(parts)-1], item[next].kids), false
		case item[0].is("approximate") && n > 2:
			return outputName(item[1:])
		}
	}
	if item[0].is("case") && last.is("end") {
		return "case", false
	}
	if last.name() && n >= 2 && item[n-2].op(".") { // navigation into a SUPER
		return last.val, false
	}
	return "?column?", false
}

// callName is the name of a function's column; a CAST has that of what it casts.
func callName(name string, args []node) string {
	if name == "cast" {
		if as := find(args, 0, "as"); as < len(args) {
			if inner, _ := outputName(args[:as]); inner != "?column?" {
				return inner
			}
			if t, _, err := typeAt(args, as+1); err == nil {
				return t.declared
			}
		}
	}
	return name
}

// aliasable reports whether a bare name behind n is an alias rather than a part of an expression.
func aliasable(n node) bool {
	return n.raw || n.open != 0 || n.kind == tokString || n.kind == tokNumber || n.is("end", "null", "true", "false", "sysdate") ||
		n.name() && !reserved(n.val)
}

// callEnds reports whether what follows a call's bracket belongs to the call.
func callEnds(item []node, i int) bool {
	for i < len(item) {
		switch {
		case item[i].is("over", "filter") && i+1 < len(item):
			i += 2
		case item[i].is("within") && i+2 < len(item):
			i += 3
		case item[i].is("ignore", "respect") && i+1 < len(item):
			i += 2
		default:
			return false
		}
	}
	return true
}

// rename gives the columns of a query Redshift's names instead of DuckDB's; behind a star it counts from the end.
func rename(cols []column, query []node) {
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
	if start+1 < len(query) && query[start].is("top") && query[start+1].kind == tokNumber {
		start += 2
	}
	end := selectEnd(query, start)
	items := splitNodes(query[start:end])
	stars := 0
	for _, item := range items {
		if _, star := outputName(item); star {
			stars++
		}
	}
	if stars > 1 || stars == 0 && len(items) != len(cols) || stars == 1 && len(items)-1 > len(cols) {
		return
	}
	at := 0
	for i, item := range items {
		name, star := outputName(item)
		if star {
			at = len(cols) - (len(items) - 1 - i)
			continue
		}
		if name != "" {
			cols[at].name = name
		}
		at++
	}
}

// selectEnd is the index behind a select list that begins at i. WITHIN GROUP is part of it.
func selectEnd(query []node, i int) int {
	for {
		i = find(query, i, "from", "where", "group", "order", "limit", "union", "except", "intersect", "minus", "having", "qualify", "into")
		if i == len(query) || i == 0 || !query[i-1].is("within") {
			return i
		}
		i++
	}
}
