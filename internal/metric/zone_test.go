package metric

import (
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestEveryLocalDay walks the days of every zone: all of them, or a sample of zones with -short or under the race
// detector's slowness.
func TestEveryLocalDay(t *testing.T) {
	t.Parallel()
	zones := strings.Fields(zoneList)
	if len(zones) < 400 {
		t.Fatalf("only %d zones found", len(zones))
	}
	step := 1
	if testing.Short() || raceEnabled {
		step = 16
	}
	var (
		wg   sync.WaitGroup
		gate = make(chan struct{}, runtime.GOMAXPROCS(0))
	)
	always := map[string]bool{
		"America/Havana": true, "America/Santiago": true, "Asia/Amman": true, "Antarctica/Casey": true, "America/Sao_Paulo": true,
		"Australia/Lord_Howe": true, "Asia/Kathmandu": true, "Pacific/Apia": true, "America/New_York": true, "Asia/Gaza": true,
	}
	for i, name := range zones {
		if i%step != 0 && !always[name] {
			continue
		}
		gate <- struct{}{}
		wg.Go(func() {
			defer func() { <-gate }()
			walkDays(t, name)
		})
	}
	wg.Wait()
}

func walkDays(t *testing.T, name string) {
	z, err := LoadZone(name)
	if err != nil {
		t.Error(err)
		return
	}
	last := z.start(Date(2011, 12, 31))
	for d := Date(2012, 1, 1); d < Date(2038, 1, 1); d++ {
		s := z.start(d)
		at := time.Unix(s, 0).In(z.loc)
		before := at.Add(-1)
		switch {
		case s%FineSeconds != 0:
			t.Errorf("%s %s: starts at %s, no quarter of an hour", name, FormatDate(d), at)
		case s < last:
			t.Errorf("%s %s: starts at %s, before the day before", name, FormatDate(d), at)
		case localDate(at) < d:
			t.Errorf("%s %s: starts at %s, on an earlier date", name, FormatDate(d), at)
		case localDate(before) >= d && s != last:
			t.Errorf("%s %s: starts at %s, and the date was reached before", name, FormatDate(d), at)
		}
		last = s
	}
}

func TestDSTDays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		zone, day string
		hours     float64
	}{
		{"Europe/Berlin", "2026-03-29", 23},
		{"Europe/Berlin", "2026-10-25", 25},
		{"America/New_York", "2026-11-01", 25},
		{"America/Havana", "2026-03-08", 23},
		{"America/Santiago", "2026-09-06", 23},
		{"America/Sao_Paulo", "2018-11-04", 23},
		{"Australia/Lord_Howe", "2026-04-05", 24.5},
		{"Australia/Lord_Howe", "2026-10-04", 23.5},
		{"Asia/Kathmandu", "2026-03-29", 24},
		{"Asia/Amman", "2021-10-29", 25},
		{"Pacific/Apia", "2011-12-30", 0},
	} {
		z, err := LoadZone(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		day, err := ParseDate(c.day)
		if err != nil {
			t.Fatal(err)
		}
		from, to := z.Bounds(day)
		if got := float64(to-from) / 3600; got != c.hours {
			t.Errorf("%s %s lasts %g hours, want %g", c.zone, c.day, got, c.hours)
		}
		cache := DayCache{Zone: z}
		for _, at := range []int64{from - 1, from, (from + to) / 2, to - 1, to} {
			want := z.Day(at)
			if s, e := z.Bounds(want); at < s || at >= e {
				t.Errorf("%s: %d is put on %s, whose bounds are %d and %d", c.zone, at, FormatDate(want), s, e)
			}
			if got := cache.Day(at); got != want {
				t.Errorf("%s: the cache puts %d on %s, want %s", c.zone, at, FormatDate(got), FormatDate(want))
			}
		}
	}
}
