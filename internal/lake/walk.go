package lake

import (
	"context"
	"fmt"
	"time"
)

// walkPage is how many commits Walk holds at a time.
const walkPage = 256

// Walk calls visit with the commits of a chain in order, from the one that
// begins at first, and returns where the last of them ends; first if there is
// none. Commits before first are not looked at. It returns ErrChainGap where a
// commit does not continue the one before it, and visit's error.
func (l *Lake) Walk(ctx context.Context, id ChainID, first int64, visit func(Commit) error) (next int64, err error) {
	for next = first; ; {
		after := ""
		if next > 0 {
			after = l.Paths.Commit(id.Topic, id.Partition, next-1)
		}
		keys, err := l.Store.List(ctx, l.Paths.Chain(id.Topic, id.Partition), after, walkPage)
		if err != nil || len(keys) == 0 {
			return next, err
		}
		page := make([]Commit, len(keys))
		err = each(ctx, len(keys), func(ctx context.Context, i int) error {
			at, err := CommitFirst(keys[i].Key)
			if err == nil {
				page[i], err = l.Commit(ctx, id, at)
			}
			return err
		})
		if err != nil {
			return next, err
		}
		for _, c := range page {
			if c.First != next {
				return next, fmt.Errorf("chain %s: want a commit at %d, found one at %d: %w", id, next, c.First, ErrChainGap)
			}
			if err := visit(c); err != nil {
				return next, err
			}
			next = c.Next
		}
	}
}

// FirstSince returns where the first commit begins that was created at t or
// later, by its writer's clock, or the last commit if all are older; ok is false
// if the chain has none. Commits are in the order of their creation, so it reads
// few of them.
func (l *Lake) FirstSince(ctx context.Context, id ChainID, t time.Time) (first int64, ok bool, err error) {
	first, ok, err = l.First(ctx, id)
	if err != nil || !ok {
		return 0, false, err
	}
	last, ok, err := l.Last(ctx, id, -1)
	if err != nil || !ok || last.CreatedAt.Before(t) {
		return last.First, ok, err
	}
	lo, hi := first, last.First
	for lo < hi {
		mid := lo + (hi-lo)/2
		c, err := l.atOrAfter(ctx, id, mid)
		if err != nil {
			return 0, false, err
		}
		if c.CreatedAt.Before(t) {
			lo = c.First + 1
		} else {
			hi = mid
		}
	}
	c, err := l.atOrAfter(ctx, id, lo)
	return c.First, err == nil, err
}

// atOrAfter reads the first commit that begins at offset or above it.
func (l *Lake) atOrAfter(ctx context.Context, id ChainID, offset int64) (Commit, error) {
	after := ""
	if offset > 0 {
		after = l.Paths.Commit(id.Topic, id.Partition, offset-1)
	}
	keys, err := l.Store.List(ctx, l.Paths.Chain(id.Topic, id.Partition), after, 1)
	if err != nil {
		return Commit{}, err
	}
	if len(keys) == 0 {
		return Commit{}, fmt.Errorf("chain %s: no commit at or above %d, where one was: %w", id, offset, ErrChainGap)
	}
	first, err := CommitFirst(keys[0].Key)
	if err != nil {
		return Commit{}, err
	}
	return l.Commit(ctx, id, first)
}
