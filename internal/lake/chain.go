package lake

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/millstream-data/millstream/internal/objstore"
)

// ErrChainGap says that a chain's commits do not continue each other. Nothing
// may be skipped: an operator has to look.
var ErrChainGap = errors.New("chain has a gap")

// Lake reads and writes the bookkeeping of one lake.
type Lake struct {
	Store *objstore.Client
	Paths Paths
}

// ChainID names a chain.
type ChainID struct {
	Topic     string
	Partition int32
}

func (id ChainID) String() string { return id.Topic + "/" + strconv.Itoa(int(id.Partition)) }

// Chains lists the chains that have at least one commit.
func (l *Lake) Chains(ctx context.Context) ([]ChainID, error) {
	topics, err := l.Store.Folders(ctx, l.Paths.Commits())
	if err != nil {
		return nil, err
	}
	var out []ChainID
	for _, topic := range topics {
		parts, err := l.Store.Folders(ctx, l.Paths.Commits()+topic+"/")
		if err != nil {
			return nil, err
		}
		for _, part := range parts {
			n, err := strconv.ParseInt(part, 10, 32)
			if err != nil {
				return nil, fmt.Errorf("chain %s/%s: %w", topic, part, err)
			}
			out = append(out, ChainID{topic, int32(n)})
		}
	}
	slices.SortFunc(out, func(a, b ChainID) int {
		if a.Topic != b.Topic {
			if a.Topic < b.Topic {
				return -1
			}
			return 1
		}
		return int(a.Partition) - int(b.Partition)
	})
	return out, nil
}

// Commit reads the commit that begins at first, or returns objstore.ErrNotFound.
func (l *Lake) Commit(ctx context.Context, id ChainID, first int64) (Commit, error) {
	key := l.Paths.Commit(id.Topic, id.Partition, first)
	b, err := l.Store.Get(ctx, key)
	if err != nil {
		return Commit{}, err
	}
	c, err := DecodeCommit(b)
	if err != nil {
		return c, &FormatError{fmt.Errorf("%s: %w", key, err)}
	}
	if c.Topic != id.Topic || c.Partition != id.Partition || c.First != first {
		return c, &FormatError{fmt.Errorf("%s: holds the commit %s/%d/%d", key, c.Topic, c.Partition, c.First)}
	}
	return c, nil
}

// Since reads up to limit commits from the one that begins at first, in order,
// and checks that each continues the one before it. Commits before first are
// not looked at. It returns ErrChainGap where a commit is missing, together
// with those before the gap.
func (l *Lake) Since(ctx context.Context, id ChainID, first int64, limit int) ([]Commit, error) {
	after := ""
	if first > 0 {
		after = l.Paths.Commit(id.Topic, id.Partition, first-1)
	}
	keys, err := l.Store.List(ctx, l.Paths.Chain(id.Topic, id.Partition), after, limit)
	if err != nil {
		return nil, err
	}
	var out []Commit
	for _, k := range keys {
		at, err := CommitFirst(k.Key)
		if err != nil {
			return out, err
		}
		if at != first {
			return out, fmt.Errorf("chain %s: want a commit at %d, found one at %d: %w", id, first, at, ErrChainGap)
		}
		c, err := l.Commit(ctx, id, at)
		if err != nil {
			return out, err
		}
		out = append(out, c)
		first = c.Next
	}
	return out, nil
}

// First returns the offset at which a chain begins; ok is false if it has no commit.
func (l *Lake) First(ctx context.Context, id ChainID) (first int64, ok bool, err error) {
	keys, err := l.Store.List(ctx, l.Paths.Chain(id.Topic, id.Partition), "", 1)
	if err != nil || len(keys) == 0 {
		return 0, false, err
	}
	first, err = CommitFirst(keys[0].Key)
	return first, err == nil, err
}
