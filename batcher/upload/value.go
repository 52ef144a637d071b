package upload

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/millstream-data/millstream/internal/parquetout"
	"github.com/millstream-data/millstream/internal/wire"
)

// form is how a value is written.
type form int

const (
	formText form = iota
	formBool
	formInt     // fits an int64
	formDecimal // a fraction, or an integer that fits no int64
	formFloat   // with an exponent
	formDate
	formTimestamp
	forms
)

// number is what a number is made of.
type number struct {
	digits int // before the point, leading zeros not counted
	places int // behind it
}

// classify says how a value is written, and of numbers how many digits they
// have. 00123 is text: it is a code, and a number would lose its zeros.
func classify(v string) (form, number) {
	if v == "" {
		return formText, number{}
	}
	switch c := v[0]; {
	case c == '-' || c == '.' || c >= '0' && c <= '9':
		if f, n := classifyNumber(v); f != formText {
			return f, n
		}
		if len(v) >= 10 && v[4] == '-' {
			if _, ok := parseDate(v); ok {
				return formDate, number{}
			}
			if _, ok := parseTimestamp(v); ok {
				return formTimestamp, number{}
			}
		}
	case len(v) == 4 && strings.EqualFold(v, "true"), len(v) == 5 && strings.EqualFold(v, "false"):
		return formBool, number{}
	}
	return formText, number{}
}

func classifyNumber(v string) (form, number) {
	rest := strings.TrimPrefix(v, "-")
	whole := digits(rest)
	if whole > 1 && rest[0] == '0' {
		return formText, number{}
	}
	n := number{digits: whole}
	if whole == 1 && rest[0] == '0' {
		n.digits = 0
	}
	rest = rest[whole:]
	if strings.HasPrefix(rest, ".") {
		if n.places = digits(rest[1:]); n.places == 0 {
			return formText, number{}
		}
		rest = rest[1+n.places:]
	}
	switch {
	case whole+n.places == 0:
		return formText, number{}
	case rest == "" && n.places == 0:
		if _, err := strconv.ParseInt(v, 10, 64); err == nil {
			return formInt, n
		}
		return formDecimal, n
	case rest == "":
		return formDecimal, n
	case rest[0] == 'e' || rest[0] == 'E':
		if f, err := strconv.ParseFloat(v, 64); err == nil && !math.IsInf(f, 0) {
			return formFloat, n
		}
	}
	return formText, number{}
}

func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}

// parseDate reads 2026-11-21.
func parseDate(v string) (time.Time, bool) {
	if len(v) != 10 {
		return time.Time{}, false
	}
	t, err := time.Parse(time.DateOnly, v)
	return t, err == nil && t.Year() > 0
}

// parseTimestamp reads 2026-11-21T06:15:02.113456+01:00 and its shorter forms:
// a blank for the T; no seconds, fraction or zone. Without a zone it is UTC.
func parseTimestamp(v string) (time.Time, bool) {
	if len(v) < 16 || v[10] != 'T' && v[10] != ' ' {
		return time.Time{}, false
	}
	day, ok := parseDate(v[:10])
	if !ok {
		return day, false
	}
	clock, zone := v[11:], ""
	if i := strings.IndexAny(clock, "Z+-"); i >= 0 {
		clock, zone = strings.TrimSuffix(clock[:i], " "), clock[i:]
	} else if utc, ok := strings.CutSuffix(clock, " UTC"); ok {
		clock = utc
	}
	if i := strings.IndexByte(clock, '.'); i >= 0 && len(clock)-i > 7 || strings.ContainsRune(clock, ',') {
		return day, false // finer than a microsecond would be cut
	}
	t, err := time.Parse("15:04:05", clock)
	if err != nil {
		if t, err = time.Parse("15:04", clock); err != nil {
			return day, false
		}
	}
	offset, ok := parseZone(zone)
	return day.Add(time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute + time.Duration(t.Second())*time.Second + time.Duration(t.Nanosecond()) - offset), ok
}

func parseZone(zone string) (time.Duration, bool) {
	if zone == "" || zone == "Z" {
		return 0, true
	}
	for _, layout := range []string{"-07:00", "-0700", "-07"} {
		if t, err := time.Parse(layout, zone); err == nil {
			_, seconds := t.Zone()
			return time.Duration(seconds) * time.Second, true
		}
	}
	return 0, false
}

// appendValue appends a value that is not null to a column, or says why it
// does not fit.
func appendValue(c *parquetout.Column, v string) error {
	switch t := c.Type(); t {
	case wire.String:
		c.AppendString(v)
	case wire.JSON:
		if !json.Valid([]byte(v)) {
			return fmt.Errorf("%s is no JSON", quote(v))
		}
		c.AppendString(v)
	case wire.Bool:
		if !strings.EqualFold(v, "true") && !strings.EqualFold(v, "false") {
			return fmt.Errorf("%s is neither true nor false", quote(v))
		}
		c.AppendBool(strings.EqualFold(v, "true"))
	case wire.Int16, wire.Int32, wire.Int64:
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || !parquetout.FitsInt(t, n) {
			return fmt.Errorf("%s is no %s", quote(v), t)
		}
		c.AppendInt(n)
	case wire.Float32, wire.Float64:
		f, err := strconv.ParseFloat(v, 64)
		if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
			return fmt.Errorf("%s is no number", quote(v))
		}
		c.AppendFloat(f)
	case wire.Date:
		d, ok := parseDate(v)
		if !ok {
			return fmt.Errorf("%s is no date such as 2026-11-21", quote(v))
		}
		c.AppendInt(d.Unix() / 86400)
	case wire.Timestamp:
		at, ok := parseTimestamp(v)
		if day, isDate := parseDate(v); isDate {
			at, ok = day, true
		}
		if !ok {
			return fmt.Errorf("%s is no time such as 2026-11-21 06:15:02 or 2026-11-21T06:15:02.113Z", quote(v))
		}
		c.AppendTime(at)
	default:
		if _, _, decimal := t.Decimal(); !decimal {
			return fmt.Errorf("%s has no form in CSV: declare another type by --type", t)
		}
		if strings.HasPrefix(v, ".") {
			v = "0" + v
		} else if rest, ok := strings.CutPrefix(v, "-."); ok {
			v = "-0." + rest
		}
		if !c.AppendDecimal(v) {
			return fmt.Errorf("%s does not fit %s", quote(v), t)
		}
	}
	return nil
}

// quote shortens a value for a message.
func quote(v string) string {
	if len(v) > 60 {
		v = strings.ToValidUTF8(v[:60], "") + "…"
	}
	return strconv.Quote(v)
}
