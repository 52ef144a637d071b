package models

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/warehouse"
)

// State is what the warehouse knows of models and their inputs at a moment.
// Times are by the server's clock.
type State struct {
	Now    time.Time
	Built  map[string]Built        // by the table's name with schema
	Loaded map[string]time.Time    // the newest load of each target
	Tables map[warehouse.Name]bool // tables and views that exist
	Views  map[warehouse.Name]bool // those of them that are views
	// Schemas are those of other systems, whose tables cannot be listed cheaply:
	// all names in them are taken to exist.
	Schemas map[string]bool
	Path    []string  // schemas in which names without one are looked for
	since   time.Time // Loaded has no older loads
	user    string
}

// Built is a row of millstream.models: the newest build that was shown, and the
// failures since.
type Built struct {
	Hash     string
	View     bool
	ReadAt   time.Time // the inputs were read then or later; zero: never built
	BuiltAt  time.Time // shown
	Rows     int64
	Seconds  float64
	Columns  []Column
	Tests    []TestResult
	FailedAt time.Time // of the newest failure; zero: none since BuiltAt
	Failed   string    // hash of what failed
	Attempts int       // failures of it in a row
	Error    string
}

// Standing is what a model is at a moment.
type Standing string

// The standings of models.
const (
	Fresh  Standing = "fresh"  // nothing to do
	Due    Standing = "due"    // to be built now
	Waits  Standing = "waits"  // for an input
	Failed Standing = "failed" // to be tried again later
	Broken Standing = "broken" // needs its file mended
)

// Decision is a model's standing and why.
type Decision struct {
	Standing Standing
	Why      string
	Err      error // of Broken: a FileError
}

// Decide returns the decision about each model.
func (p *Project) Decide(s State) map[*Model]Decision {
	out := map[*Model]Decision{}
	for _, m := range p.Models {
		out[m] = p.decide(m, s, out)
	}
	return out
}

// decide looks at one model; so were those before it.
func (p *Project) decide(m *Model, s State, before map[*Model]Decision) Decision {
	if err := p.unknown(m, s); err != nil {
		return Decision{Broken, "a table that it reads is not there", err}
	}
	if broken := p.inputs[m].broken; len(broken) > 0 {
		return Decision{Waits, fmt.Sprintf("for %s, whose file has mistakes", broken[0].table), nil}
	}
	d := p.due(m, s)
	if d.Standing != Due && (d.Standing != Fresh || m.Refresh.Kind != OnChange) {
		return d
	}
	for _, in := range p.before(m) {
		switch of := before[in]; {
		case of.Standing == Due:
			return Decision{Waits, fmt.Sprintf("for %s, which is due", in.Name.Table), nil}
		case of.Standing == Waits && d.Standing == Due:
			return Decision{Waits, fmt.Sprintf("for %s, which waits", in.Name.Table), nil}
		case (of.Standing == Failed || of.Standing == Broken) && d.Standing == Due:
			return Decision{Waits, fmt.Sprintf("for %s, which fails", in.Name.Table), nil}
		case s.Built[in.Name.String()].ReadAt.IsZero() && d.Standing == Due:
			return Decision{Waits, fmt.Sprintf("for %[1]s, which is manual and was never built: millstream models build %[1]s", in.Name.Table), nil}
		}
	}
	return d
}

// due looks at the model alone and at when its inputs changed.
func (p *Project) due(m *Model, s State) Decision {
	b := s.Built[m.Name.String()]
	why, changed := p.reason(m, b, s)
	if why == "" {
		return Decision{Fresh, changed, nil}
	}
	if m.Refresh.Kind == Manual {
		return Decision{Fresh, fmt.Sprintf("manual, and %s: millstream models build %s", why, m.Name.Table), nil}
	}
	if b.Failed == m.Hash && b.Attempts > 0 {
		if again := b.FailedAt.Add(retryAfter(b.Attempts)); s.Now.Before(again) {
			return Decision{Failed, fmt.Sprintf("tried again at %s, or when its file changes", again.UTC().Format("15:04:05 MST")), nil}
		}
		why += ", tried again"
	}
	return Decision{Due, why, nil}
}

// retryAfter is the pause after so many failures in a row.
func retryAfter(attempts int) time.Duration {
	return min(time.Minute<<min(attempts-1, 10), time.Hour)
}

// reason says why m is to be built, or, with why empty, what it has.
func (p *Project) reason(m *Model, b Built, s State) (why, has string) {
	switch {
	case b.ReadAt.IsZero():
		return "it was never built", ""
	case b.Hash != m.Hash:
		return "its file changed", ""
	case !s.Tables[m.Name]:
		return "its table is gone", ""
	}
	age := s.Now.Sub(b.ReadAt)
	switch m.Refresh.Kind {
	case Every:
		if age >= m.Refresh.Period {
			return fmt.Sprintf("its build is %s old", age.Round(time.Second)), ""
		}
		return "", fmt.Sprintf("due at %s", clock(b.ReadAt.Add(m.Refresh.Period)))
	case At:
		if last := m.Refresh.lastAt(s.Now); b.ReadAt.Before(last) {
			return fmt.Sprintf("%s has passed", clock(last)), ""
		}
		return "", "due " + m.Refresh.String()
	case OnChange:
		what, when := p.newest(m, s)
		switch {
		case when.Before(b.ReadAt): // seconds: in the same one it may have come after
			return "", "nothing that it reads has changed since it was built" + p.unseen(m, s)
		case age < m.Refresh.Period:
			return "", fmt.Sprintf("%s changed at %s; due at %s", what, clock(when), clock(b.ReadAt.Add(m.Refresh.Period)))
		}
		return fmt.Sprintf("%s changed at %s", what, clock(when)), ""
	case Manual:
	}
	return "", "manual"
}

func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }

// newest returns the input of m that changed last, and when.
func (p *Project) newest(m *Model, s State) (what string, when time.Time) {
	for _, r := range p.sources(m) {
		if n, ok := s.resolve(r); ok {
			if at := s.loaded(n); at.After(when) {
				what, when = n.String(), at
			}
		}
	}
	for _, in := range p.inputs[m].models {
		if at := s.Built[in.Name.String()].BuiltAt; at.After(when) {
			what, when = in.Name.String(), at
		}
	}
	return what, when
}

// unseen names a view that is no model: what changes under it is not known.
func (p *Project) unseen(m *Model, s State) string {
	for _, r := range p.sources(m) {
		if n, ok := s.resolve(r); ok && s.Views[n] && s.loaded(n).IsZero() {
			return fmt.Sprintf(", but for %s: what changes under that view is not seen, write refresh: every 1h", n)
		}
	}
	return ""
}

// loaded returns when a table was last loaded. Loads of identifies and groups
// bring users and accounts along.
func (s State) loaded(n warehouse.Name) time.Time {
	at := s.Loaded[n.String()]
	for _, from := range []string{"identifies", "groups"} {
		with, _, _ := warehouse.LatestOf(warehouse.Name{Schema: n.Schema, Table: from})
		if events := s.Loaded[n.Schema+"."+from]; with == n && events.After(at) {
			at = events
		}
	}
	return at
}

// resolve returns the table that a name means.
func (s State) resolve(r ref) (warehouse.Name, bool) {
	if r.schema != "" {
		n := warehouse.Name{Schema: r.schema, Table: r.table}
		return n, s.Tables[n] || s.Schemas[r.schema]
	}
	for _, schema := range s.Path {
		if n := (warehouse.Name{Schema: schema, Table: r.table}); s.Tables[n] {
			return n, true
		}
	}
	return warehouse.Name{}, false
}

// systemPrefixes are those of Redshift's own tables and views.
var systemPrefixes = []string{"pg_", "stl_", "stv_", "svl_", "svv_", "svcs_", "sys_"}

// system says that a name is Redshift's own.
func system(r ref) bool {
	if r.schema != "" {
		return r.schema == "pg_catalog" || r.schema == "information_schema"
	}
	return slices.ContainsFunc(systemPrefixes, func(p string) bool { return strings.HasPrefix(r.table, p) })
}

// unknown returns an error for the first table that m or its tests read and
// that is not there.
func (p *Project) unknown(m *Model, s State) error {
	for _, r := range slices.Concat(p.inputs[m].tables, p.inputs[m].tested) {
		if _, ok := s.resolve(r); ok || system(r) {
			continue
		}
		return &FileError{m.File, r.line, fmt.Sprintf("%s is no model and no table of the warehouse%s", r, p.near(r, s))}
	}
	return nil
}

// near names what somebody may have meant.
func (p *Project) near(r ref, s State) string {
	var models, qualified, bare []string
	for _, m := range p.Models {
		models = append(models, m.Name.Table)
	}
	for n := range s.Tables {
		qualified = append(qualified, n.String())
		if n.Table == r.table {
			bare = append(bare, n.String())
		}
	}
	slices.Sort(qualified)
	slices.Sort(bare)
	if len(bare) > 0 { // the right table of another schema
		return didYouMean(strings.Join(bare[:min(len(bare), 3)], " or "))
	}
	if r.schema != "" {
		return didYouMean(config.Nearest(r.String(), qualified))
	}
	if best := config.Nearest(r.table, models); best != "" {
		return didYouMean(best)
	}
	tables := tablesOnly(qualified)
	if i := slices.Index(tables, config.Nearest(r.table, tables)); i >= 0 {
		return didYouMean(qualified[i])
	}
	return ""
}

func didYouMean(name string) string {
	if name == "" {
		return ""
	}
	return "; did you mean " + name + "?"
}

// tablesOnly are the names without their schemas.
func tablesOnly(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		_, out[i], _ = strings.Cut(n, ".")
	}
	return out
}
