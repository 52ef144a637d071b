package batcher

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/wire"
)

// ColumnsConfig says which columns are not wanted.
type ColumnsConfig struct {
	Drop []string `yaml:"drop" doc:"columns whose values go to _unmapped from now on, as source.table.column; a member may be *, as in app.*.context_user_agent; what is in the lake stays"`
}

// columnPattern names columns of tables of events as source.table.column; a
// member "*" stands for any.
type columnPattern [3]string

func (p columnPattern) match(schema, table, column string) bool {
	for i, name := range [3]string{schema, table, column} {
		if p[i] != "*" && p[i] != name {
			return false
		}
	}
	return true
}

// isFixed says whether p names a column that every such table has.
func (p columnPattern) isFixed() bool {
	shapes := newShapes()
	return shapes.table(p[1]).fixed.Index(p[2]) >= 0
}

// parsePattern reads source.table.column in the lake's names.
func parsePattern(n *lake.Namer, s string) (columnPattern, error) {
	members := strings.Split(s, ".")
	if len(members) != 3 || slices.Contains(members, "") {
		return columnPattern{}, fmt.Errorf("must be source.table.column, such as app.order_completed.total (got %q)", s)
	}
	for i, m := range members {
		want := m
		switch {
		case m == "*", i == 2 && columnPattern(members).isFixed():
		case i == 0:
			want = n.Origin(m)
		default:
			want = n.Name(m)
		}
		if m != want {
			return columnPattern{}, fmt.Errorf("must hold names as the lake writes them: %q would be %q", m, want)
		}
	}
	return columnPattern(members), nil
}

// validateColumns checks the keys and values of batcher.types and
// batcher.columns.drop.
func validateColumns(types map[string]string, drop []string) error {
	var (
		errs  []error
		names = lake.NewNamer()
	)
	for _, key := range slices.Sorted(maps.Keys(types)) {
		path := fmt.Sprintf("batcher.types[%q]", key)
		p, err := parsePattern(names, key)
		switch {
		case err != nil:
			errs = append(errs, config.Invalid(path, "%s", err))
			continue
		case slices.Contains(p[:], "*"):
			errs = append(errs, config.Invalid(path, "must name one column, without *"))
			continue
		case p.isFixed():
			errs = append(errs, config.Invalid(path, "%s is a column that every such table has; its type is fixed", p[2]))
		}
		if _, err := wire.ParseLakeType(types[key]); err != nil {
			errs = append(errs, config.Invalid(path, "%s", err))
		}
	}
	for i, s := range drop {
		path := fmt.Sprintf("batcher.columns.drop[%d]", i)
		p, err := parsePattern(names, s)
		switch {
		case err != nil:
			errs = append(errs, config.Invalid(path, "%s", err))
		case p.isFixed():
			errs = append(errs, config.Invalid(path, "%s is a column that every such table has; it stays", p[2]))
		}
	}
	return errors.Join(errs...)
}

// rules are what the configuration says of the tables of events. They are safe
// for concurrent use.
type rules struct {
	names        *lake.Namer
	limit        int // columns of a table
	promoteAfter int
	types        map[columnPattern]wire.LakeType
	drop         []columnPattern
	log          *slog.Logger

	mu     sync.Mutex // guards tables
	tables map[string]*tableRules
}

// newRules expects a configuration that is valid.
func newRules(cfg Config, names *lake.Namer, log *slog.Logger) *rules {
	r := &rules{
		names: names, limit: cfg.Limits.Columns, promoteAfter: cfg.PromoteAfter, log: log,
		types: map[columnPattern]wire.LakeType{}, tables: map[string]*tableRules{},
	}
	for key, text := range cfg.Types {
		p, err := parsePattern(names, key)
		if err != nil {
			panic("BUG: batcher.types: " + err.Error())
		}
		r.types[p] = wire.LakeType(text)
	}
	for _, text := range cfg.Columns.Drop {
		p, err := parsePattern(names, text)
		if err != nil {
			panic("BUG: batcher.columns.drop: " + err.Error())
		}
		r.drop = append(r.drop, p)
	}
	return r
}

// of returns the rules of one table, of which the process has one value each.
func (r *rules) of(schema, table string) *tableRules {
	r.mu.Lock()
	defer r.mu.Unlock()
	name := schema + "." + table
	t := r.tables[name]
	if t == nil {
		t = &tableRules{names: r.names, limit: r.limit, promoteAfter: r.promoteAfter, log: r.log.With("table", name), misfits: map[string]int{}}
		for p, typ := range r.types {
			if p[0] == schema && p[1] == table {
				if t.types == nil {
					t.types = map[string]wire.LakeType{}
				}
				t.types[p[2]] = typ
			}
		}
		for _, p := range r.drop {
			if p.match(schema, table, p[2]) {
				t.drop = append(t.drop, p[2])
			}
		}
		r.tables[name] = t
	}
	return t
}

// tableRules are the rules of one table, and what the process has counted by them.
type tableRules struct {
	names        *lake.Namer
	limit        int
	promoteAfter int
	types        map[string]wire.LakeType // by column
	drop         []string                 // columns; "*" is all that are discovered
	log          *slog.Logger

	mu      sync.Mutex     // guards what follows
	misfits map[string]int // by column that has no sibling yet
	warned  bool
}

func (t *tableRules) drops(column string) bool {
	return slices.Contains(t.drop, column) || slices.Contains(t.drop, "*")
}

// misfit counts a value that did not fit a column and says whether the column
// is to get a sibling of strings.
func (t *tableRules) misfit(column string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.misfits[column]++
	return t.misfits[column] >= t.promoteAfter
}

// compare warns, once, of declared types that came after their columns.
func (t *tableRules) compare(registered []lake.SchemaColumn) {
	if len(t.types) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.warned {
		return
	}
	for _, c := range registered {
		if want, declared := t.types[c.Name]; declared && want != c.Type {
			t.warned = true
			t.log.Warn("a declared type comes after the column, which keeps its own; send the value under another name to have it",
				"column", c.Name, "declared", string(want), "registered", string(c.Type))
		}
	}
}
