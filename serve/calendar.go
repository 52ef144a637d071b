package serve

import (
	"strconv"
	"strings"
	"time"

	"github.com/millstream-data/millstream/internal/metric"
)

// period is a range as it is written: so many local days, or so many hours up to now.
type period struct {
	hours      int64 // rolling, if above 0
	from, to   int64 // days relative to today, to exclusive
	first, end int64 // days since 1970, if absolute
	absolute   bool
}

// Bounds of what a question may span.
const (
	maxDays  = 800
	maxHours = 24 * 35
)

// parsePeriod reads a range of a question.
func parsePeriod(s string) (period, error) {
	switch s {
	case "today":
		return period{from: 0, to: 1}, nil
	case "yesterday":
		return period{from: -1, to: 0}, nil
	}
	if a, b, ok := strings.Cut(s, ".."); ok {
		return parseDates(s, a, b)
	}
	if len(s) > 1 {
		n, err := strconv.Atoi(s[:len(s)-1])
		switch unit := s[len(s)-1]; {
		case err != nil || n < 1:
		case unit == 'd' && n <= maxDays:
			return period{from: int64(1 - n), to: 1}, nil
		case unit == 'h' && n <= maxHours:
			return period{hours: int64(n)}, nil
		}
	}
	return period{}, fault(codeBadRange, "range", "range is today, yesterday, a number of days such as 7d (up to %d), of hours such as 24h (up to %d), or two dates such as 2026-03-01..2026-03-28 (got %q)", maxDays, maxHours, s)
}

func parseDates(s, a, b string) (period, error) {
	first, err1 := metric.ParseDate(a)
	last, err2 := metric.ParseDate(b)
	if err1 != nil || err2 != nil || last < first || last-first >= maxDays {
		return period{}, fault(codeBadRange, "range", "two dates are written 2026-03-01..2026-03-28, the first one first and at most %d days apart (got %q)", maxDays, s)
	}
	return period{first: first, end: last + 1, absolute: true}, nil
}

func checkZoneName(name string) error {
	if _, err := metric.LoadZone(name); err != nil {
		return fault(codeBadZone, "tz", "%q is no IANA time zone; write for example Europe/Berlin", name)
	}
	return nil
}

// zone is a time zone with the days of internal/metric.
type zone struct {
	*metric.Zone
	loc *time.Location
}

func loadZone(name string) (*zone, error) {
	z, err := metric.LoadZone(name)
	if err != nil {
		return nil, fault(codeBadZone, "tz", "%q is no IANA time zone", name)
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil, fault(codeBadZone, "tz", "%q is no IANA time zone", name)
	}
	return &zone{Zone: z, loc: loc}, nil
}

// span is a period with its place in time: local days, or quarters of an hour where it rolls.
type span struct {
	from, to   int64 // unix seconds
	day, end   int64 // local days, unless rolling
	rolling    bool
	stillRuns  bool // to lies in the future
	daysInside int64
}

// at fixes p at an instant.
func (p period) at(z *zone, now time.Time) span {
	unix := now.Unix()
	if p.hours > 0 {
		to := metric.FineStart(metric.FineBucket(unix) + 1)
		return span{from: to - p.hours*3600, to: to, rolling: true, stillRuns: true}
	}
	day, end := p.first, p.end
	if !p.absolute {
		today := z.Day(unix)
		day, end = today+p.from, today+p.to
	}
	s := span{from: z.Start(day), to: z.Start(end), day: day, end: end, daysInside: end - day}
	s.stillRuns = s.to > unix
	return s
}

// cut is one bucket of an answer.
type cut struct {
	from, to int64 // unix seconds
	day      int64 // local day, if the bucket is one
	whole    bool  // it is whole local days: day cells answer it
	days     int64 // how many
}

// cuts splits s by a grain, following the local clock.
func (s span) cuts(z *zone, grain string) []cut {
	switch grain {
	case grainTotal:
		return []cut{{from: s.from, to: s.to, day: s.day, days: s.daysInside, whole: !s.rolling}}
	case grainDay:
		return s.dayCuts(z)
	}
	var out []cut
	for at := s.from; at < s.to; {
		next := at + metric.FineSeconds
		if grain == grainHour {
			next = at + 3600 - floorMod(at+z.offset(at), 3600)
		}
		out = append(out, cut{from: at, to: min(next, s.to)})
		at = next
	}
	return out
}

func (s span) dayCuts(z *zone) []cut {
	var out []cut
	if !s.rolling {
		for d := s.day; d < s.end; d++ {
			if from, to := z.Bounds(d); to > from { // a zone may have left a day out
				out = append(out, cut{from: from, to: to, day: d, days: 1, whole: true})
			}
		}
		return out
	}
	for at := s.from; at < s.to; {
		_, to := z.Bounds(z.Day(at))
		out = append(out, cut{from: at, to: min(to, s.to)})
		at = to
	}
	return out
}

func (z *zone) offset(unix int64) int64 {
	_, off := time.Unix(unix, 0).In(z.loc).Zone()
	return int64(off)
}

// shift returns the instant with the same local time some days before. A local time that is skipped there means the
// first instant after it, one that comes twice its first.
func (z *zone) shift(unix, days int64) int64 {
	wall := unix + z.offset(unix) - days*86400
	y, m, d := time.Unix(wall, 0).UTC().Date()
	h, mi, s := time.Unix(wall, 0).UTC().Clock()
	t := time.Date(y, m, d, h, mi, s, 0, z.loc)
	from, to := t.ZoneBounds()
	switch local := t.Unix() + z.offset(t.Unix()); {
	case local < wall && !to.IsZero():
		return to.Unix()
	case local > wall && !from.IsZero():
		return from.Unix()
	}
	if !from.IsZero() {
		if first := wall - z.offset(from.Unix()-1); first < from.Unix() {
			return first
		}
	}
	return t.Unix()
}

// text writes an instant with its offset.
func (z *zone) text(unix int64) string { return time.Unix(unix, 0).In(z.loc).Format(time.RFC3339) }

func floorMod(a, b int64) int64 {
	m := a % b
	if m < 0 {
		m += b
	}
	return m
}

// shiftOf returns by how many days a comparison goes back, 0 for none.
func shiftOf(compare string) int64 {
	switch compare {
	case comparePrevDay:
		return 1
	case comparePrevWeek:
		return 7
	case comparePrevYear:
		return 364 // the same weekday
	}
	return 0
}
