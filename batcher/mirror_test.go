package batcher_test

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/wire"
)

// mirrored is a table as cdc publishes it.
type mirrored struct {
	w      *world
	source string
	topic  string
	table  string
	schema event.TableSchema
	client *kgo.Client
}

type mirrorColumn = event.TableColumn

// mirror makes the topic of a table of the source shop.
func (w *world) mirror(table string, columns []event.TableColumn) *mirrored {
	w.t.Helper()
	m := &mirrored{w: w, source: "shop", topic: w.names.Changes("shop", "public", table), table: "public." + table, client: w.client}
	m.schema = event.TableSchema{
		V: 1, Source: "shop", Schema: "public", Table: table, Version: 1, Fingerprint: wire.TableFingerprint(columns), Key: []string{"id"}, Columns: columns,
	}
	if _, err := kadm.NewClient(w.client).CreateTopic(w.t.Context(), 1, 1, nil, m.topic); err != nil {
		w.t.Fatal(err)
	}
	return m
}

func (m *mirrored) produce(r *kgo.Record) {
	m.w.t.Helper()
	r.Topic, r.Partition = m.topic, 0
	if err := m.client.ProduceSync(m.w.t.Context(), r).FirstErr(); err != nil {
		m.w.t.Fatal(err)
	}
}

func (m *mirrored) mark(kind wire.Kind, body any) {
	m.w.t.Helper()
	b, err := wire.EncodeMark(body)
	if err != nil {
		m.w.t.Fatal(err)
	}
	m.produce(&kgo.Record{Key: wire.MarkKey(kind), Headers: wire.AppendChangeHeaders[kgo.RecordHeader](nil, wire.ChangeHeader{
		Kind: kind, Source: m.source, Table: m.table, Body: b,
	})})
}

func (m *mirrored) change(op event.Op, object string) {
	m.w.t.Helper()
	before, after := "null", object
	if op == event.OpDelete {
		before, after = object, "null"
	}
	value := fmt.Sprintf(`{"before":%s,"after":%s,"source":{"name":"shop","sequence":%q,"schema":"public","table":"orders","strategy":"incremental","poll":"01jd"},"op":%q,"ts_ms":%d}`,
		before, after, wire.Sequence(5, 9), op, day.UnixMilli())
	m.produce(&kgo.Record{Key: []byte(`{"id":1}`), Value: []byte(value), Headers: m.headers(op)})
}

func (m *mirrored) headers(op event.Op) []kgo.RecordHeader {
	return wire.AppendChangeHeaders[kgo.RecordHeader](nil, wire.ChangeHeader{
		Kind: wire.KindChange, Source: m.source, Table: m.table, Op: op, Strategy: "incremental", Poll: "01jd",
		Schema: wire.Schema16(m.schema.Fingerprint), Version: "1",
	})
}

func TestNewTopicOfChangesIsPickedUp(t *testing.T) {
	w := setup(t)
	w.start(quick(t))
	w.send(0, w.tracks(1)...)
	w.until(w.names.Events(), 0, 1) // the batcher runs before the topic is there
	m := w.mirror("late", []event.TableColumn{{Name: "id", Origin: "bigint", Form: event.FormNumber, Lake: "int64", Warehouse: "BIGINT", Key: 1}})
	m.mark(wire.KindSchema, m.schema)
	m.change(event.OpRead, `{"id":1}`)
	w.until(m.topic, 0, 2)
	w.sound()
}
