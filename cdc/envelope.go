package cdc

import (
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/wire"
)

// version is Millstream's, as source.version of the envelope tells it.
const version = "0.1.0"

// envelope holds what the changes of a page have in common.
type envelope struct {
	p          *plan
	db         string
	topic      string
	partitions int32
	schema     string // the header
	strategy   string
	poll       string
	snapshot   string
	sequence   string
	read       time.Time // when the page was read
}

// record builds the record of a row.
func (e *envelope) record(r *row) (*kgo.Record, error) {
	stamp := e.read
	if e.p.cfg.Clock.SetBy == byDatabase && r.stamp != 0 {
		stamp = time.UnixMicro(r.stamp)
	}
	op := r.op
	if op == "" {
		op = event.OpRead
	}
	before := r.before
	if op == event.OpDelete && before == nil {
		before = r.key
	}
	c := event.Change{
		Before: before, After: r.after, Op: op, TSMillis: e.read.UnixMilli(), TSMicros: e.read.UnixMicro(), TSNanos: e.read.UnixNano(),
		Source: event.ChangeSource{
			Version: version, Connector: connector(e.p.kind), Name: e.p.source, DB: e.db,
			TSMillis: stamp.UnixMilli(), TSMicros: stamp.UnixMicro(), TSNanos: stamp.UnixMicro() * 1000,
			Snapshot: e.snapshot, Sequence: e.sequence, Schema: e.p.rel.schema, Table: e.p.rel.table,
			Strategy: e.strategy, Poll: e.poll, Adjusted: r.adjusted,
		},
	}
	if mysqlFamily(e.p.kind) {
		c.Source.DB, c.Source.Schema, c.Source.BinlogSource = e.p.rel.schema, "", &event.BinlogSource{}
	}
	if r.xmin != 0 {
		c.Source.TxID, c.Source.Xmin = &r.xmin, &r.xmin
	}
	value, err := wire.AppendChange(nil, c)
	if err != nil {
		return nil, fmt.Errorf("%s key %s: %w", e.p.name, r.key, err)
	}
	key, spread := r.key, r.key
	if e.p.keyless() {
		key, spread = nil, r.hash[:]
	}
	return &kgo.Record{
		Topic: e.topic, Partition: partitionOf(spread, e.partitions), Key: key, Value: value,
		Headers: wire.AppendChangeHeaders([]kgo.RecordHeader(nil), wire.ChangeHeader{
			Kind: wire.KindChange, Source: e.p.source, Table: e.p.name, Op: op, Strategy: e.strategy,
			Poll: e.poll, Schema: e.schema, Version: r.version,
		}),
	}, nil
}

// rejected builds the dead letters of a row; n counts those of the page.
func (e *envelope) rejected(topic, id string, r *row, n int) []*kgo.Record {
	letters := r.rejects
	if r.tooLarge {
		letters = append(letters, reject{code: event.CodeRowTooLarge, original: r.after})
	}
	out := make([]*kgo.Record, 0, len(letters))
	for _, l := range letters {
		d := wire.Rejected{
			Stage: event.StageCDC, Code: l.code, Source: e.p.source, ID: id + "/" + strconv.Itoa(n+len(out)), Index: -1, Original: l.original,
			Message: e.rejectSentence(l), Table: e.p.name, Column: l.column, RecordKey: string(r.key),
		}
		value, _ := d.Value()
		headers := wire.AppendRejectedHeaders([]kgo.RecordHeader(nil), d)
		out = append(out, &kgo.Record{Topic: topic, Key: []byte(e.p.source), Value: value, Headers: headers})
	}
	return out
}

func (e *envelope) rejectSentence(l reject) string {
	switch l.code { //nolint:exhaustive // the other codes are other stages'
	case event.CodeRowTooLarge:
		return fmt.Sprintf("The row has %d bytes; %d are carried. It was not published.", len(l.original), e.p.cfg.Limits.Row)
	case event.CodeInvalidUTF8:
		return "The value holds NUL or bytes that are no UTF-8; they were replaced by U+FFFD in the published row."
	}
	return fmt.Sprintf("The value has %d bytes, which is more than limits allow; the row was published without it.", len(l.original))
}

// mark builds a schema or poll mark, once for each partition.
func (e *envelope) mark(kind wire.Kind, body any) ([]*kgo.Record, error) {
	b, err := wire.EncodeMark(body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.p.name, err)
	}
	out := make([]*kgo.Record, e.partitions)
	for i := range out {
		out[i] = &kgo.Record{
			Topic: e.topic, Partition: int32(i), Key: wire.MarkKey(kind), //nolint:gosec // few partitions
			Headers: wire.AppendChangeHeaders([]kgo.RecordHeader(nil), wire.ChangeHeader{Kind: kind, Source: e.p.source, Table: e.p.name, Body: b}),
		}
	}
	return out, nil
}

// partitionOf is the partition that Kafka's own clients choose for a key.
func partitionOf(key []byte, partitions int32) int32 {
	return int32(murmur2(key)&0x7fffffff) % partitions //nolint:gosec // 31 bits fit
}

// murmur2 is Austin Appleby's MurmurHash2 with the seed of Kafka's Java client.
func murmur2(b []byte) uint32 {
	const m, seed = 0x5bd1e995, 0x9747b28c
	h := uint32(seed) ^ uint32(len(b)) //nolint:gosec // keys are short
	for len(b) >= 4 {
		k := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
		k *= m
		k ^= k >> 24
		k *= m
		h = h*m ^ k
		b = b[4:]
	}
	switch len(b) {
	case 3:
		h ^= uint32(b[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(b[1]) << 8
		fallthrough
	case 1:
		h = (h ^ uint32(b[0])) * m
	}
	h = (h ^ h>>13) * m
	return h ^ h>>15
}
