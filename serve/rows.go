package serve

import (
	"math/big"
	"slices"
	"strings"

	"github.com/millstream-data/millstream/internal/metric"
)

// parts are the tallies of a question: of one metric, or of a ratio's dividend and divisor.
type parts struct {
	def     *metric.Metric // of the question
	of      []*held
	tallies []map[string]*tally
	n       int // cuts
	by      int
}

func tally1(def *metric.Metric, of []*held, q Question, cuts []cut, z *zone, cal *calendar) (*parts, error) {
	p := &parts{def: def, of: of, n: len(cuts), by: len(q.By)}
	for _, h := range of {
		t, err := h.tallies(q, cuts, z, cal)
		if err != nil {
			return nil, err
		}
		p.tallies = append(p.tallies, t)
	}
	return p, nil
}

// result returns what tuple key comes to in cut i, or over all cuts if i is below 0.
func (p *parts) result(key string, i int) metric.Result {
	rs := make([]metric.Result, len(p.of))
	for j, h := range p.of {
		m := h.version.Def
		var s *metric.State
		if t := p.tallies[j][key]; t != nil {
			if s = t.sum; i >= 0 {
				s = t.cells[i]
			}
		}
		if rs[j] = empty(m); s != nil {
			rs[j] = m.Result(s)
		}
	}
	if p.def.Kind == metric.Ratio {
		return p.def.Divide(rs[0], rs[1])
	}
	return rs[0]
}

func (p *parts) has(key string, i int) bool {
	for _, ts := range p.tallies {
		if t := ts[key]; t != nil && t.cells[i] != nil {
			return true
		}
	}
	return false
}

func (p *parts) keys() []string {
	var out []string
	for j, ts := range p.tallies {
		for k := range ts {
			if j == 0 || p.tallies[0][k] == nil {
				out = append(out, k)
			}
		}
	}
	return out
}

func otherKey(by int) string { return strings.Join(slices.Repeat([]string{other}, by), "\x00") }

// choose returns the keys to show in their order, at most limit of them and then the row of all others.
func (p *parts) choose(q Question) (show []string, err error) {
	var rs []ranked
	rest := p.by > 0 && slices.Contains(p.keys(), otherKey(p.by))
	for _, k := range p.keys() {
		if p.by == 0 || k != otherKey(p.by) {
			rs = append(rs, ranked{key: k, value: ratOf(p.result(k, -1))})
		}
	}
	rank(rs, q.Order)
	for i, r := range rs {
		if i == q.Limit {
			rest = true
			break
		}
		show = append(show, r.key)
	}
	if !rest {
		return show, nil
	}
	return append(show, otherKey(p.by)), p.foldBut(show)
}

// foldBut merges all tuples that are not in show into the row of others.
func (p *parts) foldBut(show []string) error {
	for j, h := range p.of {
		var rest []*tally
		for k, t := range p.tallies[j] {
			if !slices.Contains(show, k) {
				rest = append(rest, t)
				delete(p.tallies[j], k)
			}
		}
		o, err := h.fold(rest, p.n, p.by)
		if err != nil {
			return err
		}
		p.tallies[j][otherKey(p.by)] = o
	}
	return nil
}

// base are the numbers of the earlier period, by tuple and cut.
type base struct {
	full, begun *parts
	share       *big.Rat
	scale       int
	cutNow      int // the cut that is compared up to now, -1 if none
	none        bool
}

func (b *base) result(key string, i int) metric.Result {
	r := b.full.result(key, i)
	if b.begun == nil || i != b.cutNow || r.Null {
		return r
	}
	v := new(big.Rat).Mul(ratOf(b.begun.result(key, 0)), b.share)
	r.Decimal = roundRat(v.Add(v, ratOf(r)), b.scale)
	return r
}

// roundRat writes v with scale decimals, half away from zero.
func roundRat(v *big.Rat, scale int) string { return v.FloatString(scale) }

// rows turns tallies into the rows of an answer.
func (p plan) rows(cur *parts, b *base, show []string) [][]*string {
	var out [][]*string
	series := p.q.Grain != grainTotal
	for i, c := range p.cuts {
		for _, key := range p.keysOf(show) {
			known := cur.has(key, i)
			if p.omits(c, known, b, key, i) {
				continue
			}
			row := make([]*string, 0, 4+len(p.q.By))
			if series {
				row = append(row, new(p.z.text(c.from)))
			}
			if len(p.q.By) > 0 {
				for v := range strings.SplitSeq(key, "\x00") {
					row = append(row, new(v))
				}
			}
			if known || c.from <= p.wm {
				row = append(row, text(cur.result(key, i)))
			} else {
				row = append(row, nil)
			}
			if p.q.Compare != compareNone {
				row = append(row, b.text(key, i))
			}
			out = append(out, row)
		}
	}
	return out
}

// keysOf is the one empty tuple where nothing is split, whether or not anything has happened.
func (p plan) keysOf(show []string) []string {
	if len(p.q.By) == 0 {
		return []string{""}
	}
	return show
}

// omits leaves out what a client can know by itself: tuples without events, and buckets of the future to which
// nothing is compared.
func (p plan) omits(c cut, known bool, b *base, key string, i int) bool {
	if known {
		return false
	}
	compared := p.q.Compare != compareNone && !b.none && b.full.has(key, i)
	if len(p.q.By) > 0 {
		return !compared
	}
	return p.q.Grain != grainTotal && c.from > p.wm && p.q.Compare == compareNone
}

func (b *base) text(key string, i int) *string {
	if b.none {
		return nil
	}
	return text(b.result(key, i))
}

func text(r metric.Result) *string {
	if r.Null {
		return nil
	}
	return &r.Decimal
}

//go:fix inline
func (p plan) cols() (keys int, cols []string) {
	if p.q.Grain != grainTotal {
		cols = append(cols, "time")
	}
	cols = append(cols, p.q.By...)
	keys = len(cols)
	cols = append(cols, "value")
	if p.q.Compare != compareNone {
		cols = append(cols, "base")
	}
	return keys, cols
}
