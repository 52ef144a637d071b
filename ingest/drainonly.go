package ingest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/millstream-data/millstream/internal/event"
)

// Drain hands over what the spool in cfg.DataDir holds, as that of a lost server, and returns nil when Kafka has
// acknowledged all of it. It does not listen. When ctx ends before that, what is left stays on disk, and the error says
// how much that is and why.
func Drain(ctx context.Context, cfg Config, deps Deps) error {
	if cfg.Spool.MaxBytes == 0 {
		cfg.Spool.MaxBytes = DefaultConfig().Spool.MaxBytes // it bounds what is added, which is nothing
	}
	if err := errors.Join(cfg.Validate(), deps.Kafka.Validate()); err != nil {
		return err
	}
	dir := spoolDir(cfg)
	if _, _, err := listSegments(dir); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("ingest.data_dir: there is no spool at %s", dir)
	}
	snap, _, err := compile(cfg)
	if err != nil {
		snap = &snapshot{} // a lost server's sources may be lost, too; few have limits of their own
	}
	p, err := newProducer(deps.Kafka, cfg, cfg.topicNeeds(snap, deps.Kafka.Names()), deps.Log)
	if err != nil {
		return err
	}
	defer p.close()
	none := func() float64 { return 0 }
	p.busy = func() bool { return false }
	p.measure(newMetrics(deps.Registry, none, p.unacked, none, none), deps.Registry, &event.IDs{}, int64(cfg.Spool.MaxBytes))
	return p.empty(ctx)
}

// empty drains until the spool is empty or ctx ends.
func (p *producer) empty(ctx context.Context) error {
	used, segments, _ := p.spool.sizes()
	p.log.Info("spool drains", "dir", p.spool.dir, "segments", segments, "bytes", used)
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	g, gctx := errgroup.WithContext(work)
	g.Go(func() error {
		p.watch(gctx)
		return nil
	})
	p.goSpool(gctx, gctx, g)
	for told := time.Now(); p.spool.holds() && ctx.Err() == nil; pause(ctx, nil, 100*time.Millisecond) {
		if time.Since(told) > 10*time.Second {
			told = time.Now()
			used, segments, _ = p.spool.sizes()
			p.log.Info("spool drains", "dir", p.spool.dir, "segments", segments, "bytes", used)
		}
	}
	why := p.away(time.Now())
	if why == "" {
		why = "Kafka takes them; it needs more time."
	}
	cancel()
	if err := g.Wait(); err != nil {
		return err
	}
	if used, segments, _ = p.spool.sizes(); segments > 0 {
		return fmt.Errorf("drain %s: %d bytes in %d segments are left, and stay there: %s", p.spool.dir, used, segments, why)
	}
	if n := p.spool.damaged(); n > 0 {
		p.log.Warn("damaged segments are kept as *.corrupt", "dir", p.spool.dir, "segments", n)
	}
	p.log.Info("spool is empty", "dir", p.spool.dir)
	return nil
}
