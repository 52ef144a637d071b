package cdc

import (
	"context"
	"sync"
	"time"
)

// guardEvery is how often the origin is asked how busy it is while patient jobs
// wait or run.
const guardEvery = time.Second

// guard keeps patient jobs from an origin that is busy.
type guard struct {
	cfg    GuardConfig
	asked  time.Time // by this process's clock
	asking bool
	since  time.Time // when patient jobs were paused; zero: they are not
}

// busy says whether patient jobs have to wait.
func (g *guard) busy() bool { return !g.since.IsZero() }

// took takes a sample, and returns for how long patient jobs have been paused
// since the last one.
func (g *guard) took(smp sample, now time.Time) (paused time.Duration, changed bool) {
	was := g.busy()
	if was {
		paused = now.Sub(g.asked)
	}
	g.asked = now
	busy := g.cfg.Active > 0 && smp.open > g.cfg.Active || g.cfg.ReplicaLag > 0 && smp.lag > g.cfg.ReplicaLag
	switch {
	case busy && !was:
		g.since = now
	case !busy:
		g.since = time.Time{}
	}
	return paused, busy != was
}

// due says whether the origin should be asked.
func (g *guard) due(now time.Time) bool { return !g.asking && now.Sub(g.asked) >= guardEvery }

// ask takes a sample for the guard beside the readers of pages.
func (s *slot) ask(ctx context.Context, readers *sync.WaitGroup) {
	s.guard.asking = true
	s.inflight++
	readers.Go(func() {
		o := outcome{job: job{kind: jobGuard}}
		o.sample, o.err = s.sampler.get(ctx, time.Time{})
		o.sampled = o.err == nil
		s.results <- o
	})
}

// heed follows what a sample says of how busy the origin is.
func (s *slot) heed(smp sample) {
	paused, changed := s.guard.took(smp, time.Now())
	s.m.guardPaused.WithLabelValues(s.source).Add(paused.Seconds())
	switch {
	case changed && s.guard.busy():
		s.log.Warn("origin is busy: reconcile, full polls and loads are paused", "source", s.source, "open_transactions", smp.open, "replica_lag", smp.lag.String())
	case changed:
		s.log.Info("origin is quiet again", "source", s.source)
	}
}
