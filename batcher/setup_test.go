package batcher_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/batcher"
	"github.com/millstream-data/millstream/batcher/compact"
	"github.com/millstream-data/millstream/internal/dedup"
	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/local"
	"github.com/millstream-data/millstream/internal/telemetry"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/wire"
)

// world is a broker, a store and what was sent into them.
type world struct {
	t      *testing.T
	broker *local.Kafka
	kafka  kafka.Config
	s3     *local.S3
	lake   *lake.Lake
	client *kgo.Client
	names  wire.Topics
	dedup  dedup.Config
	sent   int

	flooded bool // events may be in tracks_other
}

func setup(t *testing.T) *world {
	t.Helper()
	t.Parallel()
	return newWorld(t)
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dedup: dedup.DefaultConfig()}
	w.broker, w.kafka = testkit.Kafka(t)
	w.kafka.Topics.Partitions = 2
	w.names = w.kafka.Names()
	w.s3, w.lake = testkit.Lake(t)
	w.client = testkit.KafkaClient(t, w.kafka, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err := kafka.EnsureTopics(t.Context(), w.kafka, w.client, w.kafka.EventsTopic(), w.kafka.RejectedTopic()); err != nil {
		t.Fatal(err)
	}
	return w
}

// quick is a configuration whose limits a test reaches soon.
func quick(t *testing.T) batcher.Config {
	cfg := batcher.DefaultConfig()
	cfg.Cut.Age = 200 * time.Millisecond
	cfg.Disk.Dir = filepath.Join(t.TempDir(), "spool")
	cfg.RevokeBudget, cfg.DrainTimeout = 5*time.Second, 10*time.Second
	cfg.SessionTimeout, cfg.RebalanceTimeout = 6*time.Second, 8*time.Second
	return cfg
}

// running is a batcher that runs until stop or the test's end.
type running struct {
	cancel context.CancelFunc
	done   chan error
	reg    *prometheus.Registry
}

func (w *world) start(cfg batcher.Config) *running {
	return w.startWith(cfg, w.lake)
}

func (w *world) startWith(cfg batcher.Config, l *lake.Lake) *running {
	w.t.Helper()
	return w.startDeps(cfg, batcher.Deps{Kafka: w.kafka, Lake: l, Dedup: w.dedup, Version: "test", Log: testkit.Log(w.t)})
}

func (w *world) startDeps(cfg batcher.Config, deps batcher.Deps) *running {
	w.t.Helper()
	r := &running{done: make(chan error, 1), reg: prometheus.NewRegistry()}
	deps.Registry = r.reg
	b, err := batcher.New(cfg, deps)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go func() { r.done <- b.Run(ctx) }()
	w.t.Cleanup(func() { r.stop(w.t) })
	return r
}

// startWatched is start with a health report.
func (w *world) startWatched(cfg batcher.Config, l *lake.Lake) (*telemetry.Health, *running) {
	w.t.Helper()
	h := telemetry.NewHealth()
	return h, w.startDeps(cfg, batcher.Deps{
		Kafka: w.kafka, Lake: l, Dedup: w.dedup, Version: "test", Log: testkit.Log(w.t), Health: h,
	})
}

// stop ends the batcher gracefully and waits for it.
func (r *running) stop(t *testing.T) {
	t.Helper()
	r.cancel()
	if err, ok := <-r.done; ok {
		if err != nil {
			t.Errorf("run: %v", err)
		}
		close(r.done)
	}
}

// counter sums the series of a metric that have a label's value.
func (r *running) counter(t *testing.T, name, label, value string) (sum float64) {
	t.Helper()
	families, err := r.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			match := label == ""
			for _, l := range m.GetLabel() {
				match = match || l.GetName() == label && l.GetValue() == value
			}
			if match {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

func (r *running) gauge(t *testing.T, name string) float64 {
	t.Helper()
	return r.counter(t, name, "", "")
}

// track is a track event's record.
func track(source, id, name string, received time.Time, properties string) *kgo.Record {
	value := fmt.Sprintf(`{"type":"track","event":%q,"messageId":%q,"anonymousId":"anon-1","timestamp":"2026-11-21T06:15:02.113Z","receivedAt":%q,"context":{"ip":"10.0.0.1","page":{"url":"https://shop.example/"}},"properties":%s}`,
		name, id, event.FormatTime(received), properties)
	return eventRecord(source, event.Track, name, id, received, value)
}

func eventRecord(source string, typ event.Type, name, id string, received time.Time, value string) *kgo.Record {
	return &kgo.Record{
		Key: []byte(source + "/x"), Value: []byte(value),
		Headers: wire.AppendEventHeaders[kgo.RecordHeader](nil, wire.EventHeader{
			Source: source, Type: typ, Event: name, MessageID: id, ReceivedAt: received,
		}),
	}
}

var day = time.Date(2026, 11, 21, 6, 15, 2, 113e6, time.UTC)

// send produces records to a partition of the topic of events.
func (w *world) send(partition int32, recs ...*kgo.Record) {
	w.t.Helper()
	for _, r := range recs {
		r.Topic, r.Partition = w.names.Events(), partition
	}
	if err := w.client.ProduceSync(w.t.Context(), recs...).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
}

// tracks makes n track events with new ids.
func (w *world) tracks(n int) []*kgo.Record {
	out := make([]*kgo.Record, n)
	for i := range out {
		w.sent++
		out[i] = track("app", "m-"+strconv.Itoa(w.sent), "Order Completed", day, fmt.Sprintf(`{"total":%d.5,"n":%d}`, w.sent, w.sent))
	}
	return out
}

// chain reads a partition's commits.
func (w *world) chain(topic string, partition int32) ([]lake.Commit, error) {
	id := lake.ChainID{Topic: topic, Partition: partition}
	first, ok, err := w.lake.First(w.t.Context(), id)
	if err != nil || !ok {
		return nil, err
	}
	return w.lake.Since(w.t.Context(), id, first, 0)
}

// until waits until the chain's position is next and returns its commits.
func (w *world) until(topic string, partition int32, next int64) []lake.Commit {
	w.t.Helper()
	var commits []lake.Commit
	testkit.Eventually(w.t, fmt.Sprintf("%s/%d is committed to %d", topic, partition, next), func() (err error) {
		if commits, err = w.chain(topic, partition); err != nil {
			return err
		}
		if len(commits) == 0 || commits[len(commits)-1].Next < next {
			return fmt.Errorf("%d commits", len(commits))
		}
		return nil
	})
	return commits
}

// end is the offset that the next record of a partition will get.
func (w *world) end(topic string, partition int32) int64 {
	w.t.Helper()
	log, err := kafka.DescribeLog(w.t.Context(), w.client, topic, true)
	if err != nil {
		w.t.Fatal(err)
	}
	return log.End[partition]
}

// verified checks every chain as an operator would with verify --chain --deep.
func (w *world) verified() {
	w.t.Helper()
	ids, err := w.lake.Chains(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	n := &compact.Inspector{Store: w.lake.Store, Dir: w.t.TempDir()}
	v := &lake.Verifier{Lake: w.lake, Deep: n.Deep, Lineage: n.Lineage}
	for _, id := range ids {
		r, err := v.Chain(w.t.Context(), id)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, p := range r.Problems {
			w.t.Errorf("%s: %s", id, p)
		}
	}
}

type totals struct{ records, primary, duplicates, rejected, marks, holes, rows int64 }

func sum(commits []lake.Commit) (t totals) {
	for _, c := range commits {
		t.holes += c.Holes
		for _, a := range c.Accounting {
			t.records += a.Records
			t.primary += a.Primary
			t.duplicates += a.Duplicates
			t.rejected += a.Rejected
			t.marks += a.Marks
		}
		for _, f := range c.Files {
			if _, table, _ := lake.SplitTable(f.Table); lake.IsPrimary(table) {
				t.rows += f.Rows
			}
		}
	}
	return t
}

// letters reads n dead letters.
func (w *world) letters(n int) []wire.Rejected {
	w.t.Helper()
	cl := testkit.KafkaClient(w.t, w.kafka, kgo.ConsumeTopics(w.names.Rejected()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	var out []wire.Rejected
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	for len(out) < n && ctx.Err() == nil {
		cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) { out = append(out, wire.ParseRejected(r.Headers, r.Value)) })
	}
	if len(out) < n {
		w.t.Fatalf("%d dead letters, want %d", len(out), n)
	}
	slices.SortFunc(out, func(a, b wire.Rejected) int { return len(a.ID) - len(b.ID) })
	return out
}

var errNotYet = errors.New("not yet")
