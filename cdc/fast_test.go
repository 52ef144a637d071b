package cdc

import (
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/wire"
)

// Where most of what polls read is known, most of them read above the newest
// value alone; fresh rows flow, and late ones come with the next whole poll.
func TestFastPolls(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]TableConfig{"stamp": polled("updated_at", ""), "stamp and id": polled("updated_at", "id")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup(t, orders)
			c.Overlap.Share = 0.01
			c.Strategies[0].Every = time.Millisecond
			s.tables(c)
			for i := range 60 {
				s.insert(i, "a")
			}
			reg := prometheus.NewRegistry()
			stop := s.runWith(reg, nil)
			s.drained()
			for i := range 20 {
				s.insert(1000+i, "new")
				s.awaitNote(1000+i, "new")
			}
			s.exec("INSERT INTO orders (id, note, updated_at) VALUES (77, 'late', ?)", time.Now().Add(-20*time.Second).UTC().Format("2006-01-02T15:04:05.000000Z"))
			s.awaitNote(77, "late")
			testkit.Eventually(t, "polls are fast", func() error {
				if counted(t, reg, "millstream_cdc_polls_total", outcomeFast) == 0 {
					return errors.New("none was")
				}
				return nil
			})
			stop()
			s.verify()
		})
	}
}

// A fast poll reads nothing that no earlier poll remembers, and remembers all that
// the next whole poll will read again.
func TestFastPollRemembers(t *testing.T) {
	t.Parallel()
	at := func(second int) string { return stampText(time.Unix(1e9+int64(second), 0)) }
	for name, c := range map[string]struct {
		newest int
		lo     string
	}{"newest above the cursor": {5, at(5)}, "newest below the cursor": {-5, at(0)}} {
		poll := wire.CDCPoll{Phase: phaseStamp, Lo: at(0), Keep: at(8)}
		quicken(&poll, time.Unix(1e9+int64(c.newest), 0), "")
		if poll.Lo != c.lo || poll.Keep != at(0) {
			t.Errorf("%s: reads from %s, remembers from %s; want %s and %s", name, poll.Lo, poll.Keep, c.lo, at(0))
		}
	}
}

// A whole poll runs as often as the share allows, and none is fast where little
// is known.
func TestShareOfKnownRows(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	s := share{spent: 4 * time.Second, known: 50, read: 100}
	if s.ended(now, 0.1, 10*time.Second, "7"); !s.whole.Equal(now.Add(20*time.Second)) || s.top != "7" {
		t.Errorf("2 s on known rows at 10%%: next whole poll %s after, want 20 s; top %s", s.whole.Sub(now), s.top)
	}
	s.spent, s.known, s.read = 4*time.Second, 10, 100
	if s.ended(now, 0.1, 10*time.Second, ""); !s.whole.IsZero() {
		t.Errorf("0.4 s on known rows in 10 s: next whole poll %s after", s.whole.Sub(now))
	}
}
