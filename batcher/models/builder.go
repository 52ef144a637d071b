package models

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/warehouse"
)

// Builder builds models. It is safe for concurrent use.
type Builder struct {
	cfg     Config
	client  *warehouse.Client
	metrics *metrics
	wait    time.Duration // of a swap for readers
	pause   func(context.Context, time.Duration) bool
}

// NewBuilder registers the metrics; the client stays the caller's.
func NewBuilder(cfg Config, client *warehouse.Client, reg prometheus.Registerer) *Builder {
	return &Builder{cfg: cfg, client: client, metrics: newMetrics(reg), wait: swapWait, pause: pause}
}

// State reads what the warehouse knows of p's models and their inputs, and
// creates the ledger where there is none.
func (b *Builder) State(ctx context.Context, p *Project) (State, error) {
	conn, err := b.client.Connect(ctx)
	if err != nil {
		return State{}, err
	}
	defer conn.Close()
	s, err := ReadState(ctx, conn, p)
	if !warehouse.IsCode(err, "42P01", "3F000") {
		return s, err
	}
	if err := conn.EnsureLedger(ctx); err != nil { // nobody has loaded anything yet
		return s, err
	}
	return ReadState(ctx, conn, p)
}

// Build builds todo, inputs first, as many at a time as the configuration says.
// What reads from a model that fails is skipped. report is called after each,
// from this goroutine.
func (b *Builder) Build(ctx context.Context, gate Gate, p *Project, s State, todo []*Model, report func(Result)) {
	todo = p.sorted(todo)
	done := make(chan Result)
	outcomes, started, running := map[*Model]Outcome{}, map[*Model]bool{}, 0
	for {
		for _, m := range todo {
			ready, failed := p.ready(m, todo, outcomes)
			switch {
			case started[m]:
			case failed != nil:
				started[m], outcomes[m] = true, OutcomeSkipped
				report(Result{Model: m, Outcome: OutcomeSkipped, Err: errors.New("waits for " + failed.Name.Table + ", which fails")})
			case ready && running < b.cfg.Parallel && ctx.Err() == nil:
				started[m] = true
				running++
				go func() { done <- b.One(ctx, gate, p, s, m) }() // received below
			}
		}
		if running == 0 {
			return
		}
		r := <-done
		running--
		outcomes[r.Model] = r.Outcome
		report(r)
	}
}

// ready says whether the inputs of m among todo are built, or which has failed.
func (p *Project) ready(m *Model, todo []*Model, outcomes map[*Model]Outcome) (ready bool, failed *Model) {
	ready = true
	for _, in := range p.before(m) {
		if !slices.Contains(todo, in) {
			continue
		}
		switch outcomes[in] {
		case "":
			ready = false
		case OutcomeFailed, OutcomePutOff, OutcomeSkipped:
			return false, in
		case OutcomeBuilt, OutcomeChecked:
		}
	}
	return ready, nil
}

// One builds a model whose inputs are there.
func (b *Builder) One(ctx context.Context, gate Gate, p *Project, s State, m *Model) Result {
	r := Result{Model: m}
	err := p.unknown(m, s)
	if err == nil {
		err = b.build(ctx, gate, p, s, &r)
	}
	switch {
	case err == nil:
	case ownFault(err) && ctx.Err() == nil:
		r.Outcome, r.Err = OutcomeFailed, m.locate(err)
		r.Err = errors.Join(r.Err, b.noteFailure(ctx, gate, m, r.Err))
	default:
		r.Outcome, r.Err = OutcomePutOff, err
	}
	b.metrics.count(r)
	return r
}

func (b *Builder) build(ctx context.Context, gate Gate, p *Project, s State, r *Result) error {
	conn, err := b.client.Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	id := event.ULID(time.Now())
	w := build{
		conn: conn, fresh: r.Model.beside(id), former: r.Model.old(id), wait: b.wait, cfg: b.client.Config(), gate: gate, m: r.Model, text: p.text(r.Model, s), names: p.namer(s), before: s.Built[r.Model.Name.String()], pause: b.pause,
	}
	err = w.run(ctx)
	r.Rows, r.Seconds, r.Tests, r.Changed, r.Left = w.made.Rows, w.made.Seconds, w.made.Tests, w.changed, w.left
	r.Outcome = OutcomeBuilt
	if w.oid == "" {
		r.Outcome = OutcomeChecked
	}
	return err
}

// noteFailure writes why a model failed, for status and for the pause before it
// is tried again.
func (b *Builder) noteFailure(ctx context.Context, gate Gate, m *Model, why error) error {
	conn, err := b.client.Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	update, insert := m.failed(why.Error())
	return noted(ctx, gate, conn, b.wait, func() error {
		res, err := conn.Exec(ctx, update)
		if err == nil && res.Affected == 0 {
			_, err = conn.Exec(ctx, insert)
		}
		return err
	})
}

// pause waits for d and says whether ctx still runs.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
