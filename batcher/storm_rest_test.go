package batcher_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/telemetry"
	"github.com/millstream-data/millstream/internal/testkit"
)

// A partition of nothing but bad records rests, and says so; what it has read is
// committed, other partitions go on, and a stop does not wait for the rest.
func TestRejectionStormRests(t *testing.T) {
	w := setup(t)
	health, r := w.startWatched(quick(t), w.lake)
	bad := make([]*kgo.Record, 3000)
	for i := range bad {
		bad[i] = eventRecord("app", event.Track, "X", "bad-"+strconv.Itoa(i), day, "{")
	}
	w.send(0, bad...)
	testkit.Eventually(t, "the batcher says that a partition rests", func() error {
		if report := health.Report(t.Context()); report.State != telemetry.StateDegraded || !strings.Contains(report.String(), "bad_json") {
			return errNotYet
		}
		return nil
	})
	if got := r.counter(t, "millstream_batcher_paused", "reason", "rejects"); got != 1 {
		t.Errorf("%v partitions rest", got)
	}
	w.send(1, w.tracks(20)...)
	w.until(w.names.Events(), 1, 20)
	commits := w.until(w.names.Events(), 0, 501)
	if got := sum(commits); got.rejected < 501 || got.rejected > 2000 || got.primary != 0 {
		t.Errorf("totals %+v", got)
	}
	r.stop(t)
	w.sound()
}
