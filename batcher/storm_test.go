package batcher

import (
	"testing"
	"time"
)

func TestMoreThanHalfRejectedIsAStorm(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 6, 15, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		rejected func(i int) bool
		want     int // records until the rest begins; 0: never
	}{
		"none":                    {func(int) bool { return false }, 0},
		"all":                     {func(int) bool { return true }, 501},
		"every other one":         {func(i int) bool { return i%2 == 0 }, 0},
		"two of three":            {func(i int) bool { return i%3 > 0 }, 752},
		"after a long calm":       {func(i int) bool { return i >= 5000 }, 5501},
		"half of a thousand, old": {func(i int) bool { return i < 500 || i > 1000 && i%2 == 0 }, 0},
	} {
		var s storm
		got := 0
		for i := range 10_000 {
			if s.note(c.rejected(i), now) {
				got = i + 1
				break
			}
		}
		if got != c.want {
			t.Errorf("%s: the rest begins after %d records, want %d", name, got, c.want)
		}
	}
}

func TestAChainGoesOnAfterAMinute(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 6, 15, 0, 0, time.UTC)
	var s storm
	for !s.note(true, now) {
		continue
	}
	for _, c := range []struct {
		after          time.Duration
		resting, ended bool
	}{{0, true, false}, {59 * time.Second, true, false}, {time.Minute, false, true}, {time.Minute, false, false}} {
		if resting, ended := s.rests(now.Add(c.after)); resting != c.resting || ended != c.ended {
			t.Errorf("after %s: resting %v, ended %v", c.after, resting, ended)
		}
	}
	for i := range 500 { // what was rejected before the rest no longer counts
		if s.note(true, now.Add(time.Minute)) {
			t.Fatalf("rests again after %d records", i+1)
		}
	}
	if !s.note(true, now.Add(time.Minute)) {
		t.Error("does not rest again, though nothing got better")
	}
}
