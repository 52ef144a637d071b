package care

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/warehouse"
)

const (
	// lookEvery is the pause between two looks at the tables within a window,
	// and at most between two looks at the clock outside: a laptop may sleep.
	lookEvery = 10 * time.Minute
	// quickly bounds acts that wait for readers of a table to end, because all
	// later readers wait behind them.
	quickly = time.Minute
)

// Deps are what a keeper works with; they stay the caller's to close.
type Deps struct {
	Warehouse  *warehouse.Client
	Lake       *lake.Lake
	LedgerKeep time.Duration
	Log        *slog.Logger
	Registry   prometheus.Registerer
}

// Keeper looks after the tables.
type Keeper struct {
	cfg     Config
	window  Window
	keep    time.Duration
	w       *warehouse.Client
	lake    *lake.Lake
	log     *slog.Logger
	metrics *metrics
}

// New validates cfg and registers the metrics.
func New(cfg Config, d Deps) (*Keeper, error) {
	if err := errors.Join(cfg.Validate(), config.Positive("loader.ledger_keep", d.LedgerKeep)); err != nil {
		return nil, err
	}
	window, err := ParseWindow(cfg.Window, cfg.Zone)
	if err != nil {
		return nil, err
	}
	return &Keeper{cfg: cfg, window: window, keep: d.LedgerKeep, w: d.Warehouse, lake: d.Lake, log: d.Log, metrics: newMetrics(d.Registry)}, nil
}

// Tenure is the holding of the loader's lease: Gated runs do in a transaction
// behind the gate.
type Tenure interface {
	Gated(ctx context.Context, c *warehouse.Conn, do func() error) error
}

// Run looks after tables while the window is open, until ctx ends, and returns
// nil then.
func (k *Keeper) Run(ctx context.Context, t Tenure) error {
	for ctx.Err() == nil {
		wait := lookEvery
		if now := time.Now(); k.window.Open(now) {
			if err := k.Round(ctx, t, now); err != nil && ctx.Err() == nil {
				return err
			}
		} else {
			wait = min(wait, k.window.Next(now).Sub(now))
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
	return nil
}

// Round does what is due now, until the window closes. A table that fails is
// noted and left for the next window; the error returned is the session's.
func (k *Keeper) Round(ctx context.Context, t Tenure, now time.Time) error {
	conn, err := k.w.Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	facts, err := k.facts(ctx, conn, now.Sub(k.window.Began(now)))
	if err != nil {
		return err
	}
	ends := now.Add(k.window.End(now).Sub(now))
	for _, td := range Decide(facts) {
		left := time.Until(ends)
		if left < time.Second || ctx.Err() != nil {
			return ctx.Err()
		}
		if err := k.one(ctx, conn, t, td, left); err != nil {
			return err
		}
	}
	return nil
}

// one does an act and notes it. Its error is the session's or the cluster's;
// what is the table's fault is noted.
func (k *Keeper) one(ctx context.Context, conn *warehouse.Conn, t Tenure, td Todo, left time.Duration) error {
	if td.Act != Trim && td.Act != Drop {
		held, err := conn.HeldTarget(ctx, td.Target)
		if err != nil || held {
			return err
		}
	}
	start := time.Now()
	before, after, err := k.do(ctx, conn, t, td, left)
	seconds := time.Since(start).Seconds()
	note := warehouse.Maintained{Target: td.Target, Act: string(td.Act), Reason: td.Reason, Before: before, After: after, Seconds: seconds}
	outcome := outcomeDone
	if err != nil {
		switch class := warehouse.Classify(err); {
		case class == warehouse.ClassUnknown, class == warehouse.ClassBusy, errors.Is(err, warehouse.ErrLeaseTaken), ctx.Err() != nil:
			return err // not the table's fault, and perhaps nothing can be noted
		case class == warehouse.ClassSlow:
			note.Error = fmt.Sprintf("not done in %.0f s: readers were in the way, or the window ended", seconds)
		default:
			code, words := warehouse.Reason(err)
			note.Error = fmt.Sprintf("%s %s", code, words)
		}
		outcome, note.After = outcomeFailed, ""
		k.log.Warn("maintenance not done", "target", td.Target, "act", string(td.Act), "reason", td.Reason, "err", err)
	}
	k.metrics.acts.WithLabelValues(string(td.Act), outcome).Inc()
	k.metrics.seconds.WithLabelValues(string(td.Act)).Observe(seconds)
	k.log.Info("maintenance", "target", td.Target, "act", string(td.Act), "reason", td.Reason, "before", before, "after", after, "seconds", seconds)
	if conn.InTransaction() {
		if _, err := conn.Exec(ctx, "ROLLBACK"); err != nil {
			return err
		}
	}
	return t.Gated(ctx, conn, func() error {
		_, err := conn.Exec(ctx, warehouse.InsertMaintained(note))
		return err
	})
}

// Window is when the keeper works.
func (k *Keeper) Window() Window { return k.window }

// Planned is what would be done if the window opened now.
func (k *Keeper) Planned(ctx context.Context, conn *warehouse.Conn, now time.Time) ([]Todo, error) {
	var open time.Duration
	if k.window.Open(now) {
		open = now.Sub(k.window.Began(now))
	}
	facts, err := k.facts(ctx, conn, open)
	if err != nil {
		return nil, err
	}
	return Decide(facts), nil
}
