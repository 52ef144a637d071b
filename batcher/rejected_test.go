package batcher

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/wire"
)

// A dead letter that a broker refused for its size would stop the partition for ever.
func TestDeadLettersFitATopicWhateverTheRecord(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("\xffé", 500_000)
	rec := &kgo.Record{Topic: "millstream.events", Key: []byte(long), Value: bytes.Repeat([]byte("x"), 3<<20)}
	for _, h := range []string{wire.HeaderSource, wire.HeaderType, wire.HeaderMessageID, wire.HeaderTable, wire.HeaderEvent, "unheard_of"} {
		rec.Headers = append(rec.Headers, kgo.RecordHeader{Key: h, Value: []byte(long)})
	}
	l := letter(rec, long)
	l.Message = short(long, 1000)
	value, cut := l.Value()
	size := len(value) + len(l.Source)
	for _, h := range wire.AppendRejectedHeaders[kgo.RecordHeader](nil, l) {
		size += len(h.Key) + len(h.Value) + 10
		if h.Key != wire.HeaderRecordKey && len(h.Value) > 1000 || !utf8.Valid(h.Value) {
			t.Errorf("header %s has %d bytes", h.Key, len(h.Value))
		}
	}
	if !cut || size > 1<<20-10_000 {
		t.Errorf("a dead letter of %d bytes", size)
	}
	if whole := short("é", 2); whole != "é" {
		t.Errorf("%q", whole)
	}
	if got := short(strings.Repeat("é", 10), 10); got != "ééé…" {
		t.Errorf("%q", got)
	}
}
