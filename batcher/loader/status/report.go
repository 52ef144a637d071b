package status

import (
	"cmp"
	"slices"
	"time"
)

// Report is how the warehouse stands.
type Report struct {
	At          time.Time   `json:"at"`
	Targets     []Target    `json:"targets"` // worst first
	Held        []Held      `json:"held"`
	Gaps        []Gap       `json:"chain_gaps"`
	Maintenance Maintenance `json:"maintenance"`
	Models      []Model     `json:"models"`
	Retired     []Retired   `json:"retired_columns"`
	Views       []View      `json:"early_binding_views"`
	Miscounted  []string    `json:"miscounted_mirrors"` // whose last refresh brought other rows than cdc counted
	Unread      []string    `json:"unread"`             // what could not be read, and why
}

// Wrong says that somebody has to mend something: a target or file is held, or
// a chain has a gap.
func (r Report) Wrong() bool {
	return len(r.Gaps) > 0 || slices.ContainsFunc(r.Held, func(h Held) bool { return h.Kind == HeldFile || h.Kind == HeldTarget || h.Reason == "denied" })
}

// Target is a table that the loader fills.
type Target struct {
	Target          string     `json:"target"`
	Kind            string     `json:"kind"`
	LoadedThrough   *time.Time `json:"loaded_through"`             // newest received_at
	CompleteThrough *time.Time `json:"complete_through,omitempty"` // of a mirror
	AgeSeconds      int64      `json:"age_seconds"`                // of LoadedThrough
	Rows            int64      `json:"rows"`                       // -1: not known, as MB
	MB              int64      `json:"mb"`
	Skew            float64    `json:"skew"`     // -1: not known, as Unsorted
	Unsorted        float64    `json:"unsorted"` // percent
	LastLoadAt      *time.Time `json:"last_load_at"`
	LastLoadSeconds float64    `json:"last_load_seconds"`
	LastLoadRows    int64      `json:"last_load_rows"`
	DueRows         int64      `json:"due_rows"`
	DueFiles        int        `json:"due_files"`
	DueSeconds      int64      `json:"due_seconds"` // age of the oldest commit with such rows
	DueAtLeast      bool       `json:"due_at_least,omitempty"`
	Held            string     `json:"held,omitempty"` // the reason, of a target held as a whole
}

// The kinds of Held.
const (
	HeldTarget  = "target"
	HeldFile    = "file"
	HeldSkipped = "skipped" // a file that somebody gave up
	HeldBlocked = "blocked" // nothing is held, but a session keeps the table from being altered
)

// Held is what waits for somebody.
type Held struct {
	Target   string    `json:"target"`
	Kind     string    `json:"kind"`
	File     string    `json:"file,omitempty"`
	Chains   int       `json:"chains,omitempty"` // of a target: those that it keeps its place in
	Reason   string    `json:"reason"`
	Words    string    `json:"words"` // what it means
	Said     string    `json:"said"`  // Redshift's words
	Mend     string    `json:"mend"`
	Since    time.Time `json:"since"`
	Attempts int       `json:"attempts"`
	Rows     int64     `json:"rows,omitempty"` // due of a target

	topic string // of a chain that it keeps its place in
}

// Gap is a chain that cannot be read on.
type Gap struct {
	Chain  string `json:"chain"`
	Says   string `json:"says"`
	Missed int    `json:"targets"` // that wait behind it
}

// Maintenance is what was done by night, and is to be.
type Maintenance struct {
	Enabled bool      `json:"enabled"`
	Window  string    `json:"window"`
	Open    bool      `json:"open"`
	Next    time.Time `json:"next"` // when the window opens
	Done    []Done    `json:"done"` // of the last week, the newest first
	Planned []Planned `json:"planned"`
}

// Done is an act that was done, or tried.
type Done struct {
	At      time.Time `json:"at"`
	Target  string    `json:"target"`
	Act     string    `json:"act"`
	Reason  string    `json:"reason"`
	Before  string    `json:"before"`
	After   string    `json:"after"`
	Seconds float64   `json:"seconds"`
	Error   string    `json:"error,omitempty"`
}

// Planned is an act that is due.
type Planned struct {
	Target string `json:"target"`
	Act    string `json:"act"`
	Reason string `json:"reason"`
}

// Model is an SQL model.
type Model struct {
	Model    string     `json:"model"`
	BuiltAt  *time.Time `json:"built_at"`
	Rows     int64      `json:"rows"`
	Seconds  float64    `json:"seconds"`
	Warnings int        `json:"warnings"` // tests that failed and only warn
	Error    string     `json:"error,omitempty"`
	FailedAt *time.Time `json:"failed_at,omitempty"`
}

// Retired are columns of a mirror that its origin has no more.
type Retired struct {
	Target  string   `json:"target"`
	Columns []string `json:"columns"`
}

// View keeps a mirrored table from being swapped, because it is bound to it.
type View struct {
	View   string `json:"view"`
	Target string `json:"target"`
}

// Has says whether the report knows a target, by name.
func (r Report) Has(target string) bool {
	return slices.ContainsFunc(r.Targets, func(t Target) bool { return t.Target == target }) ||
		slices.ContainsFunc(r.Held, func(h Held) bool { return h.Target == target })
}

// only keeps what concerns a target.
func (r Report) only(target string) Report {
	r.Targets = slices.DeleteFunc(slices.Clone(r.Targets), func(t Target) bool { return t.Target != target })
	r.Held = slices.DeleteFunc(slices.Clone(r.Held), func(h Held) bool { return h.Target != target })
	r.Maintenance.Done = slices.DeleteFunc(slices.Clone(r.Maintenance.Done), func(d Done) bool { return d.Target != target })
	r.Maintenance.Planned = slices.DeleteFunc(slices.Clone(r.Maintenance.Planned), func(d Planned) bool { return d.Target != target })
	r.Models = slices.DeleteFunc(slices.Clone(r.Models), func(m Model) bool { return m.Model != target })
	r.Retired = slices.DeleteFunc(slices.Clone(r.Retired), func(t Retired) bool { return t.Target != target })
	r.Miscounted = slices.DeleteFunc(slices.Clone(r.Miscounted), func(t string) bool { return t != target })
	r.Views = slices.DeleteFunc(slices.Clone(r.Views), func(v View) bool { return v.Target != target })
	return r
}

// sort puts the worst first: what is held, then what has waited longest to be
// loaded, then the oldest.
func (r *Report) sort() {
	held := func(t Target) int {
		if t.Held != "" {
			return 0
		}
		return 1
	}
	slices.SortFunc(r.Targets, func(a, b Target) int {
		return cmp.Or(cmp.Compare(held(a), held(b)), cmp.Compare(b.DueSeconds, a.DueSeconds), cmp.Compare(b.AgeSeconds, a.AgeSeconds), cmp.Compare(a.Target, b.Target))
	})
	slices.SortFunc(r.Held, func(a, b Held) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Target, b.Target), cmp.Compare(a.File, b.File))
	})
}

func rank(h Held) int {
	return slices.Index([]string{HeldTarget, HeldFile, HeldBlocked, HeldSkipped}, h.Kind)
}
