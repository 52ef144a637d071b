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

const (
	// swapTimeout is how long a swap waits for the readers of the old table.
	// The gate is shut meanwhile, and new readers queue behind it.
	swapTimeout = 10 * time.Second
	// swapPause is how long it leaves them alone after that, doubled each time
	// up to swapPauseMax.
	swapPause    = 30 * time.Second
	swapPauseMax = 10 * time.Minute
)

// errPutOff says that what is due has to wait; people have been told why.
var errPutOff = errors.New("put off")

// carryOut does what complete polls are due: swaps, and deletions in a range.
// What fails or has to wait is tried again after the next wave.
func (w *waves) carryOut(ctx context.Context, wave string) []error {
	if !w.due.Swap(false) && w.sure {
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
	var rows []warehouse.Poll
	read := func() (err error) { rows, err = conn.Polls(ctx); return err }
	if w.sure {
		err = read()
	} else {
		err = s.gated(ctx, read) // behind the gate every earlier transaction has ended
	}
	if err != nil {
		return []error{err}, true
	}
	w.sure = true
	byTarget := map[string]polls{}
	for _, p := range rows {
		byTarget[p.Target] = append(byTarget[p.Target], p)
	}
	for _, target := range slices.Sorted(maps.Keys(byTarget)) {
		if len(byTarget[target].due()) == 0 {
			continue
		}
		if wait := w.putOff[target]; wait != nil && time.Now().Before(wait.until) {
			waits = true
			continue
		}
		err := s.carryOut(ctx, byTarget[target])
		switch {
		case err == nil:
			delete(w.putOff, target)
		case errors.Is(err, errPutOff):
			waits = true
			w.postpone(target)
		default:
			w.count(classOf(err))
			w.log.Warn("complete poll not carried out", "target", target, "err", err)
			failures = append(failures, err)
		}
		if conn.Closed() {
			return failures, true
		}
		if conn.InTransaction() {
			if err := s.rollback(ctx); err != nil {
				return append(failures, err), true
			}
		}
	}
	return failures, waits
}

// postponed says until when a target's swap leaves its readers alone.
type postponed struct {
	until time.Time
	pause time.Duration
}

func (w *waves) postpone(target string) {
	if w.putOff == nil {
		w.putOff = map[string]*postponed{}
	}
	p := w.putOff[target]
	if p == nil {
		p = &postponed{pause: w.swapPause / 2}
		w.putOff[target] = p
	}
	p.pause = min(2*p.pause, swapPauseMax)
	p.until = time.Now().Add(p.pause)
}

// carryOut does what a target's complete polls are due, each in one
// transaction.
func (s *session) carryOut(ctx context.Context, known polls) error {
	for _, p := range known.due() {
		target, err := warehouse.ParseName(p.Target)
		if err != nil {
			return err
		}
		switch {
		case p.Work == "" && p.Rows > 0:
			s.l.log.Error("poll left out: nothing was gathered for it", "target", p.Target, "poll", p.ID, "rows", p.Rows)
			err = s.conclude(ctx, p, &known, warehouse.PollCounts, nil)
		case p.Kind == string(event.PollBounded):
			err = s.deleteRange(ctx, target, p, &known)
		case p.Work == "":
			err = s.empty(ctx, target, p, &known)
		default:
			err = s.swap(ctx, target, p, &known)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// conclude writes a poll's last state behind the gate, after do has done its
// work there. known, what the ledger has of the target's polls, follows.
func (s *session) conclude(ctx context.Context, p warehouse.Poll, known *polls, state warehouse.PollState, do func(*warehouse.Load) error) error {
	load := warehouse.Load{ID: event.ULID(time.Now()), Wave: s.wave, Target: p.Target, Kind: string(kindSwap), Fence: s.fence, StartedAt: time.Now()}
	next := known.judged(p.Strategy, p.ID, state)
	err := s.gated(ctx, func() error {
		stored, err := s.conn.Polls(ctx, p.Target)
		if err != nil {
			return err
		}
		if !known.same(stored) {
			return fmt.Errorf("polls of %s: %w", p.Target, errRaced)
		}
		statements := warehouse.ReplacePolls(p.Target, next)
		if do != nil {
			if err := do(&load); err != nil {
				return err
			}
			statements = append(statements, warehouse.InsertLoads([]warehouse.Load{load}))
		}
		return s.execAll(ctx, statements)
	})
	if err == nil {
		*known = next
	}
	return err
}

// swap puts the table that a full poll has filled in the place of the mirror.
func (s *session) swap(ctx context.Context, target warehouse.Name, p warehouse.Poll, known *polls) error {
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
	old := target.Beside("__old_" + event.ULID(time.Now())) // nobody else's table has the name
	var statements, grants []string
	if tables[target] != nil {
		if grants, err = s.conn.Grants(ctx, target); err != nil {
			return err
		}
		statements = append(statements, warehouse.RenameTable(target, old.Table))
	}
	statements = append(statements, warehouse.RenameTable(fresh, target.Table))
	err = s.conclude(ctx, p, known, warehouse.PollDone, func(load *warehouse.Load) error {
		load.Inserted = p.Rows
		if err := s.within(ctx, s.l.patience.share(s.l.swapTimeout)); err != nil {
			return err
		}
		if err := s.execAll(ctx, statements); err != nil {
			return err
		}
		if err := s.within(ctx, s.l.timeout); err != nil {
			return err
		}
		return s.execAll(ctx, grants)
	})
	if err = s.leftAlone(ctx, target, err); err != nil {
		if errors.Is(err, errPutOff) {
			s.l.metrics.swaps.WithLabelValues(swapReaders).Inc()
		}
		return err
	}
	s.l.metrics.swaps.WithLabelValues(swapCommitted).Inc()
	s.l.log.Info("mirror swapped", "target", p.Target, "poll", p.ID, "rows", p.Rows)
	if tables[target] == nil {
		return nil
	}
	if _, err := s.conn.Exec(ctx, warehouse.DropTable(old)); err != nil {
		s.l.log.Warn("old table not dropped; maintenance will", "table", old.String(), "err", err)
	}
	return nil
}

// leftAlone puts off what had to wait behind the gate for those who use target,
// and tells who they are; other errors stay as they are.
func (s *session) leftAlone(ctx context.Context, target warehouse.Name, cause error) error {
	if warehouse.Classify(cause) != warehouse.ClassSlow {
		return cause
	}
	s.l.patience.inVain()
	if err := s.rollback(ctx); err != nil {
		return err
	}
	who, err := s.conn.Blocker(ctx, target)
	if err != nil {
		return err
	}
	s.l.log.Warn("complete poll put off, other sessions use the table", "target", target.String(), "session", who, "err", cause)
	return errPutOff
}

// empty empties a mirror of which a full poll has found no row.
func (s *session) empty(ctx context.Context, target warehouse.Name, p warehouse.Poll, known *polls) error {
	tables, err := s.conn.Columns(ctx, []warehouse.Name{target})
	if err != nil {
		return err
	}
	err = s.conclude(ctx, p, known, warehouse.PollDone, func(load *warehouse.Load) error {
		if tables[target] == nil {
			return nil
		}
		if err := s.askForLock(ctx, target); err != nil {
			return err
		}
		gone, err := s.conn.Exec(ctx, "DELETE FROM "+target.SQL())
		load.Deleted = gone.Affected
		return err
	})
	return s.leftAlone(ctx, target, err)
}

// deleteRange deletes the rows in a bounded poll's range of which no key came.
func (s *session) deleteRange(ctx context.Context, target warehouse.Name, p warehouse.Poll, known *polls) error {
	statement, state, err := s.rangeSQL(ctx, target, p)
	if err != nil {
		return err
	}
	err = s.conclude(ctx, p, known, state, func(load *warehouse.Load) error {
		load.Kind = string(kindMirror)
		if statement != "" {
			if err := s.askForLock(ctx, target); err != nil {
				return err
			}
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
	return s.leftAlone(ctx, target, err)
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
