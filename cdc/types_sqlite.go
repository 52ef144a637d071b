package cdc

import (
	"encoding/json"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/wire"
)

var declaredType = regexp.MustCompile(`^\s*([A-Za-z_ ]*?)\s*(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?\s*$`)

// sqliteColumn maps a declared type: SQLite types values one by one, so the
// declaration is only what the application means.
func sqliteColumn(name, declared string) column {
	c := column{name: name, origin: declared, expr: "+" + quoteIdent(name)} // the sign hides the declared type from the driver, which would parse dates
	word, a, b := strings.ToUpper(strings.TrimSpace(declared)), 0, 0
	if m := declaredType.FindStringSubmatch(declared); m != nil {
		word = strings.ToUpper(m[1])
		a, _ = strconv.Atoi(m[2])
		b, _ = strconv.Atoi(m[3])
	}
	switch word {
	case "INTEGER", "INT", "BIGINT", "SMALLINT", "TINYINT", "MEDIUMINT", "INT2", "INT8":
		c.setType(valueInt, event.FormNumber, wire.Int64, "BIGINT")
		c.cursor = cursorInteger
	case "REAL", "DOUBLE", "FLOAT", "DOUBLE PRECISION":
		c.setType(valueFloat64, event.FormNumber, wire.Float64, "DOUBLE PRECISION")
	case "BOOLEAN", "BOOL":
		c.setType(valueBool, event.FormBool, wire.Bool, "BOOLEAN")
	case "DECIMAL", "NUMERIC":
		if a >= 1 && a <= 38 && b <= 37 && b <= a {
			t := wire.Decimal(a, b)
			c.setType(valueDecimal, event.FormText, t, "NUMERIC"+strings.TrimPrefix(string(t), "decimal"))
			break
		}
		c.setType(valueText, event.FormText, wire.String, varchar(0))
	case "DATE":
		c.setType(valueDate, event.FormDays, wire.Date, "DATE")
		c.cursor, c.quantum, c.dateOnly = cursorStamp, 24*time.Hour, true
	case "DATETIME", "TIMESTAMP":
		c.setType(valueISO, event.FormISO, wire.Timestamp, "TIMESTAMP")
		c.cursor = cursorStamp
	case "JSON":
		c.setType(valueJSON, event.FormJSONText, wire.JSON, "SUPER")
	case "BLOB":
		c.setType(valueBytes, event.FormBase64, wire.Bytes, "VARBYTE(1000000)")
	case "VARCHAR", "CHAR", "NVARCHAR", "CHARACTER":
		// SQLite does not enforce the length, so it promises nothing.
		c.setType(valueText, event.FormText, wire.String, varchar(0))
	default:
		c.setType(valueText, event.FormText, wire.String, varchar(0))
	}
	return c
}

// sqlite writes a value: int64, float64, string, []byte or nil.
func (e *encoder) sqlite(c *column, v any) {
	e.open(c)
	defer e.close()
	if v == nil {
		e.after = append(e.after, "null"...)
		return
	}
	ok := false
	switch c.kind {
	case valueInt:
		ok = e.sqliteInt(v)
	case valueFloat64:
		ok = e.sqliteFloat(v)
	case valueBool:
		if n, is := v.(int64); is && (n == 0 || n == 1) {
			e.after, ok = strconv.AppendBool(e.after, n == 1), true
		}
	case valueDecimal:
		if s, is := sqliteText(v); is {
			e.decimal(c, s)
			ok = true
		}
	case valueDate:
		ok = e.sqliteDate(v)
	case valueISO:
		ok = e.sqliteTime(c, v)
	case valueJSON:
		if s, is := v.(string); is && json.Valid([]byte(s)) {
			e.json(c, s)
			ok = true
		}
	case valueBytes:
		e.bytes(c, sqliteBytes(v))
		ok = true
	default:
		if s, is := sqliteText(v); is {
			e.text(c, s)
			ok = true
		}
	}
	if !ok {
		e.after = append(e.after, "null"...)
		e.tell(c, toldSQLite(v))
	}
}

func (e *encoder) sqliteInt(v any) bool {
	switch n := v.(type) {
	case int64:
		e.after = strconv.AppendInt(e.after, n, 10)
		return true
	case float64:
		if n == math.Trunc(n) && math.Abs(n) < 1<<53 {
			e.after = strconv.AppendInt(e.after, int64(n), 10)
			return true
		}
	}
	return false
}

func (e *encoder) sqliteFloat(v any) bool {
	switch n := v.(type) {
	case float64:
		e.float(n, 64)
		return true
	case int64:
		if n > -1<<53 && n < 1<<53 {
			e.float(float64(n), 64)
			return true
		}
	}
	return false
}

func (e *encoder) sqliteDate(v any) bool {
	t, _, ok := sqliteMoment(v)
	if !ok || t.Unix()%86400 != 0 || t.Nanosecond() != 0 {
		return false
	}
	e.after = strconv.AppendInt(e.after, t.Unix()/86400, 10)
	return true
}

func (e *encoder) sqliteTime(c *column, v any) bool {
	t, _, ok := sqliteMoment(v)
	if !ok {
		return false
	}
	if t.Nanosecond()%1000 != 0 {
		e.tell(c, toldSQLite(v)) // cut to microseconds
	}
	e.after = append(append(append(e.after, '"'), isoText(t)...), '"')
	return true
}

func isoText(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.999999Z") }

// sqliteText is the exact text of a value, if it has one.
func sqliteText(v any) (string, bool) {
	switch x := v.(type) {
	case string:
		return x, true
	case int64:
		return strconv.FormatInt(x, 10), true
	case float64:
		return strconv.FormatFloat(x, 'f', -1, 64), true
	}
	return "", false
}

func sqliteBytes(v any) []byte {
	switch x := v.(type) {
	case []byte:
		return x
	case string:
		return []byte(x)
	}
	s, _ := sqliteText(v)
	return []byte(s)
}

func toldSQLite(v any) string {
	if s, ok := sqliteText(v); ok && len(s) <= 1000 {
		return string(appendString(nil, s))
	}
	return digest("bytes", "sha256", sqliteBytes(v))
}

// Layouts of ISO 8601 as SQLite's own functions read it. A fraction may follow
// the seconds in each.
var sqliteLayouts = []string{"2006-01-02T15:04:05Z07:00", "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02"}

// The last layout, and the number of those that may name another zone.
const (
	dateLayout   = 6
	zonedLayouts = 2
)

// sqliteMoment reads ISO text, without zone in UTC, or unix seconds, for which
// layout is -1.
func sqliteMoment(v any) (t time.Time, layout int, ok bool) {
	switch x := v.(type) {
	case int64:
		if x > -62135596800 && x < 253402300800 { // years 1 to 9999
			return time.Unix(x, 0).UTC(), -1, true
		}
	case float64:
		whole, frac := math.Modf(x)
		if whole > -62135596800 && whole < 253402300800 {
			return time.Unix(int64(whole), int64(math.Round(frac*1e6))*1000).UTC(), -1, true
		}
	case string:
		for i, layout := range sqliteLayouts {
			if t, err := time.Parse(layout, x); err == nil {
				return t.UTC(), i, true
			}
		}
	}
	return time.Time{}, 0, false
}

// sqliteStamp reads a stamp, and says whether it sorts by time among others.
func sqliteStamp(c *column, v any) (time.Time, bool) {
	t, layout, ok := sqliteMoment(v)
	text, _ := v.(string)
	switch {
	case !ok:
		return t, false
	case layout >= 0 && layout < zonedLayouts:
		return t, strings.HasSuffix(text, "Z")
	case layout == dateLayout:
		return t, c.dateOnly
	}
	return t, true
}
