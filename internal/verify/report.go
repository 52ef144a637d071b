package verify

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is the outcome of a comparison. Members are only ever added.
type Report struct {
	From string    `json:"from"` // first day, UTC
	To   string    `json:"to"`   // last day
	At   time.Time `json:"at"`
	// Balanced says that nothing is unexplained.
	Balanced bool        `json:"balanced"`
	Lines    []Line      `json:"lines"`
	Tables   []TableLine `json:"tables"` // days of tables with a term that is not zero
	Mirrors  []Mirror    `json:"mirrors"`
	// Rows are those that Options.Rows found missing or too many, some of each table.
	Rows        []string `json:"rows,omitempty"`
	Findings    []string `json:"findings,omitempty"`     // each a sentence; none if balanced
	NotCompared []string `json:"not_compared,omitempty"` // each with its reason
}

// Terms are the differences that have a name. They count records and rows.
type Terms struct {
	Uncommitted     int64 `json:"not_committed,omitempty"`     // in the log, and in no commit yet
	Duplicates      int64 `json:"duplicates,omitempty"`        // left out by the batcher
	Rejected        int64 `json:"rejected,omitempty"`          // dead letters of the batcher
	Marks           int64 `json:"marks,omitempty"`             // cdc's control records and tombstones
	Due             int64 `json:"not_loaded,omitempty"`        // in commits above the tables' positions
	Held            int64 `json:"held,omitempty"`              // in held files and of held tables
	Skipped         int64 `json:"skipped,omitempty"`           // in files that were given up
	Gone            int64 `json:"table_gone,omitempty"`        // loaded into a table that is no more; a finding as well
	Twins           int64 `json:"loader_duplicates,omitempty"` // in millstream.duplicates, within the window
	LateDuplicates  int64 `json:"late_duplicates,omitempty"`   // there, by a dedupe longer than the window
	Uncounted       int64 `json:"not_counted,omitempty"`       // above the metric store's positions
	BeforeMetric    int64 `json:"before_metric,omitempty"`     // below where the metric begins
	RejectedCounted int64 `json:"rejected_counted,omitempty"`  // rejected by the batcher, counted by metrics
}

// Line is a source and day.
type Line struct {
	Source    string `json:"source"`
	Day       string `json:"day"`       // of received_at, UTC
	Accepted  int64  `json:"accepted"`  // records
	Lake      int64  `json:"lake"`      // rows of primary tables
	Warehouse *int64 `json:"warehouse"` // rows of primary tables; null for mirrors, which hold the present
	Metrics   *int64 `json:"metrics"`   // events; null where nothing counts them
	Terms
	Unexplained Unexplained `json:"unexplained"`
}

// Unexplained is what is left of each comparison with the lake: above zero is
// missing, below zero too many.
type Unexplained struct {
	Lake      int64 `json:"lake"` // against what was accepted
	Warehouse int64 `json:"warehouse"`
	Metrics   int64 `json:"metrics"`
}

// TableLine is a table and day.
type TableLine struct {
	Table     string `json:"table"`
	Day       string `json:"day"`
	Lake      int64  `json:"lake"`
	Warehouse *int64 `json:"warehouse"`
	Terms
	Unexplained int64 `json:"unexplained"`
}

// MirrorState is what a mirrored table is against its origin.
type MirrorState string

// The states of mirrors.
const (
	MirrorEqual   MirrorState = "equal"
	MirrorWithin  MirrorState = "within"  // as far from the poll as changes since can have brought it
	MirrorDiffers MirrorState = "differs" // farther
	MirrorGone    MirrorState = "gone"    // it was there; a finding as well
	MirrorUnknown MirrorState = "unknown"
)

// Mirror is a mirrored table.
type Mirror struct {
	Table   string      `json:"table"`
	Rows    int64       `json:"rows"` // in the warehouse
	Keys    *int64      `json:"keys"` // of the origin, at the poll
	Poll    string      `json:"poll,omitempty"`
	Through string      `json:"complete_through,omitempty"`
	Changes int64       `json:"changes"` // since the poll, at most
	State   MirrorState `json:"state"`
	Why     string      `json:"why,omitempty"` // of gone and unknown
}

func (m *Mirror) judge() {
	off := m.Rows - *m.Keys
	switch {
	case off == 0:
		m.State = MirrorEqual
	case max(off, -off) <= m.Changes:
		m.State = MirrorWithin
	default:
		m.State = MirrorDiffers
	}
}

// JSON writes the report.
func (r *Report) JSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// Text writes the report as a table for people.
func (r *Report) Text(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(columns ...string) { fmt.Fprintln(tw, strings.TrimRight(strings.Join(columns, "\t"), "\t ")) }
	row("SOURCE", "DAY", "ACCEPTED", "LAKE", "WAREHOUSE", "METRICS", "UNEXPLAINED", "DIFFERENCES")
	for _, l := range r.Lines {
		u := l.Unexplained
		left := u.Lake
		for _, n := range []int64{u.Warehouse, u.Metrics} {
			if max(n, -n) > max(left, -left) {
				left = n
			}
		}
		row(l.Source, l.Day, number(&l.Accepted), number(&l.Lake), number(l.Warehouse), number(l.Metrics), number(&left), l.words())
	}
	if len(r.Tables) > 0 {
		row("")
		row("TABLE", "DAY", "", "LAKE", "WAREHOUSE", "", "UNEXPLAINED", "DIFFERENCES")
		for _, t := range r.Tables {
			row(t.Table, t.Day, "", number(&t.Lake), number(t.Warehouse), "", number(&t.Unexplained), t.words())
		}
	}
	if len(r.Mirrors) > 0 {
		row("")
		row("MIRROR", "", "ORIGIN", "", "WAREHOUSE", "", "STATE", "REMARKS")
		for _, m := range r.Mirrors {
			row(m.Table, "", number(m.Keys), "", number(&m.Rows), "", string(m.State), m.words())
		}
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	return r.sentences(w)
}

func (r *Report) sentences(w io.Writer) error {
	var b strings.Builder
	for _, group := range []struct {
		title string
		lines []string
	}{{"rows", r.Rows}, {"not compared", r.NotCompared}, {"findings", r.Findings}} {
		if len(group.lines) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n%s:\n", group.title)
		for _, s := range group.lines {
			fmt.Fprintf(&b, "  %s\n", s)
		}
	}
	if r.Balanced {
		fmt.Fprintf(&b, "\nbalanced: every difference from %s to %s has a name\n", r.From, r.To)
	} else {
		fmt.Fprintf(&b, "\nnot balanced: %s\n", plural(int64(len(r.Findings)), "finding"))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func number(n *int64) string {
	if n == nil {
		return "-"
	}
	return strconv.FormatInt(*n, 10)
}

// words names the terms that are not zero.
func (t Terms) words() string {
	var out []string
	for _, term := range []struct {
		n    int64
		name string
	}{
		{t.Uncommitted, "not committed yet"},
		{t.Duplicates, "duplicates"},
		{t.Rejected, "rejected"},
		{t.Marks, "marks"},
		{t.Due, "not loaded yet"},
		{t.Held, "held"},
		{t.Skipped, "skipped"},
		{t.Gone, "in a table that is gone"},
		{t.Twins, "in millstream.duplicates"},
		{t.LateDuplicates, "late duplicates"},
		{t.Uncounted, "not counted by metrics yet"},
		{t.BeforeMetric, "before the metric began"},
		{t.RejectedCounted, "rejected, but counted by metrics"},
	} {
		if term.n != 0 {
			out = append(out, fmt.Sprintf("%d %s", term.n, term.name))
		}
	}
	return strings.Join(out, ", ")
}

func (m Mirror) words() string {
	if m.State == MirrorUnknown || m.State == MirrorGone {
		return m.Why
	}
	return fmt.Sprintf("poll %s, %s since", m.Poll, plural(m.Changes, "change"))
}
