package loader

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/objstore"
	"github.com/millstream-data/millstream/internal/warehouse"
)

const (
	chainsEvery     = time.Minute // between two looks for new chains,
	chainsFew       = 64          // unless there are so few that each wave looks
	chainPatience   = 3           // failures in a row that stop a chain
	listsAtATime    = 16
	commitsAtATime  = 1000 // read of a chain in one wave
	commitsAtOnce   = 100  // of those at a time, so that the next is known to fit
	commitsInMemory = 5000 // of a chain; then low water must move before more are read
	bytesInMemory   = 64 << 20
)

// catalogue is what the loader has read of the lake. It belongs to the
// goroutine of the waves.
type catalogue struct {
	lake   *lake.Lake
	chains []*chain
	listed time.Time
	bytes  atomic.Int64 // of the commits of all chains
}

// full says that more commits of ch must wait until low water has moved. Each
// chain may have one batch of them whatever the others have.
func (cat *catalogue) full(ch *chain) bool {
	return len(ch.commits) >= commitsInMemory || len(ch.commits) > 0 && cat.bytes.Load() >= bytesInMemory
}

// crowded says that ch will soon be full.
func (cat *catalogue) crowded(ch *chain) bool {
	return len(ch.commits) >= commitsInMemory/2 || cat.bytes.Load() >= bytesInMemory/2
}

// refresh looks for new chains, and reads the new commits of all. A chain that
// cannot be read on keeps what was read before and is tried again each time;
// stopped is told of each newly stopped one.
func (cat *catalogue) refresh(ctx context.Context, led *ledger, now time.Time, stopped func(warehouse.Chain, error)) error {
	if now.Sub(cat.listed) >= chainsEvery || len(cat.chains) <= chainsFew {
		ids, err := cat.lake.Chains(ctx)
		if err != nil {
			return fmt.Errorf("list the chains: %w", err)
		}
		cat.know(ids)
		cat.listed = now
	}
	errs := make([]error, len(cat.chains))
	var g errgroup.Group
	g.SetLimit(listsAtATime)
	for i, ch := range cat.chains {
		g.Go(func() error {
			errs[i] = cat.read(ctx, ch, led)
			return nil
		})
	}
	_ = g.Wait() // none returns an error
	for i, ch := range cat.chains {
		if errs[i] == nil {
			ch.stopped, ch.failures = false, 0
			continue
		}
		// One failure may be the store's, and pass; a gap does not.
		ch.failures++
		if !ch.stopped && (ch.failures >= chainPatience || errors.Is(errs[i], lake.ErrChainGap)) {
			ch.stopped = true
			stopped(ch.id, errs[i])
		}
	}
	return nil
}

func (cat *catalogue) know(ids []lake.ChainID) {
	for _, id := range ids {
		c := warehouse.Chain{Topic: id.Topic, Part: id.Partition}
		if !slices.ContainsFunc(cat.chains, func(ch *chain) bool { return ch.id == c }) {
			cat.chains = append(cat.chains, &chain{id: c})
		}
	}
	slices.SortFunc(cat.chains, func(a, b *chain) int { return compareChains(a.id, b.id) })
}

// read brings the chain's commits up to date with ledger and lake. Commits
// below low water are forgotten; a low water that went back, because the
// warehouse was restored from a snapshot, has them read again.
func (cat *catalogue) read(ctx context.Context, ch *chain, led *ledger) error {
	id := lake.ChainID{Topic: ch.id.Topic, Partition: ch.id.Part}
	low, known := led.low[ch.id]
	if ch.started && known && low < ch.begins() || !ch.started && known {
		for len(ch.commits) > 0 {
			cat.forget(ch)
		}
		ch.next, ch.started = low, true
	}
	if !ch.started {
		first, ok, err := cat.lake.First(ctx, id)
		if err != nil || !ok {
			return err
		}
		ch.next, ch.started = first, true
	}
	for known && len(ch.commits) > 0 && ch.commits[0].Next <= low {
		cat.forget(ch)
	}
	for n := 0; n < commitsAtATime && !cat.full(ch); n += commitsAtOnce {
		commits, err := cat.lake.Since(ctx, id, ch.next, commitsAtOnce)
		before := len(ch.commits)
		err = errors.Join(ch.take(commits), err)
		for _, c := range ch.commits[before:] {
			cat.bytes.Add(c.size)
		}
		if err != nil || len(commits) < commitsAtOnce {
			return err
		}
	}
	return nil
}

// forget drops the chain's oldest commit.
func (cat *catalogue) forget(ch *chain) {
	cat.bytes.Add(-ch.commits[0].size)
	ch.commits[0] = entry{}
	ch.commits = ch.commits[1:]
}

// begins is the offset from which the chain's commits are in memory.
func (ch *chain) begins() int64 {
	if len(ch.commits) == 0 {
		return ch.next
	}
	return ch.commits[0].First
}

func (ch *chain) take(commits []lake.Commit) error {
	for _, c := range commits {
		e, err := newEntry(ch.id, c)
		if err != nil {
			return err
		}
		ch.commits, ch.next = append(ch.commits, e), c.Next
	}
	return nil
}

// since returns all chains, with those commits back to where a target is held
// that are no longer in memory. Of a chain with very many only the oldest are
// returned, and its next is where the rest begins. Those hold what is of target
// and no more.
func (cat *catalogue) since(ctx context.Context, target string, held *heldTarget) ([]*chain, error) {
	out := make([]*chain, len(cat.chains))
	for i, ch := range cat.chains {
		out[i] = ch
		from, ok := held.from[ch.id]
		if !ok || from >= ch.begins() {
			continue
		}
		older := &chain{id: ch.id, next: from}
		for older.next < ch.begins() && len(older.commits) < commitsInMemory {
			commits, err := cat.lake.Since(ctx, lake.ChainID{Topic: ch.id.Topic, Partition: ch.id.Part}, older.next, commitsAtATime)
			before := len(older.commits)
			if err = errors.Join(older.take(commits), err); err != nil {
				return nil, err
			}
			for i := before; i < len(older.commits); i++ {
				older.commits[i].keep(target)
			}
			if len(commits) == 0 {
				return nil, fmt.Errorf("chain %s/%d: the commit at %d is gone: %w", ch.id.Topic, ch.id.Part, older.next, lake.ErrChainGap)
			}
		}
		out[i] = older
	}
	return out, nil
}

// file finds a held file in its commit.
func (cat *catalogue) file(ctx context.Context, h warehouse.Held) (dueFile, error) {
	c, err := cat.lake.Commit(ctx, lake.ChainID{Topic: h.Chain.Topic, Partition: h.Chain.Part}, h.First)
	if err != nil {
		return dueFile{}, err
	}
	for _, f := range c.Files {
		if f.Key == h.FileKey {
			return dueFile{File: f, chain: h.Chain, first: c.First, schema: c.Schemas[f.Schema]}, nil
		}
	}
	return dueFile{}, fmt.Errorf("commit %s/%d/%d: names no file %s: %w", h.Chain.Topic, h.Chain.Part, h.First, h.FileKey, objstore.ErrNotFound)
}
