package metric

import (
	"fmt"
	"sync"
	"time"
	_ "time/tzdata" // zones must not depend on the image that the binary runs in
)

// FineSeconds is the length of a fine bucket. Since 1990 every offset of the tz
// database is a multiple of it, so a day of any zone is a union of fine buckets.
const FineSeconds = 900

// FineBucket returns the number of the fine bucket that holds a unix time.
func FineBucket(unix int64) int64 { return floorDiv(unix, FineSeconds) }

// FineStart returns the unix time at which a fine bucket begins.
func FineStart(bucket int64) int64 { return bucket * FineSeconds }

// Date returns the number of a calendar date: days since 1970-01-01.
func Date(year int, month time.Month, day int) int64 {
	return floorDiv(time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Unix(), 86400)
}

// ParseDate reads YYYY-MM-DD.
func ParseDate(s string) (int64, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return 0, fmt.Errorf("date %q: want YYYY-MM-DD", s)
	}
	return floorDiv(t.Unix(), 86400), nil
}

// FormatDate returns a day's number as YYYY-MM-DD.
func FormatDate(day int64) string { return time.Unix(day*86400, 0).UTC().Format(time.DateOnly) }

// Zone knows when the days of a time zone begin. It is safe for concurrent use.
type Zone struct {
	name string
	loc  *time.Location

	mu     sync.RWMutex
	starts map[int64]int64 // day to unix seconds
}

// LoadZone returns the zone with an IANA name.
func LoadZone(name string) (*Zone, error) {
	if name == "" || name == "Local" {
		return nil, fmt.Errorf("zone %q: want an IANA name, such as Europe/Berlin", name)
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("zone %q: %w", name, err)
	}
	return &Zone{name: name, loc: loc, starts: map[int64]int64{}}, nil
}

// Name returns the IANA name.
func (z *Zone) Name() string { return z.name }

// Start returns the unix time at which day begins: the earliest instant whose
// local date is day or later. The day ends where the next begins; it lasts 21
// to 27 hours, or 0 where a zone left it out.
func (z *Zone) Start(day int64) int64 {
	z.mu.RLock()
	s, ok := z.starts[day]
	z.mu.RUnlock()
	if ok {
		return s
	}
	s = z.start(day)
	z.mu.Lock()
	if len(z.starts) > 1<<14 { // 45 years of one zone; a walk over all days must not grow it for ever
		clear(z.starts)
	}
	z.starts[day] = s
	z.mu.Unlock()
	return s
}

// Bounds returns the unix times at which day begins and ends.
func (z *Zone) Bounds(day int64) (from, to int64) { return z.Start(day), z.Start(day + 1) }

// Day returns the day that holds a unix time.
func (z *Zone) Day(unix int64) int64 {
	_, offset := time.Unix(unix, 0).In(z.loc).Zone()
	day := floorDiv(unix+int64(offset), 86400) // right but near a change of the clock
	for z.Start(day) > unix {
		day--
	}
	for z.Start(day+1) <= unix {
		day++
	}
	return day
}

// DayCache remembers the bounds of the day asked for last, for a caller that
// asks mostly about one day. It is not safe for concurrent use.
type DayCache struct {
	Zone         *Zone
	day          int64
	from, before int64
}

// Day returns the day that holds a unix time.
func (c *DayCache) Day(unix int64) int64 {
	if unix < c.from || unix >= c.before {
		c.day = c.Zone.Day(unix)
		c.from, c.before = c.Zone.Bounds(c.day)
	}
	return c.day
}

// start follows the three cases of a local midnight: skipped, twice, plain.
func (z *Zone) start(day int64) int64 {
	y, m, d := time.Unix(day*86400, 0).UTC().Date()
	t := time.Date(y, m, d, 0, 0, 0, 0, z.loc)
	from, to := t.ZoneBounds()
	switch {
	case localDate(t) < day: // midnight was skipped, and Go answered from before the gap
		if to.IsZero() {
			return t.Unix()
		}
		return to.Unix()
	case !from.IsZero() && localDate(from.Add(-1)) >= day: // midnight comes twice, and Go took the second
		_, offset := from.Add(-1).Zone()
		return day*86400 - int64(offset)
	}
	return t.Unix()
}

func localDate(t time.Time) int64 {
	_, offset := t.Zone()
	return floorDiv(t.Unix()+int64(offset), 86400)
}

func floorDiv(a, b int64) int64 {
	return a/b - boolInt(a%b != 0 && (a < 0) != (b < 0))
}

func boolInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
