package ingest

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/event"
)

// isContent says whether Kafka will never take a batch for what is in it. Everything else may pass.
func isContent(err error) bool {
	return errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.InvalidRecord) || errors.Is(err, kerr.InvalidTimestamp)
}

// alone produces the records that were refused in batches once more, each in a batch of its own, so that one costs its
// neighbours nothing. What is refused even so becomes a dead letter. False means that they are not durable.
func (rq *request) alone(limit <-chan time.Time) bool {
	for _, r := range rq.lost {
		err := rq.srv.producer.single(r, limit)
		if err != nil && isContent(err) {
			err = rq.srv.producer.single(rq.refusedByKafka(r), limit)
		}
		if err != nil {
			return false
		}
	}
	return true
}

// refusedByKafka returns the dead letter of r. A dead letter that was refused itself loses its bytes and keeps its
// headers, with the size of what there was.
func (rq *request) refusedByKafka(r *kgo.Record) *kgo.Record {
	if r.Topic == rq.srv.producer.cfg.Names().Rejected() {
		r.Value = nil
		return r
	}
	for n := range rq.records {
		if &rq.records[n] == r {
			i := int(rq.made[n].event)
			for at, name := range typeHeaders {
				if string(name) == string(r.Headers[2].Value) {
					rq.accepted[at].events--
					rq.accepted[at].bytes -= len(r.Value)
				}
			}
			grown := rq.records // bury may move them, and others still compare addresses
			rq.bury(rq.idx.events[i].span.of(rq.body.b), event.CodeKafkaRefused, "Kafka does not take this event, probably for its size",
				r.Headers[4].Value, string(r.Headers[2].Value), i)
			dead := rq.records[len(rq.records)-1]
			rq.records, rq.made = grown, rq.made[:len(grown)]
			if rq.condemned == nil {
				rq.condemned = map[*kgo.Record]*kgo.Record{}
			}
			rq.condemned[r] = &dead
			return &dead
		}
	}
	panic("BUG: a record of no event was refused")
}

// single produces a copy of r in a batch of its own and waits for Kafka's answer, or for limit.
func (p *producer) single(r *kgo.Record, limit <-chan time.Time) error {
	p.soloing.Lock()
	defer p.soloing.Unlock()
	hash := murmur2(r.Key)
	ln := p.lanes.Load().of(r.Topic == p.cfg.Names().Rejected(), hash)
	again := &kgo.Record{Topic: ln.topic, Partition: ln.place(hash), Key: bytes.Clone(r.Key), Value: bytes.Clone(r.Value), Timestamp: r.Timestamp}
	for _, h := range r.Headers { // the request may be gone before the copy is
		again.Headers = append(again.Headers, kgo.RecordHeader{Key: h.Key, Value: bytes.Clone(h.Value)})
	}
	done := make(chan error, 1)
	p.solo.Load().Produce(context.Background(), again, func(_ *kgo.Record, err error) { done <- err })
	select {
	case err := <-done:
		return err
	case <-limit:
		return context.DeadlineExceeded
	}
}
