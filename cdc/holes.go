package cdc

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// sight says how well a strategy sees a kind of change.
type sight int

const (
	sightNone  sight = iota
	sightUnder       // exact under a condition
	sightExact       // exact at every watermark
)

// cell is a cell of the table of holes.
type cell struct {
	sight     sight
	condition string // of sightUnder
}

// hole is a kind of change that one strategy or another does not see.
type hole struct {
	name  string
	cells map[string]cell // by form; absent: not seen
}

// The forms of strategies, which are the columns of the table of holes.
const (
	formID    = "id"
	formStamp = "timestamp"
	formBoth  = "both"
)

var forms = []string{formID, formStamp, formBoth, kindBounded, kindXmin, kindReconcile, kindFull}

// form is the column of the table of holes that s is in.
func (s StrategyConfig) form() string {
	switch {
	case s.Kind != kindIncremental:
		return s.Kind
	case len(s.Timestamp) > 0 && s.ID != "":
		return formBoth
	case s.ID != "":
		return formID
	}
	return formStamp
}

// holes is the table of docs/cdc.md: what each strategy sees.
func holes() []hole {
	exact := cell{sight: sightExact}
	under := func(condition string) cell { return cell{sight: sightUnder, condition: condition} }
	window := under("in the window")
	rest := func(m map[string]cell, kinds ...string) map[string]cell {
		for _, k := range kinds {
			m[k] = exact
		}
		return m
	}
	all := []string{kindXmin, kindReconcile, kindFull}
	return []hole{
		{"rows that commit late, with an older id or stamp, and equal stamps", rest(map[string]cell{}, forms...)},
		{"updates that set the stamp", rest(map[string]cell{kindBounded: window}, append(all, formStamp, formBoth)...)},
		{"stamps set by an application's clock", rest(map[string]cell{formStamp: under("while clock.skew holds"), formBoth: under("while clock.skew holds"), kindBounded: window}, all...)},
		{"updates that do not set the stamp", rest(map[string]cell{kindBounded: window}, all...)},
		{"rows whose stamp is NULL, or whose id is random", rest(map[string]cell{formBoth: under("by id")}, all...)},
		{"deletes", rest(map[string]cell{kindBounded: window}, kindReconcile, kindFull)},
		{"a key that changes: the new key", rest(map[string]cell{formID: exact, formStamp: under("if it is stamped"), formBoth: under("if it is stamped"), kindBounded: window}, all...)},
		{"a key that changes: the old key", rest(map[string]cell{}, kindReconcile, kindFull)},
		{"ids drawn in another transaction than they are used in", rest(map[string]cell{formStamp: exact, formBoth: under("if it is stamped"), kindBounded: window}, all...)},
		{"rows that arrive with old stamps: restores, replication", rest(map[string]cell{formID: under("with new ids"), formBoth: under("with new ids"), kindBounded: window}, all...)},
	}
}

// latest is how long after a change the next poll may begin.
func (s StrategyConfig) latest() time.Duration {
	if s.At != "" {
		return 24 * time.Hour
	}
	return max(s.Every, s.MaxEvery)
}

// union is what the strategies of a table see together of a hole, and the one
// that sees most of it, or as much and sooner.
func (h hole) union(all []StrategyConfig) (best cell, by StrategyConfig) {
	for _, s := range all {
		c := h.cells[s.form()]
		sooner := c.sight == sightExact && best.sight == sightExact && s.latest() < by.latest()
		if c.sight > best.sight || sooner {
			best, by = c, s
		}
	}
	return best, by
}

// promise says in words what strategies see together, see under a condition,
// and do not see.
func promise(all []StrategyConfig) (sees, under, misses []string) {
	for _, h := range holes() {
		switch best, by := h.union(all); best.sight {
		case sightExact:
			sees = append(sees, fmt.Sprintf("%s: by %s, within %s", h.name, by.Name, shortDuration(by.latest())))
		case sightUnder:
			under = append(under, fmt.Sprintf("%s: %s (%s)", h.name, best.condition, by.Name))
		case sightNone:
			misses = append(misses, h.name)
		}
	}
	return sees, under, misses
}

// HolesTable is the table of what each strategy sees, as Markdown, for the
// documentation.
func HolesTable() string {
	var b strings.Builder
	b.WriteString("| | " + strings.Join(forms, " | ") + " |\n|---" + strings.Repeat("|---", len(forms)) + "|\n")
	for _, h := range holes() {
		b.WriteString("| " + h.name)
		for _, f := range forms {
			switch c := h.cells[f]; c.sight {
			case sightExact:
				b.WriteString(" | ●")
			case sightUnder:
				b.WriteString(" | ◐ " + c.condition)
			case sightNone:
				b.WriteString(" | ○")
			}
		}
		b.WriteString(" |\n")
	}
	return b.String()
}

// seesDeletes says whether a table's deletes reach its mirror.
func seesDeletes(all []StrategyConfig) bool {
	return slices.ContainsFunc(all, func(s StrategyConfig) bool { return s.Kind == kindReconcile || s.Kind == kindFull })
}
