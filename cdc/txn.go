package cdc

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/wire"
)

// txn is the open Kafka transaction of a slot. After any error of its methods
// the outcome is unknown: the slot is taken over anew, and the topic tells.
type txn struct {
	cfg     TransactionConfig
	cl      *kgo.Client
	open    bool
	records int
	bytes   int
	since   time.Time

	mu   sync.Mutex // guards what promises set
	err  error
	ends map[string]map[int32]int64 // behind the records of each topic's partitions
}

// produce puts records into the transaction, which it begins if need be.
func (t *txn) produce(ctx context.Context, records ...*kgo.Record) error {
	if len(records) == 0 {
		return nil
	}
	if !t.open {
		if err := t.cl.BeginTransaction(); err != nil {
			return fmt.Errorf("begin transaction: %w", err)
		}
		t.open, t.records, t.bytes, t.since = true, 0, 0, time.Now()
	}
	for _, r := range records {
		t.records++
		t.bytes += len(r.Key) + len(r.Value)
		t.cl.Produce(ctx, r, func(r *kgo.Record, err error) {
			t.mu.Lock()
			defer t.mu.Unlock()
			if err == nil {
				t.ended(r)
				return
			}
			if t.err == nil {
				t.err = fmt.Errorf("produce %s/%d: %w", r.Topic, r.Partition, err)
			}
		})
	}
	return t.failed()
}

func (t *txn) ended(r *kgo.Record) {
	if t.ends == nil {
		t.ends = map[string]map[int32]int64{}
	}
	if t.ends[r.Topic] == nil {
		t.ends[r.Topic] = map[int32]int64{}
	}
	t.ends[r.Topic][r.Partition] = max(t.ends[r.Topic][r.Partition], r.Offset+1)
}

// takeEnds returns the offsets behind what was produced since it was called last.
func (t *txn) takeEnds() map[string]map[int32]int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	ends := t.ends
	t.ends = nil
	return ends
}

func (t *txn) failed() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// due says whether the transaction is worth a commit; idle means that no page
// is being read which could still join it.
func (t *txn) due(now time.Time, idle bool) bool {
	return t.open && (idle || t.records >= t.cfg.Records || config.Bytes(t.bytes) >= t.cfg.Bytes || now.Sub(t.since) >= t.cfg.Linger)
}

// flush waits until the brokers have every record of the transaction.
func (t *txn) flush(ctx context.Context) error {
	if err := t.cl.Flush(ctx); err != nil {
		return fmt.Errorf("flush transaction: %w", err)
	}
	return t.failed()
}

// commit makes the flushed transaction visible.
func (t *txn) commit(ctx context.Context) error {
	if err := t.cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return fmt.Errorf("commit transaction: %w", err)
	}
	t.open = false
	return nil
}

// fenced says whether err means that another producer has the slot's id.
func fenced(err error) bool {
	return errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidProducerEpoch) || errors.Is(err, kerr.InvalidProducerIDMapping)
}

// stateRecord builds a record of the state.
func stateRecord[T wire.CDCRecord](topic string, partition int32, k wire.CDCKey, v T) (*kgo.Record, error) {
	b, err := wire.EncodeCDCRecord(v)
	if err != nil {
		return nil, err
	}
	return &kgo.Record{Topic: topic, Partition: partition, Key: k.Append(nil), Value: b}, nil
}
