package loader

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/objstore"
	"github.com/millstream-data/millstream/internal/warehouse"
)

// swapTimeout is how long a swap waits for the readers of the old table; it is
// tried again after the next wave.
const swapTimeout = time.Minute

// errPutOff says that what is due has to wait; people have been told why.
var errPutOff = errors.New("put off")

// carryOut does what complete polls are due: swaps, and deletions in a range.
// What fails or has to wait is tried again after the next wave.
func (w *waves) carryOut(ctx context.Context, wave string) []error {
	if !w.due.Swap(false) {
		return nil
	}
	failures, waits := w.carryOutAll(ctx, wave)
	if len(failures) > 0 || waits {
		w.due.Store(true)
	}
	return failures
}

func (w *waves) carryOutAll(ctx context.Context, wave string) (failures []error, waits bool) {
	conn, err := w.warehouse.Connect(ctx)
	if err != nil {
		return []error{err}, true
	}
	defer conn.Close()
	s := &session{l: w.Loader, conn: conn, fence: w.fence, wave: wave}
	rows, err := conn.Polls(ctx)
	if err != nil {
		return []error{err}, true
	}
	byTarget := map[string]polls{}
	for _, p := range rows {
		byTarget[p.Target] = append(byTarget[p.Target], p)
	}
	for _, p := range dueOf(byTarget) {
		switch err := s.carryOut(ctx, p, byTarget[p.Target]); {
		case err == nil:
		case errors.Is(err, errPutOff):
			waits = true
		default:
			w.count(classOf(err))
			w.log.Warn("complete poll not carried out", "target", p.Target, "poll", p.ID, "err", err)
			failures = append(failures, err)
			if conn.Closed() {
				return failures, true
			}
		}
		if conn.InTransaction() {
			if err := s.rollback(ctx); err != nil {
				return append(failures, err), true
			}
		}
		if rows, err := conn.Polls(ctx, p.Target); err != nil {
			return append(failures, err), true
		} else {
			byTarget[p.Target] = rows
		}
	}
	return failures, waits
}

// dueOf are all polls that are due, by target.
func dueOf(byTarget map[string]polls) polls {
	var out polls
	for _, target := range slices.Sorted(maps.Keys(byTarget)) {
		out = append(out, byTarget[target].due()...)
	}
	return out
}

// carryOut does what one complete poll is due, in one transaction.
func (s *session) carryOut(ctx context.Context, p warehouse.Poll, known polls) error {
	target, err := warehouse.ParseName(p.Target)
	if err != nil {
		return err
	}
	if i := known.index(p.Strategy, p.ID, p.Part); i < 0 || known[i].State != warehouse.PollDue {
		return nil // what was carried out before it has settled it
	}
	if p.Work == "" && p.Rows > 0 {
		s.l.log.Error("poll left out: nothing was gathered for it", "target", p.Target, "poll", p.ID, "rows", p.Rows)
		return s.conclude(ctx, p, known, warehouse.PollCounts, nil)
	}
	if p.Kind == string(event.PollBounded) {
		return s.deleteRange(ctx, target, p, known)
	}
	if p.Work == "" {
		return s.empty(ctx, target, p, known)
	}
	return s.swap(ctx, target, p, known)
}

// conclude writes a poll's last state behind the gate, after do has done its
// work there.
func (s *session) conclude(ctx context.Context, p warehouse.Poll, known polls, state warehouse.PollState, do func(*warehouse.Load) error) error {
	load := warehouse.Load{ID: event.ULID(time.Now()), Wave: s.wave, Target: p.Target, Kind: string(kindSwap), Fence: s.fence, StartedAt: time.Now()}
	return s.gated(ctx, func() error {
		stored, err := s.conn.Polls(ctx, p.Target)
		if err != nil {
			return err
		}
		if !known.same(stored) {
			return fmt.Errorf("polls of %s: %w", p.Target, errRaced)
		}
		statements := warehouse.ReplacePolls(p.Target, known.judged(p.Strategy, p.ID, state))
		if do != nil {
			if err := do(&load); err != nil {
				return err
			}
			statements = append(statements, warehouse.InsertLoads([]warehouse.Load{load}))
		}
		return s.execAll(ctx, statements)
	})
}

// swap puts the table that a full poll has filled in the place of the mirror.
func (s *session) swap(ctx context.Context, target warehouse.Name, p warehouse.Poll, known polls) error {
	fresh, err := warehouse.ParseName(p.Work)
	if err != nil {
		return err
	}
	views, err := s.conn.BoundViews(ctx, target)
	if err != nil {
		return err
	}
	if len(views) > 0 {
		s.l.metrics.swaps.WithLabelValues(swapViews).Inc()
		s.l.log.Error("swap put off: views are bound to the old table; create them WITH NO SCHEMA BINDING", "target", p.Target, "views", views)
		return errPutOff
	}
	tables, err := s.conn.Columns(ctx, []warehouse.Name{target})
	if err != nil {
		return err
	}
	old := target.Beside("__old")
	statements := []string{warehouse.DropTable(old)} // a crash left it
	if tables[target] != nil {
		statements = append(statements, warehouse.RenameTable(target, old.Table))
	}
	statements = append(statements, warehouse.RenameTable(fresh, target.Table))
	err = s.conclude(ctx, p, known, warehouse.PollDone, func(load *warehouse.Load) error {
		load.Inserted = p.Rows
		if err := s.conn.SetTimeout(ctx, s.l.swapTimeout); err != nil {
			return err
		}
		if err := s.execAll(ctx, statements); err != nil {
			return err
		}
		return s.conn.SetTimeout(ctx, s.l.timeout)
	})
	if err != nil && warehouse.Classify(err) == warehouse.ClassSlow {
		s.l.metrics.swaps.WithLabelValues(swapReaders).Inc()
		s.l.log.Warn("swap put off, the table has readers", "target", p.Target, "err", err)
		return errPutOff
	}
	if err != nil {
		return err
	}
	s.l.metrics.swaps.WithLabelValues(swapCommitted).Inc()
	s.l.log.Info("mirror swapped", "target", p.Target, "poll", p.ID, "rows", p.Rows)
	if _, err := s.conn.Exec(ctx, warehouse.DropTable(old)); err != nil {
		s.l.log.Warn("old table not dropped", "table", old.String(), "err", err) // the next swap does, or maintenance
	}
	return nil
}

// empty empties a mirror of which a full poll has found no row.
func (s *session) empty(ctx context.Context, target warehouse.Name, p warehouse.Poll, known polls) error {
	tables, err := s.conn.Columns(ctx, []warehouse.Name{target})
	if err != nil {
		return err
	}
	return s.conclude(ctx, p, known, warehouse.PollDone, func(load *warehouse.Load) error {
		if tables[target] == nil {
			return nil
		}
		gone, err := s.conn.Exec(ctx, "DELETE FROM "+target.SQL())
		load.Deleted = gone.Affected
		return err
	})
}

// deleteRange deletes the rows in a bounded poll's range of which no key came.
func (s *session) deleteRange(ctx context.Context, target warehouse.Name, p warehouse.Poll, known polls) error {
	statement, state, err := s.rangeSQL(ctx, target, p)
	if err != nil {
		return err
	}
	return s.conclude(ctx, p, known, state, func(load *warehouse.Load) error {
		load.Kind = string(kindMirror)
		if statement != "" {
			gone, err := s.conn.Exec(ctx, statement)
			if err != nil {
				return err
			}
			load.Deleted = gone.Affected
		}
		if p.Work == "" {
			return nil
		}
		keys, err := warehouse.ParseName(p.Work)
		if err != nil {
			return err
		}
		_, err = s.conn.Exec(ctx, warehouse.DropTable(keys))
		return err
	})
}

// rangeSQL returns the deletion that a bounded poll is due and what it comes to.
// A range that means nothing in the table deletes nothing, and somebody is told.
func (s *session) rangeSQL(ctx context.Context, target warehouse.Name, p warehouse.Poll) (string, warehouse.PollState, error) {
	names := []warehouse.Name{target}
	if p.Work != "" {
		keys, err := warehouse.ParseName(p.Work)
		if err != nil {
			return "", "", err
		}
		names = append(names, keys)
	}
	tables, err := s.conn.Columns(ctx, names)
	if err != nil || tables[target] == nil {
		return "", warehouse.PollDone, err
	}
	r, ok := rangeOf(p)
	column, err := s.columnNamed(ctx, p.Target, r.Column)
	if err != nil {
		return "", "", err
	}
	t, has := tables[target][column]
	lo, errLo := t.Bound(r.Lo)
	hi, errHi := t.Bound(r.Hi)
	if err := errors.Join(errLo, errHi); !ok || !has || err != nil {
		s.l.log.Error("range of a bounded poll not understood; nothing is deleted", "target", p.Target, "poll", p.ID, "range", p.Range, "err", err)
		return "", warehouse.PollCounts, nil
	}
	if len(names) == 1 {
		return warehouse.DeleteRange(target, column, lo, hi, warehouse.Name{}, nil), warehouse.PollDone, nil
	}
	return warehouse.DeleteRange(target, column, lo, hi, names[1], tables[names[1]].Names()), warehouse.PollDone, nil
}

// columnNamed is the lake's name of an origin's column.
func (s *session) columnNamed(ctx context.Context, target, origin string) (string, error) {
	schema, err := s.l.lake.LatestSchema(ctx, target)
	if err != nil && !errors.Is(err, objstore.ErrNotFound) {
		return "", &storeError{err}
	}
	for _, c := range schema.Columns {
		if c.From == origin {
			return c.Name, nil
		}
	}
	return lake.NewNamer().Origin(origin), nil
}
