package redshift

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// dateField is one part of a date format.
type dateField struct {
	name  string // in upper case
	write func(t time.Time, zone string) string
}

// dateFields are the parts of TO_CHAR's date formats, longest first where one begins another.
var dateFields = []dateField{
	{"YYYY", func(t time.Time, _ string) string { return fmt.Sprintf("%04d", t.Year()) }},
	{"Y,YYY", func(t time.Time, _ string) string { return fmt.Sprintf("%d,%03d", t.Year()/1000, t.Year()%1000) }},
	{"YYY", func(t time.Time, _ string) string { return fmt.Sprintf("%03d", t.Year()%1000) }},
	{"YY", func(t time.Time, _ string) string { return fmt.Sprintf("%02d", t.Year()%100) }},
	{"Y", func(t time.Time, _ string) string { return strconv.Itoa(t.Year() % 10) }},
	{"IYYY", func(t time.Time, _ string) string { y, _ := t.ISOWeek(); return fmt.Sprintf("%04d", y) }},
	{"IYY", func(t time.Time, _ string) string { y, _ := t.ISOWeek(); return fmt.Sprintf("%03d", y%1000) }},
	{"IY", func(t time.Time, _ string) string { y, _ := t.ISOWeek(); return fmt.Sprintf("%02d", y%100) }},
	{"BC", era},
	{"AD", era},
	{"B.C.", era},
	{"A.D.", era},
	{"CC", func(t time.Time, _ string) string { return fmt.Sprintf("%02d", (t.Year()+99)/100) }},
	{"MONTH", func(t time.Time, _ string) string { return fmt.Sprintf("%-9s", t.Month()) }},
	{"MON", func(t time.Time, _ string) string { return t.Month().String()[:3] }},
	{"MM", func(t time.Time, _ string) string { return fmt.Sprintf("%02d", t.Month()) }},
	{"MI", func(t time.Time, _ string) string { return fmt.Sprintf("%02d", t.Minute()) }},
	{"MS", func(t time.Time, _ string) string { return fmt.Sprintf("%03d", t.Nanosecond()/1e6) }},
	{"DAY", func(t time.Time, _ string) string { return fmt.Sprintf("%-9s", t.Weekday()) }},
	{"DDD", func(t time.Time, _ string) string { return fmt.Sprintf("%03d", t.YearDay()) }},
	{"DD", func(t time.Time, _ string) string { return fmt.Sprintf("%02d", t.Day()) }},
	{"DY", func(t time.Time, _ string) string { return t.Weekday().String()[:3] }},
	{"D", func(t time.Time, _ string) string { return strconv.Itoa(int(t.Weekday()) + 1) }},
	{"HH24", func(t time.Time, _ string) string { return fmt.Sprintf("%02d", t.Hour()) }},
	{"HH12", hour12},
	{"HH", hour12},
	{"SSSS", func(t time.Time, _ string) string {
		return strconv.Itoa(t.Hour()*3600 + t.Minute()*60 + t.Second())
	}},
	{"SS", func(t time.Time, _ string) string { return fmt.Sprintf("%02d", t.Second()) }},
	{"US", func(t time.Time, _ string) string { return fmt.Sprintf("%06d", t.Nanosecond()/1e3) }},
	{"IW", func(t time.Time, _ string) string { _, w := t.ISOWeek(); return fmt.Sprintf("%02d", w) }},
	{"WW", func(t time.Time, _ string) string { return fmt.Sprintf("%02d", (t.YearDay()+6)/7) }},
	{"W", func(t time.Time, _ string) string { return strconv.Itoa((t.Day() + 6) / 7) }},
	{"Q", func(t time.Time, _ string) string { return strconv.Itoa((int(t.Month()) + 2) / 3) }},
	{"J", func(t time.Time, _ string) string { return strconv.FormatInt(t.Unix()/86400+2440588, 10) }},
	{"AM", meridiem},
	{"PM", meridiem},
	{"A.M.", meridiem},
	{"P.M.", meridiem},
	{"TZ", func(_ time.Time, zone string) string { return zone }},
	{"OF", func(_ time.Time, zone string) string {
		if zone == "" {
			return ""
		}
		return "+00"
	}},
	{"RM", func(t time.Time, _ string) string { return fmt.Sprintf("%-4s", romanMonths[t.Month()-1]) }},
}

var romanMonths = [...]string{"I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"}

func era(t time.Time, _ string) string {
	if t.Year() <= 0 {
		return "BC"
	}
	return "AD"
}

func hour12(t time.Time, _ string) string { return fmt.Sprintf("%02d", (t.Hour()+11)%12+1) }

func meridiem(t time.Time, _ string) string {
	if t.Hour() < 12 {
		return "AM"
	}
	return "PM"
}

// dateFieldAt returns the part that format begins with.
func dateFieldAt(format string) (dateField, bool) {
	var best dateField
	for _, f := range dateFields {
		if len(format) >= len(f.name) && strings.EqualFold(format[:len(f.name)], f.name) && len(f.name) > len(best.name) {
			best = f
		}
	}
	return best, best.name != ""
}

// formatTime is TO_CHAR of a moment; zone is empty for one without time zone. Letters of no pattern are copied.
func formatTime(t time.Time, format, zone string) string {
	var b strings.Builder
	fill := false
	for format != "" {
		if quoted, rest, found := quotedAt(format); found {
			b.WriteString(quoted)
			format = rest
			continue
		}
		if len(format) >= 2 && strings.EqualFold(format[:2], "FM") {
			fill, format = true, format[2:]
			continue
		}
		f, found := dateFieldAt(format)
		if !found {
			b.WriteByte(format[0])
			format = format[1:]
			continue
		}
		pattern := format[:len(f.name)]
		format = format[len(f.name):]
		out := f.write(t, zone)
		if strings.Contains(f.name, ".") {
			out = strings.Join(strings.Split(out, ""), ".") + "."
		}
		if fill { // for this part alone
			if out = strings.TrimRight(out, " "); len(out) > 1 && out[0] >= '0' && out[0] <= '9' && f.name != "YY" {
				out = strings.TrimLeft(out[:len(out)-1], "0") + out[len(out)-1:]
			}
		}
		out = inCaseOf(out, pattern)
		if len(format) >= 2 && strings.EqualFold(format[:2], "TH") && out != "" && out[len(out)-1] <= '9' {
			out += ordinalSuffix(out, format[0] == 'T')
			format = format[2:]
		}
		b.WriteString(out)
		fill = false
	}
	return b.String()
}

// quotedAt cuts "text" off the front of a format.
func quotedAt(format string) (quoted, rest string, found bool) {
	if format[0] != '"' {
		return "", format, false
	}
	quoted, rest, _ = strings.Cut(format[1:], `"`)
	return quoted, rest, true
}

// inCaseOf gives a name the case of its pattern: MONTH, Month, month.
func inCaseOf(out, pattern string) string {
	switch {
	case pattern == strings.ToLower(pattern):
		return strings.ToLower(out)
	case pattern == strings.ToUpper(pattern):
		return strings.ToUpper(out)
	}
	return out
}

func ordinalSuffix(number string, upper bool) string {
	suffix := "th"
	if n, err := strconv.Atoi(number); err == nil && n%100/10 != 1 {
		switch n % 10 {
		case 1:
			suffix = "st"
		case 2:
			suffix = "nd"
		case 3:
			suffix = "rd"
		}
	}
	if upper {
		return strings.ToUpper(suffix)
	}
	return suffix
}
