package redshift

import (
	"fmt"
	"strings"
)

// timeTranslator covers dates and times.
func timeTranslator(name string) translator {
	switch name {
	case "getdate":
		return func(rw *rewriter, _ call) (string, error) {
			return "date_trunc('second', " + rw.timestamp(rw.env.now) + ")", nil
		}
	case "now":
		return func(rw *rewriter, _ call) (string, error) {
			rw.leader = "now"
			return "CAST(" + rw.timestamp(rw.env.now) + " AS TIMESTAMPTZ)", nil
		}
	case "extract":
		return extractCall
	case "dateadd", "date_add":
		return dateAdd
	case "datediff", "date_diff":
		return dateDiff
	case "date_part", "pgdate_part":
		return datePart
	case "date":
		return template(1, 1, "CAST($1 AS DATE)")
	case "date_part_year":
		return template(1, 1, `date_part('year', CAST($1 AS DATE))`)
	case "date_trunc":
		return dateTrunc
	case "add_months":
		return template(2, 2, "rs_add_months(CAST($1 AS TIMESTAMP), CAST($2 AS BIGINT))")
	case "months_between":
		return template(2, 2, "rs_months_between(CAST($1 AS TIMESTAMP), CAST($2 AS TIMESTAMP))")
	case "next_day":
		return template(2, 2, "CAST(rs_next_day(CAST($1 AS TIMESTAMP), $2) AS DATE)")
	case "last_day":
		return template(1, 1, "last_day(CAST($1 AS DATE))")
	case "date_cmp", "date_cmp_timestamp", "date_cmp_timestamptz", "timestamp_cmp", "timestamp_cmp_date", "timestamp_cmp_timestamptz",
		"timestamptz_cmp", "timestamptz_cmp_date", "timestamptz_cmp_timestamp":
		return template(2, 2, `"_rt".main.compare(CAST($1 AS TIMESTAMP), CAST($2 AS TIMESTAMP))`)
	case "interval_cmp":
		return template(2, 2, `"_rt".main.compare(CAST(rs_interval(CAST($1 AS VARCHAR)) AS INTERVAL), CAST(rs_interval(CAST($2 AS VARCHAR)) AS INTERVAL))`)
	case "convert_timezone":
		return convertTimezone
	case "timezone":
		return template(2, 2, "timezone($1, $2)")
	case "timeofday":
		return func(rw *rewriter, _ call) (string, error) {
			return quoteString(rw.env.now.Format("Mon Jan 02 15:04:05.000000 2006 MST")), nil
		}
	case "to_char":
		return toChar
	case "to_date":
		return readDate
	case "to_timestamp":
		return readTime
	}
	return nil
}

// moment is an argument over which a function of moments is called: a date is midnight.
func (rw *rewriter) moment(arg []node) (string, error) {
	s, err := rw.timestampArg(arg)
	if err != nil || rw.env.untyped || len(arg) == 1 && arg[0].kind == tokString {
		return s, err
	}
	return `"_rt".main.moment(` + s + ")", nil
}

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
		return "", wrongArguments(c)
	}
	part, err := partOf(c.args[0])
	if err != nil {
		return "", err
	}
	n, err := rw.expr(c.args[1])
	if err != nil {
		return "", err
	}
	at, err := rw.moment(c.args[2])
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
		return "", wrongArguments(c)
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
		return "", wrongArguments(c)
	}
	part, err := partOf(c.args[0])
	if err != nil {
		return "", err
	}
	at, err := rw.moment(c.args[1])
	if part == "epoch" {
		return "CAST(floor(date_part('epoch', " + at + ")) AS BIGINT)", err
	}
	return fmt.Sprintf("date_part('%s', %s)", part, at), err
}

func extractCall(rw *rewriter, c call) (string, error) {
	if len(c.args) != 1 || len(c.args[0]) < 3 || !c.args[0][1].is("from") {
		return "", syntaxError("syntax error in EXTRACT")
	}
	return datePart(rw, call{name: "date_part", args: [][]node{c.args[0][:1], c.args[0][2:]}})
}

func dateTrunc(rw *rewriter, c call) (string, error) {
	if len(c.args) != 2 {
		return "", wrongArguments(c)
	}
	part, err := partOf(c.args[0])
	if err != nil {
		return "", err
	}
	at, err := rw.moment(c.args[1])
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
		return "", wrongArguments(c)
	}
	to, err := rw.expr(args[0])
	if err != nil {
		return "", err
	}
	at, err := rw.expr(args[1])
	return fmt.Sprintf("timezone(%s, timezone(%s, CAST(%s AS TIMESTAMP)))", to, zone, at), err
}

// toChar chooses between numbers and moments by the pattern: only that of a number has a 9 or a 0.
func toChar(rw *rewriter, c call) (string, error) {
	if len(c.args) != 2 {
		return "", wrongArguments(c)
	}
	value, err := rw.timestampArg(c.args[0])
	if err != nil {
		return "", err
	}
	pattern, err := rw.expr(c.args[1])
	if err != nil {
		return "", err
	}
	if lit, ok := literalOf(c.args[1]); ok && strings.ContainsAny(lit, "90") && !strings.Contains(lit, `"`) {
		if value, err = rw.expr(c.args[0]); err != nil {
			return "", err
		}
		if _, err := readNumberFormat(lit); err != nil {
			return "", err
		}
		return "rs_to_char_number(CAST(" + value + " AS VARCHAR), " + pattern + ")", nil
	}
	return fmt.Sprintf(`rs_to_char(CAST(%s AS TIMESTAMP), %s, CASE typeof(%s) WHEN 'TIMESTAMP WITH TIME ZONE' THEN 'UTC' ELSE '' END)`, value, pattern, value), nil
}

// readTime is TO_TIMESTAMP.
func readTime(rw *rewriter, c call) (string, error) {
	text, err := timeByFormat(rw, c)
	return "CAST(" + text + " AS TIMESTAMPTZ)", err
}

// readDate is TO_DATE.
func readDate(rw *rewriter, c call) (string, error) {
	text, err := timeByFormat(rw, c)
	return "CAST(" + text + " AS DATE)", err
}

func timeByFormat(rw *rewriter, c call) (string, error) {
	args, err := rw.args(c)
	if err != nil {
		return "", err
	}
	switch len(args) {
	case 2:
		args = append(args, "false")
	case 3:
	default:
		return "", wrongArguments(c)
	}
	return fmt.Sprintf("rs_to_timestamp(%s, %s, %s)", args[0], args[1], args[2]), nil
}
