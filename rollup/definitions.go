package rollup

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/millstream-data/millstream/internal/metric"
	"github.com/millstream-data/millstream/internal/wire"
)

// watchEvery is how often definition files and the set in force are looked at.
const watchEvery = 5 * time.Second

// definitions is what is in force, compiled. It is read-only.
type definitions struct {
	reg  metric.Registered
	plan *metric.Plan
}

// offerSet puts the files in force unless they are or were. A broken set is an
// error that names every problem; the set in force stays.
func (r *Rollup) offerSet(ctx context.Context) (metric.Registered, error) {
	files, err := metric.ReadFiles(r.cfg.Definitions)
	if err != nil {
		return metric.Registered{}, fmt.Errorf("rollup.definitions: %w", err)
	}
	set, err := metric.Parse(files)
	if err != nil {
		return metric.Registered{}, fmt.Errorf("rollup.definitions: %w", err)
	}
	reg, err := r.store.Register(ctx, set)
	if errors.Is(err, metric.ErrOldSet) {
		r.log.Warn("definition files are older than the set in force and change nothing", "set", reg.No, "path", r.cfg.Definitions)
		err = nil
	}
	if err != nil {
		return metric.Registered{}, err
	}
	r.offered = files
	return reg, nil
}

// enforce makes reg what the workers count by from their next record on.
func (r *Rollup) enforce(ctx context.Context, reg metric.Registered) error {
	if d := r.defs.Load(); d != nil && d.reg.No == reg.No {
		return nil
	}
	r.pub.setNames(reg.Versions)
	for _, v := range reg.Versions {
		r.m.events.WithLabelValues(v.Name)
		r.m.bad.WithLabelValues(v.Name)
		r.m.overflow.WithLabelValues(v.Name)
	}
	r.defs.Store(&definitions{reg: reg, plan: metric.NewPlan(reg.Versions, r.cfg.Clock.Future)})
	r.m.set.Set(float64(reg.No))
	r.log.Info("definitions in force", "set", reg.No, "metrics", len(reg.Versions))
	value, err := wire.EncodeCellRecord(wire.Set{V: 1, Set: reg.No, State: reg.No})
	if err != nil {
		return err
	}
	r.pub.tell(ctx, wire.SetKey(), value)
	return nil
}

// watch follows the files and the store until ctx ends.
func (r *Rollup) watch(ctx context.Context) error {
	tick := time.NewTicker(r.watchEvery)
	defer tick.Stop()
	said := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		reg, err := r.refresh(ctx)
		if err == nil {
			err = r.enforce(ctx, reg)
		}
		if err != nil && ctx.Err() == nil {
			r.trouble.set("definitions", err)
			if err.Error() != said { // once for each way of being broken
				said = err.Error()
				r.m.setErrors.Inc()
				r.log.Error("definitions not taken; the set in force stays", "err", err)
			}
			continue
		}
		said = ""
		r.trouble.clear("definitions")
	}
}

// refresh offers files that have changed and returns what is in force.
func (r *Rollup) refresh(ctx context.Context) (metric.Registered, error) {
	files, err := metric.ReadFiles(r.cfg.Definitions)
	if err != nil {
		return metric.Registered{}, fmt.Errorf("rollup.definitions: %w", err)
	}
	if !equalFiles(files, r.offered) {
		return r.offerSet(ctx)
	}
	return r.store.Current(ctx)
}

func equalFiles(a, b []metric.File) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
