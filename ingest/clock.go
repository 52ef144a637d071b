package ingest

import (
	"bytes"
	"math"
	"strconv"
	"time"
)

// times is what an event says of its time, as JSON values; empty or null is absent.
type times struct {
	timestamp, original, sentAt []byte
}

// stampTime is when the event happened: received − (sent − original), UTC (Segment Spec, Common Fields). The raw
// original is nil if the event has none. Import neither corrects nor clamps.
func stampTime(t times, received time.Time, skew, importing bool) (at time.Time, original []byte, flag flags) {
	original = t.timestamp
	if isAbsentTime(original) {
		original = t.original
	}
	if isAbsentTime(original) {
		return received, nil, 0
	}
	orig, ok := parseTime(original)
	if !ok {
		return received, original, flagBadTimestamp
	}
	if importing {
		return orig, original, 0
	}
	at = orig
	if sent, ok := parseTime(t.sentAt); ok && skew {
		at = received.Add(-sent.Sub(orig))
	}
	if at.After(received.Add(24*time.Hour)) || at.Year() < 2000 {
		return received, original, flagClockSkew
	}
	return at, original, 0
}

func isAbsentTime(raw []byte) bool { return isNull(raw) || len(raw) == 2 && raw[0] == '"' }

// parseTime reads a JSON value as a time: RFC 3339 with its usual variations, or seconds or milliseconds since 1970.
func parseTime(raw []byte) (time.Time, bool) {
	var buf [64]byte
	if inner, ok := isText(raw); ok {
		if bytes.IndexByte(inner, '\\') >= 0 {
			if len(inner) > len(buf) {
				return time.Time{}, false
			}
			inner = unescape(buf[:0], inner)
		}
		if t, ok := parseDate(inner); ok {
			return t, true
		}
		return parseEpoch(inner, false)
	}
	if !isNumber(raw) {
		return time.Time{}, false
	}
	return parseEpoch(raw, true)
}

// parseEpoch reads seconds below 1e11 and milliseconds above, with an optional fraction. Exponents are for numbers
// only: a string of digits is a common mistake, "1e9" is none.
func parseEpoch(b []byte, exponent bool) (time.Time, bool) {
	neg := len(b) > 0 && b[0] == '-'
	if neg {
		b = b[1:]
	}
	end := digits(b, 0)
	if end == 0 || end > 16 {
		return time.Time{}, false
	}
	whole := number(b[:end])
	frac, n := nanos(b[end:])
	if rest := b[end+n:]; len(rest) > 0 {
		if !exponent {
			return time.Time{}, false
		}
		f, err := strconv.ParseFloat(string(b), 64) // allocates, and nobody sends it
		if err != nil || f >= 1e16 {
			return time.Time{}, false
		}
		whole, frac = int64(f), int64((f-math.Trunc(f))*1e9)
	}
	var t time.Time
	if whole < 1e11 {
		t = time.Unix(sign(whole, neg), sign(frac, neg))
	} else {
		t = time.Unix(sign(whole/1000, neg), sign(whole%1000*1e6+frac/1000, neg))
	}
	return inRange(t)
}

func sign(v int64, neg bool) int64 {
	if neg {
		return -v
	}
	return v
}

// inRange refuses years that RFC 3339 cannot write.
func inRange(t time.Time) (time.Time, bool) {
	t = t.UTC()
	return t, t.Year() >= 0 && t.Year() <= 9999
}

// parseDate reads 2026-03-01, 2026-03-01T10:00:00.123456789Z, a space for the T, and offsets ±hh:mm and ±hhmm. What has
// no offset is UTC.
func parseDate(b []byte) (time.Time, bool) {
	year, ok1 := two(b, 0, '-', 4)
	month, ok2 := two(b, 5, '-', 2)
	day, ok3 := two(b, 8, 0, 2)
	if !ok1 || !ok2 || !ok3 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) {
		return time.Time{}, false
	}
	if len(b) == 10 {
		return time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC), true
	}
	if c := b[10]; c != 'T' && c != 't' && c != ' ' {
		return time.Time{}, false
	}
	hour, ok1 := two(b, 11, ':', 2)
	minute, ok2 := two(b, 14, ':', 2)
	sec, ok3 := two(b, 17, 0, 2)
	if !ok1 || !ok2 || !ok3 || hour > 23 || minute > 59 || sec > 60 {
		return time.Time{}, false
	}
	ns, n := nanos(b[19:])
	offset, ok := zone(b[19+n:])
	if !ok {
		return time.Time{}, false
	}
	// A leap second becomes the first one of the next minute.
	t := time.Date(year, time.Month(month), day, hour, minute, sec, int(ns), time.UTC)
	return inRange(t.Add(-offset))
}

// two reads n digits at i, and after them sep unless it is 0.
func two(b []byte, i int, sep byte, n int) (int, bool) {
	if len(b) < i+n || digits(b[:i+n], i) != i+n {
		return 0, false
	}
	if sep != 0 && (len(b) <= i+n || b[i+n] != sep) {
		return 0, false
	}
	return int(number(b[i : i+n])), true
}

// number is the value of at most 16 digits.
func number(b []byte) (v int64) {
	for _, c := range b {
		v = v*10 + int64(c-'0')
	}
	return v
}

// nanos reads a fraction with any number of digits, cuts it to nine, and returns its length with the point.
func nanos(b []byte) (ns int64, n int) {
	if len(b) < 2 || b[0] != '.' {
		return 0, 0
	}
	if n = digits(b, 1); n == 1 {
		return 0, 0
	}
	ns = number(b[1:min(n, 10)])
	for i := n; i < 10; i++ {
		ns *= 10
	}
	return ns, n
}

func zone(b []byte) (time.Duration, bool) {
	if len(b) == 0 || len(b) == 1 && b[0]|0x20 == 'z' {
		return 0, true
	}
	if b[0] != '+' && b[0] != '-' {
		return 0, false
	}
	h, ok1 := two(b, 1, 0, 2)
	rest := b[min(3, len(b)):]
	if len(rest) > 0 && rest[0] == ':' {
		rest = rest[1:]
	}
	m, ok2 := two(rest, 0, 0, 2)
	if !ok1 || !ok2 || len(rest) != 2 || h > 23 || m > 59 {
		return 0, false
	}
	d := time.Duration(h)*time.Hour + time.Duration(m)*time.Minute
	if b[0] == '-' {
		d = -d
	}
	return d, true
}

func daysIn(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}
