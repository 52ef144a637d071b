package cdc

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"
)

// isPattern says whether a name of the configuration stands for several tables.
func isPattern(name string) bool { return strings.Contains(name, "*") }

// matches says whether name is one of pattern's tables. An asterisk stands for
// any characters but the dot between schema and table; a pattern without a dot
// is one of tables in any schema.
func matches(pattern, schema, table string) bool {
	ps, pt, dotted := strings.Cut(pattern, ".")
	if !dotted {
		return glob(pattern, table)
	}
	return glob(ps, schema) && glob(pt, table)
}

func glob(pattern, name string) bool {
	first, rest, wild := strings.Cut(pattern, "*")
	if !wild {
		return pattern == name
	}
	name, ok := strings.CutPrefix(name, first)
	if !ok {
		return false
	}
	for i := 0; i <= len(name); i++ {
		if glob(rest, name[i:]) {
			return true
		}
	}
	return false
}

// rediscoverEvery is how often a source with patterns is asked for new tables.
const rediscoverEvery = 5 * time.Minute

// patterned says whether the origin has to be asked which tables there are.
func (s SourceConfig) patterned() bool {
	for name := range s.Tables {
		if isPattern(name) {
			return true
		}
	}
	return false
}

// resolve returns the tables that the configuration names, exactly or by a
// pattern; infos is what the origin has, and may be nil without patterns. An
// exact name wins over a pattern and over exclude, the longest pattern over
// others. Relations that this role may not read are left to exact names.
func (s SourceConfig) resolve(infos []tableInfo) map[string]TableConfig {
	out := map[string]TableConfig{}
	var patterns []string
	for _, name := range sortedKeys(s.Tables) {
		if isPattern(name) {
			patterns = append(patterns, name)
		} else {
			schema, table, _ := splitTable(s.Kind, name)
			out[schema+"."+table] = s.Tables[name]
		}
	}
	slices.SortStableFunc(patterns, func(a, b string) int { return len(b) - len(a) })
	for _, t := range infos {
		_, exact := out[t.String()]
		one := func(p string) bool { return matches(p, t.schema, t.name) }
		if exact || !t.readable || t.kind != relationTable && t.kind != relationPartitioned || slices.ContainsFunc(s.Exclude, one) {
			continue
		}
		if i := slices.IndexFunc(patterns, one); i >= 0 {
			out[t.String()] = s.Tables[patterns[i]]
		}
	}
	return out
}

// addTables begins to read the tables of the configuration that are not read yet.
func (s *slot) addTables(infos []tableInfo) {
	tables := s.src.resolve(infos)
	for _, name := range sortedKeys(tables) {
		if slices.ContainsFunc(s.tables, func(t *table) bool { return t.name == name }) {
			continue
		}
		t := newTable(s.src.Kind, name, tables[name], s.src)
		if slotOf(t.name, int32(max(s.src.Slots, 1))) != s.partition { //nolint:gosec // few slots
			continue
		}
		t.restore(s.restored, s.src)
		s.m.age(t)
		for _, k := range t.tasks {
			k.due = k.resumed(s.source)
		}
		s.tables = append(s.tables, t)
		if s.found != nil {
			s.log.Info("found a table", "source", s.source, "table", name)
		}
	}
	s.refuseTwins()
}

// refuseTwins stops tables of patterns that would share a topic or a table of
// the warehouse with another one.
func (s *slot) refuseTwins() {
	seen := map[string]string{}
	for _, t := range s.tables {
		low := strings.ToLower(t.cfg.topicOf(s.source, s.src.Kind, t.name))
		if other, taken := seen[low]; taken {
			s.refused(t, &refusal{code: "name_collision", text: t.name + " would share its topic and its table in the warehouse with " + other, mend: "exclude one of them, or name another topic"})
			t.retryAt = time.Now().Add(100 * 365 * 24 * time.Hour) // nothing mends it but the configuration
			continue
		}
		seen[low] = t.name
	}
}

// rediscover asks for new tables from time to time, beside the pages.
func (s *slot) rediscover(ctx context.Context, now time.Time, readers *sync.WaitGroup) {
	if !s.src.patterned() || s.discoverAt.After(now) {
		return
	}
	s.discoverAt = now.Add(rediscoverEvery)
	readers.Go(func() {
		infos, err := s.origin.tables(ctx)
		if err == nil {
			select {
			case s.found <- infos:
			case <-ctx.Done():
			}
		}
	})
}
