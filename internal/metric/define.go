package metric

import (
	"slices"

	"github.com/millstream-data/millstream/internal/event"
)

// Kind is how a metric aggregates.
type Kind string

// The kinds of metrics.
const (
	Count   Kind = "count"
	Sum     Kind = "sum"
	Min     Kind = "min"
	Max     Kind = "max"
	Avg     Kind = "avg"
	Uniques Kind = "uniques"
	Ratio   Kind = "ratio" // of two metrics, divided when read; it has no cells
)

// Kinds returns every kind, in the order in which documents name them.
func Kinds() []Kind { return []Kind{Count, Sum, Min, Max, Avg, Uniques, Ratio} }

// Set is all that the definition files of an installation say. It is read-only.
type Set struct {
	Metrics []*Metric // by file and line
	Files   []File    // what it was parsed from
	Hash    string    // of Files; 64 hex digits
}

// File is a definition file. Its name leads messages and belongs to the hash.
type File struct {
	Name string `json:"name"`
	Data string `json:"data"`
}

// Metric returns the metric called name, or nil.
func (s *Set) Metric(name string) *Metric {
	for _, m := range s.Metrics {
		if m.Name == name {
			return m
		}
	}
	return nil
}

// Metric is a definition with its defaults filled in. It is read-only. Its JSON
// is its normalised form, which a store keeps.
type Metric struct {
	Name        string    `json:"name"`
	Title       string    `json:"-"` // Name if none is given
	Description string    `json:"-"`
	Unit        string    `json:"-"` // an ISO 4217 code, %, ms, s, B or free text
	Kind        Kind      `json:"kind"`
	Value       string    `json:"value,omitempty"` // path of what is summed, compared or told apart
	Of          []Matcher `json:"of,omitempty"`
	Minus       []Matcher `json:"minus,omitempty"`
	Where       string    `json:"where,omitempty"`
	By          []Dim     `json:"by,omitempty"`
	Scale       int       `json:"scale"` // decimals kept; of a ratio, decimals shown
	Zones       []string  `json:"zones"` // whose days are kept as cells
	Fine        bool      `json:"fine"`  // fine cells are kept
	Time        string    `json:"time"`  // event or received
	Sources     []string  `json:"sources,omitempty"`
	Exact       int       `json:"exact,omitempty"`   // distinct values kept one by one
	Divides     []string  `json:"divides,omitempty"` // of a ratio: dividend and divisor

	value path
	where *predicate
}

// Hash is that of the definition's meaning: what is shown only is not in it. An
// equal hash is the same version.
func (m *Metric) Hash() string {
	meaning := *m
	meaning.Zones = slices.Sorted(slices.Values(m.Zones)) // their order says only which one is shown first
	return hashJSON(&meaning)
}

// Dims returns the names of By.
func (m *Metric) Dims() []string {
	names := make([]string, len(m.By))
	for i, d := range m.By {
		names[i] = d.Name
	}
	return names
}

// Additive tells whether the tuples' results add up to the total's.
func (m *Metric) Additive() bool { return m.Kind == Count || m.Kind == Sum }

// Matcher selects events by their headers.
type Matcher struct {
	Any   bool       `json:"any,omitempty"`
	Type  event.Type `json:"type,omitempty"` // track where only Event is given
	Event string     `json:"event,omitempty"`
	Named bool       `json:"named,omitempty"` // Event counts
}

// Match tells whether an event is selected. name is the event's name of a track
// call and the name of a page or screen.
func (m Matcher) Match(typ event.Type, name string) bool {
	return m.Any || m.Type == typ && (!m.Named || m.Event == name)
}

// Dim is a property to split by.
type Dim struct {
	Name   string   `json:"name"`
	Paths  []string `json:"paths"` // the first that has a value gives it
	Absent string   `json:"absent"`
	Lower  bool     `json:"lower,omitempty"`
	Allow  []string `json:"allow,omitempty"` // if any, other values become Else
	Else   string   `json:"else,omitempty"`
	Top    int      `json:"-"`       // readers show so many of the largest values
	MaxLen int      `json:"max_len"` // characters kept

	paths []path
}

// Limits of definitions.
const (
	MaxBy        = 4
	MaxScale     = 9
	DefaultExact = 4096
	DefaultTop   = 200
	DefaultLen   = 128
	DefaultScale = 6
	MinExact     = 1024
	MaxExact     = 65536
)
