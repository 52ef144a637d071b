package main

import (
	"context"
	"errors"
	"math"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/ingest"
	"github.com/millstream-data/millstream/internal/telemetry"
)

var ingestSections = []section{"admin", "kafka", "ingest"}

// ingest runs the HTTP edge alone:
//
//	SDKs ──HTTP──▶ authenticate ▶ limit ▶ split ▶ validate ▶ stamp ──▶ Kafka: events, rejected
//	     ◀──200─── acknowledge ◀──────────────────────────────────── acks=all
func (p *program) ingest(ctx context.Context, args []string) error {
	f := p.newFlags("ingest", "[--drain-only [--timeout DURATION]] --config FILE [--set KEY=VALUE …]")
	f.key("listen", "ingest.listen", "address of the HTTP edge")
	only := f.set.Bool("drain-only", false, "hand over what the spool in ingest.data_dir holds, as that of a lost server, and end; nothing listens")
	timeout := f.set.Duration("timeout", 0, "with --drain-only: end with exit code 1 if Kafka has not taken all by then; 0: wait")
	if err := f.set.Parse(args); err != nil {
		return errUsage
	}
	if *only {
		return p.drainSpool(ctx, f, args, *timeout)
	} else if *timeout != 0 {
		return errors.New("ingest: --timeout belongs to --drain-only")
	}
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

// drainSpool runs no server, not even admin's: the one that took the place of the lost one may be on this machine.
func (p *program) drainSpool(ctx context.Context, f *flags, args []string, timeout time.Duration) error {
	cfg, err := p.load(f, args, defaultConfig(), "kafka", "ingest")
	if err != nil {
		return err
	}
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	return ingest.Drain(ctx, cfg.Ingest, ingest.Deps{Kafka: cfg.Kafka, Log: telemetry.NewLogger(p.stderr, cfg.Log), Registry: prometheus.NewRegistry()})
}

func (s *services) startIngest(ctx context.Context) error {
	hangup := make(chan os.Signal, 1)
	if s.cfg.Ingest.SourcesFile != "" { // else it ends the process, as when the terminal of millstream dev is closed
		signal.Notify(hangup, syscall.SIGHUP)
		s.stack.keep("SIGHUP", func() { signal.Stop(hangup) })
	}
	return s.stack.role(ctx, "ingest", func(_ context.Context, reg *prometheus.Registry) (runner, error) {
		return ingest.New(s.cfg.Ingest, ingest.Deps{
			Kafka: s.cfg.Kafka, Log: s.log.With("role", "ingest"), Registry: reg, Health: s.health, Admin: s.pages.handle, Hangup: hangup, Hurry: s.hurry.hear(),
		})
	})
}
