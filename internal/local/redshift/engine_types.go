//go:build cgo

package redshift

import (
	"regexp"
	"strings"
)

var noFunction = regexp.MustCompile(`^(?:No function matches the given name and argument types '|Could not choose a best candidate function for the function call ")([^(\s]+)\((.*)\)['"]`)

// missingFunction turns DuckDB's complaint about a function or operator that none of its forms fits into Redshift's.
func missingFunction(msg string) *sqlError {
	m := noFunction.FindStringSubmatch(msg)
	if m == nil {
		return nil
	}
	name := strings.TrimPrefix(m[1], "rs_")
	args := strings.Split(depthless(m[2]), "\x00")
	for i, a := range args {
		args[i] = engineType(strings.TrimSpace(a))
	}
	if c := name[0]; c != '_' && (c < 'a' || c > 'z') {
		text := strings.Join(args, " "+name+" ")
		if len(args) == 1 {
			text = name + " " + args[0]
		}
		return &sqlError{code: "42883", msg: "operator does not exist: " + text, hint: "No operator matches the given name and argument type(s). You may need to add explicit type casts."}
	}
	return &sqlError{
		code: "42883", msg: "function " + name + "(" + strings.Join(args, ", ") + ") does not exist",
		hint: "No function matches the given name and argument types. You may need to add explicit type casts.",
	}
}

// depthless replaces the commas outside brackets by NUL.
func depthless(args string) string {
	depth := 0
	return strings.Map(func(r rune) rune {
		switch r {
		case '(':
			depth++
		case ')':
			depth--
		case ',':
			if depth == 0 {
				return 0
			}
		}
		return r
	}, args)
}

// engineType is Redshift's name for one of DuckDB's types.
func engineType(duck string) string {
	switch duck {
	case "INTEGER_LITERAL":
		return "integer"
	case "STRING_LITERAL", `"NULL"`:
		return "unknown"
	}
	declared := fromDuck(duck).declared
	name, _, _ := strings.Cut(declared, "(")
	return name
}
