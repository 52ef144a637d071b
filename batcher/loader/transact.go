package loader

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/millstream-data/millstream/internal/warehouse"
)

// transact is step C: rows, positions and history of a group become visible at
// once, or not at all.
func (s *session) transact(ctx context.Context, todo []*work) error {
	return s.gated(ctx, func() error {
		positions, err := s.compare(ctx, todo)
		if err != nil {
			return err
		}
		for _, w := range todo {
			if err := s.apply(ctx, w); err != nil {
				return err
			}
		}
		if err := s.within(ctx, s.l.timeout); err != nil {
			return err
		}
		return s.record(ctx, todo, positions)
	})
}

// compare reads the group's positions behind the gate and wants them where the
// plan began: an unknown COMMIT may have landed since.
func (s *session) compare(ctx context.Context, todo []*work) ([]warehouse.Position, error) {
	targets := make([]string, len(todo))
	for i, w := range todo {
		targets[i] = w.target()
	}
	positions, err := s.conn.Positions(ctx, targets...)
	if err != nil {
		return nil, err
	}
	led := newLedger(positions, nil)
	if err := s.stillHeld(ctx, todo); err != nil {
		return nil, err
	}
	for _, w := range todo {
		for id, span := range w.spans {
			if at := led.position(w.target(), id); at != span.from {
				return nil, fmt.Errorf("%s stands at %d of %s/%d, planned from %d: %w", w.target(), at, id.Topic, id.Part, span.from, errRaced)
			}
		}
	}
	return positions, nil
}

// stillHeld wants the held files that are tried again to be held still: an
// unknown COMMIT may have brought one in, or somebody has given it up.
func (s *session) stillHeld(ctx context.Context, todo []*work) error {
	if !slices.ContainsFunc(todo, func(w *work) bool { return len(w.repair) > 0 }) {
		return nil
	}
	held, err := s.conn.Held(ctx)
	if err != nil {
		return err
	}
	for _, w := range todo {
		for _, h := range w.repair {
			if !slices.ContainsFunc(held, func(now warehouse.Held) bool {
				return now.Target == h.Target && now.FileKey == h.FileKey && now.Reason != warehouse.Skipped
			}) {
				return fmt.Errorf("%s is not held any more: %w", h.FileKey, errRaced)
			}
		}
	}
	return nil
}

// apply brings one load's rows in.
func (s *session) apply(ctx context.Context, w *work) error {
	w.result = warehouse.Load{
		ID: w.id, Wave: s.wave, Target: w.target(), Kind: string(w.kind()), Fence: s.fence, Files: 0, StartedAt: w.started, Ranges: w.ranges(),
	}
	for _, span := range w.spans {
		w.result.Commits += span.commits
	}
	for _, st := range w.stages {
		for _, f := range st.files {
			w.result.Files++
			w.result.Bytes += f.Bytes
			w.result.Staged += f.Rows
			if w.result.MinReceivedAt.IsZero() || f.MinReceivedAt.Before(w.result.MinReceivedAt) {
				w.result.MinReceivedAt = f.MinReceivedAt.Time
			}
			if f.MaxReceivedAt.After(w.result.MaxReceivedAt) {
				w.result.MaxReceivedAt = f.MaxReceivedAt.Time
			}
		}
	}
	for _, sh := range w.shapes {
		if err := s.alter(ctx, w, sh); err != nil {
			return err
		}
	}
	if len(w.stages) > 0 {
		if err := s.rowsWithin(ctx, w); err != nil {
			return ownFault(w, err)
		}
	}
	if err := s.polls(ctx, w); err != nil {
		return ownFault(w, err)
	}
	return nil
}

func (s *session) rows(ctx context.Context, w *work) error {
	switch w.info.kind {
	case kindMirror:
		return s.mirror(ctx, w)
	case kindMetrics:
		return s.metricCells(ctx, w)
	case kindAppend, kindRepair, kindSwap:
	}
	return s.appendRows(ctx, w)
}

// alter creates the table or adds the columns that it lacks.
func (s *session) alter(ctx context.Context, w *work, sh shape) error {
	cfg := s.l.warehouse.Config()
	var statements []string
	for _, r := range sh.renames {
		statements = append(statements, warehouse.RenameColumn(sh.name, r[0], r[1]))
	}
	if sh.create {
		like := cmp.Or(sh.as, sh.name)
		if like == w.name {
			like = w.base()
		}
		statements = append(append(statements, cfg.CreateSchema(sh.name.Schema)...), cfg.CreateTableLike(sh.name, like, sh.columns, sh.layout))
		statements = append(statements, cfg.GrantTable(sh.name)...)
	}
	for _, c := range sh.adds {
		statements = append(statements, cfg.AddColumn(sh.name, c))
	}
	if len(statements) == 0 {
		return nil
	}
	wait := s.l.patience.share(s.l.cfg.DDLTimeout)
	if sh.create {
		wait = rowsPatience // nobody reads it yet
	}
	if err := s.within(ctx, wait); err != nil {
		return err
	}
	for _, st := range statements {
		if _, err := s.conn.Exec(ctx, st); err != nil {
			if warehouse.Classify(err) == warehouse.ClassSlow {
				return s.inUse(w, err)
			}
			if warehouse.Classify(err) == warehouse.ClassRaced && s.l.patience.racedAgain(w.load) {
				return &targetError{work: w, reason: reasonExists, err: err}
			}
			return ownFault(w, err)
		}
	}
	if sh.create {
		s.l.metrics.created.Inc()
	}
	s.l.metrics.added.Add(float64(len(sh.adds)))
	return s.within(ctx, s.l.timeout)
}

// appendRows inserts events that are not there yet, names those that are, and
// brings latest state up to date from those that were inserted.
func (s *session) appendRows(ctx context.Context, w *work) error {
	for _, st := range w.stages {
		in := warehouse.Insert{Target: w.name, Staging: st.table, Since: st.since, Window: s.l.warehouse.Config().Window(w.base(), s.l.window)}
		res, err := s.conn.Exec(ctx, in.SQL())
		if err != nil {
			return err
		}
		w.result.Inserted += res.Affected
		if res.Affected == st.rows {
			continue
		}
		if res, err = s.conn.Exec(ctx, in.Duplicates(w.id)); err != nil {
			return err
		}
		w.result.Duplicates += res.Affected
	}
	if w.latest == nil {
		return nil
	}
	return s.execAll(ctx, []string{w.latest.Gather(), w.latest.Merge()})
}

// record writes positions, history, polls, and what is held or let go.
func (s *session) record(ctx context.Context, todo []*work, before []warehouse.Position) error {
	var targets, statements []string
	var loads []warehouse.Load
	after := map[string]map[warehouse.Chain]warehouse.Position{}
	for _, p := range before {
		if after[p.Target] == nil {
			after[p.Target] = map[warehouse.Chain]warehouse.Position{}
		}
		after[p.Target][p.Chain] = p
	}
	for _, w := range todo {
		if len(w.repair) == 0 {
			targets = append(targets, w.target())
		}
		if after[w.target()] == nil {
			after[w.target()] = map[warehouse.Chain]warehouse.Position{}
		}
		for id, span := range w.spans {
			after[w.target()][id] = warehouse.Position{Target: w.target(), Chain: id, Next: span.next, LoadID: w.id}
		}
		loads = append(loads, w.result)
		statements = append(statements, w.bookkeeping()...)
	}
	var positions []warehouse.Position
	for _, t := range targets {
		for _, id := range sortedChains(after[t]) {
			positions = append(positions, after[t][id])
		}
	}
	var all []string
	if len(targets) > 0 {
		all = warehouse.ReplacePositions(targets, positions)
	}
	return s.execAll(ctx, append(append(all, warehouse.InsertLoads(loads)), statements...))
}

// bookkeeping returns the statements about held work of one load.
func (w *work) bookkeeping() []string {
	var out []string
	if len(w.anew) > 0 {
		out = append(out, warehouse.InsertMaintained(warehouse.Maintained{Target: w.target(), Act: "column made anew", After: strings.Join(w.anew, ", "), Reason: formerValues(w.target())}))
	}
	var held []warehouse.Held
	if len(w.repair) > 0 {
		for _, h := range w.repair {
			if i := slices.IndexFunc(w.bad, func(bad warehouse.Held) bool { return bad.FileKey == h.FileKey }); i >= 0 {
				out = append(out, warehouse.RetriedFile(w.target(), h.FileKey, w.bad[i].Error))
			} else {
				out = append(out, warehouse.ReleaseFile(w.target(), h.FileKey))
			}
		}
		return out
	}
	if w.blocked {
		out = append(out, warehouse.Unblocked(w.target()))
	}
	if w.wasHeld {
		out = append(out, warehouse.ReleaseTarget(w.target()))
		for _, id := range sortedChains(w.remain) {
			held = append(held, warehouse.Held{Target: w.target(), Chain: id, First: w.remain[id], FileKey: warehouse.WholeTarget, Reason: reasonBehind})
		}
	}
	if held = append(held, w.bad...); len(held) > 0 {
		out = append(out, warehouse.InsertHeld(held))
	}
	return out
}

// formerValues says how the values of a column that somebody dropped come back.
func formerValues(target string) string {
	return "somebody dropped it, and its former values are in the lake alone: millstream loader reload --target " + target
}

func sortedChains[V any](m map[warehouse.Chain]V) []warehouse.Chain {
	return slices.SortedFunc(maps.Keys(m), compareChains)
}

// kind is the load's kind in the history.
func (w *work) kind() kind {
	switch {
	case len(w.repair) > 0:
		return kindRepair
	case w.info.kind != "":
		return w.info.kind
	}
	return kindMirror // marks only
}

// loaded tells metrics and log of a committed load.
func (l *Loader) loaded(w *work) {
	r := w.result
	l.metrics.loads.WithLabelValues(r.Kind, outcomeCommitted).Inc()
	for op, n := range map[string]int64{opStaged: r.Staged, opInserted: r.Inserted, opUpdated: r.Updated, opDeleted: r.Deleted, opDuplicate: r.Duplicates} {
		l.metrics.rows.WithLabelValues(op).Add(float64(n))
	}
	l.patience.done(w.load, l.cfg.Wave.Files)
	l.fresh.through(w.target(), r.MaxReceivedAt)
	l.judged(w)
	if len(w.anew) > 0 {
		l.log.Warn("columns made anew", "target", w.target(), "columns", w.anew, "why", formerValues(w.target()))
	}
	for _, h := range w.bad {
		l.log.Error("file held", "target", w.target(), "file", h.FileKey, "reason", h.Reason, "err", h.Error)
	}
	l.log.Debug("loaded", "target", w.target(), "load", w.id, "rows", r.Staged, "inserted", r.Inserted, "files", r.Files, "seconds", time.Since(w.started).Seconds())
}
