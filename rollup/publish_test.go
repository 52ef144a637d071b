package rollup

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/metric"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/wire"
)

// setupPublisher runs a publisher against a broker that refuses writes while
// away is set.
func setupPublisher(t *testing.T, cfg Publish) (p *publisher, away *atomic.Bool, read func() []wire.Cell) {
	t.Helper()
	server, kcfg := testkit.Kafka(t)
	away = &atomic.Bool{}
	server.Cluster().ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		server.Cluster().KeepControl()
		return nil, errors.New("away"), away.Load()
	})
	cl := testkit.KafkaClient(t, kcfg, kgo.ProducerLinger(0))
	if err := kafka.EnsureTopics(t.Context(), kcfg, cl, kcfg.CellsTopic()); err != nil {
		t.Fatal(err)
	}
	p = newPublisher(cl, kcfg.Names().Cells(), cfg, testkit.Log(t), newMetrics(prometheus.NewRegistry(), "events"))
	p.setNames([]metric.Version{{VersionID: metric.VersionID{Metric: 1, Ver: 1}, Name: "orders"}})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }() // the cleanup waits for it
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	b := &bench{t: t, kafka: kcfg}
	return p, away, func() (out []wire.Cell) {
		log, err := kafka.DescribeLog(t.Context(), cl, kcfg.Names().Cells(), true)
		if err != nil {
			t.Fatal(err)
		}
		in := testkit.KafkaClient(t, b.kafka, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{kcfg.Names().Cells(): {0: kgo.NewOffset().AtStart()}}))
		for int64(len(out)) < log.End[0] {
			for _, rec := range in.PollFetches(t.Context()).Records() {
				c, err := wire.DecodeCellRecord[wire.Cell](rec.Value)
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, c)
			}
		}
		return out
	}
}

func cellAt(bucket, off int64, size int) metric.Row {
	return metric.Row{Key: metric.Key{Metric: 1, Ver: 1, Bucket: bucket, Src: 1, Rev: 1}, N: off, State: make([]byte, size), LastOff: off}
}

func (p *publisher) isEmpty() error {
	if !p.empty() {
		return errors.New("cells wait")
	}
	return nil
}

func TestPublishConflates(t *testing.T) {
	t.Parallel()
	p, away, read := setupPublisher(t, DefaultConfig().Publish)
	away.Store(true)
	for off := range int64(500) {
		p.offer([]metric.Row{cellAt(7, off, 8), cellAt(8, off, 8)}, time.Now())
	}
	p.mu.Lock()
	n := len(p.pending)
	p.mu.Unlock()
	if n != 2 {
		t.Fatalf("%d cells wait for a broker that is away, want 2", n)
	}
	if got := p.published(1, 500); got > 499 {
		t.Fatalf("published up to %d, and nothing is acknowledged", got)
	}
	away.Store(false)
	testkit.Eventually(t, "the broker has all", p.isEmpty)
	if got := p.published(1, 500); got != 500 {
		t.Fatalf("published up to %d, want 500", got)
	}
	cells := read()
	if len(cells) > 10 {
		t.Errorf("%d records for two cells", len(cells))
	}
	last := map[int64]int{}
	for _, c := range cells {
		last[c.Off]++
	}
	if last[499] != 2 {
		t.Errorf("the last values were sent %d times, want 2", last[499])
	}
}

func TestLargeStatesAreToldLessOften(t *testing.T) {
	t.Parallel()
	p, _, read := setupPublisher(t, Publish{Large: 4 * config.KiB, LargeEvery: time.Hour})
	send := func(off int64) {
		p.offer([]metric.Row{cellAt(1, off, 8<<10), cellAt(2, off, 8)}, time.Now())
		testkit.Eventually(t, "the small cell is out", func() error {
			p.mu.Lock()
			defer p.mu.Unlock()
			if _, waits := p.pending[cellAt(2, 0, 0).Key]; waits {
				return fmt.Errorf("the cell at %d waits", off)
			}
			return nil
		})
	}
	for off := int64(1); off <= 5; off++ {
		send(off)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	p.drain(ctx) // a stop holds nothing back
	if err := p.isEmpty(); err != nil {
		t.Fatal(err)
	}
	large := 0
	for _, c := range read() {
		if len(c.State) > 4<<10 {
			large++
		}
	}
	if large != 2 {
		t.Fatalf("the large cell was sent %d times, want 2: at once, and at the stop", large)
	}
}
