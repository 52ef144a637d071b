package metric

import (
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/millstream-data/millstream/internal/event"
)

// kindKeys are the keys that a kind has beside its own name and the common ones.
func kindKeys(k Kind) []string {
	switch k {
	case Count:
		return []string{"minus"}
	case Sum:
		return []string{"of", "minus", "scale"}
	case Min, Max, Avg:
		return []string{"of", "scale"}
	case Uniques:
		return []string{"of", "exact"}
	case Ratio:
	}
	return []string{"scale"}
}

func commonKeys() []string {
	return []string{"title", "description", "unit", "where", "by", "zones", "grains", "time", "source"}
}

func (p *parser) readMetric(name string, key, n *yaml.Node) {
	at := "metrics." + name
	if twin, ok := p.places[name]; ok {
		p.fail(key, at, "is defined already in %s:%d", twin.file, twin.node.Line)
		return
	}
	if n.Kind != yaml.MappingNode {
		p.fail(n, at, "must be a mapping of keys to values")
		return
	}
	kind, ok := p.kindOf(n, at)
	if !ok {
		return
	}
	known := append([]string{string(kind)}, kindKeys(kind)...)
	if kind == Ratio {
		known = append(known, "title", "description", "unit")
	} else {
		known = append(known, commonKeys()...)
	}
	keys, ok := p.metricKeys(n, at, kind, known)
	if !ok {
		return
	}
	m := &Metric{
		Name: name, Kind: kind, Title: p.text(keys["title"], at+".title", name),
		Description: p.text(keys["description"], at+".description", ""), Unit: p.text(keys["unit"], at+".unit", ""),
	}
	m.Scale = p.scale(keys["scale"], at+".scale", m)
	p.places[name] = place{file: p.name, node: key, keys: keys}
	p.set.Metrics = append(p.set.Metrics, m)
	if kind == Ratio {
		m.Divides = p.list(keys["ratio"], at+".ratio")
		return
	}
	p.readCommon(m, at, n, keys)
}

// kindOf finds the one key that names a kind.
func (p *parser) kindOf(n *yaml.Node, at string) (Kind, bool) {
	var found []string
	for i := 0; i+1 < len(n.Content); i += 2 {
		if k := n.Content[i].Value; slices.Contains(Kinds(), Kind(k)) {
			found = append(found, k)
		}
	}
	names := make([]string, 0, len(Kinds()))
	for _, k := range Kinds() {
		names = append(names, string(k))
	}
	switch len(found) {
	case 1:
		return Kind(found[0]), true
	case 0:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if k := n.Content[i]; suggest(k.Value, names) != "" && !slices.Contains(commonKeys(), k.Value) {
				p.fail(k, join(at, k.Value), "unknown key%s", suggest(k.Value, names))
				return "", false
			}
		}
		p.fail(n, at, "has no kind; add one of %s", strings.Join(names, ", "))
	default:
		p.fail(n, at, "has two kinds, %s; make two metrics of it", strings.Join(found, " and "))
	}
	return "", false
}

// metricKeys reads the keys and explains one that belongs to another kind.
func (p *parser) metricKeys(n *yaml.Node, at string, kind Kind, known []string) (map[string]*yaml.Node, bool) {
	all := slices.Clone(known)
	for _, k := range Kinds() {
		all = append(all, kindKeys(k)...)
	}
	if kind == Ratio {
		all = append(all, commonKeys()...)
	}
	keys, ok := p.mapping(n, at, all)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		if !slices.Contains(known, k.Value) && slices.Contains(all, k.Value) {
			p.fail(k, join(at, k.Value), "is no key of %s; it has %s", kind, strings.Join(known, ", "))
			delete(keys, k.Value)
		}
	}
	return keys, ok
}

func (p *parser) scale(n *yaml.Node, at string, m *Metric) int {
	or := DefaultScale
	switch {
	case isCurrency(m.Unit):
		or = 2
	case m.Kind == Count || m.Kind == Uniques:
		or = 0
	}
	return p.integer(n, at, or, 0, MaxScale)
}

// isCurrency tells units like EUR, whose amounts have cents.
func isCurrency(unit string) bool {
	return len(unit) == 3 && strings.Trim(unit, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

func (p *parser) readCommon(m *Metric, at string, n *yaml.Node, keys map[string]*yaml.Node) {
	d := p.defaults
	m.Zones = p.zones(keys["zones"], at+".zones", d.zones)
	m.Fine = p.grains(keys["grains"], at+".grains", d.fine)
	m.Time = p.word(keys["time"], at+".time", d.time, "event", "received")
	if m.Sources = d.sources; keys["source"] != nil {
		m.Sources = p.list(keys["source"], at+".source")
	}
	of := keys["of"]
	if m.Kind == Count {
		of = keys["count"]
		m.Of = p.matchers(of, at+".count")
	} else if m.Of = p.matchers(of, at+".of"); of == nil {
		p.fail(n, at+".of", "missing; %s needs the events to %s, for example `of: Order Completed`", m.Kind, purpose(m.Kind))
	}
	m.Minus = p.matchers(keys["minus"], at+".minus")
	if a, b, ok := overlap(m.Of, m.Minus); ok {
		p.fail(keys["minus"], at+".minus", "%s and %s select the same events", a.text(), b.text())
	}
	if m.Kind != Count {
		v := keys[string(m.Kind)]
		m.Value = p.text(v, at+"."+string(m.Kind), "")
		var err error
		if m.value, err = parsePath(m.Value); err != nil {
			p.fail(v, at+"."+string(m.Kind), "%s", err)
		}
	}
	if m.Kind == Uniques {
		m.Exact = p.integer(keys["exact"], at+".exact", DefaultExact, MinExact, MaxExact)
	}
	if w := keys["where"]; w != nil {
		m.Where = p.text(w, at+".where", "")
		var err error
		if m.where, err = parsePredicate(m.Where); err != nil {
			p.fail(w, at+".where", "%s", err)
		}
	}
	p.readBy(m, at+".by", keys["by"])
}

func purpose(k Kind) string {
	switch k {
	case Avg:
		return "average over"
	case Sum:
		return "sum over"
	case Count, Min, Max, Uniques, Ratio:
	}
	return "look at"
}

func (p *parser) readBy(m *Metric, at string, n *yaml.Node) {
	names := p.list(n, at)
	if len(names) > MaxBy {
		p.fail(n, at, "at most %d dimensions (got %d)", MaxBy, len(names))
		return
	}
	for i, name := range names {
		d, ok := p.dims[name]
		where, item := at, n
		if n.Kind == yaml.SequenceNode {
			where, item = fmt.Sprintf("%s[%d]", at, i), n.Content[i]
		}
		switch {
		case !ok:
			known := make([]string, 0, len(p.dims))
			for k := range p.dims {
				known = append(known, k)
			}
			slices.Sort(known)
			p.fail(item, where, "unknown dimension %q%s; dimensions are declared under dims", name, suggest(name, known))
		case slices.Contains(m.Dims(), name):
			p.fail(item, where, "%q is given twice", name)
		default:
			m.By = append(m.By, d)
		}
	}
}

func (p *parser) matchers(n *yaml.Node, at string) (out []Matcher) {
	for i, s := range p.list(n, at) {
		m, ok := parseMatcher(s)
		if !ok {
			p.fail(n, fmt.Sprintf("%s[%d]", at, i), "must not be empty; write the name of an event, a type such as page, or \"*\"")
			continue
		}
		out = append(out, m)
	}
	return out
}

// parseMatcher reads "*", a type, type:name, or the name of a track event.
func parseMatcher(s string) (Matcher, bool) {
	if s == "*" {
		return Matcher{Any: true}, true
	}
	if t, ok := event.ParseType(s); ok {
		return Matcher{Type: t}, true
	}
	if head, name, ok := strings.Cut(s, ":"); ok {
		if t, ok := event.ParseType(head); ok {
			return Matcher{Type: t, Event: name, Named: true}, name != ""
		}
	}
	return Matcher{Type: event.Track, Event: s, Named: true}, s != ""
}

func (m Matcher) text() string {
	switch {
	case m.Any:
		return `"*"`
	case !m.Named:
		return string(m.Type)
	}
	return string(m.Type) + ":" + m.Event
}

func overlap(of, minus []Matcher) (a, b Matcher, found bool) {
	for _, a = range of {
		for _, b = range minus {
			if a.Any || b.Any || a.Type == b.Type && (!a.Named || !b.Named || a.Event == b.Event) {
				return a, b, true
			}
		}
	}
	return a, b, false
}

// ratios checks what only the whole set knows.
func (p *parser) ratios() {
	for _, m := range p.set.Metrics {
		if m.Kind != Ratio {
			continue
		}
		pl := p.places[m.Name]
		n, at := pl.keys["ratio"], "metrics."+m.Name+".ratio"
		p.name = pl.file
		if len(m.Divides) != 2 {
			p.fail(n, at, "must be two metrics, the dividend and the divisor (got %d)", len(m.Divides))
			continue
		}
		var parts []*Metric
		for _, name := range m.Divides {
			switch part := p.set.Metric(name); {
			case part == nil:
				p.fail(n, at, "unknown metric %q%s", name, suggest(name, p.names()))
			case part == m || p.reaches(part, m, 0):
				p.fail(n, at, "%s leads back to itself by way of %s", m.Name, name)
			default:
				parts = append(parts, part)
			}
		}
		if len(parts) == 2 {
			p.shareZones(m, n, at, parts)
		}
	}
}

func (p *parser) shareZones(m *Metric, n *yaml.Node, at string, parts []*Metric) {
	a, b := p.leafZones(parts[0], 0), p.leafZones(parts[1], 0)
	if !slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))) {
		p.fail(n, at, "%s has the zones %s and %s has %s; give both the same", parts[0].Name, strings.Join(a, ", "), parts[1].Name, strings.Join(b, ", "))
	}
	m.Zones = a
	m.By = p.leafBy(m, 0)
}

// leafBy are the dimensions by which m can be split; of a ratio those of both parts.
func (p *parser) leafBy(m *Metric, depth int) []Dim {
	if m.Kind != Ratio {
		return m.By
	}
	var common []Dim
	for i, name := range m.Divides {
		part := p.set.Metric(name)
		if part == nil || depth > maxNesting {
			return nil
		}
		by := p.leafBy(part, depth+1)
		if i == 0 {
			common = slices.Clone(by)
		} else {
			common = slices.DeleteFunc(common, func(d Dim) bool {
				return !slices.ContainsFunc(by, func(o Dim) bool { return hashJSON(o) == hashJSON(d) })
			})
		}
	}
	return common
}

func (p *parser) leafZones(m *Metric, depth int) []string {
	if m.Kind == Ratio && len(m.Divides) > 0 && depth < maxNesting {
		if part := p.set.Metric(m.Divides[0]); part != nil {
			return p.leafZones(part, depth+1)
		}
	}
	return m.Zones
}

func (p *parser) reaches(from, to *Metric, depth int) bool {
	if from.Kind != Ratio || depth > maxNesting {
		return false
	}
	for _, name := range from.Divides {
		if part := p.set.Metric(name); part != nil && (part == to || p.reaches(part, to, depth+1)) {
			return true
		}
	}
	return false
}

func (p *parser) names() []string {
	out := make([]string, len(p.set.Metrics))
	for i, m := range p.set.Metrics {
		out[i] = m.Name
	}
	return out
}
