package batcher

import (
	"bytes"
	"log/slog"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/wire"
)

// versions carries chunks of one table from version to version, as registry and
// part do.
type versions struct {
	t      testing.TB
	rules  *tableRules
	shape  shape
	schema []lake.SchemaColumn
	chunk  *chunk
	offset int64
}

func newTable(t testing.TB, tweak func(*Config)) *versions {
	tb := &versions{t: t, rules: testRules(tweak), shape: newShapes().event}
	tb.chunk = newChunk(&tb.shape, tb.rules, nil, newValueCounts())
	return tb
}

func (tb *versions) add(props ...string) {
	tb.t.Helper()
	for _, p := range props {
		addEvent(tb.t, tb.chunk, &parsed{depth: 5}, p, tb.offset)
		tb.offset++
	}
}

// next freezes the chunk and begins another. It returns what the chunk has
// counted.
func (tb *versions) next() *valueCounts {
	tb.t.Helper()
	s := testSchema(tb.chunk)
	f := tb.chunk.freeze(s, &caster{})
	f.record.Release()
	tb.schema = s.Columns
	counts := tb.chunk.counts
	tb.chunk = newChunk(&tb.shape, tb.rules, s.Columns, newValueCounts())
	return counts
}

// discovered are the columns that are not fixed, as "name type".
func (tb *versions) discovered() (out []string) {
	for _, c := range tb.schema[len(tb.shape.fixed):] {
		out = append(out, c.Name+" "+string(c.Type))
	}
	return out
}

func TestANumberBesideIntegersPromotesAtOnce(t *testing.T) {
	t.Parallel()
	tb := newTable(t, nil)
	tb.add(`{"total":1}`)
	tb.next()
	tb.add(`{"total":2}`, `{"total":2.5}`, `{"total":3}`, `{"total":"text"}`, `{"total":1e400}`)
	counts := tb.next()
	if diff := cmp.Diff([]string{"total int64", "total__float float64"}, tb.discovered()); diff != "" {
		t.Errorf("columns (-want +got):\n%s", diff)
	}
	// 2.5 is in the sibling; "text" and 1e400 are in neither.
	if diff := cmp.Diff(map[reason]int64{reasonMisfit: 2}, counts.unmapped); diff != "" {
		t.Errorf("unmapped (-want +got):\n%s", diff)
	}
	for range 300 { // there is no second promotion
		tb.add(`{"total":"text"}`)
	}
	tb.next()
	if len(tb.discovered()) != 2 {
		t.Errorf("columns %v", tb.discovered())
	}
}

func TestMisfitsPromoteToStrings(t *testing.T) {
	t.Parallel()
	tb := newTable(t, func(c *Config) { c.PromoteAfter = 10 })
	tb.add(`{"paid":true,"n":1}`)
	tb.next()
	for i := range 9 {
		tb.add(`{"paid":"yes","n":"` + strconv.Itoa(i) + ` items"}`)
		if i%4 == 0 {
			tb.next() // the count is the process's, not the chunk's
		}
	}
	tb.next()
	if diff := cmp.Diff([]string{"n int64", "paid bool"}, tb.discovered()); diff != "" {
		t.Fatalf("columns after 9 misfits (-want +got):\n%s", diff)
	}
	tb.add(`{"paid":"yes"}`, `{"paid":true}`, `{"paid":[1]}`)
	counts := tb.next()
	if diff := cmp.Diff([]string{"n int64", "paid bool", "paid__str string"}, tb.discovered()); diff != "" {
		t.Errorf("columns (-want +got):\n%s", diff)
	}
	if len(counts.unmapped) != 0 {
		t.Errorf("the sibling takes every value, yet _unmapped got %v", counts.unmapped)
	}
}

func TestSiblingTakesEveryValueFromThenOn(t *testing.T) {
	t.Parallel()
	tb := newTable(t, nil)
	tb.add(`{"n":1}`)
	tb.next()
	tb.add(`{"n":1}`, `{"n":1.5}`, `{"n":2}`, `{}`, `{"n":"7"}`)
	sibling := tb.chunk.byName["n__float"]
	if got := len(sibling.fresh); got != 3 || sibling.fresh[0].row != 1 {
		t.Errorf("%d values from row %d on", got, sibling.fresh[0].row)
	}
	tb.next()
	tb.add(`{"n":3}`, `{"n":4.5}`)
	if sibling = tb.chunk.byName["n__float"]; sibling.values.Len() != 2 || tb.chunk.byName["n"].values.Len() != 1 {
		t.Errorf("the sibling has %d values, the column %d", sibling.values.Len(), tb.chunk.byName["n"].values.Len())
	}
}

// Another batcher has promoted the column while this one's chunk still took
// the column for a new one.
func TestSiblingOfAnotherBatcherIsFilled(t *testing.T) {
	t.Parallel()
	tb := newTable(t, nil)
	tb.add(`{"n":1.5}`, `{"n":2}`)
	s := lake.Schema{Columns: testSchema(newTable(t, nil).chunk).Columns}
	s.Columns = append(s.Columns, lake.SchemaColumn{Name: "n", Type: wire.Int64, Path: "properties.n"},
		lake.SchemaColumn{Name: "n__float", Type: wire.Float64, Path: "properties.n"})
	counts := tb.chunk.counts
	f := tb.chunk.freeze(s, &caster{})
	defer f.record.Release()
	if len(counts.unmapped) != 0 {
		t.Errorf("_unmapped got %v", counts.unmapped)
	}
}

func TestDeclaredTypesHoldForNewColumns(t *testing.T) {
	t.Parallel()
	tb := newTable(t, func(c *Config) {
		c.Types = map[string]string{"app.x.total": "decimal(18,2)", "app.x.day": "date", "app.y.total": "string"}
	})
	tb.add(`{"total":12,"day":"2026-11-21"}`, `{"total":"1.005","day":"soon"}`)
	counts := tb.next()
	if diff := cmp.Diff([]string{"day date", "total decimal(18,2)"}, tb.discovered()); diff != "" {
		t.Errorf("columns (-want +got):\n%s", diff)
	}
	if counts.unmapped[reasonMisfit] != 2 {
		t.Errorf("unmapped %v", counts.unmapped)
	}
}

func TestDroppedColumnsGoToUnmapped(t *testing.T) {
	t.Parallel()
	tb := newTable(t, nil)
	tb.add(`{"kept":1,"gone":1}`)
	tb.next()
	tb.rules = testRules(func(c *Config) { c.Columns.Drop = []string{"app.*.gone", "*.x.never_seen", "other.*.kept"} })
	tb.next() // as after a restart
	tb.add(`{"kept":2,"gone":2,"neverSeen":3}`)
	counts := tb.next()
	if diff := cmp.Diff([]string{"gone int64", "kept int64"}, tb.discovered()); diff != "" {
		t.Errorf("columns (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[reason]int64{reasonDropped: 2}, counts.unmapped); diff != "" {
		t.Errorf("unmapped (-want +got):\n%s", diff)
	}
}

func TestColumnRulesAreValidated(t *testing.T) {
	t.Parallel()
	for want, tweak := range map[string]func(*Config){
		`batcher.types["total"]: must be source.table.column`:                      func(c *Config) { c.Types = map[string]string{"total": "string"} },
		`batcher.types["app.Order.total"]: must hold names as the lake`:            func(c *Config) { c.Types = map[string]string{"app.Order.total": "string"} },
		`batcher.types["app.*.total"]: must name one column`:                       func(c *Config) { c.Types = map[string]string{"app.*.total": "string"} },
		`batcher.types["app.orders.total"]: unknown lake type "money"`:             func(c *Config) { c.Types = map[string]string{"app.orders.total": "money"} },
		`batcher.types["app.orders.total"]: unknown lake type "decimal(39,2)"`:     func(c *Config) { c.Types = map[string]string{"app.orders.total": "decimal(39,2)"} },
		`batcher.types["app.orders.user_id"]: user_id is a column that every such`: func(c *Config) { c.Types = map[string]string{"app.orders.user_id": "int64"} },
		`batcher.types["app.orders.total__float"]: must hold names`:                func(c *Config) { c.Types = map[string]string{"app.orders.total__float": "float64"} },
		`batcher.columns.drop[1]: must be source.table.column`:                     func(c *Config) { c.Columns.Drop = []string{"app.*.a", "b"} },
		`batcher.columns.drop[0]: _unmapped is a column`:                           func(c *Config) { c.Columns.Drop = []string{"app.*._unmapped"} },
		`batcher.promote_after: must be > 0`:                                       func(c *Config) { c.PromoteAfter = 0 },
		`batcher.limits.event_tables: must be > 0`:                                 func(c *Config) { c.Limits.EventTables = 0 },
		`batcher.limits.max_row_bytes: must be between`:                            func(c *Config) { c.Limits.MaxRowBytes = 5_000_000 },
	} {
		cfg := DefaultConfig()
		tweak(&cfg)
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	cfg := DefaultConfig()
	cfg.Types = map[string]string{"app.order_completed.total": "decimal(18,2)", "app.pages.title": "string"}
	cfg.Columns.Drop = []string{"app.*.context_user_agent", "*.*._3_d_view"}
	if err := cfg.Validate(); err != nil {
		t.Error(err)
	}
}

func TestALateDeclarationIsSaidOnce(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	cfg := DefaultConfig()
	cfg.Types = map[string]string{"app.x.total": "decimal(18,2)", "app.x.day": "date"}
	r := newRules(cfg, lake.NewNamer(), slog.New(slog.NewTextHandler(&out, nil)))
	registered := []lake.SchemaColumn{{Name: "total", Type: wire.Float64}, {Name: "day", Type: wire.Date}, {Name: "other", Type: wire.Int64}}
	for range 3 {
		r.of("app", "x").compare(registered)
		r.of("app", "y").compare(registered)
	}
	if got := out.String(); strings.Count(got, "level=WARN") != 1 || !strings.Contains(got, "table=app.x column=total declared=decimal(18,2) registered=float64") {
		t.Errorf("log:\n%s", got)
	}
	tb := newTable(t, nil)
	tb.add(`{"total":1.5}`)
	tb.next()
	tb.rules = r.of("app", "x")
	tb.next() // as after a restart with the declaration
	tb.add(`{"total":2}`)
	if counts := tb.next(); len(counts.unmapped) != 0 || tb.discovered()[0] != "total float64" {
		t.Errorf("columns %v, unmapped %v", tb.discovered(), counts.unmapped)
	}
}

func TestTableLabelsAreBounded(t *testing.T) {
	t.Parallel()
	var l tableLabels
	for i := range 300 {
		want := "app.t" + strconv.Itoa(i)
		if i >= 200 {
			want = "other"
		}
		if got := l.of("app.t" + strconv.Itoa(i)); got != want {
			t.Errorf("table %d: %s, want %s", i, got, want)
		}
	}
	if got := l.of("app.t7"); got != "app.t7" {
		t.Errorf("a table that has its label gets %s", got)
	}
}
