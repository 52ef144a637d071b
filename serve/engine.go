package serve

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/millstream-data/millstream/internal/metric"
)

// engine holds cells in memory and answers questions from them. What it holds can be read from the store again.
type engine struct {
	store   metric.Store
	maxRows int
	log     *slog.Logger
	metrics *metrics
	now     func() time.Time

	mu    sync.Mutex // guards all below; never held while the store is asked
	reg   metric.Registered
	held  map[metric.VersionID]*held
	cal   *calendar // never changed in place
	marks map[partition]mark
	src   string
}

type partition struct {
	topic string
	part  int32
}

// mark is how far a partition has been counted.
type mark struct{ next, wm int64 }

// The values of "src" in a tick.
const (
	srcLive  = "live"
	srcStore = "store"
)

func newEngine(store metric.Store, maxRows int, log *slog.Logger, m *metrics) *engine {
	return &engine{
		store: store, maxRows: maxRows, log: log, metrics: m, now: time.Now,
		held: map[metric.VersionID]*held{}, cal: newCalendar(), marks: map[partition]mark{}, src: srcStore,
	}
}

// Fresh returns the watermark in unix ms, which is that of the partition that is furthest behind.
func (e *engine) Fresh() (wm int64, src string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, m := range e.marks {
		if wm == 0 || m.wm < wm {
			wm = m.wm
		}
	}
	return wm, e.src
}

// Answer computes a canonical question, after reading from the store what of it is not held yet.
func (e *engine) Answer(ctx context.Context, q Question) (answer, error) {
	v, err := e.version(q.Metric)
	if err != nil {
		return answer{}, err
	}
	wm, _ := e.Fresh()
	p, err := newPlan(q, v.Def, e.now(), wm)
	if err != nil {
		return answer{}, err
	}
	if len(p.cuts) > e.maxRows {
		return answer{}, tooMany(len(p.cuts), e.maxRows)
	}
	of, err := e.partsOf(v)
	if err != nil {
		return answer{}, err
	}
	var earlier []cut
	b := &base{cutNow: -1, scale: scaleOf(v.Def)}
	var begun cut
	if q.Compare != compareNone {
		earlier, begun, b.share = p.earlier()
		b.cutNow = slices.IndexFunc(p.cuts, p.comparesNow)
		b.none = b.cutNow >= 0 && !e.subject(v).fine
	}
	if err := e.ensure(ctx, of, p.z, slices.Concat(p.cuts, earlier, begunOf(begun))); err != nil {
		return answer{}, err
	}
	return e.compute(p, of, earlier, begun, b)
}

func begunOf(c cut) []cut {
	if c.to == 0 {
		return nil
	}
	return []cut{c}
}

func (e *engine) compute(p plan, of []*held, earlier []cut, begun cut, b *base) (answer, error) {
	cal := e.calendar()
	cur, err := tally1(p.def, of, p.q, p.cuts, p.z, cal)
	if err != nil {
		return answer{}, err
	}
	show, err := cur.choose(p.q)
	if err != nil {
		return answer{}, err
	}
	if p.q.Compare != compareNone && !b.none {
		if b.full, err = tally1(p.def, of, p.q, earlier, p.z, cal); err != nil {
			return answer{}, err
		}
		if begun.to > 0 {
			if b.begun, err = tally1(p.def, of, p.q, []cut{begun}, p.z, cal); err != nil {
				return answer{}, err
			}
		}
		for _, t := range []*parts{b.full, b.begun} {
			if t != nil && len(show) > 0 && show[len(show)-1] == otherKey(len(p.q.By)) && len(p.q.By) > 0 {
				if err := t.foldBut(show[:len(show)-1]); err != nil {
					return answer{}, err
				}
			}
		}
	}
	a := answer{rows: p.rows(cur, b, show), meta: e.meta(p, b, cur, cal)}
	a.keys, a.cols = p.cols()
	if len(a.rows) > e.maxRows {
		return answer{}, tooMany(len(a.rows), e.maxRows)
	}
	return a, nil
}

func tooMany(n, limit int) error {
	return fault(codeTooManyRows, "", "the answer has %d rows, %d are the most; ask for a coarser grain, a shorter range or a smaller limit", n, limit)
}

// scaleOf returns how many decimals the values of a metric have.
func scaleOf(m *metric.Metric) int {
	if m.Kind == metric.Count || m.Kind == metric.Uniques {
		return 0
	}
	return m.Scale
}

func (e *engine) calendar() *calendar {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.cal
}

// partsOf returns the cells of v, which the follower fills from now on; of a ratio, those of both its metrics.
func (e *engine) partsOf(v metric.Version) ([]*held, error) {
	versions := []metric.Version{v}
	if v.Def.Kind == metric.Ratio {
		versions = versions[:0]
		for _, name := range v.Def.Divides {
			part, err := e.version(name)
			if err != nil {
				return nil, err
			}
			versions = append(versions, part)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []*held
	for _, v := range versions {
		h := e.held[v.VersionID]
		if h == nil {
			h = newHeld(v)
			e.held[v.VersionID] = h
		}
		out = append(out, h)
	}
	return out, nil
}

// ensure reads what of cuts is not held. The follower takes a bucket's records before the store is read, and the
// greater offset wins: so a change is in the one, in the other or in both.
func (e *engine) ensure(ctx context.Context, of []*held, z *zone, cuts []cut) error {
	for _, h := range of {
		from := map[string]int64{}
		for _, c := range cuts {
			for _, s := range h.sources(c, z) {
				if at, ok := from[s.zone]; !ok || s.from < at {
					from[s.zone] = s.from
				}
			}
		}
		if err := e.load(ctx, h, from); err != nil {
			return err
		}
	}
	return nil
}

func (e *engine) load(ctx context.Context, h *held, from map[string]int64) error {
	h.load.Lock()
	defer h.load.Unlock()
	var ranges []metric.Range
	for zone, at := range from {
		if r, missing := h.missing(zone, at); missing {
			ranges = append(ranges, r)
		}
	}
	if len(ranges) == 0 {
		return nil
	}
	start := time.Now()
	_, err := e.scan(ctx, ranges)
	e.metrics.loaded(start, err)
	if err != nil {
		return fmt.Errorf("load %s: %w", h.version.Name, err)
	}
	for zone, at := range from {
		h.loaded(zone, at)
	}
	return nil
}

// scan reads ranges from the store and takes what is newer. It returns the names of metrics that have changed.
func (e *engine) scan(ctx context.Context, ranges []metric.Range) (changed map[string]bool, err error) {
	changed = map[string]bool{}
	e.metrics.storeQueries.Inc()
	var bad error
	snap, err := e.store.Scan(ctx, ranges, func(r metric.Row) bool {
		h := e.heldBy(r.Version())
		if h == nil {
			return true
		}
		took, err := h.take(r)
		if err != nil {
			bad = err
			return false
		}
		if took {
			changed[h.version.Name] = true
		}
		return true
	})
	if err == nil {
		err = bad
	}
	if err != nil {
		return nil, err
	}
	e.takeSnapshot(snap, changed)
	return changed, nil
}

func (e *engine) heldBy(id metric.VersionID) *held {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.held[id]
}

func (e *engine) takeSnapshot(snap metric.Snapshot, changed map[string]bool) {
	for _, p := range snap.Positions {
		e.takeMark(partition{p.Topic, p.Part}, mark{next: p.Next, wm: p.WatermarkMS})
	}
	e.changeCalendar(func(c *calendar) bool {
		moved := false
		for id, d := range snap.Days {
			if old, ok := c.days[id]; !ok || d.Revision > old.Revision || d.Sealed != old.Sealed {
				c.days[id] = d
				moved = true
			}
		}
		for id, b := range snap.Bases {
			if c.bases[id] != b {
				c.bases[id] = b
				moved = true
			}
		}
		if moved {
			changed[""] = true
		}
		return moved
	})
}

// changeCalendar replaces the calendar by a changed copy; f says whether it has changed it.
func (e *engine) changeCalendar(f func(*calendar) bool) {
	e.mu.Lock()
	next := &calendar{days: maps.Clone(e.cal.days), bases: maps.Clone(e.cal.bases), late: maps.Clone(e.cal.late)}
	if !f(next) {
		e.mu.Unlock()
		return
	}
	e.cal = next
	all := slices.Collect(maps.Values(e.held))
	e.mu.Unlock()
	for _, h := range all {
		h.changeDays()
	}
}

func (e *engine) takeMark(p partition, m mark) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if old, ok := e.marks[p]; !ok || m.wm >= old.wm && m.next >= old.next {
		e.marks[p] = m
	}
}

// reload reads the definitions in force and says whether they have changed.
func (e *engine) reload(ctx context.Context) (bool, error) {
	e.metrics.storeQueries.Inc()
	reg, err := e.store.Current(ctx)
	if err != nil {
		return false, fmt.Errorf("read definitions: %w", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	same := slices.EqualFunc(reg.Versions, e.reg.Versions, func(a, b metric.Version) bool {
		return a.VersionID == b.VersionID && a.State == b.State
	})
	changed := reg.No != e.reg.No || !same
	e.reg = reg
	maps.DeleteFunc(e.held, func(id metric.VersionID, _ *held) bool { // nobody can ask for it any more
		return !slices.ContainsFunc(reg.Versions, func(v metric.Version) bool { return v.VersionID == id })
	})
	return changed, nil
}
