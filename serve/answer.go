package serve

import (
	"cmp"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/millstream-data/millstream/internal/metric"
)

// other is the value of a dimension that stands for all that are not shown.
const other = "__other__"

// tally is what one tuple comes to in each bucket of a question.
type tally struct {
	vals  []string
	cells []*metric.State // by cut; nil: nothing happened
	sum   *metric.State   // over all cuts, by which tuples are ranked
}

// tallies computes the tuples of q in the buckets cuts.
func (h *held) tallies(q Question, cuts []cut, z *zone, cal *calendar) (map[string]*tally, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	dims := h.version.Def.Dims()
	out := map[string]*tally{}
	for i, c := range cuts {
		for _, s := range h.sources(c, z) {
			for bucket := s.from; bucket < s.to; bucket++ {
				for dim, cell := range h.shelf(s.zone).buckets[bucket] {
					vals, ok := project(q, dims, dim, cell.vals)
					if !ok {
						continue
					}
					state, err := h.visible(cell, s.zone, bucket, cal)
					if err != nil {
						return nil, err
					}
					if cell.events == 0 {
						continue // none of its partials is visible
					}
					if err := h.into(out, vals, i, len(cuts), state); err != nil {
						return nil, err
					}
				}
			}
		}
	}
	return out, nil
}

// buckets are those of a shelf that make up a cut.
type buckets struct {
	zone     string
	from, to int64
}

// sources prefers day cells, whose uniques are exact unions, and falls back on quarters of an hour.
func (h *held) sources(c cut, z *zone) []buckets {
	if c.whole && slices.Contains(h.version.Def.Zones, z.Name()) {
		return []buckets{{zone: z.Name(), from: c.day, to: c.day + c.days}}
	}
	return []buckets{{zone: "", from: metric.FineBucket(c.from), to: metric.FineBucket(c.to-1) + 1}}
}

// project returns the values by which a cell is grouped, and whether it counts at all. Without dimensions and
// filters that is the total, which is exact whatever became of the tuples.
func project(q Question, dims []string, dim uint64, vals []string) ([]string, bool) {
	if len(q.By) == 0 && len(q.Where) == 0 {
		return nil, dim == 0
	}
	if dim == 0 || len(vals) != len(dims) {
		return nil, false
	}
	for d, f := range q.Where {
		if !f.admits(vals[slices.Index(dims, d)]) {
			return nil, false
		}
	}
	out := make([]string, len(q.By))
	for i, d := range q.By {
		out[i] = vals[slices.Index(dims, d)]
	}
	if slices.Contains(out, other) && len(out) > 0 {
		for i := range out {
			out[i] = other
		}
	}
	return out, true
}

func (h *held) into(out map[string]*tally, vals []string, i, n int, state *metric.State) error {
	key := strings.Join(vals, "\x00")
	t := out[key]
	if t == nil {
		t = &tally{vals: vals, cells: make([]*metric.State, n), sum: h.version.Def.NewState()}
		out[key] = t
	}
	if t.cells[i] == nil {
		t.cells[i] = h.version.Def.NewState()
	}
	if err := t.cells[i].Merge(state); err != nil {
		return err
	}
	return t.sum.Merge(state)
}

// fold merges tuples into one, for the row of all that is not shown.
func (h *held) fold(ts []*tally, n, by int) (*tally, error) {
	vals := make([]string, by)
	for i := range vals {
		vals[i] = other
	}
	out := &tally{vals: vals, cells: make([]*metric.State, n), sum: h.version.Def.NewState()}
	for _, t := range ts {
		for i, s := range t.cells {
			if s == nil {
				continue
			}
			if out.cells[i] == nil {
				out.cells[i] = h.version.Def.NewState()
			}
			if err := out.cells[i].Merge(s); err != nil {
				return nil, err
			}
		}
		if err := out.sum.Merge(t.sum); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// ranked is a tuple with the number by which it is ranked.
type ranked struct {
	key   string
	value *big.Rat
}

func rank(rs []ranked, order string) {
	slices.SortFunc(rs, func(a, b ranked) int {
		c := 0
		switch order {
		case orderValueDesc:
			c = b.value.Cmp(a.value)
		case orderValueAsc:
			c = a.value.Cmp(b.value)
		}
		return cmp.Or(c, strings.Compare(a.key, b.key))
	})
}

func ratOf(r metric.Result) *big.Rat {
	v, ok := new(big.Rat).SetString(r.Decimal)
	if r.Null || !ok {
		return new(big.Rat)
	}
	return v
}

// empty is the result of a bucket without cells.
func empty(m *metric.Metric) metric.Result {
	if m.Kind == metric.Ratio {
		return metric.Result{Null: true, Method: string(metric.Ratio)}
	}
	return m.Result(m.NewState())
}

// plan is a question with everything that its answer needs to know about the present.
type plan struct {
	q    Question
	def  *metric.Metric
	z    *zone
	span span
	cuts []cut
	now  time.Time
	wm   int64 // unix seconds up to which numbers are complete
}

func newPlan(q Question, def *metric.Metric, now time.Time, wmMS int64) (plan, error) {
	z, err := loadZone(q.TZ)
	if err != nil {
		return plan{}, err
	}
	per, err := parsePeriod(q.Range)
	if err != nil {
		return plan{}, err
	}
	p := plan{q: q, def: def, z: z, span: per.at(z, now), now: now, wm: now.Unix()}
	if wmMS > 0 {
		p.wm = min(p.wm, wmMS/1000)
	}
	p.cuts = p.span.cuts(z, q.Grain)
	return p, nil
}

// runs says whether c is still being filled.
func (p plan) runs(c cut) bool { return c.to > p.wm }

// earlier returns the buckets with which those of p are compared, and the begun quarter of an hour that counts in
// proportion, if there is one.
func (p plan) earlier() (cuts []cut, begun cut, share *big.Rat) {
	days := shiftOf(p.q.Compare)
	for _, c := range p.cuts {
		b := cut{from: p.z.shift(c.from, days), to: p.z.shift(c.to, days), whole: c.whole, day: c.day - days, days: c.days}
		if p.comparesNow(c) {
			b, begun, share = p.upToNow(b)
		}
		cuts = append(cuts, b)
	}
	return cuts, begun, share
}

// comparesNow says whether the earlier bucket ends at the local time of the watermark: a running day is compared
// with as much of the earlier one. Shorter buckets are drawn beside each other whole.
func (p plan) comparesNow(c cut) bool {
	return p.runs(c) && c.from <= p.wm && (p.q.Grain == grainTotal || p.q.Grain == grainDay)
}

func (p plan) upToNow(b cut) (full, begun cut, share *big.Rat) {
	at := max(p.z.shift(p.wm, shiftOf(p.q.Compare)), b.from)
	quarter := metric.FineStart(metric.FineBucket(at))
	full = cut{from: b.from, to: max(quarter, b.from)}
	if p.def.Additive() && at > quarter {
		begun = cut{from: quarter, to: quarter + metric.FineSeconds}
		share = big.NewRat(at-quarter, metric.FineSeconds)
	}
	return full, begun, share
}
