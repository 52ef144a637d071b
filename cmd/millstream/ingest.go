package main

import (
	"context"
	"math"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/ingest"
)

var ingestSections = []section{"admin", "kafka", "ingest"}

// ingest runs the HTTP edge alone:
//
//	SDKs ──HTTP──▶ authenticate ▶ limit ▶ split ▶ validate ▶ stamp ──▶ Kafka: events, rejected
//	     ◀──200─── acknowledge ◀──────────────────────────────────── acks=all
func (p *program) ingest(ctx context.Context, args []string) error {
	f := p.newFlags("ingest", "--config FILE [--set KEY=VALUE …]")
	f.key("listen", "ingest.listen", "address of the HTTP edge")
	return p.runRole(ctx, f, args, ingestSections, func(s *services, ctx context.Context) error {
		limitMemory(s.cfg.Ingest)
		return s.startIngest(ctx)
	})
}

// limitMemory has the garbage collected more often when much of it is near, as GOMEMLIMIT does if it is set. By default
// the heap may double between two collections: what is in flight counts twice then, and so do connections. A process
// that runs other roles, too, is left alone, for they are not bounded like this one.
func limitMemory(c ingest.Config) {
	if debug.SetMemoryLimit(-1) == math.MaxInt64 {
		debug.SetMemoryLimit(5*int64(c.Limits.Inflight) + 64<<20)
	}
}

func (s *services) startIngest(ctx context.Context) error {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	s.stack.keep("SIGHUP", func() { signal.Stop(hangup) })
	return s.stack.role(ctx, "ingest", func(_ context.Context, reg *prometheus.Registry) (runner, error) {
		return ingest.New(s.cfg.Ingest, ingest.Deps{
			Kafka: s.cfg.Kafka, Log: s.log.With("role", "ingest"), Registry: reg, Health: s.health, Admin: s.pages.handle, Hangup: hangup,
		})
	})
}
