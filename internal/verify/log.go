package verify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/wire"
)

// maxTail is how many records beyond the commits are read: with more of them
// the batcher's lag is the finding, and not what is in it.
const maxTail = 2_000_000

// logs are the partitions of the topic of events as they were before commits
// were read.
type logs struct {
	topic    string
	start    map[int32]int64
	retained map[int32]*retained
}

// retained is the part of a chain that the log still has, whole commits.
type retained struct{ first, next, records int64 }

// openLog asks where the log begins, so that commits above can be held against it.
func (v *verifier) openLog(ctx context.Context) error {
	if v.Kafka == nil {
		v.note("the log: no Kafka is configured, so what no commit has yet is not counted")
		return nil
	}
	desc, err := v.describe(ctx)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		v.note("the log, so what no commit has yet is not counted: %v", err)
	default:
		v.log = &logs{topic: v.Kafka.Names().Events(), start: desc.Start, retained: map[int32]*retained{}}
	}
	return nil
}

func (v *verifier) describe(ctx context.Context) (kafka.Log, error) {
	cl, err := kafka.NewClient(*v.Kafka, v.Log)
	if err != nil {
		return kafka.Log{}, err
	}
	defer cl.Close()
	return kafka.DescribeLog(ctx, cl, v.Kafka.Names().Events(), true)
}

// keeps notes a commit whose records the log still has.
func (l *logs) keeps(id lake.ChainID, c lake.Commit) {
	if l == nil || id.Topic != l.topic || c.First < l.start[id.Partition] {
		return
	}
	r := l.retained[id.Partition]
	if r == nil {
		r = &retained{first: c.First}
		l.retained[id.Partition] = r
	}
	r.next = c.Next
	for _, a := range c.Accounting {
		r.records += a.Records
	}
}

// readLog counts what the log has and no commit has yet, by headers alone. With
// rows it counts what commits account for again.
func (v *verifier) readLog(ctx context.Context) error {
	if v.log == nil {
		return nil
	}
	desc, err := v.describe(ctx)
	if err != nil {
		return fmt.Errorf("read the log: %w", err)
	}
	from, to := map[int32]int64{}, map[int32]int64{}
	var behind int64
	for part, end := range desc.End {
		first := max(v.ends[lake.ChainID{Topic: v.log.topic, Partition: part}], desc.Start[part])
		if first < end {
			from[part], to[part] = first, end
			behind += end - first
		}
	}
	if behind > maxTail {
		v.finding("%s has %d records that no commit has: does the batcher run?", v.log.topic, behind)
		return nil
	}
	if err := v.scan(ctx, from, to, v.arrived); err != nil {
		return err
	}
	if !v.o.Rows {
		return nil
	}
	return v.recount(ctx, desc.End)
}

// recount counts the records of commits that the log still has.
func (v *verifier) recount(ctx context.Context, ends map[int32]int64) error {
	from, to, n := map[int32]int64{}, map[int32]int64{}, map[int32]int64{}
	for part, r := range v.log.retained {
		if end := ends[part]; end < r.next {
			v.finding("%s/%d: commits end at %d, the log at %d: is it another topic of that name?", v.log.topic, part, r.next, end)
			continue
		}
		from[part], to[part] = r.first, r.next
	}
	if err := v.scan(ctx, from, to, func(r *kgo.Record) { n[r.Partition]++ }); err != nil {
		return err
	}
	for _, part := range slices.Sorted(maps.Keys(from)) {
		if r := v.log.retained[part]; n[part] != r.records {
			v.finding("%s/%d: the log has %s from %d to %d, commits account for %d", v.log.topic, part, plural(n[part], "record"), r.first, r.next, r.records)
		}
	}
	return nil
}

// scan visits the records from each partition's first offset to the one before
// its end, which the log has reached. Control records are fetched, so that one
// that comes last is seen, and not visited.
func (v *verifier) scan(ctx context.Context, from, to map[int32]int64, visit func(*kgo.Record)) error {
	if len(from) == 0 {
		return nil
	}
	offsets := map[int32]kgo.Offset{}
	for part, first := range from {
		offsets[part] = kgo.NewOffset().At(first)
	}
	cl, err := kafka.NewClient(*v.Kafka, v.Log, kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{v.log.topic: offsets}))
	if err != nil {
		return err
	}
	defer cl.Close()
	for open := maps.Clone(to); len(open) > 0; {
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
			end, ok := open[r.Partition]
			if ok && r.Offset < end && !r.Attrs.IsControl() {
				visit(r)
			}
			if ok && r.Offset >= end-1 {
				delete(open, r.Partition)
				cl.PauseFetchPartitions(map[string][]int32{v.log.topic: {r.Partition}})
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
