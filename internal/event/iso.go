package event

import (
	"errors"
	"math"
	"strconv"
	"time"
)

const (
	secondMicros = 1_000_000
	dayMicros    = 24 * 60 * 60 * secondMicros
)

// AppendISO appends a moment in the form iso: 2026-11-21T06:15:02.113402Z
// without trailing zeros; years beyond 9999 or before 1 are signed and
// astronomical, as in -0043-03-15T12:00:00Z. Every int64 has such a text, which
// ParseISO takes back.
func AppendISO(dst []byte, micros int64) []byte {
	day := floorDiv(micros, dayMicros)
	rest := micros - day*dayMicros
	dst = append(AppendISODate(dst, day), 'T')
	return append(AppendISOClock(dst, rest), 'Z')
}

// AppendISODate appends the date of a day since 1970 as AppendISO does.
func AppendISODate(dst []byte, day int64) []byte {
	year, month, dom := civil(day)
	switch {
	case year > 9999:
		dst = strconv.AppendInt(append(dst, '+'), year, 10)
	case year < 0:
		dst = append4(append(dst, '-'), -year)
	case year == 0:
		dst = append(dst, "+0000"...)
	default:
		dst = append4(dst, year)
	}
	dst = append2(append(dst, '-'), month)
	return append2(append(dst, '-'), dom)
}

// AppendISOClock appends a time of day, in microseconds below 24 hours.
func AppendISOClock(dst []byte, micros int64) []byte {
	sec := int(micros / secondMicros)
	dst = append2(dst, sec/3600)
	dst = append2(append(dst, ':'), sec/60%60)
	dst = append2(append(dst, ':'), sec%60)
	if frac := int(micros % secondMicros); frac > 0 {
		dst = append2(append2(append2(append(dst, '.'), frac/10000), frac/100%100), frac%100)
		for dst[len(dst)-1] == '0' {
			dst = dst[:len(dst)-1]
		}
	}
	return dst
}

// append4 appends a year with at least four digits.
func append4(dst []byte, year int64) []byte {
	if year > 9999 {
		return strconv.AppendInt(dst, year, 10)
	}
	return append2(append2(dst, int(year/100)), int(year%100))
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// civil is the date of a day since 1970 in the proleptic Gregorian calendar,
// counted in eras of 400 years that begin on March 1st.
func civil(day int64) (year int64, month, dom int) {
	day += 719468
	era := floorDiv(day, 146097)
	doe := day - era*146097
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	month, dom = int(mp)+3, int(doy-(153*mp+2)/5)+1
	if month > 12 {
		month -= 12
	}
	year = yoe + era*400
	if month <= 2 {
		year++
	}
	return year, month, dom
}

var errISO = errors.New("is no moment such as 2026-11-21T06:15:02.113402Z")

// ParseISO reads what AppendISO writes, and RFC 3339 with other zones. What
// has digits below a microsecond, or lies beyond int64 microseconds, is an error.
func ParseISO(s string) (micros int64, err error) {
	year, rest, ok := isoYear(s)
	if !ok {
		return 0, errISO
	}
	// The calendar repeats after 400 years, so a year that the standard
	// library reads stands for the one that is meant.
	era := floorDiv(year-2000, 400)
	var buf [64]byte
	text := append(append4(buf[:0], year-era*400), rest...)
	t, err := time.Parse(time.RFC3339Nano, string(text))
	switch {
	case err != nil:
		return 0, errISO
	case t.Nanosecond()%1000 != 0 || fraction(rest) > 9:
		return 0, errors.New("has digits below a microsecond")
	}
	day := floorDiv(t.Unix(), 86400)
	within := (t.Unix()-day*86400)*secondMicros + int64(t.Nanosecond()/1000)
	day += era * 146097
	if day < 0 { // counted back from midnight after it, or the least day would overflow
		day, within = day+1, within-dayMicros
	}
	const lastDay = math.MaxInt64 / dayMicros
	if day > lastDay || day < -lastDay || day == lastDay && within > math.MaxInt64%dayMicros || day == -lastDay && within < math.MinInt64%dayMicros {
		return 0, errors.New("lies beyond the year 294247 or 290308 BC")
	}
	return day*dayMicros + within, nil
}

// isoYear takes the year off s; it has a sign if it needs one.
func isoYear(s string) (year int64, rest string, ok bool) {
	if s == "" {
		return 0, "", false
	}
	signed := s[0] == '-' || s[0] == '+'
	end := 4
	if signed {
		for end = 1; end < len(s) && s[end] >= '0' && s[end] <= '9'; end++ {
		}
	}
	if len(s) < end || end > 8 || signed && end < 5 || len(s)-end > 48 {
		return 0, "", false
	}
	year, err := strconv.ParseInt(s[:end], 10, 64)
	return year, s[end:], err == nil
}

// fraction counts the digits of the seconds' fraction.
func fraction(s string) (n int) {
	for i := range len(s) {
		if s[i] != '.' {
			continue
		}
		for i++; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
			n++
		}
		return n
	}
	return 0
}
