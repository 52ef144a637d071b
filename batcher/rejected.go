package batcher

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/wire"
)

// unknownSource stands for the source of a record whose headers do not name it.
const unknownSource = "unknown"

// reject sends a record to the dead letters. It is acknowledged before the
// range's commit is put; its id lets a repetition after a crash be recognised.
func (s *span) reject(ctx context.Context, rec *kgo.Record, source string, code event.Code, message string) {
	r := letter(rec, source)
	r.Code, r.Message = code, short(message, 1000)
	s.refusal = string(code) + ": " + short(message, 200)
	s.env.metrics.rejected.WithLabelValues(string(code)).Inc()
	s.send(ctx, r)
}

// letter is a record as a dead letter, of which it has the bytes. Headers are
// cut where they could make it larger than a broker takes.
func letter(rec *kgo.Record, source string) wire.Rejected {
	r := wire.Rejected{
		Stage: event.StageBatcher, Source: short(source, 255), ID: recordID(rec.Topic, rec.Partition, rec.Offset),
		Index: -1, Original: rec.Value,
	}
	if table, ok := wire.Find(rec.Headers, wire.HeaderTable); ok {
		r.Table, r.RecordKey = short(string(table), 500), short(string(rec.Key), 4000)
	}
	if v, ok := wire.Find(rec.Headers, wire.HeaderMessageID); ok {
		r.MessageID = short(string(v), 1000)
	}
	if v, ok := wire.Find(rec.Headers, wire.HeaderType); ok {
		r.Type = short(string(v), 255)
	}
	if v, ok := wire.Find(rec.Headers, wire.HeaderReceivedAt); ok {
		if ms, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			r.ReceivedAt = time.UnixMilli(ms).UTC()
		}
	}
	return r
}

// short cuts s to at most n bytes of UTF-8.
func short(s string, n int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= n {
		return s
	}
	for n -= len("…"); !utf8.RuneStart(s[n]); {
		n--
	}
	return s[:n] + "…"
}

// wholeRecord is a copy of a record of which a value may be too large for the
// lake: the row is written then, with a digest in its place.
func wholeRecord(rec *kgo.Record, source string) *wire.Rejected {
	r := letter(rec, source)
	r.Code, r.Message = event.CodeValueTooLarge, "the row has a digest in place of a value that is too large"
	r.Original = slices.Clone(r.Original)
	return &r
}

// sendCopy sends the copy of a record once, whatever tables have rows of it.
func (s *span) sendCopy(ctx context.Context, r *wire.Rejected) {
	if s.copied[r.ID] {
		return
	}
	s.copied[r.ID] = true
	s.env.metrics.rejected.WithLabelValues(string(event.CodeValueTooLarge)).Inc()
	s.send(ctx, *r)
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
