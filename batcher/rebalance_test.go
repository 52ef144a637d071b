package batcher_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/testkit"
)

// load sends batches to all partitions in turn until it is told to stop.
type load struct {
	stop chan struct{}
	sent chan int
}

func (w *world) load(partitions int) *load {
	l := &load{stop: make(chan struct{}), sent: make(chan int)}
	go func() { // ends with the test at the latest
		for n := 0; ; n++ {
			recs := make([]*kgo.Record, 20)
			for i := range recs {
				recs[i] = track("app", fmt.Sprintf("load-%d-%d", n, i), "Load", day, `{"n":1}`)
				recs[i].Topic, recs[i].Partition = w.names.Events(), int32(n%partitions)
			}
			if err := w.client.ProduceSync(context.Background(), recs...).FirstErr(); err != nil && !errors.Is(err, kgo.ErrClientClosed) {
				w.t.Error(err)
			}
			select {
			case <-l.stop:
				l.sent <- 20 * (n + 1)
				return
			case <-w.t.Context().Done(): // the test has failed
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	return l
}

func (l *load) end() int {
	close(l.stop)
	return <-l.sent
}

// One batcher becomes four and one again while events come: each of the four
// gets a partition, commits there, and leaves no gap and no overlap.
func TestRebalanceUnderLoad(t *testing.T) {
	w := setupWith(t, 4)
	cfg := quick(t)
	cfg.SessionTimeout = 3 * time.Second
	start := func() *running {
		cfg.Disk.Dir = t.TempDir()
		return w.start(cfg)
	}
	first := start()
	load := w.load(4)
	w.until(w.names.Events(), 0, 100)
	others := []*running{start(), start(), start()}
	for i, r := range append(others, first) {
		testkit.Eventually(t, "each of four commits", func() error {
			if n := r.counter(t, "millstream_batcher_commits_total", "cut", "age"); n < 3 {
				return fmt.Errorf("batcher %d has put %v commits", i, n)
			}
			return nil
		})
	}
	for _, r := range others {
		r.stop(t)
		if n := r.counter(t, "millstream_batcher_rebalances_total", "event", "assigned"); n == 0 {
			t.Error("a batcher got no partition")
		}
	}
	before := first.counter(t, "millstream_batcher_commits_total", "", "")
	for p := range int32(4) {
		w.until(w.names.Events(), p, w.end(w.names.Events(), p)+50) // which were sent when one was left
	}
	if first.counter(t, "millstream_batcher_commits_total", "", "") == before {
		t.Error("the one that is left commits nothing")
	}
	total := load.end()
	rows := int64(0)
	for p := range int32(4) {
		got := sum(w.until(w.names.Events(), p, w.end(w.names.Events(), p)))
		if got.duplicates+got.holes+got.rejected != 0 {
			t.Errorf("totals of partition %d: %+v", p, got)
		}
		rows += got.rows
	}
	w.sound()
	if rows != int64(total) {
		t.Errorf("%d rows of %d events", rows, total)
	}
}

// setupWith is setup with more partitions.
func setupWith(t *testing.T, partitions int) *world {
	t.Helper()
	w := setup(t)
	w.kafka.TopicPrefix, w.kafka.Topics.Partitions = "many", partitions
	w.names = w.kafka.Names()
	if err := kafka.EnsureTopics(t.Context(), w.kafka, w.client, w.kafka.EventsTopic(), w.kafka.RejectedTopic()); err != nil {
		t.Fatal(err)
	}
	return w
}
