package lake

import (
	"context"
	"errors"
	"fmt"

	"github.com/millstream-data/millstream/internal/objstore"
)

// Last returns the newest commit of a chain; ok is false if it has none. hint
// is the first offset of a commit that is likely to be among the newest, or
// -1: it only shortens the search, what counts is what the commits say.
func (l *Lake) Last(ctx context.Context, id ChainID, hint int64) (c Commit, ok bool, err error) {
	if hint >= 0 {
		c, err = l.Commit(ctx, id, hint)
		if err == nil {
			return l.follow(ctx, id, c)
		}
		if !errors.Is(err, objstore.ErrNotFound) {
			return c, false, err
		}
	}
	first, ok, err := l.bisect(ctx, id)
	if err != nil || !ok {
		return Commit{}, false, err
	}
	if c, err = l.Commit(ctx, id, first); err != nil {
		return c, false, err
	}
	return l.follow(ctx, id, c)
}

// follow lists what comes after c and reads the last one.
func (l *Lake) follow(ctx context.Context, id ChainID, c Commit) (Commit, bool, error) {
	for {
		keys, err := l.Store.List(ctx, l.Paths.Chain(id.Topic, id.Partition), l.Paths.Commit(id.Topic, id.Partition, c.First), 0)
		if err != nil {
			return c, false, err
		}
		if len(keys) == 0 {
			return c, true, nil
		}
		first, err := CommitFirst(keys[len(keys)-1].Key)
		if err != nil {
			return c, false, err
		}
		if c, err = l.Commit(ctx, id, first); err != nil {
			return c, false, fmt.Errorf("last commit of %s: %w", id, err)
		}
	}
}

// bisect finds the last commit of a chain: S3 lists in ascending order only, so
// it asks for the first key after an offset, at first in doubling steps.
func (l *Lake) bisect(ctx context.Context, id ChainID) (first int64, ok bool, err error) {
	after := func(offset int64) (int64, bool, error) {
		start := ""
		if offset >= 0 {
			start = l.Paths.Commit(id.Topic, id.Partition, offset)
		}
		keys, err := l.Store.List(ctx, l.Paths.Chain(id.Topic, id.Partition), start, 1)
		if err != nil || len(keys) == 0 {
			return 0, false, err
		}
		first, err := CommitFirst(keys[0].Key)
		return first, err == nil, err
	}
	lo, ok, err := after(-1)
	if err != nil || !ok {
		return 0, false, err
	}
	hi := int64(-1) // no commit begins above it, once known
	for step := int64(1024); hi < 0 || lo < hi; {
		probe := lo + step
		if hi >= 0 {
			probe = lo + (hi-lo)/2
		}
		at, found, err := after(probe)
		if err != nil {
			return 0, false, err
		}
		switch {
		case found:
			lo, step = at, step*2
		case hi < 0 || probe > lo:
			hi = probe
		default:
			return lo, true, nil // nothing above lo
		}
	}
	return lo, true, nil
}
