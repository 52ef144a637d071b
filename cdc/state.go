package cdc

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/wire"
)

// state is what a slot's partition of the state topic says, by the last record
// of each key.
type state struct {
	source   wire.CDCSource
	tables   map[string]wire.CDCTable
	strategy map[string]wire.CDCStrategy // by schema.table/name
	loads    map[string]wire.CDCLoad
	schemas  map[string]map[int64]event.TableSchema
	overlaps map[wire.CDCKey]wire.CDCOverlap
	orders   map[string]wire.CDCOrder
	end      int64 // offset behind the last record that was read
}

func newState() *state {
	return &state{
		tables: map[string]wire.CDCTable{}, strategy: map[string]wire.CDCStrategy{}, loads: map[string]wire.CDCLoad{},
		schemas: map[string]map[int64]event.TableSchema{}, overlaps: map[wire.CDCKey]wire.CDCOverlap{}, orders: map[string]wire.CDCOrder{},
	}
}

// apply takes a record in the order of offsets; without a value its key is gone.
func (s *state) apply(key, value []byte) error {
	k, err := wire.ParseCDCKey(string(key))
	if err != nil {
		return err
	}
	gone := len(value) == 0
	switch k.Part {
	case wire.CDCPartSource:
		s.source, err = decodeOr(value, gone, wire.CDCSource{})
	case wire.CDCPartTable:
		err = put(s.tables, k.Table, value, gone)
	case wire.CDCPartStrategy:
		err = put(s.strategy, k.Table+"/"+k.Strategy, value, gone)
	case wire.CDCPartLoad:
		err = put(s.loads, k.Table, value, gone)
	case wire.CDCPartOverlap:
		err = put(s.overlaps, k, value, gone)
	case wire.CDCPartOrder:
		err = put(s.orders, k.Table, value, gone)
	case wire.CDCPartSchema:
		if gone {
			delete(s.schemas[k.Table], k.Number)
			return nil
		}
		var ts event.TableSchema
		if ts, err = wire.DecodeTableSchema(value); err == nil {
			if s.schemas[k.Table] == nil {
				s.schemas[k.Table] = map[int64]event.TableSchema{}
			}
			s.schemas[k.Table][k.Number] = ts
		}
	}
	if err != nil {
		return fmt.Errorf("state %s: %w", key, err)
	}
	return nil
}

func decodeOr[T wire.CDCRecord](value []byte, gone bool, zero T) (T, error) {
	if gone {
		return zero, nil
	}
	return wire.DecodeCDCRecord[T](value)
}

func put[K comparable, T wire.CDCRecord](m map[K]T, k K, value []byte, gone bool) error {
	if gone {
		delete(m, k)
		return nil
	}
	v, err := wire.DecodeCDCRecord[T](value)
	if err == nil {
		m[k] = v
	}
	return err
}

// stateTimeout bounds the reading of a state, which is small.
const stateTimeout = time.Minute

// readState reads a partition of the state topic to the end that it has now.
// The caller has fenced out the slot's earlier owner, so nothing follows.
func readState(ctx context.Context, k kafka.Config, topic string, partition int32, log *slog.Logger) (*state, error) {
	ctx, cancel := context.WithTimeout(ctx, stateTimeout)
	defer cancel()
	cl, err := kafka.NewClient(k, log,
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().AtStart()}}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(500*time.Millisecond),
		kgo.KeepControlRecords()) // the last record is the end of a transaction
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	desc, err := kafka.DescribeLog(ctx, cl, topic, true)
	if err != nil {
		return nil, err
	}
	out, next, end := newState(), desc.Start[partition], desc.End[partition]
	for next < end {
		fetches := cl.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("read %s/%d at %d of %d: %w", topic, partition, next, end, err)
		}
		for _, fe := range fetches.Errors() {
			return nil, fmt.Errorf("read %s/%d: %w", topic, partition, fe.Err)
		}
		for it := fetches.RecordIter(); !it.Done(); {
			r := it.Next()
			next = r.Offset + 1
			if r.Attrs.IsControl() {
				continue
			}
			if err := out.apply(r.Key, r.Value); err != nil {
				return nil, fmt.Errorf("%s/%d/%d: %w", topic, partition, r.Offset, err)
			}
		}
	}
	out.end = end
	return out, nil
}
