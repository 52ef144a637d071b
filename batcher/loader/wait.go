package loader

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/millstream-data/millstream/internal/warehouse"
)

// leaveWaiting takes the loads that are put off out of loads. Those that keep
// low water back where a chain has little room left are held instead: a target
// that waits must not stop the others of its chain.
func (w *waves) leaveWaiting(ctx context.Context, loads map[string]*load) error {
	var statements []string
	var held []string
	for _, target := range slices.Sorted(maps.Keys(loads)) {
		if !w.patience.waits(target, time.Now()) {
			continue
		}
		if ld := loads[target]; w.inTheWay(ld) {
			cause := fmt.Errorf("other sessions keep %s from being loaded; millstream warehouse status names them", ld.name)
			statements = append(statements, (&targetError{work: &work{load: ld}, reason: reasonReaders, err: cause}).hold()...)
			held = append(held, target)
		}
		delete(loads, target)
	}
	if len(held) == 0 {
		return nil
	}
	s := &session{l: w.Loader, conn: w.conn, fence: w.fence}
	if err := s.gated(ctx, func() error { return s.execAll(ctx, statements) }); err != nil {
		return fmt.Errorf("hold %v: %w", held, err)
	}
	for _, target := range held {
		w.patience.forget(target) // what is held has pauses of its own
		w.log.Error("target held", "target", target, "reason", reasonReaders)
		w.metrics.loads.WithLabelValues(string(kindAppend), outcomeHeld).Inc()
	}
	return nil
}

// inTheWay says that a load lacks commits of a chain that will soon be full.
func (w *waves) inTheWay(ld *load) bool {
	return slices.ContainsFunc(w.seen.chains, func(ch *chain) bool { return ld.spans[ch.id] != nil && w.seen.crowded(ch) })
}

// within bounds the statements that follow in this transaction.
func (s *session) within(ctx context.Context, d time.Duration) error {
	if s.bound == d {
		return nil
	}
	s.bound = d
	return s.conn.SetTimeout(ctx, d)
}

// rowsWithin brings a load's rows in without waiting long for a lock that
// somebody has on its tables: the gate is shut meanwhile.
func (s *session) rowsWithin(ctx context.Context, w *work) error {
	patient := s.l.patience.asks(w.target())
	if patient {
		if err := s.askForLocks(ctx, w); err != nil {
			return err
		}
	} else if err := s.within(ctx, min(rowsPatience, s.l.timeout)); err != nil {
		return err
	}
	err := s.rows(ctx, w)
	if err != nil && !patient && warehouse.Classify(err) == warehouse.ClassSlow {
		s.l.patience.tooSlow(w.target())
		return s.inUse(w, err)
	}
	return err
}

// inUse is the fault of a load whose wait for other sessions was in vain.
func (s *session) inUse(w *work, err error) *targetError {
	s.l.patience.inVain()
	return &targetError{work: w, reason: reasonReaders, err: err}
}

// askForLocks takes the locks that the rows' statements need.
func (s *session) askForLocks(ctx context.Context, w *work) error {
	for _, sh := range w.shapes {
		if err := s.askForLock(ctx, sh.name); err != nil {
			if warehouse.Classify(err) == warehouse.ClassSlow {
				return s.inUse(w, err)
			}
			return err
		}
	}
	return nil
}

// askForLock takes the lock of a transaction that writes into a table. What
// comes behind it has its whole time.
func (s *session) askForLock(ctx context.Context, n warehouse.Name) error {
	if err := s.within(ctx, s.l.patience.share(s.l.cfg.DDLTimeout)); err != nil {
		return err
	}
	if _, err := s.conn.Exec(ctx, warehouse.WriteLock(n)); err != nil {
		return err
	}
	return s.within(ctx, s.l.timeout)
}
