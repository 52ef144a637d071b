package warehouse

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Bound writes an end of a range as SQL for a column of type t. cdc writes
// times as RFC 3339 in UTC, or as the origin's own wall clock, and numbers as
// they are.
func (t Type) Bound(text string) (string, error) {
	switch t.Kind {
	case SmallInt, Integer, BigInt, Numeric, Real, Double:
		if _, err := strconv.ParseFloat(text, 64); err != nil || strings.ContainsAny(text, "xXpP_nN") {
			return "", fmt.Errorf("%q is no number", text)
		}
		return text, nil
	case Varchar:
		return Literal(text), nil
	case Timestamp, TimestampTZ, Date:
		for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999", "2006-01-02 15:04:05.999999", "2006-01-02 15:04:05.999999Z07", time.DateOnly} {
			at, err := time.Parse(layout, text)
			if err != nil {
				continue
			}
			if t.Kind == TimestampTZ {
				return "CAST(" + at.UTC().Format(`'2006-01-02 15:04:05.000000+00'`) + " AS TIMESTAMPTZ)", nil
			}
			return "CAST(" + at.UTC().Format(`'2006-01-02 15:04:05.000000'`) + " AS TIMESTAMP)", nil
		}
		return "", fmt.Errorf("%q is no time", text)
	default:
	}
	return "", fmt.Errorf("a column of type %s has no ranges", t.SQL())
}

// BoundViews returns the views over a table that are bound to the table itself
// and not to its name: they would go on showing a table that was swapped out,
// and keep it from being dropped. The definition of a late-binding view is its
// whole statement.
func (c *Conn) BoundViews(ctx context.Context, n Name) ([]string, error) {
	res, err := c.Exec(ctx, "SELECT schemaname, viewname, definition FROM pg_views WHERE definition LIKE "+Literal("%"+likeEscape(n.Table)+"%")+" ORDER BY 1, 2")
	if err != nil {
		return nil, err
	}
	var out []string
	for _, row := range res.Rows {
		text := strings.ToLower(strings.ReplaceAll(row[2], `"`, ""))
		if strings.Contains(text, "no schema binding") || !mentionsName(text, strings.ToLower(n.String())) {
			continue
		}
		out = append(out, row[0]+"."+row[1])
	}
	return out, nil
}

// likeEscape keeps LIKE from reading name's own bytes as wild cards; the
// underscore may match any byte, which only finds more.
func likeEscape(name string) string {
	return strings.NewReplacer(`\`, "_", "%", "_").Replace(name)
}

// mentionsName says that name stands in text with no letter, digit or
// underscore on either side.
func mentionsName(text, name string) bool {
	for i := 0; ; {
		at := strings.Index(text[i:], name)
		if at < 0 {
			return false
		}
		before, after := i+at-1, i+at+len(name)
		if (before < 0 || !nameByte(text[before])) && (after >= len(text) || !nameByte(text[after])) {
			return true
		}
		i = after
	}
}

func nameByte(b byte) bool {
	return b == '_' || b == '$' || b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 0x80
}

// Like returns the compression of a table's columns by name, and l with the
// table's own distribution. Of an empty table Redshift may not tell it.
func (c *Conn) Like(ctx context.Context, n Name, l Layout) (map[string]string, Layout, error) {
	res, err := c.Exec(ctx, "SELECT column_name, encoding FROM svv_redshift_columns WHERE schema_name = "+Literal(n.Schema)+" AND table_name = "+Literal(n.Table))
	if err != nil {
		return nil, l, err
	}
	encodings := map[string]string{}
	for _, row := range res.Rows {
		encodings[row[0]] = row[1]
	}
	if res, err = c.Exec(ctx, `SELECT diststyle FROM svv_table_info WHERE "schema" = `+Literal(n.Schema)+` AND "table" = `+Literal(n.Table)); err != nil {
		return nil, l, err
	}
	for _, row := range res.Rows {
		switch style, column, _ := strings.Cut(strings.TrimSuffix(row[0], ")"), "("); style {
		case "ALL", "EVEN":
			l.DistKey, l.Style = "", style
		case "KEY":
			l.DistKey = column
		}
	}
	return encodings, l, nil
}

// KeptEncoding is the encoding that a column of type t takes over from an older
// one of the same kind; empty where that one would keep a VARCHAR from being
// widened, or is none.
func KeptEncoding(t Type, old string) string {
	switch old = strings.ToLower(old); old {
	case "none", "raw":
		return "raw"
	case "az64", "zstd", "lzo", "delta", "delta32k", "mostly8", "mostly16", "mostly32":
		return old
	case "bytedict", "runlength":
		if t.Kind != Varchar {
			return old
		}
	}
	return ""
}
