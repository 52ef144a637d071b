package bench

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/wire"
)

func TestBacklogHoldsEventsAsIngestWritesThem(t *testing.T) {
	t.Parallel()
	_, cfg := testkit.Kafka(t)
	backlog := Backlog{Kafka: cfg, Log: testkit.Log(t), Seed: 7}
	const n = 2000
	bytes, err := backlog.Fill(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	if each := bytes / n; each < 650 || each > 850 {
		t.Errorf("an event has %d bytes", each)
	}
	cl := testkit.KafkaClient(t, cfg, kgo.ConsumeTopics(cfg.Names().Events()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	ids := map[string]bool{}
	for len(ids) < n {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			h, err := wire.ParseEventHeaders(r.Headers)
			if err != nil {
				t.Fatal(err)
			}
			var e struct{ MessageID, Event, ReceivedAt string }
			if err := json.Unmarshal(r.Value, &e); err != nil {
				t.Fatalf("%v: %s", err, r.Value)
			}
			if e.MessageID != h.MessageID || e.Event != h.Event || e.ReceivedAt != h.ReceivedAt.Format("2006-01-02T15:04:05.000Z") {
				t.Fatalf("headers %+v of %s", h, r.Value)
			}
			ids[h.MessageID] = true
		})
	}
}

func TestPaceKeepsTheRateAndTellsOfEveryHundredth(t *testing.T) {
	t.Parallel()
	_, cfg := testkit.Kafka(t)
	backlog := Backlog{Kafka: cfg, Log: testkit.Log(t)}
	if _, err := backlog.Fill(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	samples := make(chan Sample, 100)
	if err := backlog.Pace(t.Context(), 1000, time.Second, func(s Sample) { samples <- s }); err != nil {
		t.Fatal(err)
	}
	if n := len(samples); n < 5 || n > 10 {
		t.Errorf("%d samples of 1,000 events", n)
	}
}
