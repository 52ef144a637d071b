package loader

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/warehouse"
)

// Why work is held; the reasons of warehouse.Class come beside them.
const (
	reasonFile    = "file"     // COPY refuses it
	reasonCount   = "count"    // COPY brings other rows than the commit promises
	reasonColumns = "columns"  // the table's columns cannot take the values
	reasonRetyped = "retyped"  // a mirror's columns cannot; the next full refresh brings new ones
	reasonKey     = "no_key"   // a mirrored table without a key
	reasonDropped = "dropped"  // the table is gone
	reasonReaders = "readers"  // not held: unless put off for long: other sessions leave the table no moment
	reasonBehind  = "catch_up" // not done yet
	reasonLedger  = "ledger"   // the target would be a table of the ledger
	reasonExists  = "exists"   // a table or column is there that the catalogue does not show
	reasonUnknown = "unknown"  // the session ends each time
	reasonRaced   = "raced"    // the ledger is never where the plan began
	reasonDenied  = "denied"   // COPY may not read the files; held only while it may read others
)

// metricsTable is the one table that commits bring into the ledger's schema.
const metricsTable = "daily_metrics"

// errRaced says that the ledger is not where the plan began.
var errRaced = errors.New("the ledger has moved on")

// session is a group's way through one connection. Staging tables belong to
// it, so it is not pooled.
type session struct {
	l     *Loader
	conn  *warehouse.Conn
	fence int64
	wave  string
	bound time.Duration // of statements, in the transaction that runs
}

// connectError says that a group had no session: no load's fault.
type connectError struct{ error }

func (e *connectError) Unwrap() error { return e.error }

// runGroup loads a group in one transaction. Loads at fault are left out and
// held; the others go on. An error means that the outcome is unknown, or that
// nothing was done: the next wave's positions tell.
func (l *Loader) runGroup(ctx context.Context, fence int64, wave string, loads []*load) error {
	conn, err := l.warehouse.Connect(ctx)
	if err != nil {
		return &connectError{err}
	}
	defer conn.Close()
	s := &session{l: l, conn: conn, fence: fence, wave: wave}
	todo := make([]*work, len(loads))
	for i, ld := range loads {
		ld.id = event.ULID(time.Now())
		todo[i] = &work{load: ld, started: time.Now()}
	}
	var faults []*targetError
	todo, faults, err = s.prepare(ctx, todo)
	if err != nil {
		return err
	}
	for len(todo) > 0 {
		err := s.transact(ctx, todo)
		if err == nil {
			break
		}
		var fault *targetError
		if !errors.As(err, &fault) {
			return err
		}
		if err := s.rollback(ctx); err != nil {
			return err
		}
		todo = slices.DeleteFunc(todo, func(w *work) bool { return w == fault.work })
		fresh, err := s.refit(ctx, fault)
		if err != nil {
			return err
		}
		if fresh != nil {
			todo = append(todo, fresh)
			continue
		}
		faults = append(faults, fault)
	}
	for _, w := range todo {
		l.loaded(w)
	}
	return s.holdAll(ctx, faults)
}

// refit begins a load anew whose values were longer than the catalogue had
// said, once: somebody made the column anew since it was read. It returns nil
// for every other fault.
func (s *session) refit(ctx context.Context, fault *targetError) (*work, error) {
	if fault.reason != string(warehouse.ClassTooLong) || fault.work.refitted {
		return nil, nil
	}
	s.l.metrics.retries.WithLabelValues(string(warehouse.ClassTooLong)).Inc()
	fault.work.id = event.ULID(time.Now()) // its staging tables stay until the session ends
	fresh := &work{load: fault.work.load, started: fault.work.started, refitted: true}
	ready, again, err := s.prepare(ctx, []*work{fresh})
	if err != nil {
		return nil, err
	}
	if len(again) > 0 {
		*fault = *again[0]
		return nil, nil
	}
	return ready[0], nil
}

// prepare does what needs no gate: catalogue, widening, staging.
func (s *session) prepare(ctx context.Context, todo []*work) (ready []*work, faults []*targetError, err error) {
	if err := s.readPolls(ctx, todo); err != nil {
		return nil, nil, err
	}
	existing, err := s.existing(ctx, todo)
	if err != nil {
		return nil, nil, err
	}
	start := time.Now()
	for _, w := range todo {
		err := s.prepareOne(ctx, w, existing)
		var fault *targetError
		switch {
		case errors.As(err, &fault):
			faults = append(faults, fault)
		case err != nil:
			return nil, nil, err
		default:
			ready = append(ready, w)
		}
	}
	s.l.metrics.stageSeconds.Observe(time.Since(start).Seconds())
	return ready, faults, nil
}

// existing reads the catalogue of all tables that the group may touch.
func (s *session) existing(ctx context.Context, todo []*work) (map[warehouse.Name]warehouse.Existing, error) {
	var names []warehouse.Name
	for _, w := range todo {
		names = append(append(names, w.name), w.mirror.tables()...)
		if target, _, ok := warehouse.LatestOf(w.base()); ok {
			names = append(names, target)
		}
	}
	return s.conn.Columns(ctx, names)
}

func (s *session) prepareOne(ctx context.Context, w *work, existing map[warehouse.Name]warehouse.Existing) error {
	if len(w.files) == 0 {
		return nil // marks only
	}
	if w.lost != nil {
		w.info.kind = kindAppend
		for _, f := range w.files {
			w.refuse(f, w.lost)
		}
		return nil
	}
	if w.isMirror() {
		return s.prepareMirror(ctx, w, existing)
	}
	if err := s.shape(ctx, w, existing); err != nil {
		return err
	}
	if err := s.widen(ctx, w); err != nil {
		return err
	}
	return s.stage(ctx, w)
}

// shape decides what the target's table, and that of its latest state, must
// become.
func (s *session) shape(ctx context.Context, w *work, existing map[warehouse.Name]warehouse.Existing) error {
	bySchema := w.bySchema()
	info, err := s.readInfo(ctx, w, bySchema[len(bySchema)-1][0].schema)
	if err != nil {
		return err
	}
	w.info = info
	if w.name.Schema == warehouse.Schema && w.base().Table != metricsTable {
		return &targetError{work: w, reason: reasonLedger, err: fmt.Errorf("%s lies in the ledger's schema; a source must not be called %s", w.name, warehouse.Schema)}
	}
	columns, err := columnsOf(bySchema)
	if err != nil {
		return &targetError{work: w, reason: reasonColumns, err: err}
	}
	existed := false
	if existing[w.name] == nil && w.everLoaded() {
		// Marks alone move a position and make no table.
		files, err := s.conn.LoadedFiles(ctx, w.target())
		if err != nil {
			return err
		}
		existed = files > 0
	}
	if existed {
		return &targetError{work: w, reason: reasonDropped, err: fmt.Errorf("the table %s is gone, and the rows that it had are in the lake", w.name)}
	}
	sh, err := fit(w.name, columns, existing[w.name], info, layoutOf(info, w.load))
	if err != nil {
		return &targetError{work: w, reason: reasonColumns, err: err}
	}
	w.shapes = []shape{sh}
	if w.everLoaded() {
		w.anew = info.dropped(sh, existing[w.name])
	}
	if target, key, ok := w.latestOf(columns); ok {
		if _, had := existing[w.name][key]; had && existing[target] == nil && (w.everLoaded() || w.rules == w.name) {
			return &targetError{work: w, reason: reasonDropped, err: fmt.Errorf("the table %s is gone, and what it knew is in %s; millstream loader reload --target %s makes it anew", target, w.base(), w.base())}
		}
		latest, err := fit(target, warehouse.LatestColumns(key, columns), existing[target], tableInfo{kind: kindAppend}, w.whileSmall(warehouse.LatestLayout()))
		if err != nil {
			return &targetError{work: w, reason: reasonColumns, err: err}
		}
		w.shapes = append(w.shapes, latest)
	}
	return nil
}

// latestOf returns the table of latest state that columns can feed.
func (w *work) latestOf(columns []warehouse.Column) (target warehouse.Name, key string, ok bool) {
	target, key, ok = warehouse.LatestOf(w.base())
	has := func(name string) bool {
		return slices.ContainsFunc(columns, func(c warehouse.Column) bool { return c.Name == name })
	}
	return target, key, ok && w.info.kind == kindAppend && has(key) && has("received_at")
}

// everLoaded says that the ledger has a position of the target.
func (ld *load) everLoaded() bool {
	if len(ld.repair) > 0 {
		return true
	}
	for _, s := range ld.spans {
		if s.from >= 0 {
			return true
		}
	}
	return false
}

// rollback ends the failed transaction; the session's staging tables stay.
func (s *session) rollback(ctx context.Context) error {
	_, err := s.conn.Exec(ctx, "ROLLBACK")
	return err
}

// gated runs do in a transaction behind the gate, under the fence of this
// tenure.
func (s *session) gated(ctx context.Context, do func() error) error {
	s.bound = s.l.timeout
	return s.l.gate.Do(ctx, s.conn, s.fence, do)
}

// holdAll notes the targets at fault, so that the others' low water passes
// them and somebody sees them.
func (s *session) holdAll(ctx context.Context, faults []*targetError) error {
	var statements []string
	for _, f := range faults {
		if waits, told, err := s.putOff(ctx, f); waits || err != nil {
			if err != nil {
				return err
			}
			statements = append(statements, told...)
			s.l.metrics.loads.WithLabelValues(string(f.work.kind()), outcomeRetried).Inc()
			continue
		}
		s.l.log.Error("target held", "target", f.work.target(), "reason", f.reason, "err", f.err)
		s.l.metrics.loads.WithLabelValues(string(f.work.kind()), outcomeHeld).Inc()
		statements = append(statements, f.hold()...)
	}
	if len(statements) == 0 {
		return nil
	}
	return s.gated(ctx, func() error { return s.execAll(ctx, statements) })
}

// putOff says whether a fault is none that holds its target, but leaves the load
// to a later wave, and returns the statements that tell people of it.
func (s *session) putOff(ctx context.Context, f *targetError) (waits bool, told []string, err error) {
	target := f.work.target()
	switch {
	case f.reason == reasonReaders && !f.work.wasHeld && len(f.work.repair) == 0:
		since := s.l.patience.blocked(target, time.Now())
		s.l.log.Warn("load put off, other sessions use the table", "target", target, "seconds", since.Seconds(), "err", f.err)
		if since < s.l.blockedAfter {
			return true, nil, nil
		}
		told, err = s.nameBlocker(ctx, f.work)
		return true, told, err
	case f.reason == string(warehouse.ClassSlow) && f.work.divisible(), len(f.work.repair) > 1:
		s.l.patience.halve(f.work.portion(), len(f.work.files))
		s.l.log.Warn("load halved", "target", target, "files", len(f.work.files), "err", f.err)
		return true, nil, nil
	}
	return false, nil, nil
}

// nameBlocker tells people which session a target's DDL waits for.
func (s *session) nameBlocker(ctx context.Context, w *work) ([]string, error) {
	words := "readers leave no moment in which the table can be altered"
	for _, sh := range w.shapes {
		who, err := s.conn.Blocker(ctx, sh.name)
		if err != nil {
			return nil, err
		}
		if who != "" {
			words = who
			break
		}
	}
	return warehouse.Blocked(w.target(), reasonReaders, words), nil
}

// divisible says that a smaller load could do a part of this one: a load covers
// whole commits.
func (ld *load) divisible() bool {
	commits := 0
	for _, s := range ld.spans {
		commits += s.commits
	}
	return commits > 1
}

// hold returns the statements that hold a load's target, or say that it is held
// still.
func (e *targetError) hold() []string {
	said, w := told(e.err), e.work
	if file, ok := errors.AsType[*fileError](e.err); ok {
		said = file.Error()
	}
	out := []string{}
	if len(w.repair) > 0 {
		for _, h := range w.repair {
			out = append(out, warehouse.RetriedFile(w.target(), h.FileKey, said))
		}
		return out
	}
	if w.wasHeld {
		out = append(out, warehouse.RetriedTarget(w.target(), e.reason, said))
	} else {
		out = append(out, warehouse.ReleaseTarget(w.target()))
		var held []warehouse.Held
		for _, id := range w.chainIDs() {
			held = append(held, warehouse.Held{Target: w.target(), Chain: id, First: w.spans[id].first, FileKey: warehouse.WholeTarget, Reason: e.reason, Error: said, Attempts: 1})
		}
		out = append(out, warehouse.InsertHeld(held))
	}
	return out
}

func (s *session) execAll(ctx context.Context, statements []string) error {
	for _, st := range statements {
		if _, err := s.conn.Exec(ctx, st); err != nil {
			return err
		}
	}
	return nil
}
