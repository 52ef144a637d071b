package care

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/millstream-data/millstream/internal/warehouse"
)

// Act is a kind of maintenance, as millstream.maintenance names it.
type Act string

// The acts.
const (
	Trim         Act = "trim_ledger"
	Drop         Act = "drop_forgotten"
	VacuumDelete Act = "vacuum_delete"
	VacuumSort   Act = "vacuum_sort"
	Distribute   Act = "diststyle"
	Analyze      Act = "analyze"
	Compress     Act = "compression"
)

// Acts are all, in the order in which a table gets them: statistics after what
// changes them, the longest last.
var Acts = [...]Act{Trim, Drop, VacuumDelete, VacuumSort, Distribute, Analyze, Compress}

// From these figures on something is done; the specification of the loader
// gives them.
const (
	deadPercent    = 15
	unsortedBy     = 20
	sortBenefitBy  = 10
	staleBy        = 10
	changedPercent = 10
	compressRows   = 1_000_000
	savedPercent   = 20
	// What has outgrown DISTSTYLE ALL goes back to it at half the size, lest it
	// goes to and fro.
	backToAll = 2
)

// LedgerTarget stands for the whole ledger in acts and their notes.
const LedgerTarget = warehouse.Schema

// Table is what is known of a target's table.
type Table struct {
	warehouse.TableInfo
	DataMB  int64    // what the rows take, once; -1: nobody tells
	Small   bool     // of a kind that is copied to all nodes while it is small
	DistKey string   // the column by which it is spread when it is not; empty: evenly
	Changed int64    // rows that loads brought or changed since the last ANALYZE
	Held    bool     // as a whole: nothing is done to it
	Sort    []string // columns of the sort key
}

// Past is what became of an act on a target: how long ago it was tried, and
// done; negative for never.
type Past struct{ Tried, Done time.Duration }

// Facts are what Decide goes by.
type Facts struct {
	Tables    []Table
	Forgotten []warehouse.Name
	Past      map[string]map[Act]Past // by target
	// Window is how long the window is open. What was tried in it is not tried
	// again.
	Window time.Duration
	// CompressionEvery is the time between two looks at a table's encodings.
	CompressionEvery time.Duration
	// Auto says that encodings and distribution are left to Redshift.
	Auto bool
}

// Todo is an act that is due, with the reason for people.
type Todo struct {
	Target string
	Name   warehouse.Name // of a table; of the ledger empty
	Act    Act
	Reason string
	Table  Table // of acts on a target
}

// Decide returns what is due, in the order in which it is to be done: the
// ledger first, then tables, those first that were cared for longest ago.
func Decide(f Facts) []Todo {
	var out []Todo
	add := func(td Todo) {
		if p, ok := f.Past[td.Target][td.Act]; !ok || p.Tried < 0 || p.Tried > min(f.Window, 20*time.Hour) {
			out = append(out, td)
		}
	}
	add(Todo{Target: LedgerTarget, Act: Trim, Reason: "daily"})
	for _, n := range f.Forgotten {
		add(Todo{Target: n.String(), Name: n, Act: Drop, Reason: "left by a build or refresh that did not end"})
	}
	tables := slices.Clone(f.Tables)
	slices.SortStableFunc(tables, func(a, b Table) int {
		return cmp.Or(cmp.Compare(f.lastCare(b.Name.String()), f.lastCare(a.Name.String())), cmp.Compare(a.Name.String(), b.Name.String()))
	})
	for _, t := range tables {
		if t.Held || t.AllRows <= 0 {
			continue
		}
		for _, act := range Acts {
			if reason := f.reason(act, t); reason != "" {
				add(Todo{Target: t.Name.String(), Name: t.Name, Act: act, Reason: reason, Table: t})
			}
		}
	}
	return out
}

// lastCare is how long ago anything was tried on a target.
func (f Facts) lastCare(target string) time.Duration {
	last := time.Duration(1<<63 - 1)
	for _, p := range f.Past[target] {
		if p.Tried >= 0 {
			last = min(last, p.Tried)
		}
	}
	return last
}

// reason says why an act on a table is due, or nothing.
func (f Facts) reason(act Act, t Table) string {
	switch act {
	case VacuumDelete:
		if dead := t.Dead(); dead > deadPercent {
			return fmt.Sprintf("%.0f %% of the rows are deleted ones", dead)
		}
	case VacuumSort:
		if t.Unsorted > unsortedBy && t.SortBenefit > sortBenefitBy {
			return fmt.Sprintf("%.0f %% unsorted, sorting saves %.0f %%", t.Unsorted, t.SortBenefit)
		}
	case Distribute:
		if !f.Auto {
			return t.distribute()
		}
	case Analyze:
		switch {
		case t.StatsOff > staleBy:
			return fmt.Sprintf("statistics are %.0f %% off", t.StatsOff)
		case t.Changed > 0 && 100*t.Changed >= changedPercent*t.AllRows:
			return fmt.Sprintf("%d of %d rows came or changed since the last time", t.Changed, t.AllRows)
		}
	case Compress:
		if !f.Auto {
			return f.compress(t)
		}
	case Trim, Drop:
	}
	return ""
}

// distribute says why a table's distribution is to change. Redshift's own
// choice, AUTO, is left alone.
func (t Table) distribute() string {
	switch {
	case !t.Small:
	case t.DistStyle == "ALL" && (t.Rows >= warehouse.SmallRows || t.DataMB >= warehouse.SmallMB):
		return fmt.Sprintf("%s outgrew DISTSTYLE ALL", t.size())
	case (t.DistStyle == "EVEN" || len(t.DistStyle) > 3 && t.DistStyle[:3] == "KEY") && t.Rows < warehouse.SmallRows/backToAll && t.DataMB >= 0 && t.DataMB < warehouse.SmallMB/backToAll:
		return fmt.Sprintf("%s are small enough for DISTSTYLE ALL", t.size())
	}
	return ""
}

func (t Table) size() string {
	if t.DataMB < 0 {
		return fmt.Sprintf("%d rows", t.Rows)
	}
	return fmt.Sprintf("%d rows and %d MB", t.Rows, t.DataMB)
}

// compress says why a table's encodings are to be looked at: once it has grown,
// then from time to time. Of smaller tables no column fills its first block.
func (f Facts) compress(t Table) string {
	if t.Rows < compressRows {
		return ""
	}
	p, ok := f.Past[t.Name.String()][Compress]
	switch {
	case !ok || p.Done < 0:
		return fmt.Sprintf("%d rows, and nobody has looked at its encodings", t.Rows)
	case p.Done >= f.CompressionEvery:
		return fmt.Sprintf("encodings were looked at %d days ago", int(p.Done.Hours()/24))
	}
	return ""
}
