package cdc

import "strings"

// isPattern says whether a name of the configuration stands for several tables.
func isPattern(name string) bool { return strings.Contains(name, "*") }

// matches says whether name is one of pattern's tables. An asterisk stands for
// any characters but the dot between schema and table; a pattern without a dot
// is one of tables in any schema.
func matches(pattern, schema, table string) bool {
	ps, pt, dotted := strings.Cut(pattern, ".")
	if !dotted {
		return glob(pattern, table)
	}
	return glob(ps, schema) && glob(pt, table)
}

func glob(pattern, name string) bool {
	first, rest, wild := strings.Cut(pattern, "*")
	if !wild {
		return pattern == name
	}
	name, ok := strings.CutPrefix(name, first)
	if !ok {
		return false
	}
	for i := 0; i <= len(name); i++ {
		if glob(rest, name[i:]) {
			return true
		}
	}
	return false
}
