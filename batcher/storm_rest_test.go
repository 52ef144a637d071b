package batcher_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/batcher"
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

func TestAPartitionGoesOnAfterItsRest(t *testing.T) {
	w := setup(t)
	const rest = 2 * time.Second
	health := telemetry.NewHealth()
	r := w.startDeps(quick(t), batcher.Deps{
		Kafka: w.kafka, Lake: w.lake, Dedup: w.dedup, Version: "test", Log: testkit.Log(t), Health: health, Rest: rest,
	})
	bad := make([]*kgo.Record, 600)
	for i := range bad {
		bad[i] = eventRecord("app", event.Track, "X", "bad-"+strconv.Itoa(i), day, "{")
	}
	begun := time.Now()
	w.send(0, bad...)
	w.send(0, w.tracks(1000)...)
	got := sum(w.until(w.names.Events(), 0, 1600))
	if took := time.Since(begun); took < rest {
		t.Errorf("it went on after %s", took)
	}
	if got.rejected != 600 || got.primary != 1000 {
		t.Errorf("totals %+v", got)
	}
	if report := health.Report(t.Context()); report.State != telemetry.StateReady {
		t.Errorf("health: %s", report)
	}
	if n := r.counter(t, "millstream_batcher_pause_seconds_total", "reason", "rejects"); n < rest.Seconds() {
		t.Errorf("paused for %v s", n)
	}
	w.sound()
}
