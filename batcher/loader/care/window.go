package care

import (
	"fmt"
	"strings"
	"time"

	"github.com/millstream-data/millstream/internal/config"
)

// Window is a stretch of every day by the clock on the wall of one zone. Where
// clocks go back an hour within it, it lasts an hour longer, and where they go
// forward an hour less: nothing runs when people's clocks say that it is over.
type Window struct {
	from, to int // minutes of the day; to may lie before from, on the next day
	zone     *time.Location
}

// ParseWindow reads two times of the day, such as 22:00-03:00, and the name of
// a zone.
func ParseWindow(window, zone string) (Window, error) {
	const key = "loader.maintenance.window"
	loc, err := time.LoadLocation(zone)
	if err != nil || zone == "" || zone == "Local" {
		return Window{}, config.Invalid("loader.maintenance.zone", "must be the IANA name of a time zone, such as Europe/Berlin (got %q)", zone)
	}
	a, b, ok := strings.Cut(window, "-")
	from, errFrom := clock(a)
	to, errTo := clock(b)
	switch {
	case !ok || errFrom != nil || errTo != nil:
		return Window{}, config.Invalid(key, "must be two times of the day, such as 02:00-05:00 (got %q)", window)
	case from == to:
		return Window{}, config.Invalid(key, "must not be empty; 00:00-24:00 is the whole day (got %q)", window)
	case from == minutesOfDay:
		return Window{}, config.Invalid(key, "must begin before 24:00 (got %q)", window)
	}
	return Window{from, to, loc}, nil
}

const minutesOfDay = 24 * 60

// clock reads a time of the day, 24:00 included, as minutes.
func clock(text string) (int, error) {
	if strings.TrimSpace(text) == "24:00" {
		return minutesOfDay, nil
	}
	t, err := time.Parse("15:04", strings.TrimSpace(text))
	if err != nil {
		return 0, fmt.Errorf("time of day %q: %w", text, err)
	}
	return t.Hour()*60 + t.Minute(), nil
}

// Open says whether t lies in the window.
func (w Window) Open(t time.Time) bool {
	t = t.In(w.zone)
	m := t.Hour()*60 + t.Minute()
	if w.from < w.to {
		return w.from <= m && m < w.to
	}
	return m >= w.from || m < w.to
}

// End is when the window that t lies in closes. It goes by the minute, so that
// no rule about changes of the clock is needed but the zone's own.
func (w Window) End(t time.Time) time.Time {
	return w.change(t, false)
}

// Next is when the window opens after t, or t itself while it is open.
func (w Window) Next(t time.Time) time.Time {
	return w.change(t, true)
}

// Began is when the window that t lies in opened.
func (w Window) Began(t time.Time) time.Time {
	at := t.Truncate(time.Minute)
	for range 2 * minutesOfDay {
		before := at.Add(-time.Minute)
		if !w.Open(before) {
			break
		}
		at = before
	}
	return at
}

// change is the first minute from t on at which the window is open, or not. A
// window of the whole day never closes, and one that lies in the hour that a
// night skips opens a day later: hence two days and a bit.
func (w Window) change(t time.Time, open bool) time.Time {
	if w.Open(t) == open {
		return t
	}
	at := t.Truncate(time.Minute)
	for range 2*minutesOfDay + 180 {
		at = at.Add(time.Minute)
		if w.Open(at) == open {
			break
		}
	}
	return at
}

func (w Window) String() string {
	return fmt.Sprintf("%02d:%02d-%02d:%02d %s", w.from/60, w.from%60, w.to/60, w.to%60, w.zone)
}
