package cdc

import (
	"context"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/wire"
)

// loading is a load that runs: its state, and what this process does for it.
type loading struct {
	wire.CDCLoad
	pager pager
	runs  []rangeRun // a range of the state each
}

// rangeRun is what this process does with a range.
type rangeRun struct {
	busy bool
	due  time.Time
}

func newLoading(l wire.CDCLoad, src SourceConfig) *loading {
	l.Ranges = slices.Clone(l.Ranges)
	for i := range l.Ranges {
		l.Ranges[i].Early = l.Ranges[i].Early || l.Again != nil && l.Again.Must
	}
	return &loading{CDCLoad: l, pager: pager{cfg: src.Page}, runs: make([]rangeRun, len(l.Ranges))}
}

// newLoad wants every row to be read: before h by the load, from h on by polls.
func newLoad(kind event.PollKind, h, b string, now time.Time) wire.CDCLoad {
	return wire.CDCLoad{V: 1, Poll: event.ULID(now), Kind: string(kind), Since: stampText(now), Ranges: []wire.CDCRange{{}}, H: h, Basis: b}
}

func (l *loading) class() class {
	switch event.PollKind(l.Kind) { //nolint:exhaustive // the others are no loads
	case event.PollBackfill:
		return classBackfill
	case event.PollFull:
		return classFull
	}
	return classLoad
}

// replaces says whether the warehouse puts what the load brings in the place of
// what it has.
func (l *loading) replaces() bool { return l.Kind == string(event.PollFull) }

// name stands in records and marks in the place of a strategy's. A replacing
// load has one of its own: marks of a strategy end its older polls.
func (l *loading) name() string {
	if l.replaces() {
		return "refresh"
	}
	return l.Kind
}

// open says whether pages of range i are left to read.
func (l *loading) open(i int) bool { return !l.Ranges[i].Done || l.Ranges[i].Early }

// complete says whether none is.
func (l *loading) complete() bool {
	for i := range l.Ranges {
		if l.open(i) {
			return false
		}
	}
	return true
}

// done is how many ranges are complete.
func (l *loading) done() (n int) {
	for i := range l.Ranges {
		if !l.open(i) {
			n++
		}
	}
	return n
}

// settle notes that every transaction which was open at the beginning has
// ended: ranges of which pages were read before are read once more.
func (l *loading) settle() {
	l.Again = nil
	for i := range l.Ranges {
		if r := &l.Ranges[i]; r.Early && r.Done {
			r.Last, r.Done, r.Early = nil, false, false
		}
	}
}

// again wants every page to be read that was read already.
func (l *loading) again() {
	for i := range l.Ranges {
		r := &l.Ranges[i]
		r.Early = r.Done || r.Last != nil
	}
	if l.Again == nil {
		l.settle()
	}
}

// rangesEach is how many ranges a load has for each page that is read at once:
// the fewer are left, the less evenly they end.
const rangesEach = 8

// room says whether another page of the load may be read beside those that are.
func (l *loading) room(parallel int) bool {
	busy := 0
	for _, r := range l.runs {
		if r.busy {
			busy++
		}
	}
	return busy < parallel
}

// split cuts what the only range has not read at the borders.
func (l *loading) split(borders []string) {
	l.Split = true
	first, last := &l.Ranges[0], l.Ranges[0].Hi
	at := first
	for _, b := range borders {
		at.Hi = []string{b}
		l.Ranges = append(l.Ranges, wire.CDCRange{Lo: at.Hi})
		at = &l.Ranges[len(l.Ranges)-1]
	}
	at.Hi = last
	l.runs = append(l.runs, make([]rangeRun, len(l.Ranges)-len(l.runs))...)
}

// took moves range i past a page.
func (l *loading) took(i int, pg *page, settled bool) {
	r := &l.Ranges[i]
	r.Early = r.Early || !settled
	if pg.full {
		r.Last = pg.last
	} else {
		r.Last, r.Done = nil, true
	}
	if r.Done && r.Early && l.Again == nil {
		r.Done, r.Early = false, false // once more
	}
}

// doLoad reads the next page of a range. Pages that are read while a
// transaction is open from which an id below the cursor may still come are
// read once more; so for a while they rather wait.
func (s *slot) doLoad(ctx context.Context, o *outcome) error {
	o.settled = true
	if o.load.Again != nil {
		smp, err := s.sampler.get(ctx, time.Time{})
		if err != nil {
			return err
		}
		o.sample, o.sampled = smp, true
		o.settled = !smp.raw.Before(parseStamp(o.load.Again.T0))
		young := time.Since(parseStamp(o.load.Since)) < s.src.Horizon.Settle
		if o.waits = o.part.Done || !o.settled && o.part.Last == nil && young; o.waits {
			return nil
		}
	}
	var err error
	q := query{kind: queryLoad, above: o.part.Lo, upTo: o.part.Hi, after: o.part.Last, limit: o.limit}
	if o.page, err = s.readPage(gated(ctx, o.load.LSN), o.plan, q); err != nil || !o.page.full || o.load.Split {
		return err
	}
	// A table of more than a page is worth ranges.
	o.borders, err = s.origin.split(ctx, o.plan, o.page.last, o.t.cfg.Load.Parallel*rangesEach)
	return err
}

// applyLoad publishes a page of a load. Polls go on beside it, so rows are
// published once more rather than compared.
func (s *slot) applyLoad(ctx context.Context, o outcome) error {
	t, l, now := o.t, o.t.load, time.Now()
	l.runs[o.number] = rangeRun{due: now}
	if o.settled && l.Again != nil {
		l.settle()
	}
	if o.waits {
		if !o.settled {
			l.runs[o.number].due = now.Add(time.Second)
		}
		return nil
	}
	pg := o.page
	s.measure(t, &l.pager, pg)
	var records []*kgo.Record
	if !l.Begun {
		l.Begun = true
		marks, err := s.loadMark(t, stateStarted, now)
		if err != nil {
			return err
		}
		records = marks
	}
	out, err := s.rowsOf(t, pg, s.loadSource(t))
	if err != nil {
		return err
	}
	records = append(records, out.records...)
	l.Rows += int64(countChanges(out.records))
	l.took(o.number, pg, o.settled)
	if pg.full && !l.Split {
		l.split(o.borders)
	}
	s.m.loadRows.WithLabelValues(s.source, t.name).Set(float64(l.Rows))
	s.m.loadRanges.WithLabelValues(s.source, t.name).Set(float64(l.done()))
	state, err := s.overlapRecords(t, out.told)
	if err != nil {
		return err
	}
	if l.complete() {
		marks, err := s.endLoad(t, now)
		if err != nil {
			return err
		}
		records, state = append(records, marks...), append(state, s.tombstones(t.key(wire.CDCPartLoad))...)
	}
	own, err := s.stateOf(t)
	if err != nil {
		return err
	}
	return s.hand(ctx, records, append(state, own...))
}

// loadSource says what publishes the pages of a load. All but a first one publish
// every row: a new column with a default changes no version, and a warehouse
// that replaces counts.
func (s *slot) loadSource(t *table) publisher {
	l := t.load
	first := l.Kind == string(event.PollLoad)
	p := publisher{strategy: l.name(), poll: l.Poll, snapshot: "incremental", note: func(r *row) (publish, tell, room bool) {
		known := slices.ContainsFunc(t.tasks, func(k *task) bool { return k.overlap.known(r.hash) })
		return !first || !known, false, true
	}}
	if first {
		p.snapshot = "true"
	}
	return p
}

// endLoad makes the table complete: to the load's own horizon, and to that of
// the polls which went on beside it.
func (s *slot) endLoad(t *table, now time.Time) ([]*kgo.Record, error) {
	l := t.load
	t.st.Loaded = true
	t.complete(wire.CDCAnchor{H: l.H}, l.Basis)
	for _, k := range t.tasks {
		if k.sees() {
			t.complete(wire.CDCAnchor{H: k.st.H}, l.Basis)
		}
	}
	s.m.age(t)
	s.log.Info("load complete", "source", s.source, "table", t.name, "rows", l.Rows)
	s.m.loadRows.WithLabelValues(s.source, t.name).Set(0)
	s.m.loadRanges.WithLabelValues(s.source, t.name).Set(0)
	marks, err := s.loadMark(t, stateCompleted, now)
	t.load = nil
	return marks, err
}

func (s *slot) loadMark(t *table, state string, now time.Time) ([]*kgo.Record, error) {
	l := t.load
	m := t.mark(l.Poll, l.name(), event.PollKind(l.Kind), state, l.Rows, l.Basis)
	if l.replaces() {
		m.Publish = publishReplace
	}
	return t.envelope("", "", "", "", 0, now).mark(wire.KindPoll, m)
}
