package batcher

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/lake"
)

// place is where a chain goes on, as its newest commit says.
type place struct {
	topicID    string
	next       int64  // position: the first offset of the next range
	prev       *int64 // first offset of the newest commit
	from       int64  // where to read: at or before next, for the window
	floorClock int64
	windowLost int64 // the window should begin below this offset, which is the log's first; 0: it is whole
}

// errStopped says that a chain must not go on before an operator has looked.
var errStopped = errors.New("stopped")

// hintPrefix leads the metadata of a committed Kafka offset: v1:<first of the
// newest commit>.
const hintPrefix = "v1:"

func hintText(first int64) string { return hintPrefix + strconv.FormatInt(first, 10) }

// parseHint returns -1 for what is no hint.
func parseHint(metadata string) int64 {
	digits, ok := strings.CutPrefix(metadata, hintPrefix)
	first, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || first < 0 {
		return -1
	}
	return first
}

// locate finds the place of a chain from S3; the hint only shortens the search.
// Offsets that Kafka no longer has become a commit of their own.
func (e *env) locate(ctx context.Context, id lake.ChainID, log kafka.Log, hint int64) (place, error) {
	start, end := log.Start[id.Partition], log.End[id.Partition]
	for {
		var (
			c  lake.Commit
			ok bool
		)
		err := e.retry(ctx, "last commit of "+id.String(), func(ctx context.Context) (err error) {
			c, ok, err = e.lake.Last(ctx, id, hint)
			return err
		})
		if err != nil {
			return place{}, err
		}
		if !ok {
			return place{topicID: log.ID, next: start, from: start}, nil
		}
		first := c.First
		p := place{topicID: log.ID, next: c.Next, prev: &first, from: c.Next}
		switch {
		case c.TopicID != log.ID:
			return p, fmt.Errorf("%s: %w: topic_recreated: the chain was written from the topic with id %s, and this one has %s; offsets would be used twice, so give the topic another name", id, errStopped, c.TopicID, log.ID)
		case c.Next > end:
			return p, fmt.Errorf("%s: %w: the chain's position %d lies beyond the log's end %d", id, errStopped, c.Next, end)
		case c.Next < start:
			if e.cfg.OnLostOffsets == lostStop {
				return p, fmt.Errorf("%s: %w: Kafka no longer has the offsets from %d to %d; batcher.on_lost_offsets: record goes on without them", id, errStopped, c.Next, start)
			}
			if err := e.recordLoss(ctx, id, c, start); err != nil && !errors.Is(err, errLost) {
				return p, err
			}
			hint = c.First
			continue
		}
		if d := c.Dedup; d != nil {
			p.from, p.floorClock = min(d.Floor, c.Next), d.FloorClockMS
			if d.Incomplete {
				p.windowLost = d.Floor
			}
			if p.from < start {
				p.from, p.windowLost = start, start
				e.metrics.incomplete.WithLabelValues(id.Topic, strconv.Itoa(int(id.Partition))).Inc()
			}
		}
		return p, nil
	}
}

// recordLoss commits the offsets that are gone, so that the chain has no gap.
func (e *env) recordLoss(ctx context.Context, id lake.ChainID, before lake.Commit, start int64) error {
	first := before.First
	c := lake.Commit{
		V: 1, Kind: lake.KindLoss, Reason: "retention", Topic: id.Topic, TopicID: before.TopicID, Partition: id.Partition,
		First: before.Next, Next: start, Prev: &first, Holes: start - before.Next, Cut: string(cutLoss),
		Attempt: event.ULID(time.Now()), CreatedAt: lake.Time{Time: time.Now()}, Writer: lake.Writer{Version: e.version},
	}
	if d := before.Dedup; d != nil {
		lost := *d
		lost.Floor, lost.FloorClockMS, lost.Incomplete = start, d.ClockMS, true
		c.Dedup = &lost
	}
	if err := e.putCommit(ctx, c); err != nil {
		return err
	}
	e.metrics.lostOffsets.Add(float64(c.Holes))
	e.log.Error("offsets that were to be read are gone from the log; a commit says so and the chain goes on", "chain", id.String(), "first", c.First, "next", c.Next)
	return nil
}
