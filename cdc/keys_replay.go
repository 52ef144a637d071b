package cdc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/cdc/keystore"
	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/wire"
)

// replayed is what a replay of a table's topic came to.
type replayed struct {
	table string
	keys  *tableKeys
	id    string // of the topic
	rows  int64
	took  time.Duration
	err   error
}

// replayBatch is how many records are replayed into one batch of the store.
const replayBatch = 20_000

// replay reads the changes topic from where the store ends to the end that it
// has now. What the store cannot follow any more is read from the start.
func (s *slot) replay(ctx context.Context, name, topic string, k *tableKeys) replayed {
	began := time.Now()
	r := replayed{table: name, keys: k}
	cl, err := kafka.NewClient(s.kafka, s.log,
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(500*time.Millisecond), kgo.KeepControlRecords())
	if err != nil {
		r.err = &kafkaError{err}
		return r
	}
	defer cl.Close()
	desc, err := kafka.DescribeLog(ctx, cl, topic, true)
	if err != nil {
		r.err = &kafkaError{err}
		return r
	}
	r.id = desc.ID
	k.part.BeginReplay()
	next, err := s.replayFrom(k, desc, began)
	if err == nil {
		r.rows, err = s.replayTo(ctx, cl, topic, k, next, desc)
	}
	if err == nil {
		k.part.Cover(desc.ID, desc.End, began.Unix())
		err = k.part.EndReplay()
	}
	r.err, r.took = err, time.Since(began)
	return r
}

// replayFrom is where replaying begins. A store of another topic, beyond its
// end, before its start, or so old that tombstones may be gone, begins anew.
func (s *slot) replayFrom(k *tableKeys, desc kafka.Log, now time.Time) (map[int32]int64, error) {
	id, next, at := k.part.Covered()
	follows := id == desc.ID && now.Sub(time.Unix(at, 0)) < s.cfg.Topics.Retention/2
	for p := range desc.Partitions {
		from, ok := next[p]
		follows = follows && ok && from >= desc.Start[p] && from <= desc.End[p]
	}
	if follows {
		return next, nil
	}
	if err := k.part.Clear(); err != nil {
		return nil, err
	}
	return desc.Start, nil
}

func (s *slot) replayTo(ctx context.Context, cl *kgo.Client, topic string, k *tableKeys, next map[int32]int64, desc kafka.Log) (rows int64, err error) {
	open := map[int32]kgo.Offset{}
	for p := range desc.Partitions {
		if next[p] < desc.End[p] {
			open[p] = kgo.NewOffset().At(next[p])
		}
	}
	if len(open) == 0 {
		return 0, nil
	}
	cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: open})
	batch := 0
	for len(open) > 0 {
		fetches := cl.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return rows, &kafkaError{err}
		}
		for _, fe := range fetches.Errors() {
			return rows, &kafkaError{fe.Err}
		}
		for it := fetches.RecordIter(); !it.Done(); {
			r := it.Next()
			if r.Offset+1 >= desc.End[r.Partition] {
				delete(open, r.Partition)
			}
			if r.Offset >= desc.End[r.Partition] || r.Attrs.IsControl() {
				continue
			}
			if err := k.replayed(r); err != nil {
				return rows, fmt.Errorf("replay %s/%d/%d: %w", topic, r.Partition, r.Offset, err)
			}
			rows, batch = rows+1, batch+1
		}
		if batch >= replayBatch {
			batch = 0
			if err := k.part.CommitReplay(); err != nil {
				return rows, err
			}
		}
	}
	return rows, nil
}

// replayed takes a record of the changes topic. Headers tell all that is needed,
// unless rows are kept or a window is compared.
func (k *tableKeys) replayed(r *kgo.Record) error {
	if kind, _ := wire.Find(r.Headers, wire.HeaderKind); string(kind) != string(wire.KindChange) {
		return nil
	}
	key, err := k.part.Encode(r.Key)
	if errors.Is(err, keystore.ErrKey) {
		return nil // of another key's time
	}
	if err != nil {
		return err
	}
	op, _ := wire.Find(r.Headers, wire.HeaderOp)
	if string(op) == string(event.OpDelete) || r.Value == nil {
		_, _, err = k.part.Delete(key)
		return err
	}
	version, _ := wire.Find(r.Headers, wire.HeaderVersion)
	e := keystore.Entry{Version: keystore.ParseVersion(string(version))}
	if k.rows || k.window != "" {
		var c struct {
			After json.RawMessage `json:"after"`
		}
		if err := json.Unmarshal(r.Value, &c); err != nil {
			return err
		}
		if k.rows {
			e.Row = c.After
		}
		e.Window, e.Windowed = windowValue(c.After, k.window)
	}
	_, _, err = k.part.Put(key, e)
	return err
}

// applyReplay makes a table's keys ready if nothing was published beside the
// replay; else a last round follows, for which the table's pages wait.
func (s *slot) applyReplay(r replayed) error {
	k := r.keys
	k.reading = false
	if r.err != nil {
		err := fmt.Errorf("key store of %s: %w", r.table, r.err)
		if errors.As(err, new(*kafkaError)) {
			return err
		}
		return s.storeFailed(err)
	}
	k.topicID = r.id
	s.m.keystoreReplay.WithLabelValues(s.source, r.table).Set(r.took.Seconds())
	s.m.keystoreKeys.WithLabelValues(s.source, r.table).Set(float64(k.part.Keys()))
	switch {
	case k.missed || k.pending:
		k.closing = true
	default:
		k.ready, k.closing = true, false
		s.log.Info("key store is ready", "source", s.source, "table", r.table, "keys", k.part.Keys(), "records", r.rows)
	}
	return nil
}

// windowValue reads a number, or a moment in microseconds, of a published row.
func windowValue(after []byte, column string) (int64, bool) {
	if column == "" {
		return 0, false
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(after, &members) != nil {
		return 0, false
	}
	raw := members[column]
	var n int64
	if json.Unmarshal(raw, &n) == nil && string(raw) != "null" {
		return n, true
	}
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return 0, false
	}
	return keystore.ParseInstant(text)
}
