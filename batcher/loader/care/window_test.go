package care

import (
	"strings"
	"testing"
	"time"
)

func window(t *testing.T, text, zone string) Window {
	t.Helper()
	w, err := ParseWindow(text, zone)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func moment(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestWindowOpensByTheClockOnTheWall(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, window, zone string
		now                string
		open               bool
		began, ends, next  string // of an open window, the first two
	}{
		{"inside", "02:00-05:00", "UTC", "2026-11-21T03:10:30Z", true, "2026-11-21T02:00:00Z", "2026-11-21T05:00:00Z", "2026-11-21T03:10:30Z"},
		{"its first second", "02:00-05:00", "UTC", "2026-11-21T02:00:00Z", true, "2026-11-21T02:00:00Z", "2026-11-21T05:00:00Z", "2026-11-21T02:00:00Z"},
		{"its end is outside", "02:00-05:00", "UTC", "2026-11-21T05:00:00Z", false, "", "", "2026-11-22T02:00:00Z"},
		{"over midnight, before it", "22:00-03:00", "UTC", "2026-11-21T23:00:00Z", true, "2026-11-21T22:00:00Z", "2026-11-22T03:00:00Z", "2026-11-21T23:00:00Z"},
		{"over midnight, after it", "22:00-03:00", "UTC", "2026-11-22T02:59:59Z", true, "2026-11-21T22:00:00Z", "2026-11-22T03:00:00Z", "2026-11-22T02:59:59Z"},
		{"over midnight, at noon", "22:00-03:00", "UTC", "2026-11-22T12:00:00Z", false, "", "", "2026-11-22T22:00:00Z"},
		{"up to midnight", "22:00-24:00", "UTC", "2026-11-22T23:59:00Z", true, "2026-11-22T22:00:00Z", "2026-11-23T00:00:00Z", "2026-11-22T23:59:00Z"},
		{"another zone", "02:00-05:00", "America/New_York", "2026-11-21T08:00:00Z", true, "2026-11-21T07:00:00Z", "2026-11-21T10:00:00Z", "2026-11-21T08:00:00Z"},
		{"a zone of half an hour", "02:00-05:00", "Asia/Kolkata", "2026-11-20T20:30:00Z", true, "2026-11-20T20:30:00Z", "2026-11-20T23:30:00Z", "2026-11-20T20:30:00Z"},
		// Berlin goes from 02:00 to 03:00 on 29 March and from 03:00 to 02:00 on 25 October 2026.
		{"an hour less in spring", "01:00-05:00", "Europe/Berlin", "2026-03-29T01:30:00Z", true, "2026-03-29T00:00:00Z", "2026-03-29T03:00:00Z", "2026-03-29T01:30:00Z"},
		{"begins in the skipped hour", "02:30-05:00", "Europe/Berlin", "2026-03-29T00:59:00Z", false, "", "", "2026-03-29T01:00:00Z"},
		{"lies in the skipped hour", "02:10-02:50", "Europe/Berlin", "2026-03-28T12:00:00Z", false, "", "", "2026-03-30T00:10:00Z"},
		{"an hour more in autumn", "01:00-05:00", "Europe/Berlin", "2026-10-25T01:30:00Z", true, "2026-10-24T23:00:00Z", "2026-10-25T04:00:00Z", "2026-10-25T01:30:00Z"},
		{"over midnight in autumn", "22:00-02:30", "Europe/Berlin", "2026-10-24T22:00:00Z", true, "2026-10-24T20:00:00Z", "2026-10-25T00:30:00Z", "2026-10-24T22:00:00Z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w, now := window(t, c.window, c.zone), moment(t, c.now)
			if got := w.Open(now); got != c.open {
				t.Errorf("open: %v, want %v", got, c.open)
			}
			if got := w.Next(now); !got.Equal(moment(t, c.next)) {
				t.Errorf("next: %v, want %v", got.UTC(), c.next)
			}
			if !c.open {
				return
			}
			if got := w.Began(now); !got.Equal(moment(t, c.began)) {
				t.Errorf("began: %v, want %v", got.UTC(), c.began)
			}
			if got := w.End(now); !got.Equal(moment(t, c.ends)) {
				t.Errorf("ends: %v, want %v", got.UTC(), c.ends)
			}
		})
	}
}

func TestWindowOfTheWholeDayNeverCloses(t *testing.T) {
	t.Parallel()
	w := window(t, "00:00-24:00", "Europe/Berlin")
	for at, n := moment(t, "2026-10-24T00:00:00Z"), 0; n < 3*24; n++ {
		if at = at.Add(time.Hour); !w.Open(at) {
			t.Fatalf("closed at %v", at)
		}
	}
}

func TestWindowRefusals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ window, zone, want string }{
		{"02:00", "UTC", "two times of the day"},
		{"2-5", "UTC", "two times of the day"},
		{"02:00-25:00", "UTC", "two times of the day"},
		{"03:00-03:00", "UTC", "must not be empty"},
		{"24:00-03:00", "UTC", "before 24:00"},
		{"02:00-05:00", "Berlin", "loader.maintenance.zone: must be the IANA name"},
		{"02:00-05:00", "Local", "loader.maintenance.zone"},
		{"02:00-05:00", "", "loader.maintenance.zone"},
	} {
		if _, err := ParseWindow(c.window, c.zone); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q in %q: %v, want %q", c.window, c.zone, err, c.want)
		}
	}
}
