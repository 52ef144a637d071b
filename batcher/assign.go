package batcher

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"

	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/objstore"
)

// offsetsFetched keeps the hints that came with the group's offsets.
func (b *Batcher) offsetsFetched(_ context.Context, _ *kgo.Client, resp *kmsg.OffsetFetchResponse) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, g := range resp.Groups {
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				if p.Metadata != nil {
					b.hints[lake.ChainID{Topic: t.Topic, Partition: p.Partition}] = parseHint(*p.Metadata)
				}
			}
		}
	}
	return nil
}

// assigned begins a chain for each new partition and tells the client where to
// read. The group's own offsets are not looked at.
func (b *Batcher) assigned(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	select { // the group may give partitions before its client has been returned to Run
	case <-b.started:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	out := make(map[string]map[int32]kgo.Offset, len(offsets))
	var mu sync.Mutex // guards out
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for topic, partitions := range offsets {
		out[topic] = make(map[int32]kgo.Offset, len(partitions))
		g.Go(func() error {
			log, err := b.describe(gctx, topic)
			if err != nil {
				return err
			}
			for partition := range partitions {
				from, ok, err := b.begin(gctx, lake.ChainID{Topic: topic, Partition: partition}, log)
				if err != nil {
					return err
				}
				if ok {
					mu.Lock()
					out[topic][partition] = kgo.NewOffset().At(from)
					mu.Unlock()
				}
			}
			return nil
		})
	}
	return out, g.Wait()
}

func (b *Batcher) describe(ctx context.Context, topic string) (kafka.Log, error) {
	for {
		log, err := kafka.DescribeLog(ctx, b.env.client, topic, true)
		if err == nil || ctx.Err() != nil {
			return log, err
		}
		b.env.log.Warn("log cannot be described, trying again", "topic", topic, "err", err)
		if !pause(ctx, time.Second) {
			return log, ctx.Err()
		}
	}
}

// begin starts the chain of a partition and returns the offset to read from; ok
// is false if it waits for an operator.
func (b *Batcher) begin(ctx context.Context, id lake.ChainID, log kafka.Log) (from int64, ok bool, err error) {
	b.mu.Lock()
	hint, known := b.hints[id]
	old := b.chains[id]
	delete(b.chains, id)
	b.mu.Unlock()
	if !known {
		hint = -1
	}
	if old != nil {
		old.abandon()
	}
	at, err := b.env.locate(ctx, id, log, hint)
	if errors.Is(err, objstore.ErrNotFound) { // of a commit that was listed
		err = fmt.Errorf("%w: %w", errCommitMissing, err)
	}
	if needsOperator(err) {
		b.stop(id, err)
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.generations++
	c := newChain(b.base, b.env, id, b.generations, b.writer, at, func(c lake.Commit) {
		b.mu.Lock()
		b.hints[id] = c.First
		b.mu.Unlock()
		b.commitOffset(c)
	})
	b.chains[id] = c
	b.tellOwner()
	delete(b.stopped, id)
	b.env.metrics.stopped.Set(float64(len(b.stopped)))
	b.env.metrics.rebalances.WithLabelValues("assigned").Inc()
	b.wg.Go(c.run)
	b.env.client.ResumeFetchPartitions(map[string][]int32{id.Topic: {id.Partition}}) // an earlier stop may have paused it
	b.env.log.Info("chain begins", "chain", id.String(), "position", at.next, "read_from", at.from, "generation", c.generation)
	return at.from, true, nil
}

// needsOperator says whether trying again cannot help: the chain must not go on,
// or the lake has lost or does not understand what it says.
func needsOperator(err error) bool {
	_, unreadable := errors.AsType[*lake.FormatError](err)
	return unreadable || errors.Is(err, errStopped) || errors.Is(err, errCommitMissing)
}

// tellOwner says how many windows there are; b.mu is held.
func (b *Batcher) tellOwner() {
	if b.owns == nil {
		return
	}
	n := 0
	for id := range b.chains {
		if isEvents(b.env.topics, id.Topic) {
			n++
		}
	}
	b.owns(n)
}

// stop leaves a partition to an operator.
func (b *Batcher) stop(id lake.ChainID, err error) {
	b.mu.Lock()
	b.stopped[id] = err
	b.env.metrics.stopped.Set(float64(len(b.stopped)))
	b.mu.Unlock()
	b.env.log.Error("partition stops", "chain", id.String(), "err", err)
}

// restart begins chains anew that have ended by themselves. Partitions cannot
// move meanwhile; where they want to, the rest waits for the next call.
func (b *Batcher) restart(ctx context.Context, client *kgo.Client) {
	ended := b.ended()
	if len(ended) == 0 || ctx.Err() != nil {
		return
	}
	// A store that is away must not hold up the group for long: the next call tries again.
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	over, now := context.WithCancel(ctx)
	now()
	client.PollRecords(over, 1) // fetches nothing, and has rebalances wait
	defer client.AllowRebalance()
	b.mu.Lock()
	b.restarting = cancel
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		b.restarting = nil
		b.mu.Unlock()
	}()
	for _, c := range ended {
		if b.chain(c.id) != c || ctx.Err() != nil { // taken away, or the group waits
			continue
		}
		if err := b.again(ctx, client, c); err != nil {
			b.env.log.Warn("chain cannot begin anew yet, trying again", "chain", c.id.String(), "err", err)
			b.mu.Lock()
			b.restartAt = time.Now().Add(2 * time.Second)
			b.mu.Unlock()
			return
		}
	}
}

// blocked is told that partitions want to move and wait for a restart.
func (b *Batcher) blocked(context.Context, *kgo.Client) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.restarting != nil {
		b.restarting()
	}
}

// ended returns the chains that have ended by themselves.
func (b *Batcher) ended() (out []*chain) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if time.Now().Before(b.restartAt) {
		return nil
	}
	for _, c := range b.chains {
		select {
		case <-c.done:
			out = append(out, c)
		default:
		}
	}
	return out
}

func (b *Batcher) again(ctx context.Context, client *kgo.Client, c *chain) error {
	reason := "failed"
	if errors.Is(c.err, errLost) {
		reason = "lost"
	}
	if needsOperator(c.err) {
		b.mu.Lock()
		delete(b.chains, c.id)
		b.mu.Unlock()
		client.PauseFetchPartitions(map[string][]int32{c.id.Topic: {c.id.Partition}})
		b.stop(c.id, c.err)
		return nil
	}
	log, err := kafka.DescribeLog(ctx, client, c.id.Topic, true)
	if err != nil {
		return err
	}
	from, ok, err := b.begin(ctx, c.id, log)
	if err != nil {
		b.mu.Lock()
		if b.chains[c.id] == nil {
			b.chains[c.id] = c // stays ended, so that the next poll sees it
		}
		b.mu.Unlock()
		return fmt.Errorf("begin: %w", err)
	}
	b.env.metrics.abandoned.WithLabelValues(reason).Inc()
	b.env.log.Warn("chain begins anew", "chain", c.id.String(), "reason", reason, "err", c.err)
	if !ok {
		client.PauseFetchPartitions(map[string][]int32{c.id.Topic: {c.id.Partition}})
		return nil
	}
	client.SetOffsets(map[string]map[int32]kgo.EpochOffset{c.id.Topic: {c.id.Partition: {Epoch: -1, Offset: from}}})
	return nil
}

// revoked commits what partitions that go away have, side by side and within
// the budget: what is not done by then is read again by the next owner.
func (b *Batcher) revoked(ctx context.Context, _ *kgo.Client, partitions map[string][]int32) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.env.cfg.RevokeBudget)
	defer cancel()
	b.env.metrics.rebalances.WithLabelValues("revoked").Inc()
	b.endAll(ctx, cutRevoke, partitions)
}

// lost abandons partitions that are somebody else's already.
func (b *Batcher) lost(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
	b.env.metrics.rebalances.WithLabelValues("lost").Inc()
	for _, c := range b.remove(partitions) {
		c.abandon()
		b.env.metrics.abandoned.WithLabelValues("revoked").Inc()
	}
}

// endAll ends the chains of partitions; nil means all of them.
func (b *Batcher) endAll(ctx context.Context, why cut, partitions map[string][]int32) {
	var wg sync.WaitGroup
	for _, c := range b.remove(partitions) {
		wg.Go(func() {
			if err := c.end(ctx, why); err != nil {
				b.env.metrics.abandoned.WithLabelValues("stopped").Inc()
				b.env.log.Warn("open range was given up", "chain", c.id.String(), "err", err)
			}
		})
	}
	wg.Wait()
}

// remove takes chains out of the map.
func (b *Batcher) remove(partitions map[string][]int32) []*chain {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []*chain
	take := func(id lake.ChainID) {
		if c := b.chains[id]; c != nil {
			out = append(out, c)
			delete(b.chains, id)
		}
		delete(b.stopped, id)
	}
	defer func() {
		b.tellOwner()
		b.env.metrics.stopped.Set(float64(len(b.stopped)))
	}()
	if partitions == nil {
		clear(b.stopped)
		for id := range b.chains {
			take(id)
		}
		return out
	}
	for topic, ps := range partitions {
		for _, p := range ps {
			take(lake.ChainID{Topic: topic, Partition: p})
		}
	}
	return out
}
