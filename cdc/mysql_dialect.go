package cdc

import (
	"encoding/hex"
	"strconv"
	"strings"
	"time"
)

// mysqlDialect writes the SELECTs of MySQL and MariaDB. Parameters are literals:
// the text protocol has no others, and a prepared statement would be one more
// round trip for each page.
type mysqlDialect struct{}

func (mysqlDialect) ident(name string) string {
	return "`" + strings.ReplaceAll(name, "`", "``") + "`"
}

func (mysqlDialect) bind(_ *statement, c *column, text string) string {
	return mysqlLiteral(c, text)
}

func (d mysqlDialect) text(c *column) string {
	if c.position != "" {
		return c.position
	}
	return d.ident(c.name)
}

func (mysqlDialect) version() string { return "" }

// from rounds down to the column's step, so that the server has nothing to round.
func (d mysqlDialect) from(b *statement, c *column, t time.Time) string {
	layout := "2006-01-02 15:04:05.999999"
	if c.dateOnly {
		layout = "2006-01-02"
	}
	return d.ident(c.name) + " >= " + d.bind(b, c, t.UTC().Truncate(max(c.quantum, time.Microsecond)).Format(layout))
}

// compare expands a row value into its members, because the server would scan the
// whole index for one. The first column stands by itself as well: it bounds the
// part of the index that is read.
func (d mysqlDialect) compare(b *statement, op string, cols []*column, texts []string) string {
	first := d.ident(cols[0].name) + " " + op + " " + d.bind(b, cols[0], texts[0])
	if len(cols) == 1 {
		return first
	}
	bound := d.ident(cols[0].name) + " " + op[:1] + "= " + d.bind(b, cols[0], texts[0])
	return bound + " AND " + d.expand(b, op, cols, texts)
}

// expand is a op x OR a = x AND the same of the columns that follow; the last
// one alone is compared with op itself.
func (d mysqlDialect) expand(b *statement, op string, cols []*column, texts []string) string {
	name, mark := d.ident(cols[0].name), d.bind(b, cols[0], texts[0])
	if len(cols) == 1 {
		return name + " " + op + " " + mark
	}
	return "(" + name + " " + op[:1] + " " + mark + " OR (" + name + " = " + mark + " AND " + d.expand(b, op, cols[1:], texts[1:]) + "))"
}

// mysqlLiteral writes a value so that it is compared as its column is: a number
// in quotes would be compared as a float, and a text outside of its character
// set could not be compared by an index.
func mysqlLiteral(c *column, text string) string {
	switch {
	case c.numeric:
		if !isNumber(text) {
			panic("BUG: a number in the state: " + text)
		}
		return text
	case c.binary:
		if _, err := hex.DecodeString(text); err != nil {
			panic("BUG: bytes in the state: " + text)
		}
		return "X'" + text + "'"
	case isPlain(text):
		return "'" + text + "'"
	}
	return "_utf8mb4 X'" + hex.EncodeToString([]byte(text)) + "'"
}

func isNumber(s string) bool {
	_, err := strconv.ParseFloat(s, 64)
	return err == nil && strings.Trim(s, "0123456789+-.eE") == ""
}

// isPlain says whether s stands for itself between quotes in every mode of SQL.
func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' || s[i] == '\'' || s[i] == '\\' {
			return false
		}
	}
	return true
}
