package verify

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/wire"
)

// maxTail is how many records beyond the commits are read: with more of them
// the batcher's lag is the finding, and not what is in it.
const maxTail = 2_000_000

// readLog counts what the log has and no commit has yet, by headers alone.
func (v *verifier) readLog(ctx context.Context) error {
	if v.Kafka == nil {
		v.note("the log: no Kafka is configured, so what no commit has yet is not counted")
		return nil
	}
	cl, err := kafka.NewClient(*v.Kafka, v.Log)
	if err != nil {
		return err
	}
	defer cl.Close()
	topic := v.Kafka.Names().Events()
	desc, err := kafka.DescribeLog(ctx, cl, topic, true)
	if err != nil && ctx.Err() == nil {
		v.note("the log, so what no commit has yet is not counted: %v", err)
		return nil
	}
	if err != nil {
		return err
	}
	offsets, ends := map[int32]kgo.Offset{}, map[int32]int64{}
	var behind int64
	for part, end := range desc.End {
		first := max(v.ends[lake.ChainID{Topic: topic, Partition: part}], desc.Start[part])
		if first < end {
			offsets[part], ends[part] = kgo.NewOffset().At(first), end
			behind += end - first
		}
	}
	if behind > maxTail {
		v.finding("%s has %d records that no commit has: does the batcher run?", topic, behind)
		return nil
	}
	if len(offsets) == 0 {
		return nil
	}
	reader, err := kafka.NewClient(*v.Kafka, v.Log, kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: offsets}))
	if err != nil {
		return err
	}
	defer reader.Close()
	return v.tail(ctx, reader, ends)
}

// tail counts records until each partition's end is reached. Ends are those of
// a moment ago; control records are kept so that one that comes last is seen.
func (v *verifier) tail(ctx context.Context, cl *kgo.Client, ends map[int32]int64) error {
	for len(ends) > 0 {
		fetches := cl.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return err
		}
		var errs []error
		fetches.EachError(func(topic string, part int32, err error) {
			errs = append(errs, fmt.Errorf("read %s/%d: %w", topic, part, err))
		})
		if err := errors.Join(errs...); err != nil {
			return err
		}
		fetches.EachRecord(func(r *kgo.Record) {
			end, open := ends[r.Partition]
			if open && r.Offset < end && !r.Attrs.IsControl() {
				v.arrived(r)
			}
			if open && r.Offset >= end-1 {
				delete(ends, r.Partition)
			}
		})
	}
	return nil
}

func (v *verifier) arrived(r *kgo.Record) {
	h, err := wire.ParseEventHeaders(r.Headers)
	at := h.ReceivedAt
	if err != nil {
		at = r.Timestamp
	}
	if source := v.names.Origin(h.Source); v.wanted(source, day(at)) {
		v.books.uncommitted[cell{source, day(at)}]++
	}
}
