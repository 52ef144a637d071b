package loader

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/warehouse"
)

// mirror is how a load of changes comes into its tables.
type mirror struct {
	before, next polls // as the ledger has them, and after the load's marks
	into         []*destination
	came         map[pollPart]int64
	older        bool // some changes are of keys that the origin knew before
	deletions    bool // some changes are deletions
	settled      polls
}

// destination is a table into which changes come: the mirror itself, the table
// that is to take its place, or the keys that a bounded poll has seen.
type destination struct {
	name    warehouse.Name
	poll    warehouse.Poll  // whose work it is; zero: the mirror itself
	after   warehouse.After // where that poll began; nil: everything counts
	keys    bool
	create  []string        // what is done before anything else
	schemas map[string]bool // fingerprints of the files whose changes it takes
	changes warehouse.Changes
}

// isMirror says that a load brings changes.
func (w *work) isMirror() bool {
	return len(w.files) > 0 && kindOf(w.name, w.files[0].schema.Columns) == kindMirror
}

// originColumns are a mirror's own columns.
func originColumns(columns []warehouse.Column) ([]warehouse.Column, error) {
	own, ok := warehouse.OriginColumns(columns)
	if !ok {
		return nil, errors.New("the files lack the batcher's columns of changes")
	}
	return own, nil
}

// readPolls reads what the ledger has of the polls of all mirrors of a group.
func (s *session) readPolls(ctx context.Context, todo []*work) error {
	var targets []string
	for _, w := range todo {
		if w.isMirror() || len(w.marks) > 0 {
			targets = append(targets, w.target())
		}
	}
	if len(targets) == 0 {
		return nil
	}
	rows, err := s.conn.Polls(ctx, targets...)
	if err != nil {
		return err
	}
	for _, w := range todo {
		if !slices.Contains(targets, w.target()) {
			continue
		}
		w.mirror = &mirror{}
		for _, p := range rows {
			if p.Target == w.target() {
				w.mirror.before = append(w.mirror.before, p)
			}
		}
		w.mirror.next = w.mirror.before.advance(w.marks)
	}
	return nil
}

// tables are those that the ledger names beside the mirror.
func (m *mirror) tables() []warehouse.Name {
	if m == nil {
		return nil
	}
	var out []warehouse.Name
	for _, p := range m.before {
		if name, err := warehouse.ParseName(p.Work); err == nil && p.Work != p.Target {
			out = append(out, name)
		}
	}
	return out
}

// stageChanges looks at what was copied, and keeps the last change of each key.
func (s *session) stageChanges(ctx context.Context, w *work) error {
	if len(w.stages) == 0 {
		return nil
	}
	gathered := map[string]bool{}
	for _, d := range w.mirror.into {
		for _, st := range w.stages {
			if d.schemas[st.files[0].schema.Fingerprint] {
				d.changes.Staged = append(d.changes.Staged, st.table)
			}
		}
		if len(d.changes.Key) == 0 || gathered[d.changes.Temp] {
			continue
		}
		gathered[d.changes.Temp] = true
		if _, err := s.conn.Exec(ctx, d.changes.Gather()); err != nil {
			return err
		}
	}
	return s.look(ctx, w)
}

// look counts what was copied, and checks that it stands in the order in which
// it was read from the origin.
func (s *session) look(ctx context.Context, w *work) error {
	res, err := s.conn.Exec(ctx, warehouse.Changes{Staged: w.staged()}.Look())
	if err != nil {
		return err
	}
	w.mirror.came = map[pollPart]int64{}
	var broken int64
	for _, row := range res.Rows {
		var n [5]int64
		for i, text := range row[1:] {
			if n[i], err = strconv.ParseInt(text, 10, 64); err != nil {
				return fmt.Errorf("changes of %s: %w", w.target(), err)
			}
		}
		w.mirror.came[pollPart{row[0], int32(n[0])}] += n[1] //nolint:gosec // a partition is an int32
		w.mirror.older = w.mirror.older || n[2] > 0
		w.mirror.deletions = w.mirror.deletions || n[3] > 0
		broken += n[4]
	}
	if broken > 0 {
		s.l.metrics.sequence.Add(float64(broken))
		s.l.log.Error("changes are out of order", "target", w.target(), "load", w.id, "changes", broken)
	}
	return nil
}

// mirror brings the last change of each key into every destination.
func (s *session) mirror(ctx context.Context, w *work) error {
	for _, d := range w.mirror.into {
		if err := s.execAll(ctx, d.create); err != nil {
			return err
		}
		var err error
		switch {
		case d.keys:
			_, err = s.conn.Exec(ctx, d.changes.Collect(d.name, d.after))
		case len(d.changes.Key) == 0:
			_, err = s.conn.Exec(ctx, d.changes.Append(d.name, d.poll.ID, d.after))
		case d.poll.ID != "":
			err = s.execAll(ctx, []string{d.changes.Delete(d.name, d.after), d.changes.Insert(d.name, d.after)})
		default:
			err = s.upsert(ctx, w, d)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// upsert applies changes to the mirror itself. Keys that are new to the origin
// have no rows to delete.
func (s *session) upsert(ctx context.Context, w *work, d *destination) error {
	var gone warehouse.Result
	if w.mirror.older {
		var err error
		if gone, err = s.conn.Exec(ctx, d.changes.Delete(d.name, nil)); err != nil {
			return err
		}
	}
	came, err := s.conn.Exec(ctx, d.changes.Insert(d.name, nil))
	if err != nil {
		return err
	}
	if w.mirror.deletions {
		count, err := s.conn.Exec(ctx, d.changes.Deleted())
		if err != nil {
			return err
		}
		if w.result.Deleted, err = strconv.ParseInt(count.Rows[0][0], 10, 64); err != nil {
			return err
		}
	}
	w.result.Updated = min(max(0, gone.Affected-w.result.Deleted), came.Affected)
	w.result.Inserted = came.Affected - w.result.Updated
	return nil
}

// polls writes what a load's marks and changes make of its target's polls. What
// was read before the gate must still hold: a swap whose answer was lost may
// have landed since.
func (s *session) polls(ctx context.Context, w *work) error {
	m := w.mirror
	if m == nil || len(m.before)+len(w.marks) == 0 {
		return nil
	}
	stored, err := s.conn.Polls(ctx, w.target())
	if err != nil {
		return err
	}
	if !m.before.same(stored) {
		return fmt.Errorf("polls of %s: %w", w.target(), errRaced)
	}
	m.settled = m.next.settle(m.came)
	var statements []string
	for _, table := range append(slices.Clone(m.before), m.next...).abandoned(m.settled) {
		name, err := warehouse.ParseName(table)
		if err != nil {
			return err
		}
		statements = append(statements, warehouse.DropTable(name))
	}
	if !m.settled.same(m.before) {
		statements = append(statements, warehouse.ReplacePolls(w.target(), m.settled)...)
	}
	return s.execAll(ctx, statements)
}

// judged tells of the polls that a committed load has completed.
func (l *Loader) judged(w *work) {
	if w.mirror == nil {
		return
	}
	if len(w.mirror.settled.due()) > 0 {
		l.due.Store(true)
	}
	for _, strategy := range w.mirror.settled.strategies() {
		for _, id := range w.mirror.settled.tracked(strategy, warehouse.PollCounts) {
			rows := w.mirror.settled.of(strategy, id)
			if i := w.mirror.before.index(strategy, id, rows[0].Part); i >= 0 && w.mirror.before[i].State == warehouse.PollCounts {
				continue // an earlier load's
			}
			var counted int64
			for _, p := range rows {
				counted += p.Counted
			}
			l.log.Error("poll left out: its changes are not those that cdc counted", "target", w.target(), "strategy", strategy, "poll", id, "rows", rows[0].Rows, "came", counted)
			if rows[0].Replaces() && rows[0].Kind != string(event.PollBounded) {
				l.metrics.swaps.WithLabelValues(swapCounts).Inc()
			}
		}
	}
}
