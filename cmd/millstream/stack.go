package main

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/millstream-data/millstream/internal/telemetry"
)

// runner is what a role is to whoever runs it: nil says that ctx ended and all
// is drained; after any other return it can be built anew.
type runner interface {
	Run(ctx context.Context) error
}

// build makes a role anew. Its metrics go to reg, which is its own.
type build func(ctx context.Context, reg *prometheus.Registry) (runner, error)

// stack runs things that depend on those started before them, and stops them
// in reverse: what feeds goes before what is fed.
type stack struct {
	log    *slog.Logger
	health *telemetry.Health
	gather *gatherers
	layers []layer
	failed chan error // the first thing that cannot go on; capacity 1
}

type layer struct {
	name string
	stop func()
}

func newStack(log *slog.Logger, health *telemetry.Health) *stack {
	return &stack{log: log, health: health, gather: &gatherers{}, failed: make(chan error, 1)}
}

// keep has stop called when the stack is stopped.
func (s *stack) keep(name string, stop func()) { s.layers = append(s.layers, layer{name, stop}) }

// role builds a role and runs it in the background until the stack is stopped.
// The first build's error is returned. A role that fails later is built anew
// with a growing pause, because nothing was lost; readiness says so meanwhile.
func (s *stack) role(ctx context.Context, name string, b build) error {
	reg := prometheus.NewRegistry()
	first, err := b(ctx, reg)
	if err != nil {
		return err
	}
	s.gather.put(name, reg)
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() { s.supervise(ctx, name, first, b) })
	s.keep(name, func() { cancel(); wg.Wait() })
	return nil
}

func (s *stack) supervise(ctx context.Context, name string, r runner, b build) {
	const healthy = time.Minute // after running so long, the next failure is a new story
	for pause := time.Second; ; pause = min(2*pause, 30*time.Second) {
		started := time.Now()
		var err error
		if r != nil {
			err = r.Run(ctx)
		}
		if ctx.Err() != nil {
			if err != nil {
				s.log.Warn("role did not drain", "role", name, "err", err)
			}
			return
		}
		if time.Since(started) > healthy {
			pause = time.Second
		}
		if r != nil {
			s.log.Error("role ended and is started anew", "role", name, "pause", pause, "err", err)
		}
		s.health.Register(name+" restart", func(context.Context) telemetry.Check {
			return telemetry.NotReady("%s ended and is being started anew: %v", name, err)
		})
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		reg := prometheus.NewRegistry()
		if r, err = b(ctx, reg); err != nil {
			s.log.Error("role does not start", "role", name, "err", err)
			r = nil
			continue
		}
		s.gather.put(name, reg)
		s.health.Register(name+" restart", func(context.Context) telemetry.Check { return telemetry.Ready("%s runs", name) })
	}
}

// task runs something that is no role until the stack is stopped; its failure
// ends the whole program.
func (s *stack) task(ctx context.Context, name string, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := run(ctx); err != nil && ctx.Err() == nil {
			select {
			case s.failed <- err:
			default: // one reason to stop is enough
			}
		}
	})
	s.keep(name, func() { cancel(); wg.Wait() })
}

// wait blocks until ctx ends or a task fails, stops everything and returns the
// task's error.
func (s *stack) wait(ctx context.Context) error {
	var err error
	select {
	case <-ctx.Done():
	case err = <-s.failed:
	}
	s.health.Drain("the process is stopping")
	s.stop()
	return err
}

func (s *stack) stop() {
	for _, l := range slices.Backward(s.layers) {
		s.log.Debug("stopping", "layer", l.name)
		l.stop()
	}
	s.layers = nil
}

// gatherers are the registries of the roles that run at the moment.
type gatherers struct {
	mu   sync.Mutex
	regs map[string]prometheus.Gatherer // guarded by mu
}

func (g *gatherers) put(name string, reg prometheus.Gatherer) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.regs == nil {
		g.regs = map[string]prometheus.Gatherer{}
	}
	g.regs[name] = reg
}

// Gather merges what all registries have.
func (g *gatherers) Gather() ([]*dto.MetricFamily, error) {
	g.mu.Lock()
	all := make(prometheus.Gatherers, 0, len(g.regs))
	for _, r := range g.regs {
		all = append(all, r)
	}
	g.mu.Unlock()
	return all.Gather()
}
