package rollup

import (
	"context"
	"errors"
	"sync"

	"github.com/millstream-data/millstream/internal/metric"
)

var errAway = errors.New("the store does not answer")

// faults is a store whose answers a test can take away. It changes no data: what
// goes through goes to the real store.
type faults struct {
	metric.Store

	mu     sync.Mutex
	before func(ctx context.Context, op string) error // an error: the store is not asked
	after  func(ctx context.Context, op string) error // an error: the store's answer is lost
}

func (f *faults) set(before, after func(context.Context, string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before, f.after = before, after
}

func (f *faults) hooks() (before, after func(context.Context, string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	nothing := func(context.Context, string) error { return nil }
	before, after = f.before, f.after
	if before == nil {
		before = nothing
	}
	if after == nil {
		after = nothing
	}
	return before, after
}

func ask[T any](ctx context.Context, f *faults, op string, do func() (T, error)) (T, error) {
	var zero T
	before, after := f.hooks()
	if err := before(ctx, op); err != nil {
		return zero, err
	}
	out, err := do()
	if err != nil {
		return out, err
	}
	if err := after(ctx, op); err != nil {
		return zero, err
	}
	return out, nil
}

func (f *faults) Claim(ctx context.Context, p metric.Partition, owner string, first metric.Position) (metric.Claim, error) {
	return ask(ctx, f, "claim", func() (metric.Claim, error) { return f.Store.Claim(ctx, p, owner, first) })
}

func (f *faults) Reclaim(ctx context.Context, c metric.Claim) (metric.Claim, error) {
	return ask(ctx, f, "reclaim", func() (metric.Claim, error) { return f.Store.Reclaim(ctx, c) })
}

func (f *faults) Commit(ctx context.Context, c metric.Claim, fl metric.Flush) error {
	_, err := ask(ctx, f, "commit", func() (struct{}, error) { return struct{}{}, f.Store.Commit(ctx, c, fl) })
	return err
}

func (f *faults) Load(ctx context.Context, keys []metric.Key) (map[metric.Key]metric.Row, error) {
	return ask(ctx, f, "load", func() (map[metric.Key]metric.Row, error) { return f.Store.Load(ctx, keys) })
}
