package verify

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/millstream-data/millstream/internal/lake"
)

// cell is a day of a source or of a target.
type cell struct{ name, day string }

func compareCells(a, b cell) int {
	return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.day, b.day))
}

// tally is what there is of a target's day.
type tally struct {
	lake      int64 // rows of committed files
	due       int64 // of them, not loaded yet
	held      int64 // of them, in a held file or of a held target
	skipped   int64 // of them, in a file that was given up
	gone      int64 // of them, in a table that is no more
	twins     int64 // of them, left out by the loader within the window
	late      int64 // and beyond it
	warehouse int64 // rows in the table
	uncounted int64 // of lake, at or above the metric store's position
	before    int64 // of lake, before the metric began to count
}

// unexplained is what the warehouse lacks; below zero, what it has too much.
func (t tally) unexplained() int64 {
	return t.lake - t.due - t.held - t.skipped - t.gone - t.twins - t.late - t.warehouse
}

func (t *tally) add(o tally) {
	t.lake += o.lake
	t.due += o.due
	t.held += o.held
	t.skipped += o.skipped
	t.gone += o.gone
	t.twins += o.twins
	t.late += o.late
	t.warehouse += o.warehouse
	t.uncounted += o.uncounted
	t.before += o.before
}

// books are all that was read.
type books struct {
	accounts    map[cell]*lake.Accounting // by source: what commits say
	uncommitted map[cell]int64            // by source: records of the log that no commit has
	targets     map[cell]*tally           // by target
	changes     map[string]bool           // sources of mirrored tables
	counted     map[cell]int64            // by source: what metrics have
}

func newBooks() *books {
	return &books{
		accounts: map[cell]*lake.Accounting{}, uncommitted: map[cell]int64{}, targets: map[cell]*tally{},
		changes: map[string]bool{}, counted: map[cell]int64{},
	}
}

func (b *books) account(source, dt string) *lake.Accounting {
	c := cell{source, dt}
	if b.accounts[c] == nil {
		b.accounts[c] = &lake.Accounting{Source: source, DT: dt}
	}
	return b.accounts[c]
}

func (b *books) target(name, dt string) *tally {
	c := cell{name, dt}
	if b.targets[c] == nil {
		b.targets[c] = &tally{}
	}
	return b.targets[c]
}

// sourceOf returns the source of a target, and whether each of its rows stands
// for one record: those of a mirrored table do, too.
func (b *books) sourceOf(target string) (source string, primary bool) {
	source, table, _ := strings.Cut(target, ".")
	return source, lake.IsPrimary(table) || b.changes[source]
}

// balance draws the lines.
func (v *verifier) balance() {
	b := v.books
	sums := map[cell]*tally{}
	for c := range b.accounts {
		sums[c] = &tally{}
	}
	for c := range b.uncommitted {
		b.account(c.name, c.day)
		sums[c] = &tally{}
	}
	for c, t := range b.targets {
		source, primary := b.sourceOf(c.name)
		if primary {
			at := cell{source, c.day}
			if sums[at] == nil {
				sums[at] = &tally{}
			}
			sums[at].add(*t)
		}
		v.tableLine(c, *t, b.changes[source])
	}
	for c := range b.counted {
		if sums[c] == nil {
			sums[c] = &tally{}
		}
	}
	for _, c := range slices.SortedFunc(maps.Keys(sums), compareCells) {
		v.line(c, *sums[c])
	}
	slices.SortFunc(v.report.Tables, func(a, b TableLine) int { return compareCells(cell{a.Table, a.Day}, cell{b.Table, b.Day}) })
}

// line draws the line of a source and day.
func (v *verifier) line(c cell, t tally) {
	b := v.books
	a := b.account(c.name, c.day)
	l := Line{
		Source: c.name, Day: c.day, Accepted: a.Records + b.uncommitted[c], Lake: t.lake,
		Terms: Terms{
			Uncommitted: b.uncommitted[c], Duplicates: a.Duplicates, Rejected: a.Rejected, Marks: a.Marks, Due: t.due, Held: t.held,
			Skipped: t.skipped, Gone: t.gone, Twins: t.twins, LateDuplicates: t.late,
		},
	}
	l.Unexplained.Lake = l.Accepted - l.Uncommitted - l.Duplicates - l.Rejected - l.Marks - l.Lake
	if !b.changes[c.name] {
		l.Warehouse = &t.warehouse
		l.Unexplained.Warehouse = t.unexplained()
	}
	if v.metrics != nil && v.metrics.witness[c.name] != nil {
		n := b.counted[c]
		l.Metrics, l.Uncounted, l.BeforeMetric = &n, t.uncounted, t.before
		l.Unexplained.Metrics = t.lake - t.uncounted - t.before - n
		// The batcher refuses rows that are too large; metrics have counted them.
		if over := -l.Unexplained.Metrics; over > 0 {
			l.RejectedCounted = min(over, a.Rejected)
			l.Unexplained.Metrics += l.RejectedCounted
		}
	}
	for _, u := range []struct {
		n     int64
		where string
	}{{l.Unexplained.Lake, "the lake"}, {l.Unexplained.Warehouse, "the warehouse"}, {l.Unexplained.Metrics, "metrics"}} {
		v.unexplained(c, u.where, u.n)
	}
	v.report.Lines = append(v.report.Lines, l)
}

// tableLine keeps what is to be said of a target's day, if anything.
func (v *verifier) tableLine(c cell, t tally, mirror bool) {
	l := TableLine{Table: c.name, Day: c.day, Lake: t.lake, Terms: Terms{Due: t.due, Held: t.held, Skipped: t.skipped, Gone: t.gone, Twins: t.twins, LateDuplicates: t.late}}
	if !mirror {
		l.Warehouse, l.Unexplained = &t.warehouse, t.unexplained()
	}
	if l.Terms == (Terms{}) && l.Unexplained == 0 {
		return
	}
	v.report.Tables = append(v.report.Tables, l)
	v.unexplained(c, "the warehouse", l.Unexplained)
}

// unexplained makes a finding of rows that no term explains.
func (v *verifier) unexplained(c cell, where string, n int64) {
	switch {
	case n > 0:
		v.finding("%s %s: missing from %s: %s that nothing explains", c.name, c.day, where, plural(n, "row"))
	case n < 0:
		v.finding("%s %s: too many in %s: %s that nothing explains", c.name, c.day, where, plural(-n, "row"))
	}
}

func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
