package batcher_test

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

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

// The rest of a partition lasts a minute, and so does this test, which runs only
// with MILLSTREAM_TEST_LONG.
func TestAPartitionGoesOnAfterItsRest(t *testing.T) {
	if os.Getenv("MILLSTREAM_TEST_LONG") == "" {
		t.Skip("takes a minute; MILLSTREAM_TEST_LONG runs it")
	}
	w := setup(t)
	health, r := w.startWatched(quick(t), w.lake)
	bad := make([]*kgo.Record, 600)
	for i := range bad {
		bad[i] = eventRecord("app", event.Track, "X", "bad-"+strconv.Itoa(i), day, "{")
	}
	begun := time.Now()
	w.send(0, bad...)
	w.until(w.names.Events(), 0, 501)
	w.send(0, w.tracks(1000)...)
	testkit.Eventually(t, "most of the rest is over", func() error {
		if time.Since(begun) < 40*time.Second {
			return errNotYet
		}
		return nil
	})
	w.until(w.names.Events(), 0, 1600)
	if took := time.Since(begun); took < time.Minute {
		t.Errorf("it went on after %s", took)
	}
	got := sum(w.until(w.names.Events(), 0, 1600))
	if got.rejected != 600 || got.primary != 1000 {
		t.Errorf("totals %+v", got)
	}
	if report := health.Report(t.Context()); report.State != telemetry.StateReady {
		t.Errorf("health: %s", report)
	}
	if n := r.counter(t, "millstream_batcher_pause_seconds_total", "reason", "rejects"); n < 59 {
		t.Errorf("paused for %v s", n)
	}
	w.sound()
}
