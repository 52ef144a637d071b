package models

import (
	"fmt"
	"strings"
	"time"
)

// RefreshKind says by what a model is refreshed.
type RefreshKind string

// The kinds of refreshes.
const (
	OnChange RefreshKind = "on_change"
	Every    RefreshKind = "every"
	At       RefreshKind = "at"
	Manual   RefreshKind = "manual"
)

// Refresh says when a model is refreshed.
type Refresh struct {
	Kind   RefreshKind
	Period time.Duration // between builds: of Every; of OnChange at least, 0: none
	Minute int           // of At: of the day
	Zone   *time.Location
}

// defaultRefresh holds for models that name none: fresh enough to watch, and
// seldom enough to forget about its cost.
func defaultRefresh() Refresh { return Refresh{Kind: OnChange, Period: 10 * time.Minute} }

// String is how the refresh is written.
func (r Refresh) String() string {
	switch r.Kind {
	case Every:
		return "every " + duration(r.Period)
	case At:
		return fmt.Sprintf("at %02d:%02d %s", r.Minute/60, r.Minute%60, r.Zone)
	case OnChange:
		if r.Period > 0 {
			return "on_change, at most every " + duration(r.Period)
		}
	case Manual:
	}
	return string(r.Kind)
}

// duration leaves out the noughts of time.Duration's text.
func duration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// ParseRefresh reads what a header says behind refresh.
func ParseRefresh(text string) (Refresh, error) {
	words := strings.Fields(strings.ReplaceAll(text, ",", " "))
	bad := func(why string) (Refresh, error) {
		return Refresh{}, fmt.Errorf("%q %s: write %s", text, why, examples["refresh"])
	}
	if len(words) == 0 {
		return bad("is empty")
	}
	switch {
	case words[0] == string(Manual) && len(words) == 1:
		return Refresh{Kind: Manual}, nil
	case words[0] == string(OnChange) && len(words) == 1:
		return Refresh{Kind: OnChange}, nil
	case words[0] == string(OnChange) && len(words) == 5 && strings.Join(words[1:4], " ") == "at most every":
		period, err := parsePeriod(words[4])
		if err != nil {
			return bad(err.Error())
		}
		return Refresh{Kind: OnChange, Period: period}, nil
	case words[0] == string(Every) && len(words) == 2:
		period, err := parsePeriod(words[1])
		if err != nil {
			return bad(err.Error())
		}
		return Refresh{Kind: Every, Period: period}, nil
	case words[0] == string(At) && len(words) <= 3 && len(words) > 1:
		clock, err := time.Parse("15:04", words[1])
		if err != nil {
			return bad("has no time of day such as 03:00")
		}
		zone := "UTC"
		if len(words) == 3 {
			zone = words[2]
		}
		loc, err := time.LoadLocation(zone)
		if err != nil || zone == "Local" {
			return bad("has no time zone such as UTC or Europe/Berlin")
		}
		return Refresh{Kind: At, Minute: 60*clock.Hour() + clock.Minute(), Zone: loc}, nil
	}
	return bad("is not understood")
}

// parsePeriod reads a duration of at least a tick; d is a day.
func parsePeriod(text string) (time.Duration, error) {
	var days time.Duration
	if head, ok := strings.CutSuffix(text, "d"); ok {
		text, days = head+"h", 24
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("has no duration such as 10m, 1h or 1d")
	}
	if days > 0 {
		d *= days
	}
	if d < Tick {
		return 0, fmt.Errorf("is shorter than %s, at which models are looked at", Tick)
	}
	return d, nil
}

// lastAt returns the newest moment of the refresh's time of day that is not
// after now. A time that a change of clocks leaves out is the one after it.
func (r Refresh) lastAt(now time.Time) time.Time {
	local := now.In(r.Zone)
	at := time.Date(local.Year(), local.Month(), local.Day(), r.Minute/60, r.Minute%60, 0, 0, r.Zone)
	if at.After(now) {
		at = time.Date(local.Year(), local.Month(), local.Day()-1, r.Minute/60, r.Minute%60, 0, 0, r.Zone)
	}
	return at
}
