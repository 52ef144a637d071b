package warehouse

import (
	"fmt"
	"strings"
	"time"
)

// maxNameBytes is where Redshift cuts names in silence.
const maxNameBytes = 127

// Ident quotes a name. All names are quoted: timestamp is one of ours and a
// reserved word.
func Ident(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// Literal quotes a text. The backslash is doubled too, because Redshift reads
// it as an escape whatever standard_conforming_strings would say. A NUL is
// refused by Conn, which is the one way out.
func Literal(text string) string {
	return `'` + strings.ReplaceAll(strings.ReplaceAll(text, `\`, `\\`), `'`, `''`) + `'`
}

// Time is a TIMESTAMP literal with milliseconds, UTC.
func Time(t time.Time) string { return t.UTC().Format(`'2006-01-02 15:04:05.000'`) }

// TimeOrNull is Time, and NULL for the zero time.
func TimeOrNull(t time.Time) string {
	if t.IsZero() {
		return "NULL"
	}
	return Time(t)
}

// cut returns text of at most n bytes and on a rune border: a VARCHAR counts
// bytes.
func cut(text string, n int) string {
	text = strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", ""), "\uFFFD")
	if len(text) <= n {
		return text
	}
	return strings.ToValidUTF8(text[:n], "")
}

// Name is a table's schema and name.
type Name struct{ Schema, Table string }

// ParseName takes schema.table apart.
func ParseName(target string) (Name, error) {
	schema, table, ok := strings.Cut(target, ".")
	n := Name{schema, table}
	if !ok || schema == "" || table == "" {
		return n, fmt.Errorf("target %q: want schema.table", target)
	}
	if len(schema) > maxNameBytes || len(table) > maxNameBytes {
		return n, fmt.Errorf("target %q: names have at most %d bytes", target, maxNameBytes)
	}
	return n, nil
}

func (n Name) String() string { return n.Schema + "." + n.Table }

// SQL is the quoted name.
func (n Name) SQL() string { return Ident(n.Schema) + "." + Ident(n.Table) }

// idents quotes names and separates them by commas.
func idents(names []string) string {
	return join(names, ", ", Ident)
}

// literals quotes texts and separates them by commas.
func literals(texts []string) string {
	return join(texts, ", ", Literal)
}

// join writes each element of a list with f.
func join[T any](list []T, sep string, f func(T) string) string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = f(v)
	}
	return strings.Join(out, sep)
}
