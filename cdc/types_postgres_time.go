package cdc

import (
	"math"
	"strconv"
	"strings"

	"github.com/millstream-data/millstream/internal/event"
)

// What the warehouse's DATE and TIMESTAMP hold, and what stands for more.
const (
	pgEpochDays   = 10957 // 2000-01-01
	pgEpochMicros = 946684800_000000
	leastDay      = -2440550  // 4713-01-01 BC
	greatestDay   = 106762939 // 294276-12-31
	clampLowDay   = -719162   // 0001-01-01
	clampHighDay  = 2932896   // 9999-12-31
	dayMicros     = 86400_000000
)

// pgDate writes a date; one that DATE does not hold becomes the nearest day
// that every reader knows.
func (e *encoder) pgDate(c *column, since2000 int32) {
	day := int64(since2000) + pgEpochDays
	switch {
	case since2000 == math.MaxInt32:
		e.infinite(c, `"infinity"`, clampHighDay)
	case since2000 == math.MinInt32:
		e.infinite(c, `"-infinity"`, clampLowDay)
	case day > greatestDay:
		e.tell(c, quoted(event.AppendISODate(nil, day)))
		e.day(c, clampHighDay)
	case day < leastDay:
		e.tell(c, quoted(event.AppendISODate(nil, day)))
		e.day(c, clampLowDay)
	default:
		e.day(c, day)
	}
}

// infinite writes what values.infinity puts in the place of an infinite date.
func (e *encoder) infinite(c *column, was string, day int64) {
	if e.values.Infinity == valueNull {
		e.after = append(e.after, "null"...)
		e.adjust(c, adjustedNull, was)
		return
	}
	e.tell(c, was)
	e.day(c, day)
}

// day writes the beginning of a day in the form of c.
func (e *encoder) day(c *column, day int64) {
	if c.kind == valueDate {
		e.after = strconv.AppendInt(e.after, day, 10)
		return
	}
	e.micros(c, day*dayMicros)
}

func (e *encoder) micros(c *column, micros int64) {
	if c.kind == valueMicros {
		e.after = strconv.AppendInt(e.after, micros, 10)
		return
	}
	e.after = append(event.AppendISO(append(e.after, '"'), micros), '"')
}

// pgTime writes a timestamp. Lake and warehouse count microseconds since 1970 in
// 64 bits, which end 24 years before PostgreSQL's since 2000 do.
func (e *encoder) pgTime(c *column, since2000 int64) {
	switch {
	case since2000 == math.MaxInt64:
		e.infinite(c, `"infinity"`, clampHighDay)
	case since2000 == math.MinInt64:
		e.infinite(c, `"-infinity"`, clampLowDay)
	case since2000 > math.MaxInt64-pgEpochMicros:
		day := since2000 / dayMicros
		text := append(event.AppendISODate(nil, day+pgEpochDays), 'T')
		e.tell(c, quoted(append(event.AppendISOClock(text, since2000-day*dayMicros), 'Z')))
		e.day(c, clampHighDay)
	case since2000+pgEpochMicros < leastDay*dayMicros:
		e.tell(c, quoted(event.AppendISO(nil, since2000+pgEpochMicros)))
		e.day(c, clampLowDay)
	default:
		e.micros(c, since2000+pgEpochMicros)
	}
}

func quoted(b []byte) string { return `"` + string(b) + `"` }

func (e *encoder) pgClock(c *column, micros int64) {
	if micros >= dayMicros {
		e.tell(c, `"24:00:00"`)
		micros = dayMicros - 1
	}
	e.after = append(event.AppendISOClock(append(e.after, '"'), micros), '"')
}

func (e *encoder) pgClockZone(c *column, s string) {
	zone := strings.LastIndexAny(s, "+-")
	switch {
	case zone > 0 && strings.Count(s[zone:], ":") > 1:
		e.null(c, s) // TIMETZ has no seconds of a zone
		return
	case strings.HasPrefix(s, "24:00:00"):
		e.tell(c, string(appendString(nil, s)))
		s = "23:59:59.999999" + s[zone:]
	}
	e.after = appendString(e.after, s)
}
