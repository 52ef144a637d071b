package batcher

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/wire"
)

// unknownSource stands for the source of a record whose headers do not name it.
const unknownSource = "unknown"

// reject sends a record to the dead letters. It is acknowledged before the
// range's commit is put; its id lets a repetition after a crash be recognised.
func (s *span) reject(ctx context.Context, rec *kgo.Record, source string, code event.Code, message string) {
	r := wire.Rejected{
		Stage: event.StageBatcher, Code: code, Message: message, Source: source, ID: recordID(rec.Topic, rec.Partition, rec.Offset),
		Index: -1, Original: rec.Value,
	}
	if table, ok := wire.Find(rec.Headers, wire.HeaderTable); ok {
		r.Table, r.RecordKey = string(table), string(rec.Key)
	}
	if v, ok := wire.Find(rec.Headers, wire.HeaderMessageID); ok {
		r.MessageID = string(v)
	}
	if v, ok := wire.Find(rec.Headers, wire.HeaderType); ok {
		r.Type = string(v)
	}
	if v, ok := wire.Find(rec.Headers, wire.HeaderReceivedAt); ok {
		if ms, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			r.ReceivedAt = time.UnixMilli(ms).UTC()
		}
	}
	s.env.metrics.rejected.WithLabelValues(string(code)).Inc()
	s.send(ctx, r)
}

// tooLarge keeps what was too large for a row in the dead letters. The row is
// written, with a digest in its place.
func (s *span) tooLarge(ctx context.Context, offset int64, source string, unmapped []byte) {
	s.env.metrics.rejected.WithLabelValues(string(event.CodeValueTooLarge)).Inc()
	s.send(ctx, wire.Rejected{
		Stage: event.StageBatcher, Code: event.CodeValueTooLarge, Message: "the row has a digest of it in _unmapped",
		Source: source, ID: recordID(s.id.Topic, s.id.Partition, offset), Index: -1, Original: unmapped,
	})
}

func (s *span) send(ctx context.Context, r wire.Rejected) {
	value, _ := r.Value()
	s.letters.Add(1)
	s.env.client.Produce(ctx, &kgo.Record{
		Topic: s.env.topics.Rejected(), Key: []byte(r.Source), Value: value,
		Headers: wire.AppendRejectedHeaders[kgo.RecordHeader](nil, r),
	}, func(_ *kgo.Record, err error) {
		if err != nil {
			s.lettersMu.Lock()
			s.letterErr = fmt.Errorf("reject %s: %w", r.ID, err)
			s.lettersMu.Unlock()
		}
		s.letters.Done()
	})
}

// lettersSent waits until every dead letter of the range is acknowledged.
func (s *span) lettersSent(ctx context.Context) error {
	sent := make(chan struct{})
	go func() { // ends with the client at the latest, which fails what it has not sent
		s.letters.Wait()
		close(sent)
	}()
	select {
	case <-sent:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	s.lettersMu.Lock()
	defer s.lettersMu.Unlock()
	return s.letterErr
}

func recordID(topic string, partition int32, offset int64) string {
	return fmt.Sprintf("%s/%d/%d", topic, partition, offset)
}
