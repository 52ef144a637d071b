package redshift

import (
	"strconv"
	"strings"
	"time"
)

// addMonths is ADD_MONTHS: the last day of a month stays the last day, and a day that the month lacks becomes it.
func addMonths(t time.Time, n int) time.Time {
	year, month, day := t.Date()
	last := func(y int, m time.Month) int { return time.Date(y, m+1, 0, 0, 0, 0, 0, time.UTC).Day() }
	wasLast := day == last(year, month)
	first := time.Date(year, month+time.Month(n), 1, 0, 0, 0, 0, time.UTC)
	if most := last(first.Year(), first.Month()); wasLast || day > most {
		day = most
	}
	hour, minute, second := t.Clock()
	return time.Date(first.Year(), first.Month(), day, hour, minute, second, t.Nanosecond(), time.UTC)
}

// monthsBetween is MONTHS_BETWEEN: whole months if the days agree or both are the last of their month, else with a
// fraction of a month of 31 days.
func monthsBetween(a, b time.Time) float64 {
	months := float64((a.Year()-b.Year())*12 + int(a.Month()) - int(b.Month()))
	last := func(t time.Time) bool { return t.AddDate(0, 0, 1).Day() == 1 }
	if a.Day() == b.Day() || last(a) && last(b) {
		return months
	}
	seconds := func(t time.Time) float64 {
		return float64((t.Day()-1)*86400+t.Hour()*3600+t.Minute()*60+t.Second()) + float64(t.Nanosecond())/1e9
	}
	return months + (seconds(a)-seconds(b))/(31*86400)
}

// nextDay is NEXT_DAY: the first such weekday after t.
func nextDay(t time.Time, name string) (time.Time, error) {
	name = strings.ToLower(strings.TrimSpace(name))
	for d := time.Sunday; d <= time.Saturday; d++ {
		full := strings.ToLower(d.String())
		if !strings.HasPrefix(full, name) || len(name) < 2 && name != "m" && name != "w" && name != "f" {
			continue
		}
		ahead := (int(d)-int(t.Weekday())+6)%7 + 1
		year, month, day := t.Date()
		return time.Date(year, month, day+ahead, 0, 0, 0, 0, time.UTC), nil
	}
	return time.Time{}, pgError("22023", "invalid day of week %q", name)
}

// intervalUnit is a date part as months, days and microseconds.
func intervalUnit(part string) (months, days, micros float64, ok bool) {
	switch part {
	case "millennium":
		return 12000, 0, 0, true
	case "century":
		return 1200, 0, 0, true
	case "decade":
		return 120, 0, 0, true
	case "year":
		return 12, 0, 0, true
	case "quarter":
		return 3, 0, 0, true
	case "month":
		return 1, 0, 0, true
	case "week":
		return 0, 7, 0, true
	case "day":
		return 0, 1, 0, true
	case "hour":
		return 0, 0, 3600e6, true
	case "minute":
		return 0, 0, 60e6, true
	case "second":
		return 0, 0, 1e6, true
	case "millisecond":
		return 0, 0, 1e3, true
	case "microsecond":
		return 0, 0, 1, true
	}
	return 0, 0, 0, false
}

// intervalText reads an INTERVAL literal and writes it as DuckDB reads it; unit is that of a bare number, or empty. A
// fraction of a month counts as days of which 30 make a month, one of a day as hours.
func intervalText(text, unit string) (string, error) {
	bad := func() (string, error) {
		return "", pgError("22007", "invalid input syntax for type interval: %q", text)
	}
	var months, days, micros float64
	fields := strings.Fields(spacedInterval(text))
	for i := 0; i < len(fields); i++ {
		if m, found := clockMicros(fields[i]); found {
			micros += m
			continue
		}
		n, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			return bad()
		}
		name := unit
		if i+1 < len(fields) {
			if _, err := strconv.ParseFloat(fields[i+1], 64); err != nil {
				if _, clock := clockMicros(fields[i+1]); !clock {
					i++
					name = fields[i]
				} else if name == "" || strings.Contains(name, " ") {
					name = "day"
				}
			}
		}
		if name == "" {
			name = "second"
		}
		part, _ := datePartName(name)
		m, d, us, ok := intervalUnit(part)
		if !ok {
			return bad()
		}
		months, days, micros = months+n*m, days+n*d, micros+n*us
	}
	whole := float64(int64(months))
	days += (months - whole) * 30
	wholeDays := float64(int64(days))
	micros += (days - wholeDays) * 86400e6
	return strconv.FormatInt(int64(whole), 10) + " months " + strconv.FormatInt(int64(wholeDays), 10) + " days " + strconv.FormatInt(int64(micros), 10) + " microseconds", nil
}

// spacedInterval puts blanks between numbers and units and takes the commas out.
func spacedInterval(text string) string {
	var b strings.Builder
	digit := func(c byte) bool { return c >= '0' && c <= '9' || c == '.' || c == ':' || c == '-' || c == '+' }
	for i := range len(text) {
		c := text[i]
		if c == ',' {
			c = ' '
		}
		if i > 0 && c != ' ' && text[i-1] != ' ' && digit(c) != digit(text[i-1]) {
			b.WriteByte(' ')
		}
		b.WriteByte(c)
	}
	return b.String()
}

// clockMicros reads hh:mm[:ss[.ffffff]].
func clockMicros(text string) (float64, bool) {
	parts := strings.Split(strings.TrimLeft(text, "+-"), ":")
	if len(parts) < 2 || len(parts) > 3 {
		return 0, false
	}
	total := 0.0
	for i, scale := range []float64{3600e6, 60e6, 1e6}[:len(parts)] {
		n, err := strconv.ParseFloat(parts[i], 64)
		if err != nil {
			return 0, false
		}
		total += n * scale
	}
	if strings.HasPrefix(text, "-") {
		total = -total
	}
	return total, true
}
