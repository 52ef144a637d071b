package cdc

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/millstream-data/millstream/internal/testkit"
)

func TestPatternsOfTables(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, schema, table string
		want                   bool
	}{
		{"audit.*", "audit", "log", true},
		{"audit.*", "public", "audit", false},
		{"*.tmp_*", "public", "tmp_1", true},
		{"*.tmp_*", "public", "my_tmp_1", false},
		{"*.*_log_*", "a", "x_log_2026", true},
		{"public.orders", "public", "orders", true},
		{"public.orders", "public", "orders2", false},
		{"tmp_*", "any", "tmp_x", true},
		{"*", "any", "x", true},
	} {
		if got := matches(c.pattern, c.schema, c.table); got != c.want {
			t.Errorf("%s matches %s.%s: got %v, want %v", c.pattern, c.schema, c.table, got, c.want)
		}
	}
}

func TestTablesOfAConfiguration(t *testing.T) {
	t.Parallel()
	named := func(key string) TableConfig { return TableConfig{Key: []string{key}} }
	src := SourceConfig{
		Kind: kindPostgres, Exclude: []string{"*.tmp_*"},
		Tables: map[string]TableConfig{"*.*": named("all"), "audit.*": named("audit"), "public.tmp_keep": named("exact")},
	}
	table := func(schema, name string) tableInfo {
		return tableInfo{schema: schema, name: name, kind: relationTable, readable: true}
	}
	view, secret := table("public", "v"), table("public", "secret")
	view.kind, secret.readable = relationView, false
	got := src.resolve([]tableInfo{table("public", "orders"), table("public", "tmp_x"), table("public", "tmp_keep"), table("audit", "log"), view, secret})
	want := map[string]TableConfig{"public.orders": named("all"), "audit.log": named("audit"), "public.tmp_keep": named("exact")}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(Window{})); diff != "" {
		t.Errorf("tables (-want +got):\n%s", diff)
	}
}

// A pattern mirrors the tables that match it, those of before and, when the
// slot starts again, those that came later.
func TestTablesByPattern(t *testing.T) {
	t.Parallel()
	s := setup(t, orders+`CREATE TABLE tmp_orders (id INTEGER PRIMARY KEY, updated_at DATETIME NOT NULL);`)
	s.edit(func(src *SourceConfig) {
		src.Tables, src.Exclude = map[string]TableConfig{"*.*": polled("updated_at", "")}, []string{"main.tmp_*"}
	})
	s.insert(1, "a")
	stop := s.run(nil)
	s.awaitNote(1, "a")
	stop()
	s.exec("CREATE TABLE late (id INTEGER PRIMARY KEY, updated_at DATETIME NOT NULL)")
	s.exec("INSERT INTO late VALUES (7, ?)", now())
	defer s.run(nil)()
	testkit.Eventually(t, "the new table reaches its topic", func() error {
		if n := len(s.topicOf("main", "late").mirror()); n != 1 {
			return fmt.Errorf("got %d rows", n)
		}
		return nil
	})
	if len(s.topicOf("main", "tmp_orders").keys) != 0 {
		t.Error("an excluded table was read")
	}
}

// What a plan for a table without strategies is, by size, key and columns.
func TestProposal(t *testing.T) {
	t.Parallel()
	const big = 5_000_000
	id := column{name: "id", cursor: cursorInteger, notNull: true}
	uuid := column{name: "id", notNull: true}
	stamp := column{name: "updated_at", cursor: cursorStamp}
	created := column{name: "created_at", cursor: cursorStamp}
	pk, byStamp, byCreated := index{[]string{"id"}, true, true}, index{columns: []string{"updated_at", "id"}}, index{columns: []string{"created_at"}}
	for name, c := range map[string]struct {
		kind string
		rel  relation
		rows int64
		size int64
		what relationKind
		want string // the strategies, or the code of the refusal
	}{
		"small":              {kindPostgres, relation{columns: []column{id, stamp}, indexes: []index{pk, byStamp}}, 100_000, 1, relationTable, "full (diff) every 5m"},
		"stamp":              {kindPostgres, relation{columns: []column{id, stamp}, indexes: []index{pk, byStamp}}, big, 1, relationTable, "incremental timestamp updated_at every 10s + reconcile every 24h"},
		"stamp, no index":    {kindPostgres, relation{columns: []column{id, stamp}, indexes: []index{pk}}, big, 1, relationTable, "incremental id id every 10s + reconcile every 24h"},
		"created is none":    {kindMySQL, relation{columns: []column{id, created}, indexes: []index{pk, byCreated}}, big, 1, relationTable, "incremental id id every 10s + reconcile every 24h"},
		"uuid":               {kindPostgres, relation{columns: []column{uuid}, indexes: []index{pk}}, big, 20 << 30, relationTable, "xmin every 5m + reconcile every 24h"},
		"uuid, large":        {kindPostgres, relation{columns: []column{uuid}, indexes: []index{pk}}, big, 20<<30 + 1, relationTable, "reconcile every 1h"},
		"uuid, MySQL":        {kindMySQL, relation{columns: []column{uuid}, indexes: []index{pk}}, big, 1, relationTable, "reconcile every 1h"},
		"SQLite":             {kindSQLite, relation{columns: []column{id, stamp}, indexes: []index{pk, byStamp}}, big, -1, relationTable, "incremental timestamp updated_at every 10s + full (diff) every 24h"},
		"no key":             {kindPostgres, relation{columns: []column{stamp}}, 1_000_000, 1, relationTable, "full (replace) every 24h"},
		"no key, large":      {kindPostgres, relation{columns: []column{stamp}}, 1_000_001, 1, relationTable, "no_key"},
		"materialised view":  {kindPostgres, relation{columns: []column{id, stamp}, indexes: []index{pk, byStamp}}, big, 1, relationMatView, "full (diff) every 24h"},
		"no readable column": {kindPostgres, relation{}, 1, 1, relationTable, "no_columns"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := barePlan("shop", c.kind, "public.t", TableConfig{}, c.rel)
			var got []StrategyConfig
			if err == nil {
				got, err = propose(c.kind, p, surveyed{tableInfo{kind: c.what, bytes: c.size}, c.rows})
			}
			text := describeStrategies(got)
			if r, ok := errors.AsType[*refusal](err); ok {
				text = r.code
			}
			if text != c.want {
				t.Errorf("got %s (%v), want %s", text, err, c.want)
			}
		})
	}
}

// A plan in the state means what it meant when it was made.
func TestPlanInTheStateIsKept(t *testing.T) {
	t.Parallel()
	p := &plan{}
	for _, s := range []StrategyConfig{
		p.strategyOf(kindIncremental, "updated_at", "", "", 10*time.Second),
		p.strategyOf(kindFull, "", "", publishDiff, 5*time.Minute),
		p.strategyOf(kindReconcile, "", "", "", time.Hour),
	} {
		got := strategiesOf(plannedState("x", []StrategyConfig{s}))
		if len(got) != 1 || got[0].words() != s.words() || got[0].Name != s.Name {
			t.Errorf("got %+v, want %+v", got, s)
		}
	}
}
