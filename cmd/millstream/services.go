package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/metric"
	"github.com/millstream-data/millstream/internal/metric/driver"
	"github.com/millstream-data/millstream/internal/objstore"
	"github.com/millstream-data/millstream/internal/telemetry"
)

// services are what every command that runs something has: log, health,
// metrics and the stack that holds what runs.
type services struct {
	cfg    Config
	log    *slog.Logger
	health *telemetry.Health
	stack  *stack
	pages  *pages               // of the admin server
	reg    *prometheus.Registry // of the process; roles have their own
	hurry  *hurry
	owns   func(partitions int) // told by the batcher; nil: nobody asks
}

// start begins a command: the admin server listens before anything that could
// be slow, so that an operator can see it come up.
func (p *program) start(ctx context.Context, cfg Config) (*services, error) {
	s := &services{cfg: cfg, log: telemetry.NewLogger(p.stderr, cfg.Log), health: telemetry.NewHealth(), reg: telemetry.NewRegistry(), hurry: p.hurry}
	s.stack = newStack(s.log, s.health)
	s.stack.gather.put("process", s.reg)
	s.health.Register("start", func(context.Context) telemetry.Check { return telemetry.NotReady("the process is starting") })
	admin, err := s.listen(ctx)
	if err != nil {
		return nil, err
	}
	s.pages = &pages{admin: admin}
	s.stack.task(ctx, "admin", admin.Run)
	return s, nil
}

// listen opens the admin server. The port may still be held by a process that
// was killed a moment ago and whose memory is being given back.
func (s *services) listen(ctx context.Context) (*telemetry.Admin, error) {
	for patience := time.Now().Add(3 * time.Second); ; {
		admin, err := telemetry.NewAdmin(ctx, s.cfg.Admin, s.health, s.stack.gather, s.log)
		if err == nil || !errors.Is(err, syscall.EADDRINUSE) || time.Now().After(patience) {
			return admin, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// run starts what start does, waits for the stop and stops it. A stop while it
// is still starting is no error.
func (s *services) run(ctx context.Context, start func(context.Context) error) error {
	if err := start(ctx); err != nil {
		s.stack.stop()
		if errors.Is(err, context.Canceled) && ctx.Err() != nil {
			s.log.Info("stopped while starting")
			err = nil
		}
		return err
	}
	s.health.Register("start", func(context.Context) telemetry.Check { return telemetry.Ready("everything has started") })
	return s.stack.wait(ctx)
}

// lake returns the lake on the configured store. Several roles of a process
// have a client of their own; the label tells their calls apart.
func (s *services) lake(ctx context.Context, role string, reg prometheus.Registerer) (*lake.Lake, error) {
	c, err := objstore.New(ctx, s.cfg.S3, s.cfg.Lake.Bucket, prometheus.WrapRegistererWith(prometheus.Labels{"role": role}, reg))
	if err != nil {
		return nil, err
	}
	return &lake.Lake{Store: c, Paths: lake.Paths{Prefix: s.cfg.Lake.Prefix}}, nil
}

// metricStore opens the metric store for a role and closes it when the stack
// is stopped.
func (s *services) metricStore(ctx context.Context) (metric.Store, error) {
	store, err := driver.Open(ctx, s.cfg.MetricStore)
	if err != nil {
		return nil, err
	}
	s.stack.keep("metric store", func() {
		if err := store.Close(); err != nil {
			s.log.Warn("metric store did not close", "err", err)
		}
	})
	return store, nil
}

// copySource lets the local Redshift's COPY read the lake through our own
// client, as Redshift reads through its role.
type copySource struct{ client *objstore.Client }

// Size returns the size of an object, or fs.ErrNotExist.
func (c copySource) Size(ctx context.Context, bucket, key string) (int64, error) {
	if err := c.check(bucket); err != nil {
		return 0, err
	}
	info, err := c.client.Head(ctx, key)
	return info.Size, notExist(err)
}

// Open returns an object's bytes, or fs.ErrNotExist.
func (c copySource) Open(ctx context.Context, bucket, key string) (io.ReadCloser, error) {
	if err := c.check(bucket); err != nil {
		return nil, err
	}
	r, _, err := c.client.Open(ctx, key)
	return r, notExist(err)
}

func (c copySource) check(bucket string) error {
	if bucket != c.client.Bucket() {
		return fmt.Errorf("bucket %s: the local Redshift reads %s only: %w", bucket, c.client.Bucket(), fs.ErrNotExist)
	}
	return nil
}

func notExist(err error) error {
	if errors.Is(err, objstore.ErrNotFound) {
		return fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	return err
}
