package metric

import (
	"errors"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/millstream-data/millstream/internal/event"
)

// Errors of Evaluator.Apply: the event cannot be read, whatever the metrics.
var (
	ErrBadJSON   = errors.New("the value is not one JSON object")
	ErrTimestamp = errors.New("timestamp is missing or no RFC 3339 time")
)

// Event is one event as it lies on its topic. Nothing of it is kept.
type Event struct {
	Source     string
	Type       event.Type
	Name       string // of a track call
	ReceivedMS int64
	JSON       []byte
}

// Contribution is what one event adds to one metric.
type Contribution struct {
	Version int   // index in the plan's versions
	At      int64 // unix seconds of the event's time, clamped
	Value   int64 // for State.Add
	Minus   bool
	Bad     bool   // it has no usable value: counts in Bad and nowhere else
	Dim     uint64 // hash of Tuple; 0 if the metric has no dimensions
	Tuple   []byte // encoded values, valid until the next event; see DecodeTuple
}

// Clock tells whether an event's time was believed.
type Clock int

// What became of an event's time.
const (
	ClockKept   Clock = iota
	ClockFuture       // too far after its receipt: it counts when it was received
	ClockPast         // before 2000: it counts when it was received
)

// Plan finds for an event what it adds to which metric. It is read-only; each
// goroutine makes an Evaluator of its own.
type Plan struct {
	Versions []Version // those that have cells
	metrics  []planned
	trie     *trie
	time     int // slot of the timestamp
	name     int // slot of the name of a page or screen
	future   int64
}

type planned struct {
	def   *Metric
	where func(*view) bool
	value ref
	by    []plannedDim
}

type plannedDim struct {
	Dim
	refs []ref
}

// NewPlan compiles the versions that are not ratios. An event's time may lie
// at most future after its receipt.
func NewPlan(versions []Version, future time.Duration) *Plan {
	p := &Plan{future: int64(future / time.Millisecond)}
	paths := [][]string{{"timestamp"}, {"name"}}
	want := func(q path) {
		switch {
		case q.members[0] == "user":
			paths = append(paths, []string{"userId"}, []string{"anonymousId"})
		case q.members[0][0] != '@':
			paths = append(paths, q.members)
		}
	}
	for _, v := range versions {
		if v.Def.Kind == Ratio {
			continue
		}
		p.Versions = append(p.Versions, v)
		if v.Def.Kind != Count {
			want(v.Def.value)
		}
		for _, q := range v.Def.where.paths(nil) {
			want(q)
		}
		for _, d := range v.Def.By {
			for _, q := range d.paths {
				want(q)
			}
		}
	}
	p.trie = newTrie(paths)
	p.time, p.name = p.trie.slot([]string{"timestamp"}), p.trie.slot([]string{"name"})
	for _, v := range p.Versions {
		m := planned{def: v.Def, where: v.Def.where.compile(p.find)}
		if v.Def.Kind != Count {
			m.value = p.find(v.Def.value)
		}
		for _, d := range v.Def.By {
			pd := plannedDim{Dim: d}
			for _, q := range d.paths {
				pd.refs = append(pd.refs, p.find(q))
			}
			m.by = append(m.by, pd)
		}
		p.metrics = append(p.metrics, m)
	}
	return p
}

// Headers stand in a view beside the slots.
const (
	headerSource = iota
	headerType
	headerEvent
)

func (p *Plan) find(q path) ref {
	switch q.members[0] {
	case "@source":
		return ref{-1 - headerSource, -1}
	case "@type":
		return ref{-1 - headerType, -1}
	case "@event":
		return ref{-1 - headerEvent, -1}
	case "user":
		return ref{p.trie.slot([]string{"userId"}), p.trie.slot([]string{"anonymousId"})}
	}
	return ref{p.trie.slot(q.members), -1}
}

// route are the metrics that an event may concern, known from its headers.
type route struct{ hits []hit }

type hit struct {
	metric int
	minus  bool
	name   string // of a page or screen; compared when the JSON is read
	named  bool
}

// maxRoutes bounds what an Evaluator remembers of event names, which senders choose.
const maxRoutes = 10_000

// Evaluator applies a Plan. It is not safe for concurrent use and allocates
// nothing per event once it has met the event's name.
type Evaluator struct {
	Clock Clock // of the event applied last

	p      *Plan
	routes map[routeKey]*route
	scan   scanner
	view   view
	tuple  []byte
	out    []Contribution
}

type routeKey struct {
	source string
	typ    event.Type
	name   string
}

// NewEvaluator returns an Evaluator of p.
func (p *Plan) NewEvaluator() *Evaluator {
	return &Evaluator{p: p, routes: map[routeKey]*route{}}
}

// Apply returns what ev adds to the plan's metrics, valid until the next call.
// An event that no metric asks for is not parsed. The error is ErrBadJSON or
// ErrTimestamp: then it adds nothing.
func (e *Evaluator) Apply(ev Event) ([]Contribution, error) {
	e.Clock = ClockKept
	r := e.route(ev)
	if len(r.hits) == 0 {
		return nil, nil
	}
	if err := e.scan.scan(e.p.trie, ev.JSON); err != nil {
		return nil, ErrBadJSON
	}
	e.view.vals, e.view.scratch = e.scan.vals, e.view.scratch[:0]
	e.setHeaders(ev)
	ms, ok := e.eventTime(ev)
	if !ok {
		return nil, ErrTimestamp
	}
	e.out, e.tuple = e.out[:0], e.tuple[:0]
	for _, h := range r.hits {
		if h.named && string(e.view.vals[e.p.name].raw) != h.name {
			continue
		}
		m := &e.p.metrics[h.metric]
		if !m.where(&e.view) {
			continue
		}
		c := Contribution{Version: h.metric, Minus: h.minus, At: floorDiv(ms, 1000)}
		if m.def.Time == "received" {
			c.At = floorDiv(ev.ReceivedMS, 1000)
		}
		var usable bool
		c.Value, usable = e.value(m)
		c.Bad = !usable
		c.Dim, c.Tuple = e.dims(m)
		e.out = append(e.out, c)
	}
	return e.out, nil
}

func (e *Evaluator) route(ev Event) *route {
	k := routeKey{ev.Source, ev.Type, ev.Name}
	if r := e.routes[k]; r != nil {
		return r
	}
	if len(e.routes) >= maxRoutes {
		clear(e.routes)
	}
	r := &route{}
	for i, m := range e.p.metrics {
		if len(m.def.Sources) > 0 && !slices.Contains(m.def.Sources, ev.Source) {
			continue
		}
		r.add(i, m.def.Of, ev, false)
		r.add(i, m.def.Minus, ev, true)
	}
	e.routes[k] = r
	return r
}

// add takes the first matcher that fits, so that two which overlap count once.
func (r *route) add(metric int, ms []Matcher, ev Event, minus bool) {
	var named []hit
	for _, m := range ms {
		switch late := m.Named && m.Type == ev.Type && m.Type != event.Track; {
		case late:
			named = append(named, hit{metric, minus, m.Event, true})
		case m.Match(ev.Type, ev.Name):
			r.hits = append(r.hits, hit{metric: metric, minus: minus})
			return
		}
	}
	seen := map[string]bool{}
	for _, h := range named {
		if !seen[h.name] {
			r.hits = append(r.hits, h)
		}
		seen[h.name] = true
	}
}

func (e *Evaluator) setHeaders(ev Event) {
	start := len(e.view.scratch)
	for i, s := range [...]string{ev.Source, string(ev.Type), ev.Name} {
		e.view.header[i] = value{}
		if s != "" {
			e.view.scratch = append(e.view.scratch, s...)
			e.view.header[i] = value{isString, e.view.scratch[start:len(e.view.scratch):len(e.view.scratch)]}
			start = len(e.view.scratch)
		}
	}
}

func (e *Evaluator) value(m *planned) (int64, bool) {
	if m.def.Kind == Count {
		return 0, true
	}
	val := e.view.get(m.value)
	if m.def.Kind == Uniques {
		if val.kind == absent {
			return 0, false
		}
		return int64(xxhash.Sum64(e.view.textOf(val, false))), true //nolint:gosec // a hash travels as it is
	}
	d, ok := val2num(val)
	if !ok {
		return 0, false
	}
	return d.scaled(m.def.Scale)
}

// dims appends the tuple of m to e.tuple.
func (e *Evaluator) dims(m *planned) (uint64, []byte) {
	if len(m.by) == 0 {
		return 0, nil
	}
	start := len(e.tuple)
	for i := range m.by {
		e.tuple = appendTupleValue(e.tuple, e.dim(&m.by[i]))
	}
	t := e.tuple[start:len(e.tuple):len(e.tuple)]
	return DimHash(t), t
}

func (e *Evaluator) dim(d *plannedDim) []byte {
	var text []byte
	for _, r := range d.refs {
		if val := e.view.get(r); val.kind != absent {
			text = e.view.textOf(val, d.Lower)
			break
		}
	}
	if text == nil {
		return e.literal(d.Absent)
	}
	text = cutText(text, d.MaxLen)
	if len(d.Allow) > 0 && !slices.ContainsFunc(d.Allow, func(a string) bool { return a == string(text) }) {
		return e.literal(d.Else)
	}
	return text
}

func (e *Evaluator) literal(s string) []byte {
	start := len(e.view.scratch)
	e.view.scratch = append(e.view.scratch, s...)
	return e.view.scratch[start:]
}
