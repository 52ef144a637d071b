package models

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millstream-data/millstream/internal/warehouse"
)

// project reads models that a test writes; names are those of files without .sql.
func project(t *testing.T, files map[string]string) *Project {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "models")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, src := range files {
		if err := os.WriteFile(filepath.Join(dir, name+".sql"), []byte(src), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p, err := Read(dir, "models")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func names(models []*Model) string {
	var out []string
	for _, m := range models {
		out = append(out, m.Name.Table)
	}
	return strings.Join(out, " ")
}

func TestModelsOrder(t *testing.T) {
	t.Parallel()
	p := project(t, map[string]string{
		"d": "SELECT * FROM b JOIN models.c ON true", "c": "SELECT * FROM a", "b": "SELECT * FROM a", "a": "SELECT 1 FROM app.x",
		"e": "-- test: relationship(x, f.x)\nSELECT 1", "f": "SELECT 1", "broken": "SELECT (", "g": "SELECT * FROM broken",
	})
	if got, want := names(p.Models), "a b c d f e g"; got != want {
		t.Errorf("order %q, want %q", got, want)
	}
	if got, want := names(p.Dependants(p.Model("b"))), "b d"; got != want {
		t.Errorf("what depends on b: %q, want %q", got, want)
	}
	if len(p.Broken) != 1 || p.Broken["broken"] == nil {
		t.Errorf("broken: %v", p.Broken)
	}
}

func TestModelsCycleIsPrinted(t *testing.T) {
	t.Parallel()
	p := project(t, map[string]string{
		"a": "SELECT 1\nFROM c", "b": "SELECT * FROM a", "c": "SELECT * FROM b", "d": "SELECT * FROM a", "self": "SELECT *\nFROM models.self", "fine": "SELECT 1",
	})
	if got := names(p.Models); got != "fine" {
		t.Errorf("models without a circle: %q, want fine", got)
	}
	for name, want := range map[string]string{
		"a": "a.sql:2: reads itself in a circle: a → c → b → a", "b": "b → a → c → b", "d": "reads from a circle", "self": "self.sql:2: self reads itself",
	} {
		if err := p.Broken[name]; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}

// at0 is when the state of a test begins.
var at0 = time.Date(2026, 11, 21, 6, 0, 0, 0, time.UTC)

// state returns one in which models were built at at0 and no input has changed.
func state(p *Project, tables ...string) State {
	s := State{Now: at0.Add(time.Minute), Built: map[string]Built{}, Loaded: map[string]time.Time{}, Tables: map[warehouse.Name]bool{}, Path: []string{"public"}}
	for _, m := range p.Models {
		s.Built[m.Name.String()] = Built{Hash: m.Hash, ReadAt: at0, BuiltAt: at0.Add(-time.Second)}
		s.Tables[m.Name] = true
	}
	for _, name := range tables {
		n, _ := warehouse.ParseName(name)
		s.Tables[n] = true
	}
	return s
}

func TestModelsSchedule(t *testing.T) {
	t.Parallel()
	loaded := func(table string, at time.Time) func(*State, *Built) {
		return func(s *State, _ *Built) { s.Loaded[table] = at }
	}
	later := at0.Add(time.Second)
	failed := func(at time.Time) func(*State, *Built) {
		return func(s *State, b *Built) {
			*b = Built{Hash: "older", ReadAt: at0, Attempts: 1, FailedAt: at, Failed: s.Built["models.m"].Hash}
		}
	}
	for _, c := range []struct {
		name    string
		refresh string
		change  func(*State, *Built)
		after   time.Duration
		want    Standing
		why     string
	}{
		{"nothing has changed", "on_change", nil, 0, Fresh, "nothing that it reads has changed"},
		{"never built", "on_change", func(_ *State, b *Built) { *b = Built{} }, 0, Due, "never built"},
		{"never built, manual", "manual", func(_ *State, b *Built) { *b = Built{} }, 0, Fresh, "millstream models build m"},
		{"the file changed", "every 1h", func(_ *State, b *Built) { b.Hash = "other" }, 0, Due, "file changed"},
		{"the table is gone", "at 03:00 UTC", func(s *State, _ *Built) { delete(s.Tables, warehouse.Name{Schema: "models", Table: "m"}) }, 0, Due, "gone"},
		{"an input was loaded", "on_change", loaded("app.orders", later), 0, Due, "app.orders changed"},
		{"an input was loaded before", "on_change", loaded("app.orders", at0.Add(-time.Second)), 0, Fresh, ""},
		{"an input was loaded in the same second", "on_change", loaded("app.orders", at0), 0, Due, "app.orders changed"},
		{"identifies bring users", "on_change", loaded("app.identifies", later), 0, Due, "app.users changed"},
		{"another table was loaded", "on_change", loaded("app.other", later), 0, Fresh, ""},
		{"an input of a view was loaded", "on_change", loaded("app.deep", later), 0, Due, "app.deep changed"},
		{"a table that only a test reads was loaded", "on_change", loaded("app.tested", later), 0, Fresh, ""},
		{"a model was built", "on_change", func(s *State, _ *Built) {
			s.Built["models.input"] = Built{Hash: s.Built["models.input"].Hash, ReadAt: at0, BuiltAt: later}
		}, 0, Due, "models.input changed"},
		{"too soon", "on_change, at most every 10m", loaded("app.orders", later), 0, Fresh, "due at 2026-11-21 06:10:00"},
		{"soon enough", "on_change, at most every 10m", loaded("app.orders", later), 10 * time.Minute, Due, ""},
		{"an hour has not passed", "every 1h", loaded("app.orders", later), 59 * time.Minute, Fresh, "due at 2026-11-21 07:00:00"},
		{"an hour has passed", "every 1h", nil, time.Hour, Due, "1h0m0s old"},
		{"three o'clock has not come", "at 03:00 UTC", nil, 20 * time.Hour, Fresh, ""},
		{"three o'clock has passed", "at 03:00 UTC", nil, 21 * time.Hour, Due, "2026-11-22 03:00:00 has passed"},
		{"three o'clock in Berlin", "at 03:00 Europe/Berlin", nil, 20 * time.Hour, Due, "2026-11-22 02:00:00 has passed"},
		{"it failed a moment ago", "on_change", failed(at0.Add(30 * time.Second)), time.Minute, Failed, "tried again at 06:01:30"},
		{"it failed a while ago", "on_change", failed(at0), time.Minute, Due, "tried again"},
		{"something else failed", "on_change", func(_ *State, b *Built) { b.Hash, b.Attempts, b.FailedAt, b.Failed = "older", 9, at0, "older" }, 0, Due, "file changed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := project(t, map[string]string{
				"m":     "-- refresh: " + c.refresh + "\n-- test: relationship(a, app.tested.b)\nSELECT 1 FROM app.orders, app.users, input, seen",
				"input": "-- refresh: manual\nSELECT 1", "seen": "-- materialize: view\n-- refresh: manual\nSELECT 1 FROM app.deep",
			})
			s := state(p, "app.orders", "app.users", "app.other", "app.deep", "app.tested")
			s.Now = at0.Add(max(c.after, time.Minute))
			if c.change != nil {
				b := s.Built["models.m"]
				c.change(&s, &b)
				s.Built["models.m"] = b
			}
			got := p.Decide(s)[p.Model("m")]
			if got.Standing != c.want || !strings.Contains(got.Why, c.why) {
				t.Errorf("%s (%s), want %s (%s)", got.Standing, got.Why, c.want, c.why)
			}
		})
	}
}

func TestModelsDependantsWait(t *testing.T) {
	t.Parallel()
	p := project(t, map[string]string{
		"a": "SELECT 1 FROM app.x", "b": "-- refresh: on_change\nSELECT 1 FROM a", "c": "SELECT 1 FROM b", "other": "SELECT 1 FROM app.y", "onbroken": "SELECT 1 FROM bad", "bad": "SELECT (",
		"ondemand": "-- refresh: manual\nSELECT 1", "d": "SELECT 1 FROM ondemand",
	})
	s := state(p, "app.x", "app.y")
	s.Built = map[string]Built{"models.a": {Failed: p.Model("a").Hash, Attempts: 3, FailedAt: at0}}
	got := p.Decide(s)
	for name, want := range map[string]Decision{
		"a": {Standing: Failed}, "b": {Standing: Waits, Why: "for a, which fails"}, "c": {Standing: Waits, Why: "for b, which waits"},
		"other": {Standing: Due}, "onbroken": {Standing: Waits, Why: "whose file has mistakes"}, "d": {Standing: Waits, Why: "millstream models build ondemand"},
	} {
		if d := got[p.Model(name)]; d.Standing != want.Standing || !strings.Contains(d.Why, want.Why) {
			t.Errorf("%s: %+v, want %+v", name, d, want)
		}
	}
}

func TestModelsUnknownNameNamesTheNearest(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ sql, want string }{
		{"SELECT 1\nFROM app.order_complete", "m.sql:2: app.order_complete is no model and no table of the warehouse; did you mean app.order_completed?"},
		{"SELECT 1 FROM shop.order_completed", "did you mean app.order_completed?"},
		{"SELECT 1 FROM order_completed", "did you mean app.order_completed?"},
		{"SELECT 1 FROM orders_complted", "did you mean app.order_completed?"},
		{"SELECT 1 FROM daly", "did you mean daily?"},
		{"SELECT 1 FROM nothing.like_it", "is no model and no table of the warehouse"},
		{"-- test: relationship(a, app.usres.id)\nSELECT 1", "m.sql:1: app.usres is no model"},
		{"SELECT 1 FROM svv_table_info, pg_catalog.pg_class, public.t, t, spectrum.anything, daily", ""},
	} {
		p := project(t, map[string]string{"m": c.sql, "daily": "SELECT 1"})
		s := state(p, "app.order_completed", "app.users", "public.t")
		s.Schemas = map[string]bool{"spectrum": true}
		d := p.Decide(s)[p.Model("m")]
		if c.want == "" && d.Err != nil || c.want != "" && (d.Err == nil || !strings.Contains(d.Err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.sql, d.Err, c.want)
		}
	}
}

func TestModelsNamesAreQualified(t *testing.T) {
	t.Parallel()
	p := project(t, map[string]string{"m": "SELECT daily.day, 'daily' -- daily\nFROM daily\nJOIN t ON true JOIN app.x ON true", "daily": "-- schema: other\nSELECT 1"})
	got := p.text(p.Model("m"), state(p, "public.t", "app.x"))
	want := "SELECT daily.day, 'daily' -- daily\nFROM \"other\".\"daily\"\nJOIN \"public\".\"t\" ON true JOIN app.x ON true"
	if got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}
