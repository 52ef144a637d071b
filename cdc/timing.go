package cdc

import (
	"strings"
	"time"
)

// quietPolls is how many polls that found nothing go before the period grows.
const quietPolls = 5

// timing is when a strategy polls.
type timing struct {
	period time.Duration // grown by polls that found nothing; zero: cfg.Every
	empty  int           // polls in a row that found nothing
}

// after takes a complete poll and returns when the next one is due. The period
// grows while nothing changes, and falls back with the first row.
func (g *timing) after(now time.Time, c StrategyConfig, rows int64, source, name string) time.Time {
	if rows > 0 || g.period < c.Every {
		g.period = c.Every
	}
	if rows > 0 {
		g.empty = 0
	} else if g.empty++; g.empty > quietPolls && c.MaxEvery > 0 {
		g.period = min(g.period+g.period/2, c.MaxEvery)
	}
	return nextPoll(now, c, g.period, source, name)
}

// nextPoll is when the poll after one at now is due.
func nextPoll(now time.Time, c StrategyConfig, period time.Duration, source, name string) time.Time {
	if c.At != "" {
		return nextAt(now, c.At, c.Zone)
	}
	return nextTick(now, period, source, name)
}

// nextAt is the next time that clocks in a zone show at. A day on which they do
// not is polled at the moment that takes its place.
func nextAt(now time.Time, at, zone string) time.Time {
	clock, err := time.Parse("15:04", at)
	where, errZone := time.LoadLocation(zone)
	if err != nil || errZone != nil {
		panic("BUG: no time of a day was validated: " + at + " " + zone)
	}
	day := now.In(where)
	for {
		next := time.Date(day.Year(), day.Month(), day.Day(), clock.Hour(), clock.Minute(), 0, 0, where)
		if next.After(now) {
			return next
		}
		day = day.AddDate(0, 0, 1)
	}
}

// resumed is when a strategy polls after a takeover: a poll that runs goes on,
// and ticks that were missed are one that is due now.
func (k *task) resumed(source string) time.Time {
	last, ok := ulidTime(k.st.Last)
	if k.st.Poll != nil || !ok {
		return time.Time{}
	}
	return nextPoll(last, k.cfg, k.cfg.Every, source, k.table.name+"/"+k.name())
}

// ulidTime is when a ULID was made; false if s is none.
func ulidTime(s string) (time.Time, bool) {
	const digits = "0123456789abcdefghjkmnpqrstvwxyz"
	if len(s) != 26 {
		return time.Time{}, false
	}
	ms := int64(0)
	for _, c := range s[:10] {
		at := strings.IndexRune(digits, c)
		if at < 0 {
			return time.Time{}, false
		}
		ms = ms<<5 | int64(at)
	}
	return time.UnixMilli(ms), true
}

// rest is how long a strategy with a budget leaves the origin alone after a page.
func rest(c StrategyConfig, took time.Duration) time.Duration {
	if c.Budget <= 0 || c.Budget >= 1 {
		return 0
	}
	return time.Duration(float64(took) * (1/float64(c.Budget) - 1))
}
