package cdc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millstream-data/millstream/internal/testkit"
)

// watched is an origin whose pages a test sees, and may spoil.
type watched struct {
	origin
	before func(q query) error
	after  func(q query, pg *page, err error) (*page, error)
	open   atomic.Int64 // pages that are being read
}

func (w *watched) read(ctx context.Context, p *plan, q query) (*page, error) {
	w.open.Add(1)
	defer w.open.Add(-1)
	if w.before != nil {
		if err := w.before(q); err != nil {
			return nil, err
		}
	}
	pg, err := w.origin.read(ctx, p, q)
	if w.after != nil {
		return w.after(q, pg, err)
	}
	return pg, err
}

// runWatched starts a role whose pages pass through w.
func (s *shop) runWatched(w *watched) (stop func()) {
	s.Helper()
	ctx, cancel := context.WithCancel(s.Context())
	r, err := New(s.cfg, s.kafka, testkit.Log(s.T), prometheus.NewRegistry())
	if err != nil {
		s.Fatal(err)
	}
	w.origin = r.origins["shop"]
	r.origins["shop"] = w
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			s.Errorf("run: %v", err)
		}
	})
	s.Cleanup(stop)
	return stop
}

var errCut = errors.New("the connection was cut")

// A page that an error, a time-out or another definition ends is dropped whole,
// and read again from the last key that was handed over: no gap, no repetition.
func TestPageIsAllOrNothing(t *testing.T) {
	t.Parallel()
	s := setup(t, orders)
	s.fill(0, 300, 1)
	var n atomic.Int64
	spoiled := map[int64]error{3: errCut, 7: errBusy, 11: errChanged, 20: errCut, 33: errBusy}
	stop := s.runWatched(&watched{after: func(_ query, pg *page, err error) (*page, error) {
		if e := spoiled[n.Add(1)]; e != nil && err == nil {
			return nil, fmt.Errorf("row %d of the page: %w", len(pg.rows)/2, e)
		}
		return pg, err
	}})
	s.drained()
	for i := range 10 {
		s.insert(1000+i, "new")
	}
	s.drained()
	stop()
	if n.Load() < 33 {
		t.Errorf("%d pages were read, so not all was tried", n.Load())
	}
	s.verify()
}

// While Kafka takes nothing, no page is begun, so no snapshot of the origin is
// held; what was read goes out once Kafka is back.
func TestKafkaAwayHoldsNoSnapshot(t *testing.T) {
	t.Parallel()
	s := setup(t, orders)
	for i := range 20 {
		s.insert(i, "new")
	}
	var away, refused atomic.Int64
	s.broker.Cluster().ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		s.broker.Cluster().KeepControl()
		if away.Load() == 0 {
			return nil, nil, false
		}
		refused.Add(1)
		resp := req.ResponseKind().(*kmsg.ProduceResponse)        //nolint:forcetypeassert // of its kind
		for _, topic := range req.(*kmsg.ProduceRequest).Topics { //nolint:forcetypeassert // asked for by key
			rt := kmsg.NewProduceResponseTopic()
			rt.Topic, rt.TopicID = topic.Topic, topic.TopicID
			for _, p := range topic.Partitions {
				rp := kmsg.NewProduceResponseTopicPartition()
				rp.Partition, rp.ErrorCode = p.Partition, kerr.NotEnoughReplicas.Code
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp, nil, true
	})
	w := &watched{}
	stop := s.runWatched(w)
	s.drained()
	away.Store(1)
	for i := range 20 {
		s.update(i, "while Kafka was away")
	}
	// Records are refused and tried again: the transaction waits for them.
	testkit.Eventually(t, "Kafka refuses records", func() error {
		if n := refused.Load(); n < 3 {
			return fmt.Errorf("%d requests", n)
		}
		return nil
	})
	testkit.Eventually(t, "no page is being read", func() error {
		if n := w.open.Load(); n != 0 {
			return fmt.Errorf("%d pages", n)
		}
		return nil
	})
	at := refused.Load()
	testkit.Eventually(t, "Kafka refuses more, and still no page is begun", func() error {
		if n := w.open.Load(); n != 0 {
			t.Errorf("%d pages were begun while Kafka took nothing", n)
		}
		if n := refused.Load(); n < at+3 {
			return fmt.Errorf("%d requests", n)
		}
		return nil
	})
	away.Store(0)
	s.drained()
	stop()
	s.verify()
}

// The lease moves while ranges of a load are read: pages that are being read are
// committed, and the new owner goes on with each range.
func TestRebalanceDuringLoad(t *testing.T) {
	t.Parallel()
	s := setup(t, orders)
	s.fill(0, 3000, 3)
	pages := make(chan struct{}, 1000)
	var n atomic.Int64
	slow := func(query) error {
		if n.Add(1) <= 20 {
			pages <- struct{}{}
		}
		return nil
	}
	stop := s.runWatched(&watched{before: slow})
	for range 15 {
		<-pages
	}
	second := s.runWatched(&watched{})
	stop() // its partition goes to the other one
	s.insert(100000, "after the move")
	s.drained()
	second()
	s.verify()
}

// What is not asked for is not read: rows.where is part of every page.
func TestRowsWhere(t *testing.T) {
	t.Parallel()
	s := setup(t, orders)
	s.fill(0, 100, 1)
	c := polled("updated_at", "")
	c.Rows.Where = "id % 2 = 0 OR note = 'wanted'"
	s.tables(c)
	stop := s.run(nil)
	s.insert(1001, "not wanted")
	s.insert(1003, "wanted")
	s.awaitNote(1003, "wanted")
	testkit.Eventually(t, "every second row is loaded", func() error {
		if n := len(s.topic().notes()); n != 51 {
			return fmt.Errorf("%d rows, want 51", n)
		}
		return nil
	})
	stop()
	if keys := s.topic().keys; slices.ContainsFunc(keys, func(k string) bool { return strings.Contains(k, "1001") }) {
		t.Error("order 1001 was published")
	}
}

// Pages that reach page.bytes end there.
func TestPageBytes(t *testing.T) {
	t.Parallel()
	s := setup(t, orders)
	for i := range 60 {
		s.insert(i, strings.Repeat("x", 1000))
	}
	s.edit(func(src *SourceConfig) { src.Page.Bytes, src.Page.Start = 5000, 50 })
	var most atomic.Int64
	stop := s.runWatched(&watched{after: func(_ query, pg *page, err error) (*page, error) {
		if err == nil {
			most.Store(max(most.Load(), int64(len(pg.rows))))
		}
		return pg, err
	}})
	s.drained()
	stop()
	s.verify()
	if n := most.Load(); n == 0 || n > 5 {
		t.Errorf("a page of 5000 bytes held %d rows of a kilobyte", n)
	}
}
