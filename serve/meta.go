package serve

import (
	"slices"
	"time"

	"github.com/millstream-data/millstream/internal/metric"
)

// States of the days that an answer covers.
const (
	stateOpen     = "open"
	stateSettling = "settling"
	stateSealed   = "sealed"
	stateMixed    = "mixed"
	stateComputed = "computed"
)

// meta says what stands beside the numbers.
func (e *engine) meta(p plan, b *base, cur *parts, cal *calendar) map[string]any {
	def := p.def
	if m := e.titles(def.Name); m != nil {
		def = m
	}
	state, revision, late := p.state(cur.of[0].version.Def, cal)
	m := map[string]any{
		"kind": string(def.Kind), "title": def.Title, "unit": def.Unit, "scale": scaleOf(p.def),
		"from": p.z.text(p.span.from), "to": p.z.text(p.span.to),
		"state": state, "revision": revision, "late": late, "method": cur.method(),
	}
	if p.q.Compare != compareNone {
		m["compare"] = p.compareMeta(b)
	}
	return m
}

func (e *engine) titles(name string) *metric.Metric {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.reg.Set == nil {
		return nil
	}
	return e.reg.Set.Metric(name)
}

// compareMeta says with which moment a running period is compared.
func (p plan) compareMeta(b *base) map[string]any {
	if b.none {
		return map[string]any{"reason": "quarters of an hour are not kept"}
	}
	i := b.cutNow
	if i < 0 {
		return map[string]any{}
	}
	at := p.wm
	if !p.def.Additive() {
		at = metric.FineStart(metric.FineBucket(at))
	}
	earlier := time.Unix(p.z.shift(at, shiftOf(p.q.Compare)), 0).In(p.z.loc)
	return map[string]any{"at": earlier.Format("15:04"), "day": earlier.Format(time.DateOnly)}
}

// state returns the state of the days of p, and of a single day its revision and late events.
func (p plan) state(def *metric.Metric, cal *calendar) (state string, revision int, late int64) {
	if p.span.rolling || !slices.Contains(def.Zones, p.z.Name()) || p.q.Grain == grain15m || p.q.Grain == grainHour {
		return stateComputed, 0, 0
	}
	for day := p.span.day; day < p.span.end; day++ {
		id := metric.DayID{Zone: p.z.Name(), Day: day}
		is := stateOpen
		switch _, end := p.z.Bounds(day); {
		case cal.days[id].Sealed:
			is = stateSealed
		case end <= p.now.Unix():
			is = stateSettling
		}
		if state == "" {
			state = is
		}
		if state != is {
			return stateMixed, 0, 0
		}
		revision, late = cal.days[id].Revision, cal.late[id]
	}
	if p.span.daysInside != 1 {
		revision, late = 0, 0
	}
	return state, revision, late
}

// method says how the numbers came about; one estimate among them makes all of them estimates.
func (p *parts) method() string {
	out := ""
	for _, k := range p.keys() {
		if r := p.result(k, -1); out == "" || !r.Exact() {
			out = r.Method
		}
	}
	if out == "" {
		return empty(p.def).Method
	}
	return out
}
