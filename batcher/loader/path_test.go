//go:build cgo

package loader

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/batcher"
	"github.com/millstream-data/millstream/internal/dedup"
	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/wire"
)

// producer writes a table's topic of changes as cdc does.
type producer struct {
	t      *testing.T
	client *kgo.Client
	topic  string
	page   int
}

func (p *producer) send(key, value []byte, h wire.ChangeHeader) {
	p.t.Helper()
	h.Source, h.Table = "shop", "public.stock"
	r := &kgo.Record{Topic: p.topic, Key: key, Value: value, Headers: wire.AppendChangeHeaders[kgo.RecordHeader](nil, h)}
	if err := p.client.ProduceSync(p.t.Context(), r).FirstErr(); err != nil {
		p.t.Fatal(err)
	}
}

func (p *producer) mark(kind wire.Kind, mark any) {
	p.t.Helper()
	body, err := wire.EncodeMark(mark)
	if err != nil {
		p.t.Fatal(err)
	}
	p.send(wire.MarkKey(kind), nil, wire.ChangeHeader{Kind: kind, Body: body})
}

func (p *producer) change(schema, poll string, op event.Op, id int, v string) {
	p.t.Helper()
	p.page++
	key := fmt.Sprintf(`{"id":%d}`, id)
	c := event.Change{Op: op, TSMillis: time.Now().UnixMilli(), Source: event.ChangeSource{Name: "shop", Schema: "public", Table: "stock", Sequence: wire.Sequence(1, int64(p.page)), Strategy: "s", Poll: poll}}
	if op == event.OpDelete {
		c.Before = []byte(key)
	} else {
		c.After = fmt.Appendf(nil, `{"id":%d,"V":%s}`, id, v)
	}
	value, err := wire.AppendChange(nil, c)
	if err != nil {
		p.t.Fatal(err)
	}
	h := wire.ChangeHeader{Kind: wire.KindChange, Op: op, Strategy: "s", Poll: poll, Schema: schema, Version: fmt.Sprint(p.page)}
	p.send([]byte(key), value, h)
	if op == event.OpDelete {
		p.send([]byte(key), nil, h) // a tombstone
	}
}

// TestChangesReachTheirMirror sends what cdc sends of a first load, deletions and a
// full refresh under writes through broker, batcher and loader.
func TestChangesReachTheirMirror(t *testing.T) {
	t.Parallel()
	k := setup(t)
	_, cfg := testkit.Kafka(t)
	p := &producer{t: t, client: testkit.KafkaClient(t, cfg), topic: cfg.Names().Changes("shop", "public", "stock")}
	if err := kafka.EnsureTopics(t.Context(), cfg, p.client, cfg.EventsTopic(), cfg.RejectedTopic()); err != nil {
		t.Fatal(err)
	}
	if _, err := kadm.NewClient(p.client).CreateTopic(t.Context(), 1, 1, nil, p.topic); err != nil {
		t.Fatal(err)
	}
	bc := batcher.DefaultConfig()
	bc.Cut.Age, bc.Disk.Dir = 200*time.Millisecond, filepath.Join(t.TempDir(), "spool")
	b, err := batcher.New(bc, batcher.Deps{Kafka: cfg, Lake: k.lake, Dedup: dedup.DefaultConfig(), Version: "test", Log: testkit.Log(t), Registry: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("batcher: %v", err)
		}
	})
	k.start(k.loader(k.client))

	columns := []event.TableColumn{
		{Name: "id", Origin: "bigint", Form: event.FormNumber, Lake: "int64", Warehouse: "BIGINT", Key: 1},
		{Name: "V", Origin: "numeric(10,2)", Form: event.FormText, Lake: "decimal(10,2)", Warehouse: "NUMERIC(10,2)", Nullable: true},
	}
	s := event.TableSchema{V: 1, Source: "shop", Schema: "public", Table: "stock", Version: 1, Fingerprint: wire.TableFingerprint(columns), Key: []string{"id"}, Columns: columns}
	fp := wire.Schema16(s.Fingerprint)
	poll := func(id string, kind event.PollKind, publish, state string, rows int64) {
		t.Helper()
		through := "2026-11-21T06:15:01.102345Z"
		p.mark(wire.KindPoll, event.Poll{V: 1, Poll: id, Strategy: string(kind), Kind: kind, Publish: publish, State: state, Parts: 1, Rows: rows, CompleteThrough: &through, DeletesThrough: &through})
	}
	p.mark(wire.KindSchema, s)
	poll("01jd3x9k2m7q8r5t6v0w1y0001", event.PollLoad, "upsert", "started", 0)
	for id := range 4 {
		p.change(fp, "01jd3x9k2m7q8r5t6v0w1y0001", event.OpRead, id, `"1.00"`)
	}
	poll("01jd3x9k2m7q8r5t6v0w1y0001", event.PollLoad, "upsert", "completed", 4)
	p.change(fp, "i1", event.OpDelete, 0, "")
	p.change(fp, "i1", event.OpRead, 1, `"2.50"`)
	k.eventually("SELECT id, v FROM shop_public.stock ORDER BY 1", "1|2.50", "2|1.00", "3|1.00")
	k.eventually("SELECT strategy, state FROM millstream.polls", "load|done")

	const full = "01jd3x9k2m7q8r5t6v0w1y0002"
	poll(full, event.PollFull, "replace", "started", 0)
	p.change(fp, full, event.OpRead, 1, `"2.50"`) // 2 has vanished without a word
	p.change(fp, "i2", event.OpRead, 7, `"7.00"`)
	k.eventually("SELECT COUNT(*) FROM shop_public.stock", "4")
	p.change(fp, full, event.OpRead, 3, `null`)
	poll(full, event.PollFull, "replace", "completed", 2)
	p.change(fp, "i3", event.OpRead, 1, `"3.00"`)
	k.eventually("SELECT id, v FROM shop_public.stock ORDER BY 1", "1|3.00", "3|", "7|7.00")
	k.eventually("SELECT strategy, state, counted FROM millstream.polls ORDER BY 1", "full|done|2", "load|done|4")
	k.eventually("SELECT complete_through, deletes_through FROM millstream.freshness", "2026-11-21 06:15:01.102345|2026-11-21 06:15:01.102345")
}
