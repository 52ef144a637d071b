package cdc

import (
	"encoding/hex"
	"math"
	"strconv"
	"strings"
	"time"
)

// sqliteDialect writes SQLite's SELECTs. Positions and parameters are literals
// of SQL, since a value's storage class is part of it.
type sqliteDialect struct{}

func (sqliteDialect) bind(b *statement, _ *column, text string) string {
	b.values = append(b.values, text)
	return "?" + strconv.Itoa(len(b.values))
}

func (sqliteDialect) text(c *column) string { return "+" + quoteIdent(c.name) }

func (sqliteDialect) version() string { return "" }

func (sqliteDialect) ident(name string) string { return quoteIdent(name) }

func (d sqliteDialect) compare(b *statement, op string, cols []*column, texts []string) string {
	return compareRows(d, b, op, cols, texts)
}

// from rounds down to what the coarsest text shows. Texts with a blank sort
// below those with a T, so the days of T have a condition of their own; the
// first one alone is what an index serves.
func (d sqliteDialect) from(b *statement, c *column, t time.Time) string {
	name, t := quoteIdent(c.name), t.UTC()
	arg := func(text string) string { return d.bind(b, c, sqliteLiteral(text)) }
	switch {
	case c.integer:
		return name + " >= " + d.bind(b, c, strconv.FormatInt(int64(math.Floor(float64(t.UnixMicro())/1e6)), 10))
	case c.dateOnly:
		return name + " >= " + arg(t.Format("2006-01-02"))
	}
	return "(" + name + " >= " + arg(t.Format("2006-01-02 15:04")) + " AND (" + name + " >= " + arg(t.Format("2006-01-02T15:04")) +
		" OR " + name + " < " + arg(t.Format("2006-01-02T")) + "))"
}

// sqliteLiteral writes a value so that parseSQLiteLiteral gives it back.
func sqliteLiteral(v any) string {
	switch x := v.(type) {
	case int64:
		return strconv.FormatInt(x, 10)
	case float64:
		return "r" + strconv.FormatFloat(x, 'g', -1, 64)
	case string:
		return "'" + x + "'"
	case []byte:
		return "x'" + hex.EncodeToString(x) + "'"
	}
	return "NULL"
}

func parseSQLiteLiteral(s string) any {
	if inner, ok := strings.CutPrefix(s, "x'"); ok {
		b, err := hex.DecodeString(strings.TrimSuffix(inner, "'"))
		if err != nil {
			panic("BUG: a blob in the state: " + s)
		}
		return b
	}
	if strings.HasPrefix(s, "'") {
		return s[1 : len(s)-1]
	}
	if r, ok := strings.CutPrefix(s, "r"); ok {
		f, err := strconv.ParseFloat(r, 64)
		if err != nil {
			panic("BUG: a number in the state: " + s)
		}
		return f
	}
	if s == "NULL" {
		return nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		panic("BUG: an integer in the state: " + s)
	}
	return n
}
