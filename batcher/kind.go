package batcher

import (
	"bytes"
	"math"
	"strconv"
	"time"

	"github.com/millstream-data/millstream/internal/wire"
)

// kinds is the set of what the values of a new column were: its type follows
// from their join.
type kinds uint8

const (
	sawBool    kinds = 1 << iota
	sawInt           // within ±2^53, where a double is exact
	sawBigInt        // beyond that, within int64
	sawFloat         // any other number that a double has
	sawHuge          // a number that neither int64 nor double has: its digits survive as text
	sawTime          // an RFC 3339 date-time with a zone
	sawText          // any other string
	sawComplex       // an array, or an object too deep to be flattened
)

// lakeType is the join: the narrowest type that takes every value that was seen.
func (k kinds) lakeType() wire.LakeType {
	within := func(set kinds) bool { return k&^set == 0 }
	switch {
	case k&sawComplex != 0:
		return wire.JSON
	case within(sawBool):
		return wire.Bool
	case within(sawInt | sawBigInt):
		return wire.Int64
	case within(sawInt | sawFloat):
		return wire.Float64
	case within(sawTime):
		return wire.Timestamp
	}
	return wire.String
}

const exactInt = 1 << 53

// kindOf classifies a JSON value; raw is not null.
func kindOf(raw []byte) kinds {
	switch raw[0] {
	case 't', 'f':
		return sawBool
	case '{', '[':
		return sawComplex
	case '"':
		if _, _, ok := parseTime(raw[1 : len(raw)-1]); ok {
			return sawTime
		}
		return sawText
	}
	return numberKind(raw)
}

func numberKind(raw []byte) kinds {
	if !bytes.ContainsAny(raw, ".eE") {
		n, err := strconv.ParseInt(string(raw), 10, 64)
		switch {
		case err != nil:
			return sawHuge
		case n < -exactInt || n > exactInt:
			return sawBigInt
		}
		return sawInt
	}
	if !isDouble(raw) {
		return sawHuge
	}
	return sawFloat
}

// isDouble says whether raw is a number within the range of a double.
func isDouble(raw []byte) bool {
	f, err := strconv.ParseFloat(string(raw), 64)
	return err == nil && !math.IsInf(f, 0)
}

// parseTime reads a date-time of RFC 3339 with a zone, years 1 to 9999. exact is
// false if it has digits below a microsecond that are not zero.
func parseTime(s []byte) (t time.Time, exact, ok bool) {
	if len(s) < len("2026-11-21T06:15:02Z") || s[4] != '-' || s[10] != 'T' {
		return t, false, false
	}
	if t, ok = commonTime(s); ok {
		return t, t.Nanosecond()%1000 == 0, true
	}
	if err := t.UnmarshalText(s); err != nil {
		return t, false, false
	}
	t = t.UTC()
	if t.Year() < 1 || t.Year() > 9999 {
		return t, false, false
	}
	return t, t.Nanosecond()%1000 == 0 && !hasSubNano(s), true
}

// hasSubNano says whether s has a tenth fractional digit that is not zero;
// time.Time ends at the ninth.
func hasSubNano(s []byte) bool {
	const fraction = len("2026-11-21T06:15:02.")
	for i := fraction + 9; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
		if s[i] != '0' {
			return true
		}
	}
	return false
}

// commonTime reads the form that SDKs send: UTC as Z, with at most nine
// fractional digits. Every other one is left to the standard library.
func commonTime(s []byte) (t time.Time, ok bool) {
	const seconds = len("2026-11-21T06:15:02")
	if s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' || s[16] != ':' || s[len(s)-1] != 'Z' {
		return t, false
	}
	year, month, day := digits(s[0:4]), digits(s[5:7]), digits(s[8:10])
	hour, minute, second := digits(s[11:13]), digits(s[14:16]), digits(s[17:19])
	nano := 0
	if fraction := s[seconds : len(s)-1]; len(fraction) > 0 {
		if fraction[0] != '.' || len(fraction) < 2 || len(fraction) > 10 {
			return t, false
		}
		nano = digits(fraction[1:])
		for range 10 - len(fraction) {
			nano *= 10
		}
	}
	if min(year-1, month-1, day-1, hour, minute, second, nano) < 0 || month > 12 || hour > 23 || minute > 59 || second > 59 {
		return t, false
	}
	t = time.Date(year, time.Month(month), day, hour, minute, second, nano, time.UTC)
	return t, t.Day() == day // else the month has no such day
}

// digits reads up to nine digits; it is negative if there is anything else.
func digits(s []byte) (n int) {
	for _, c := range s {
		if c < '0' || c > '9' {
			return -1
		}
		n = 10*n + int(c-'0')
	}
	return n
}
