package event_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/millstream-data/millstream/internal/event"
)

func TestISOIsWhatTheCalendarSays(t *testing.T) {
	t.Parallel()
	cases := map[int64]string{
		0:                       "1970-01-01T00:00:00Z",
		1795241702113402:        "2026-11-21T06:15:02.113402Z",
		1795241702500000:        "2026-11-21T06:15:02.5Z",
		-1:                      "1969-12-31T23:59:59.999999Z",
		-62135596800_000000:     "0001-01-01T00:00:00Z",
		-62135596800_000000 - 1: "+0000-12-31T23:59:59.999999Z",
		253402300799_999999:     "9999-12-31T23:59:59.999999Z",
		253402300799_999999 + 1: "+10000-01-01T00:00:00Z",
		math.MaxInt64:           "+294247-01-10T04:00:54.775807Z",
		math.MinInt64:           "-290308-12-21T19:59:05.224192Z",
		time.Date(-43, 3, 15, 12, 0, 0, 0, time.UTC).UnixMicro(): "-0043-03-15T12:00:00Z",
	}
	for micros, want := range cases {
		if got := string(event.AppendISO(nil, micros)); got != want {
			t.Errorf("%d: got %s, want %s", micros, got, want)
		}
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		micros := rnd.Int64N(253402300799_999999+62135596800_000000) - 62135596800_000000
		if got, want := string(event.AppendISO(nil, micros)), time.UnixMicro(micros).UTC().Format("2006-01-02T15:04:05.999999Z"); got != want {
			t.Fatalf("%d: got %s, want %s", micros, got, want)
		}
		for _, m := range []int64{micros, int64(rnd.Uint64())} { //nolint:gosec // any bits do
			text := string(event.AppendISO(nil, m))
			if back, err := event.ParseISO(text); err != nil || back != m {
				t.Fatalf("%s: got %d, %v, want %d", text, back, err, m)
			}
		}
	}
}

func TestParseISORefuses(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"", "x", "2026", "2026-11-21", "2026-11-21 06:15:02Z", "2026-02-30T00:00:00Z", "2026-11-21T24:00:00Z",
		"2026-11-21T06:15:02.1134021Z", "2026-11-21T06:15:02.0000000001Z", "+294247-01-10T04:00:54.775808Z", "-290308-12-21T19:59:05.224191Z",
		"+99999999-01-01T00:00:00Z", "+1-01-01T00:00:00Z", "12026-01-01T00:00:00Z",
	} {
		if got, err := event.ParseISO(s); err == nil {
			t.Errorf("%q: got %d, want an error", s, got)
		}
	}
	if got, err := event.ParseISO("2026-11-21T07:15:02.5+01:00"); err != nil || got != 1795241702500000 {
		t.Errorf("another zone: got %d, %v", got, err)
	}
}
