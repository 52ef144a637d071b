package ingest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/wire"
)

// Replay says what is replayed; zero members do not matter.
type Replay struct {
	Source       string
	Code         event.Code
	ID           string    // of one dead letter: partition and offset
	Since, Until time.Time // of the records
	Write        bool      // events go to their topic; without it nothing is written
	WriteRefused bool      // and what is refused again becomes a dead letter again
}

// Run replays the dead letters that are there now, and tells each of them what became of it. It returns when Kafka has
// acknowledged all that was written, with acks=all; after an error some may be written, and a repetition writes the
// same message ids.
func (p *Replayer) Run(ctx context.Context, what Replay, tell func(Replayed)) error {
	in, err := newLetterClient(p.kafka, p.log)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := kafka.NewClient(p.kafka, p.log, kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerBatchMaxBytes(int32(p.largest()))) //nolint:gosec // bounded by the configuration
	if err != nil {
		return err
	}
	defer out.Close()
	next, ends, err := p.ranges(ctx, in, what)
	if err != nil {
		return err
	}
	offsets := map[int32]kgo.Offset{}
	for partition, at := range next {
		offsets[partition] = kgo.NewOffset().At(at)
	}
	in.AddConsumePartitions(map[string]map[int32]kgo.Offset{p.kafka.Names().Rejected(): offsets})
	w := &replayWriter{client: out}
	for behind(next, ends) && w.failed() == nil {
		fetches := in.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read dead letters: %w", err)
		}
		fetches.EachRecord(func(rec *kgo.Record) {
			if rec.Offset >= ends[rec.Partition] {
				return
			}
			next[rec.Partition] = rec.Offset + 1
			if rec.Attrs.IsControl() || !what.wants(rec) {
				return
			}
			r := p.Replay(rec)
			if what.Write {
				w.write(ctx, r.Events)
			}
			if what.Write && what.WriteRefused {
				w.write(ctx, r.Refused)
			}
			tell(r)
		})
	}
	if err := out.Flush(ctx); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	return w.failed()
}

// largest is the most that a batch of records may take.
func (p *Replayer) largest() int {
	most := 1_000_012 // Kafka's default for a topic
	for _, n := range p.srv.cfg.topicNeeds(p.srv.sources.Load(), p.kafka.Names()) {
		most = max(most, n.bytes())
	}
	return most
}

// wants says whether a dead letter is asked for.
func (r *Replay) wants(rec *kgo.Record) bool {
	return (r.Source == "" || hasHeader(rec, wire.HeaderSource, r.Source)) && (r.Code == "" || hasHeader(rec, wire.HeaderCode, string(r.Code))) &&
		!rec.Timestamp.Before(r.Since) && (r.Until.IsZero() || rec.Timestamp.Before(r.Until))
}

// ranges returns the offsets from which and up to which dead letters are read.
func (p *Replayer) ranges(ctx context.Context, in *kgo.Client, what Replay) (next, ends map[int32]int64, err error) {
	topic := p.kafka.Names().Rejected()
	dl, err := kafka.DescribeLog(ctx, in, topic, true)
	if err != nil {
		return nil, nil, err
	}
	next, ends = dl.Start, dl.End
	switch {
	case what.ID != "":
		partition, offset, ok := parseLetterID(what.ID)
		if end, known := ends[partition]; !ok || !known || offset < next[partition] || offset >= end {
			return nil, nil, fmt.Errorf("dead letter %s: %w", what.ID, errNoLetter)
		}
		next, ends = map[int32]int64{partition: offset}, map[int32]int64{partition: offset + 1}
	case !what.Since.IsZero():
		after, err := kadm.NewClient(in).ListOffsetsAfterMilli(ctx, what.Since.UnixMilli(), topic)
		if err == nil {
			err = after.Error()
		}
		if err != nil {
			return nil, nil, fmt.Errorf("offsets of dead letters since %s: %w", what.Since.Format(time.RFC3339), err)
		}
		after.Each(func(o kadm.ListedOffset) { next[o.Partition] = min(o.Offset, ends[o.Partition]) })
	}
	return next, ends, nil
}

func behind(next, ends map[int32]int64) bool {
	for p, end := range ends {
		if next[p] < end {
			return true
		}
	}
	return false
}

// replayWriter produces records and remembers the first one that Kafka did not take.
type replayWriter struct {
	client *kgo.Client

	mu  sync.Mutex // guards err
	err error
}

func (w *replayWriter) write(ctx context.Context, list []*kgo.Record) {
	for _, rec := range list {
		w.client.Produce(ctx, rec, func(_ *kgo.Record, err error) {
			if err == nil {
				return
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.err == nil {
				w.err = fmt.Errorf("produce to %s: %w", rec.Topic, err)
			}
		})
	}
}

func (w *replayWriter) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}
