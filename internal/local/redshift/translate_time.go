package redshift

import (
	"fmt"
	"strings"
)

// datePartName returns DuckDB's name for one of Redshift's date parts.
func datePartName(s string) (string, bool) {
	switch strings.ToLower(s) {
	case "millennium", "millennia", "mil", "mils":
		return "millennium", true
	case "century", "centuries", "c", "cent", "cents":
		return "century", true
	case "decade", "decades", "dec", "decs":
		return "decade", true
	case "epoch":
		return "epoch", true
	case "year", "years", "y", "yr", "yrs":
		return "year", true
	case "quarter", "quarters", "qtr", "qtrs":
		return "quarter", true
	case "month", "months", "mon", "mons":
		return "month", true
	case "week", "weeks", "w":
		return "week", true
	case "dayofweek", "dow", "dw", "weekday":
		return "dow", true
	case "dayofyear", "doy", "dy", "yearday":
		return "doy", true
	case "day", "days", "d":
		return "day", true
	case "hour", "hours", "h", "hr", "hrs":
		return "hour", true
	case "minute", "minutes", "m", "min", "mins":
		return "minute", true
	case "second", "seconds", "s", "sec", "secs":
		return "second", true
	case "millisecond", "milliseconds", "ms", "msec", "msecs", "msecond", "mseconds", "millisec", "millisecs", "millisecon":
		return "millisecond", true
	case "microsecond", "microseconds", "us", "usec", "usecs", "usecond", "useconds", "microsec", "microsecs", "microsecon":
		return "microsecond", true
	}
	return "", false
}

func partOf(arg []node) (string, error) {
	if lit, ok := literalOf(arg); ok {
		if part, found := datePartName(lit); found {
			return part, nil
		}
		return "", pgError("22023", "timestamp units %q not recognized", lit)
	}
	return "", syntaxError("a date part must be a word")
}

func dateAdd(rw *rewriter, c call) (string, error) {
	if len(c.args) != 3 {
		return "", pgError("42883", "function dateadd with %d arguments does not exist", len(c.args))
	}
	part, err := partOf(c.args[0])
	if err != nil {
		return "", err
	}
	n, err := rw.expr(c.args[1])
	if err != nil {
		return "", err
	}
	at, err := rw.timestampArg(c.args[2])
	if err != nil {
		return "", err
	}
	var interval string
	switch part {
	case "year", "month", "day":
		interval = fmt.Sprintf("to_%ss(CAST(%s AS INTEGER))", part, n)
	case "quarter":
		interval = fmt.Sprintf("to_months(CAST(3 * (%s) AS INTEGER))", n)
	case "week":
		interval = fmt.Sprintf("to_days(CAST(7 * (%s) AS INTEGER))", n)
	case "hour", "minute", "second", "millisecond", "microsecond":
		interval = fmt.Sprintf("to_%ss(CAST(%s AS BIGINT))", part, n)
	default:
		return "", unsupported("DATEADD of " + part)
	}
	return "((" + at + ") + " + interval + ")", nil
}

func dateDiff(rw *rewriter, c call) (string, error) {
	if len(c.args) != 3 {
		return "", pgError("42883", "function datediff with %d arguments does not exist", len(c.args))
	}
	part, err := partOf(c.args[0])
	if err != nil {
		return "", err
	}
	from, err := rw.expr(c.args[1])
	if err != nil {
		return "", err
	}
	to, err := rw.expr(c.args[2])
	return fmt.Sprintf("date_diff('%s', CAST(%s AS TIMESTAMP), CAST(%s AS TIMESTAMP))", part, from, to), err
}

func datePart(rw *rewriter, c call) (string, error) {
	if len(c.args) != 2 {
		return "", pgError("42883", "function date_part with %d arguments does not exist", len(c.args))
	}
	part, err := partOf(c.args[0])
	if err != nil {
		return "", err
	}
	at, err := rw.timestampArg(c.args[1])
	return fmt.Sprintf("date_part('%s', %s)", part, at), err
}

func extractCall(rw *rewriter, c call) (string, error) {
	if len(c.args) != 1 || len(c.args[0]) < 3 || !c.args[0][1].is("from") {
		return "", syntaxError("syntax error in EXTRACT")
	}
	return datePart(rw, call{args: [][]node{c.args[0][:1], c.args[0][2:]}})
}

func dateTrunc(rw *rewriter, c call) (string, error) {
	if len(c.args) != 2 {
		return "", pgError("42883", "function date_trunc with %d arguments does not exist", len(c.args))
	}
	part, err := partOf(c.args[0])
	if err != nil {
		return "", err
	}
	at, err := rw.timestampArg(c.args[1])
	return fmt.Sprintf("date_trunc('%s', %s)", part, at), err
}

func convertTimezone(rw *rewriter, c call) (string, error) {
	zone := "'UTC'"
	args := c.args
	if len(args) == 3 {
		var err error
		if zone, err = rw.expr(args[0]); err != nil {
			return "", err
		}
		args = args[1:]
	}
	if len(args) != 2 {
		return "", pgError("42883", "function convert_timezone with %d arguments does not exist", len(c.args))
	}
	to, err := rw.expr(args[0])
	if err != nil {
		return "", err
	}
	at, err := rw.expr(args[1])
	return fmt.Sprintf("timezone(%s, timezone(%s, CAST(%s AS TIMESTAMP)))", to, zone, at), err
}

// timePatterns maps TO_CHAR's patterns to strftime's, longest first where one begins another.
var timePatterns = [...]struct{ from, to string }{
	{"YYYY", "%Y"},
	{"IYYY", "%G"},
	{"HH24", "%H"},
	{"HH12", "%I"},
	{"Month", "%B"},
	{"DDD", "%j"},
	{"Day", "%A"},
	{"Mon", "%b"},
	{"YY", "%y"},
	{"MM", "%m"},
	{"MI", "%M"},
	{"MS", "%g"},
	{"DD", "%d"},
	{"Dy", "%a"},
	{"HH", "%I"},
	{"SS", "%S"},
	{"US", "%f"},
	{"IW", "%V"},
	{"AM", "%p"},
	{"PM", "%p"},
	{"TZ", "%Z"},
}

// strftime translates a pattern; a letter that no pattern covers is refused rather than copied.
func strftime(pattern string) (string, error) {
	var b strings.Builder
next:
	for i := 0; i < len(pattern); {
		if pattern[i] == '"' {
			if end := strings.IndexByte(pattern[i+1:], '"'); end >= 0 {
				b.WriteString(strings.ReplaceAll(pattern[i+1:i+1+end], "%", "%%"))
				i += end + 2
				continue
			}
		}
		for _, p := range timePatterns {
			if len(pattern)-i >= len(p.from) && strings.EqualFold(pattern[i:i+len(p.from)], p.from) {
				b.WriteString(p.to)
				i += len(p.from)
				continue next
			}
		}
		c := pattern[i]
		if c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' && c != 'T' {
			return "", unsupported("the date pattern " + pattern)
		}
		b.WriteByte(c)
		i++
	}
	return b.String(), nil
}

func toChar(rw *rewriter, c call) (string, error) {
	if len(c.args) != 2 {
		return "", pgError("42883", "function to_char with %d arguments does not exist", len(c.args))
	}
	pattern, ok := literalOf(c.args[1])
	if !ok {
		return "", unsupported("TO_CHAR with a computed pattern")
	}
	format, err := strftime(pattern)
	if err != nil {
		return "", err
	}
	at, err := rw.timestampArg(c.args[0])
	return fmt.Sprintf("strftime(%s, %s)", at, quoteString(format)), err
}

// parseTime is TO_TIMESTAMP.
func parseTime(rw *rewriter, c call) (string, error) {
	text, err := strptime(rw, c)
	return "CAST(" + text + " AS TIMESTAMPTZ)", err
}

func parseDate(rw *rewriter, c call) (string, error) {
	text, err := strptime(rw, c)
	return "CAST(" + text + " AS DATE)", err
}

func strptime(rw *rewriter, c call) (string, error) {
	if len(c.args) != 2 {
		return "", pgError("42883", "function %s with %d arguments does not exist", c.name, len(c.args))
	}
	pattern, ok := literalOf(c.args[1])
	if !ok {
		return "", unsupported(c.name + " with a computed pattern")
	}
	format, err := strftime(pattern)
	if err != nil {
		return "", err
	}
	text, err := rw.expr(c.args[0])
	return fmt.Sprintf("strptime(%s, %s)", text, quoteString(format)), err
}
