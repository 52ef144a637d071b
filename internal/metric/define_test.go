package metric

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDefinitionErrors parses each bad file: its first lines are the messages,
// all of them and in this order.
func TestDefinitionErrors(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("testdata/*.bad.yaml")
	if err != nil || len(names) < 20 {
		t.Fatalf("%d bad files, %v", len(names), err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for line := range strings.Lines(string(b)) {
			if msg, ok := strings.CutPrefix(line, "# "); ok {
				want = append(want, strings.TrimSpace(msg))
			}
		}
		set, err := Load(name)
		var joined interface{ Unwrap() []error }
		if set != nil || !errors.As(err, &joined) {
			t.Errorf("%s: got no errors: %v", name, err)
			continue
		}
		got := joined.Unwrap()
		if len(got) != len(want) {
			t.Errorf("%s: got %d errors, want %d:\n%v", name, len(got), len(want), err)
			continue
		}
		for i, e := range got {
			var p *DefinitionError
			if !errors.As(e, &p) || p.Line == 0 || p.Col == 0 || p.File != filepath.Base(name) {
				t.Errorf("%s: no place in %v", name, e)
				continue
			}
			if msg := p.Path + ": " + p.Text; !strings.HasPrefix(msg, want[i]) {
				t.Errorf("%s: got  %s\nwant %s", name, msg, want[i])
			}
		}
	}
}

func TestErrorNamesPlace(t *testing.T) {
	t.Parallel()
	_, err := Parse([]File{{Name: "metrics/shop.yaml", Data: "version: 1\nmetrics:\n  revenue: {sum: properties.total, of: x, minuss: y}\n"}})
	want := `metrics/shop.yaml:3:43: metrics.revenue.minuss: unknown key; did you mean "minus"?`
	if err == nil || err.Error() != want {
		t.Fatalf("got  %v\nwant %s", err, want)
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	set, err := Load("testdata/good.yaml")
	if err != nil {
		t.Fatal(err)
	}
	m := set.Metric("revenue")
	if m.Scale != 2 || m.Title != "revenue" || !m.Fine || m.Time != "event" || !cmp.Equal(m.Zones, []string{"UTC", "Europe/Berlin"}) || !cmp.Equal(m.Sources, []string{"app"}) {
		t.Errorf("revenue is %+v", m)
	}
	if d := set.Metric("orders").By[0]; d.Absent != "nowhere" || d.Top != 200 || d.MaxLen != 128 || len(d.Paths) != 2 {
		t.Errorf("country is %+v", d)
	}
	if s := set.Metric("smallest"); s.Fine || s.Scale != 6 || len(s.Of) != 2 {
		t.Errorf("smallest is %+v", s)
	}
	if a := set.Metric("aov"); !cmp.Equal(a.Dims(), []string{"country"}) || !cmp.Equal(a.Zones, m.Zones) {
		t.Errorf("aov has %v in %v", a.Dims(), a.Zones)
	}
}

func TestHashIsOfTheMeaning(t *testing.T) {
	t.Parallel()
	parse := func(def string) *Metric {
		set, err := Parse([]File{{Name: "m.yaml", Data: "version: 1\ndims: {p: {path: properties.p, top: 5}}\nmetrics: {a: {" + def + "}}\n"}})
		if err != nil {
			t.Fatal(err)
		}
		return set.Metrics[0]
	}
	base := parse("sum: properties.x, of: y, by: [p]").Hash()
	for _, same := range []string{"sum: properties.x, of: y, by: [p], title: T, description: D, unit: apples", "sum: properties.x, of: [y], by: p, scale: 6", "sum: properties.x, of: y, by: [p], zones: [UTC, UTC]"} {
		if parse(same).Hash() != base {
			t.Errorf("%s has another hash", same)
		}
	}
	for _, other := range []string{"sum: properties.z, of: y, by: [p]", "sum: properties.x, of: y", "sum: properties.x, of: y, by: [p], scale: 2", "sum: properties.x, of: y, by: [p], where: exists userId"} {
		if parse(other).Hash() == base {
			t.Errorf("%s has the same hash", other)
		}
	}
}

func TestMatcher(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Matcher{
		"*": {Any: true}, "page": {Type: "page"}, "track:page": {Type: "track", Event: "page", Named: true},
		"page:Home": {Type: "page", Event: "Home", Named: true}, "Order: Completed": {Type: "track", Event: "Order: Completed", Named: true},
	} {
		if got, ok := parseMatcher(text); !ok || got != want {
			t.Errorf("%s is %+v, want %+v", text, got, want)
		}
	}
}
