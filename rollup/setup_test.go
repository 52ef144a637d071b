package rollup

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/dedup"
	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/metric"
	"github.com/millstream-data/millstream/internal/metric/sqlitestore"
	"github.com/millstream-data/millstream/internal/telemetry"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/wire"
)

const shop = `version: 1
defaults: {zones: [UTC, Europe/Berlin]}
dims:
  plan: {path: properties.plan, lower: true, allow: [free, pro, team], else: other}
  country: context.location.country ?? properties.country ?? "nowhere"
metrics:
  orders:  {count: Order Completed, by: [plan, country]}
  revenue: {sum: properties.total, of: Order Completed, minus: Order Refunded, where: 'properties.currency = "EUR"', unit: EUR, by: [country]}
  biggest: {max: properties.total, of: Order Completed, scale: 2}
  basket:  {avg: properties.items, of: Order Completed, scale: 0}
  dau:     {uniques: user, of: "*", by: [plan], exact: 1024}
  aov:     {ratio: [revenue, orders], scale: 2}
`

// bench is one broker, one store and the workers on them.
type bench struct {
	t     *testing.T
	kafka kafka.Config
	cl    *kgo.Client
	store metric.Store
	cfg   Config
	dedup dedup.Config
}

func setup(t *testing.T, partitions int) *bench {
	t.Helper()
	_, kcfg := testkit.Kafka(t)
	kcfg.Topics.Partitions = partitions
	b := &bench{t: t, kafka: kcfg, cl: testkit.KafkaClient(t, kcfg, kgo.RecordPartitioner(kgo.ManualPartitioner())), cfg: DefaultConfig(), dedup: dedup.DefaultConfig()}
	if err := kafka.EnsureTopics(t.Context(), kcfg, b.cl, kcfg.EventsTopic(), kcfg.CellsTopic(), kcfg.RejectedTopic()); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	b.store = openStore(t, filepath.Join(dir, "metrics.db"))
	b.cfg.Definitions = filepath.Join(dir, "metrics.yaml")
	b.define(shop)
	b.cfg.Flush.Interval = 20 * time.Millisecond
	b.cfg.SessionTimeout = 6 * time.Second
	b.cfg.DrainTimeout = 5 * time.Second
	return b
}

func openStore(t *testing.T, file string) metric.Store {
	t.Helper()
	s, err := sqlitestore.Open(t.Context(), file, metric.DefaultStoreConfig())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func (b *bench) define(yaml string) {
	b.t.Helper()
	if err := os.WriteFile(b.cfg.Definitions, []byte(yaml), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// running is a worker that a test has started.
type running struct {
	r      *Rollup
	reg    *prometheus.Registry
	health *telemetry.Health
	end    context.CancelFunc
	done   chan error
	once   sync.Once
	err    error
}

// start runs a worker over store until stop or the end of the test.
func (b *bench) start(store metric.Store, change ...func(*Rollup)) *running {
	b.t.Helper()
	w := &running{reg: prometheus.NewRegistry(), health: telemetry.NewHealth(), done: make(chan error, 1)}
	r, err := New(b.cfg, Deps{Kafka: b.kafka, Dedup: b.dedup, Store: store, Health: w.health, Log: testkit.Log(b.t), Registry: w.reg})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, f := range change {
		f(r)
	}
	w.r = r
	var ctx context.Context
	ctx, w.end = context.WithCancel(context.Background())
	go func() { w.done <- r.Run(ctx) }() // stop waits for it
	b.t.Cleanup(func() { _ = w.stop() })
	return w
}

func (w *running) stop() error {
	w.once.Do(func() {
		w.end()
		w.err = <-w.done
	})
	return w.err
}

// sample is an event as a test describes it.
type sample struct {
	part   int32
	id     string
	typ    event.Type
	name   string
	at     time.Time
	ts     time.Time // of the record; at if zero
	source string
	body   map[string]any
	raw    string // instead of body
}

func (s sample) record(topic string) *kgo.Record {
	if s.typ == "" {
		s.typ = event.Track
	}
	if s.source == "" {
		s.source = "app"
	}
	if s.ts.IsZero() {
		s.ts = s.at
	}
	body := map[string]any{"type": s.typ, "event": s.name, "messageId": s.id, "timestamp": event.FormatTime(s.at)}
	maps.Copy(body, s.body)
	value, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	if s.raw != "" {
		value = []byte(s.raw)
	}
	return &kgo.Record{
		Topic: topic, Partition: s.part, Key: []byte("app/x"), Value: value, Timestamp: s.ts,
		Headers: wire.AppendEventHeaders[kgo.RecordHeader](nil, wire.EventHeader{
			Source: s.source, Type: s.typ, Event: s.name, MessageID: s.id, ReceivedAt: s.ts,
		}),
	}
}

func (b *bench) send(ss ...sample) {
	b.t.Helper()
	recs := make([]*kgo.Record, len(ss))
	for i, s := range ss {
		recs[i] = s.record(b.kafka.Names().Events())
	}
	if err := b.cl.ProduceSync(b.t.Context(), recs...).FirstErr(); err != nil {
		b.t.Fatal(err)
	}
}

func noon() time.Time { return time.Date(2026, 3, 29, 12, 0, 0, 0, time.UTC) }

func order(id string, total any) sample {
	return sample{id: id, name: "Order Completed", at: noon(), body: map[string]any{
		"userId": "u-" + id, "properties": map[string]any{"total": total, "currency": "EUR", "plan": "Pro", "items": 2},
	}}
}

// results reads the totals of a day in UTC: the decimal text by metric.
func results(t *testing.T, store metric.Store, day string) map[string]string {
	t.Helper()
	reg, err := store.Current(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d, err := metric.ParseDate(day)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, v := range reg.Versions {
		if v.Def.Kind == metric.Ratio {
			continue
		}
		total := v.Def.NewState()
		_, err := store.Scan(t.Context(), []metric.Range{{VersionID: v.VersionID, Zone: "UTC", From: d, To: d + 1}}, func(r metric.Row) bool {
			if r.Dim == 0 {
				part, err := v.Def.DecodeState(r.State)
				if err == nil {
					err = total.Merge(part)
				}
				if err != nil {
					t.Error(err)
				}
			}
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		out[v.Name] = v.Def.Result(total).Decimal
	}
	return out
}

// positions are those in the store, by partition.
func positions(t *testing.T, store metric.Store) map[int32]int64 {
	t.Helper()
	snap, err := store.Scan(t.Context(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	out := map[int32]int64{}
	for _, p := range snap.Positions {
		out[p.Part] = p.Next
	}
	return out
}

// reach waits until the store has every record of the log.
func (b *bench) reach(store metric.Store) {
	b.t.Helper()
	log, err := kafka.DescribeLog(b.t.Context(), b.cl, b.kafka.Names().Events(), true)
	if err != nil {
		b.t.Fatal(err)
	}
	testkit.Eventually(b.t, "the store has every record", func() error {
		have := positions(b.t, store)
		for p, end := range log.End {
			if have[p] < end {
				return fmt.Errorf("partition %d is at %d of %d", p, have[p], end)
			}
		}
		return nil
	})
}

// published reads what the topic of cells says now, by key.
func (b *bench) published() map[string]wire.Cell {
	b.t.Helper()
	log, err := kafka.DescribeLog(b.t.Context(), b.cl, b.kafka.Names().Cells(), true)
	if err != nil {
		b.t.Fatal(err)
	}
	out := map[string]wire.Cell{}
	if log.End[0] == 0 {
		return out
	}
	cl := testkit.KafkaClient(b.t, b.kafka, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{b.kafka.Names().Cells(): {0: kgo.NewOffset().AtStart()}}))
	defer cl.Close()
	for next := int64(0); next < log.End[0]; {
		for _, rec := range cl.PollFetches(b.t.Context()).Records() {
			next = rec.Offset + 1
			if key := string(rec.Key); key[0] == 'c' {
				c, err := wire.DecodeCellRecord[wire.Cell](rec.Value)
				if err != nil {
					b.t.Fatal(err)
				}
				if c.Off > out[key].Off || out[key].V == 0 {
					out[key] = c
				}
			}
		}
	}
	return out
}

// value reads one of the worker's metrics; labels are given in the order of
// their names.
func (w *running) value(t *testing.T, name string, labels ...string) float64 {
	t.Helper()
	families, err := w.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "millstream_rollup_"+name {
			continue
		}
		for _, m := range f.GetMetric() {
			var have []string
			for _, l := range m.GetLabel() {
				have = append(have, l.GetValue())
			}
			if slices.Equal(have, labels) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return 0
}
