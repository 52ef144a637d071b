package serve

import (
	"context"
	"time"

	"github.com/millstream-data/millstream/internal/metric"
)

// healDays is how far back the store is compared with memory: days that may still change.
const healDays = 3

// healing compares memory with the store now and then. What the store has had for a while and memory has not was
// lost on the way; it is taken and counted, for nothing should be.
func (f *follower) healing(ctx context.Context) {
	every := time.NewTicker(f.heal)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		grace := func() <-chan time.Time { return time.After(min(10*time.Second, f.heal/6)) }
		if err := f.healOnce(ctx, grace); err != nil && ctx.Err() == nil {
			f.log.Warn("memory not compared with the metric store", "err", err)
		}
	}
}

// healOnce begins grace when memory lacks something, and takes at its end what memory still lacks.
func (f *follower) healOnce(ctx context.Context, grace func() <-chan time.Time) error {
	flipped, err := f.engine.reload(ctx)
	if err != nil {
		return err
	}
	if flipped {
		f.forgetKnown()
		f.flipped(ctx)
	}
	var behind []metric.Row
	f.metrics.storeQueries.Inc()
	snap, err := f.engine.store.Scan(ctx, f.engine.ranges(f.unsealed), func(r metric.Row) bool {
		if h := f.engine.heldBy(r.Version()); h != nil && h.behind(r) {
			behind = append(behind, r)
		}
		return true
	})
	if err != nil {
		return err
	}
	changed := map[string]bool{}
	f.engine.takeSnapshot(snap, changed)
	if len(behind) > 0 {
		select {
		case <-ctx.Done():
			return nil
		case <-grace(): // its record may be on the way
		}
	}
	for _, r := range behind {
		h := f.engine.heldBy(r.Version())
		if took, err := h.take(r); err != nil {
			return err
		} else if took {
			f.metrics.heals.Inc()
			changed[h.version.Name] = true
		}
	}
	f.tell(changed)
	f.metrics.cells.Set(float64(f.engine.count()))
	return nil
}

func (f *follower) unsealed(zone string) int64 {
	from := f.engine.now().AddDate(0, 0, -healDays).Unix()
	if zone == "" {
		return metric.FineBucket(from)
	}
	return from / 86400
}

func (e *engine) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for _, h := range e.held {
		n += h.count()
	}
	return n
}
