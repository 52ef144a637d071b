package cdc

import (
	"regexp"
	"slices"
	"strings"
	"time"
)

// The sizes at which the plan of a table without strategies changes.
const (
	proposeSmall   = 100_000   // rows that are compared as a whole every few minutes
	proposeKeyless = 1_000_000 // rows that are read in one snapshot
	proposeXmin    = 20 << 30  // bytes of heap that are scanned every few minutes
)

// surveyed is what a plan for a table without strategies rests on.
type surveyed struct {
	info tableInfo
	rows int64 // exact up to proposeKeyless, then at least that
}

// stampName matches columns that applications set with every update. A column
// that says when the row was made is no such stamp.
var stampName = regexp.MustCompile(`(?i)(upd|modif|chang|mtime|edit|touch|last_?(write|seen|sync)|write_?date|^ts$|stamp)`)

// propose is how a table without strategies is read: by what misses least at a
// price that the origin does not feel. It refuses a table that nothing fits.
func propose(kind string, p *plan, s surveyed) ([]StrategyConfig, error) {
	whole := p.strategyOf(kindFull, "", "", publishDiff, 24*time.Hour)
	deletes := p.strategyOf(kindReconcile, "", "", "", 24*time.Hour)
	if kind == kindSQLite {
		deletes = whole
	}
	special := s.info.kind == relationMatView || s.info.kind == relationForeign
	switch stamp, id := p.bestStamp(), p.bestID(); {
	case len(p.key) == 0:
		return p.proposeKeyless(s)
	case s.rows <= proposeSmall:
		whole.Every = 5 * time.Minute
		return []StrategyConfig{whole}, nil
	case special:
		return []StrategyConfig{whole}, nil
	case stamp != "":
		return []StrategyConfig{p.strategyOf(kindIncremental, stamp, "", "", 10*time.Second), deletes}, nil
	case id != "":
		return []StrategyConfig{p.strategyOf(kindIncremental, "", id, "", 10*time.Second), deletes}, nil
	case kind == kindPostgres && s.info.kind == relationTable && s.info.bytes >= 0 && s.info.bytes <= proposeXmin:
		return []StrategyConfig{p.strategyOf(kindXmin, "", "", "", 5*time.Minute), deletes}, nil
	}
	deletes.Every = time.Hour
	return []StrategyConfig{deletes}, nil
}

func (p *plan) proposeKeyless(s surveyed) ([]StrategyConfig, error) {
	if s.rows > proposeKeyless && !p.cfg.Force {
		return nil, refuse("no_key", "add a primary key, or name unique columns in key:, or set force: true",
			"%s has no primary key, no unique index without NULLs, and more than 1,000,000 rows to read in one snapshot", p.name)
	}
	return []StrategyConfig{p.strategyOf(kindFull, "", "", publishReplace, 24*time.Hour)}, nil
}

func (p *plan) strategyOf(kind, stamp, id, publish string, every time.Duration) StrategyConfig {
	var s StrategyConfig
	s.SetDefaults()
	s.Kind, s.ID, s.Publish, s.Every = kind, id, publish, every
	if stamp != "" {
		s.Timestamp = Columns{stamp}
	}
	return (TableConfig{Strategies: []StrategyConfig{s}}).withDefaults().Strategies[0]
}

// bestStamp is an indexed column that updates set, by its name; "" without one.
func (p *plan) bestStamp() string {
	for i, c := range p.rel.columns {
		if c.cursor == cursorStamp && stampName.MatchString(c.name) && p.indexed(i) && !slices.Contains(p.key, i) {
			return c.name
		}
	}
	return ""
}

// bestID is the key, if it is one column of integers.
func (p *plan) bestID() string {
	if len(p.key) == 1 && p.rel.columns[p.key[0]].cursor == cursorInteger {
		return p.rel.columns[p.key[0]].name
	}
	return ""
}

// describeStrategies is a line for people.
func describeStrategies(all []StrategyConfig) string {
	words := make([]string, len(all))
	for i, s := range all {
		words[i] = s.words()
	}
	return strings.Join(words, " + ")
}

// words is the strategy for people: incremental timestamp every 10s.
func (s StrategyConfig) words() string {
	out := s.Kind
	switch {
	case len(s.Timestamp) > 0 && s.ID != "":
		out += " timestamp " + s.Timestamp.String() + " and id " + s.ID
	case len(s.Timestamp) > 0:
		out += " timestamp " + s.Timestamp.String()
	case s.ID != "":
		out += " id " + s.ID
	case s.Kind == kindBounded:
		out += " " + s.Column + " over " + s.Window.String()
	}
	if s.Kind == kindFull || s.Kind == kindBounded {
		out += " (" + s.Publish + ")"
	}
	if s.At != "" {
		return out + " at " + s.At + " " + s.Zone
	}
	return out + " every " + shortDuration(s.Every)
}

// shortDuration leaves out zero minutes and seconds: 24h, not 24h0m0s.
func shortDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
