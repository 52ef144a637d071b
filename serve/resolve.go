package serve

import (
	"slices"
	"strings"

	"github.com/millstream-data/millstream/internal/metric"
)

// Resolve checks q and returns its canonical form, with locks in it.
func (e *engine) Resolve(q Question, locks map[string]Filter) (Question, error) {
	v, err := e.version(q.Metric)
	if err != nil {
		return q, err
	}
	sub := e.subject(v)
	if q, err = q.withLocks(sub, locks); err != nil {
		return q, err
	}
	return q.canonical(sub)
}

func (e *engine) version(name string) (metric.Version, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if v, ok := e.reg.Version(name); ok {
		return v, nil
	}
	if e.reg.No == 0 {
		return metric.Version{}, fault(codeUnknownMetric, "metric", "there is no metric %q; no definitions are in force yet", name)
	}
	return metric.Version{}, fault(codeUnknownMetric, "metric", "there is no metric %q; there are %s", name, strings.Join(e.namesLocked(), ", "))
}

func (e *engine) namesLocked() []string {
	var names []string
	for _, v := range e.reg.Versions {
		if v.State == metric.VersionCurrent {
			names = append(names, v.Name)
		}
	}
	return names
}

// current returns the versions that names stand for, in the order of the definitions, with the present titles.
func (e *engine) current() []metric.Version {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []metric.Version
	for _, v := range e.reg.Versions {
		if v.State != metric.VersionCurrent {
			continue
		}
		if e.reg.Set != nil {
			if m := e.reg.Set.Metric(v.Name); m != nil {
				v.Def = m
			}
		}
		out = append(out, v)
	}
	return out
}

// subject is what may be asked of v: of a ratio, what both of its metrics have.
func (e *engine) subject(v metric.Version) subject {
	s := subject{name: v.Name, ver: v.Ver, dims: v.Def.Dims(), zones: v.Def.Zones, fine: v.Def.Fine}
	if v.Def.Kind != metric.Ratio {
		return s
	}
	for i, name := range v.Def.Divides {
		part, err := e.version(name)
		if err != nil {
			continue // Answer says so
		}
		dims := part.Def.Dims()
		if i == 0 {
			s.dims, s.zones, s.fine = dims, part.Def.Zones, part.Def.Fine
			continue
		}
		s.dims = slices.DeleteFunc(slices.Clone(s.dims), func(d string) bool { return !slices.Contains(dims, d) })
		s.fine = s.fine && part.Def.Fine
	}
	return s
}
