package models

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"time"

	"github.com/millstream-data/millstream/internal/warehouse"
)

// Keeper builds models when they are due, for the loader that has the lease.
type Keeper struct {
	*Builder
	log *slog.Logger

	said map[string]string // what was logged of a file or model; said once
}

// NewKeeper returns a keeper of b's models.
func NewKeeper(b *Builder, log *slog.Logger) *Keeper {
	return &Keeper{Builder: b, log: log, said: map[string]string{}}
}

// Run looks at the folder every Tick and builds what is due, until ctx ends or
// gate says that the lease is lost. Builds that run then are given up, which
// leaves at most a table whose name ends with __new.
func (k *Keeper) Run(ctx context.Context, gate Gate) error {
	tick := time.NewTicker(Tick)
	defer tick.Stop()
	w := &watch{Keeper: k, gate: gate, done: make(chan Result), running: map[string]bool{}, rest: map[string]time.Time{}}
	ctx, cancel := context.WithCancel(ctx)
	defer w.wait()
	defer cancel()
	for {
		if err := w.look(ctx); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case r := <-w.done:
			if errors.Is(r.Err, warehouse.ErrLeaseTaken) {
				w.ended(r)
				return r.Err
			}
			w.ended(r)
		}
	}
}

// watch is one Run of a Keeper. It belongs to one goroutine.
type watch struct {
	*Keeper
	gate    Gate
	done    chan Result
	running map[string]bool
	rest    map[string]time.Time // what was put off is left alone until then
}

// wait receives what still runs.
func (w *watch) wait() {
	for len(w.running) > 0 {
		r := <-w.done
		delete(w.running, r.Model.Name.String())
	}
}

// look starts what is due. Without models it does not touch the warehouse: one
// that is billed while it works may rest.
func (w *watch) look(ctx context.Context) error {
	p, err := Read(w.cfg.Dir, w.cfg.Schema)
	if errors.Is(err, fs.ErrNotExist) {
		if w.news("", err) {
			w.log.Info("no folder of models", "dir", w.cfg.Dir)
		}
		return nil
	}
	if err != nil {
		return err
	}
	delete(w.said, "")
	for name, err := range p.Broken {
		if w.news(name, err) {
			w.log.Warn("model has mistakes", "model", name, "err", err)
		}
	}
	if len(p.Models) == 0 || len(w.running) >= w.cfg.Parallel {
		return nil
	}
	s, err := w.State(ctx, p)
	if err != nil {
		return err
	}
	decided := p.Decide(s)
	for m, d := range decided {
		if d.Err != nil && w.news(m.Name.String(), d.Err) {
			w.log.Warn("model has mistakes", "model", m.Name.String(), "err", d.Err)
		}
	}
	w.start(ctx, p, s, decided)
	return nil
}

func (w *watch) start(ctx context.Context, p *Project, s State, decided map[*Model]Decision) {
	for _, m := range p.Models {
		name := m.Name.String()
		if len(w.running) >= w.cfg.Parallel {
			return
		}
		if decided[m].Standing != Due || w.running[name] || time.Now().Before(w.rest[name]) {
			continue
		}
		w.running[name] = true
		w.log.Debug("model is due", "model", name, "why", decided[m].Why)
		go func() { w.done <- w.One(ctx, w.gate, p, s, m) }() // received by Run or wait
	}
}

// ended tells of a build.
func (w *watch) ended(r Result) {
	name := r.Model.Name.String()
	delete(w.running, name)
	switch r.Outcome {
	case OutcomeFailed:
		if w.news(name, r.Err) {
			w.log.Warn("model failed; its old rows stay", "model", name, "err", r.Err)
		}
		return
	case OutcomePutOff:
		w.rest[name] = time.Now().Add(Tick)
		if w.news(name, r.Err) {
			w.log.Info("model put off", "model", name, "err", r.Err)
		}
		return
	case OutcomeBuilt, OutcomeChecked, OutcomeSkipped:
	}
	delete(w.said, name)
	w.log.Info("model built", "model", name, "outcome", r.Outcome, "rows", r.Rows, "seconds", r.Seconds)
	for _, c := range r.Changed {
		w.log.Warn("model changed its columns", "model", name, "change", c)
	}
	for _, t := range r.Tests {
		if t.Failures > 0 {
			w.log.Warn("test of a model warns", "model", name, "file", r.Model.File, "test", t.String())
		}
	}
	if r.Left != "" {
		w.log.Warn("replaced table is still there", "model", name, "err", r.Left)
	}
}

// news says that err has not been logged of name.
func (w *watch) news(name string, err error) bool {
	if w.said[name] == err.Error() {
		return false
	}
	w.said[name] = err.Error()
	return true
}
