package metric

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/millstream-data/millstream/internal/event"
)

func plan(t testing.TB, yaml string) *Plan {
	t.Helper()
	set, err := Parse([]File{{Name: "m.yaml", Data: "version: 1\n" + yaml}})
	if err != nil {
		t.Fatal(err)
	}
	vs := make([]Version, len(set.Metrics))
	for i, m := range set.Metrics {
		vs[i] = Version{VersionID: VersionID{i + 1, 1}, Name: m.Name, State: VersionCurrent, Def: m}
	}
	return NewPlan(vs, 10*time.Minute)
}

func track(name, body string) Event {
	received := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	return Event{Source: "app", Type: event.Track, Name: name, ReceivedMS: received.UnixMilli(), JSON: []byte(`{"timestamp":"2026-11-21T11:59:58.250Z",` + body + `}`)}
}

// TestPredicate evaluates predicates on one event.
func TestPredicate(t *testing.T) {
	t.Parallel()
	const body = `"userId":"u1","properties":{"currency":"EUR","total":12.50,"text":"12.5","qty":"007","vip":true,"none":null,"empty":"","name":"Größe XL","a b":{"c":3},"list":[1],"big":12345678901234567890.5}`
	for where, want := range map[string]bool{
		`properties.currency = "EUR"`:                                    true,
		`properties.currency = "eur"`:                                    false,
		`lower(properties.currency) = "eur"`:                             true,
		`properties.total = 12.5`:                                        true,
		`properties.total = "12.5"`:                                      true,
		`properties.text = 12.50`:                                        true,
		`properties.text = "12.50"`:                                      false,
		`properties.qty = 7 and properties.qty = "007"`:                  true,
		`properties.total > 12.4999 and properties.total < 12.5001`:      true,
		`properties.total >= 12.5 and properties.total <= 12.50`:         true,
		`properties.total < -12.5`:                                       false,
		`properties.big > 12345678901234567890`:                          true,
		`properties.vip = true and properties.vip != false`:              true,
		`exists properties.none or exists properties.empty`:              false,
		`exists properties.list or exists properties.gone`:               false,
		`properties.gone = "x"`:                                          false,
		`properties.gone != "x"`:                                         true,
		`properties.gone < 1 or properties.gone >= 1`:                    false,
		`properties.currency in ("USD", "EUR")`:                          true,
		`properties.total in (1, 2)`:                                     false,
		`properties.name starts "Grö" and properties.name ends "XL"`:     true,
		`lower(properties.name) contains "größe"`:                        true,
		`properties."a b".c = 3`:                                         true,
		`not (properties.vip = true) or userId = "u1"`:                   true,
		`not properties.vip = true`:                                      false,
		`user = "u1" and not exists anonymousId`:                         true,
		`properties.currency = "EUR" or properties.x = 1 and userId = 1`: true,
		`(properties.currency = "EUR" or userId = 1) and userId = 1`:     false,
	} {
		p := plan(t, fmt.Sprintf("metrics: {a: {count: x, where: %q}}", where))
		got, err := p.NewEvaluator().Apply(track("x", body))
		if err != nil || (len(got) == 1) != want {
			t.Errorf("%s: %v, %v; want %v", where, got, err, want)
		}
	}
}

func TestDimensions(t *testing.T) {
	t.Parallel()
	p := plan(t, `
dims:
  plan: {path: properties.plan, lower: true, allow: [free, pro], else: rest}
  country: context.country ?? properties.country ?? "nowhere"
  short: {path: properties.text, max_len: 3}
metrics: {a: {count: "*", by: [plan, country, short, event]}}
`)
	e := p.NewEvaluator()
	for body, want := range map[string][]string{
		`"properties":{"plan":"PRO","country":"DE","text":"äöüß"}`:                {"pro", "DE", "äöü", "x"},
		`"properties":{"plan":"gold","text":1e2},"context":{"country":"AT"}`:      {"rest", "AT", "100", "x"},
		`"properties":{"plan":null,"text":"a\u0000\"b"},"context":{"country":[]}`: {"unknown", "nowhere", "a\x00\"", "x"},
		`"properties":{"plan":"free","country":"x"},"properties":{"text":false}`:  {"unknown", "nowhere", "fal", "x"}, // the last of twins holds
		`"prop\u0065rties":{"plan":"fr\u0065e","text":"\ud83d\ude00\ud83d"}`:      {"free", "nowhere", "😀\ufffd", "x"},
	} {
		got, err := e.Apply(track("x", body))
		if err != nil || len(got) != 1 {
			t.Fatalf("%s: %v, %v", body, got, err)
		}
		if diff := cmp.Diff(want, DecodeTuple(got[0].Tuple)); diff != "" || got[0].Dim != DimHash(AppendTuple(nil, want...)) {
			t.Errorf("%s: %s", body, diff)
		}
	}
	page := Event{Type: event.Page, ReceivedMS: 1e12, JSON: []byte(`{"timestamp":"2001-01-01T00:00:00Z"}`)}
	got, err := e.Apply(page)
	if err != nil || DecodeTuple(got[0].Tuple)[3] != "unknown" {
		t.Errorf("a page's event is %v, %v", got, err)
	}
}

func TestMatchersOfAPlan(t *testing.T) {
	t.Parallel()
	p := plan(t, `
defaults: {source: [app, web]}
metrics:
  all: {count: "*"}
  track: {count: track}
  home: {count: ["page:Home", "page:Start"]}
  orders: {count: [Order Completed, track], minus: page}
  other: {count: "*", source: shop}
`)
	e := p.NewEvaluator()
	names := func(ev Event) (out []string) {
		got, err := e.Apply(ev)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range got {
			name := p.Versions[c.Version].Name
			if c.Minus {
				name = "-" + name
			}
			out = append(out, name)
		}
		return out
	}
	page := func(name string) Event {
		ev := track("", `"name":"`+name+`"`)
		ev.Type = event.Page
		return ev
	}
	for _, c := range []struct {
		ev   Event
		want []string
	}{
		{track("Order Completed", `"x":1`), []string{"all", "track", "orders"}},
		{track("order completed", `"x":1`), []string{"all", "track", "orders"}},
		{page("Home"), []string{"all", "home", "-orders"}},
		{page("Away"), []string{"all", "-orders"}},
		{Event{Source: "else", Type: event.Track, JSON: []byte("not parsed")}, nil},
	} {
		if diff := cmp.Diff(c.want, names(c.ev)); diff != "" {
			t.Errorf("%s: %s", c.ev.JSON, diff)
		}
	}
}

func TestEventTime(t *testing.T) {
	t.Parallel()
	received := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	e := plan(t, `metrics: {a: {count: x}, b: {count: x, time: received}}`).NewEvaluator()
	for stamp, want := range map[string]time.Time{
		"2026-11-21T12:10:00.000Z":       received.Add(10 * time.Minute),
		"2026-11-21T12:10:00.001Z":       received,
		"1999-12-31T23:59:59.999Z":       received,
		"2000-01-01T00:00:00.000Z":       time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC),
		"2026-02-28T23:59:59.999999Z":    time.Date(2026, 2, 28, 23, 59, 59, 0, time.UTC),
		"2026-03-31T00:00:00Z":           time.Date(2026, 3, 31, 0, 0, 0, 0, time.UTC),
		"2026-11-21T12:00:00.5+02:00":    time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC),
		"2026-11-20T23:59:59.123456789Z": time.Date(2026, 11, 20, 23, 59, 59, 0, time.UTC),
	} {
		got, err := e.Apply(Event{Type: event.Track, Name: "x", ReceivedMS: received.UnixMilli(), JSON: []byte(`{"timestamp":"` + stamp + `"}`)})
		if err != nil || got[0].At != want.Unix() || got[1].At != received.Unix() {
			t.Errorf("%s: %v, %v, want %d", stamp, got, err, want.Unix())
		}
	}
	for _, stamp := range []string{`"2026-02-30T00:00:00.000Z"`, `"2026-13-01T00:00:00.000Z"`, `"2026-11-21 12:00:00"`, `17`, `null`, `""`, `"2026-11-21T12:00:00.Z"`} {
		if _, err := e.Apply(Event{Type: event.Track, Name: "x", JSON: []byte(`{"timestamp":` + stamp + `}`)}); !errors.Is(err, ErrTimestamp) {
			t.Errorf("%s: %v", stamp, err)
		}
	}
}

// TestNoAllocations: what runs for each event allocates nothing once it has met
// the event's name.
func TestNoAllocations(t *testing.T) {
	set, err := Load("testdata/good.yaml")
	if err != nil {
		t.Fatal(err)
	}
	vs := make([]Version, len(set.Metrics))
	for i, m := range set.Metrics {
		vs[i] = Version{VersionID: VersionID{i, 1}, Def: m}
	}
	p := NewPlan(vs, time.Minute)
	e := p.NewEvaluator()
	states := make([]*State, len(p.Versions))
	for i, v := range p.Versions {
		states[i] = v.Def.NewState()
	}
	ev := track("Order Completed", `"userId":"u1","messageId":"m","context":{"location":{"country":"D\u0045"},"page":{"path":"/x"}},"properties":{"plan":"Pro","total":"12.50","currency":"EUR","items_count":1e1,"more":[1,{"a":"b"}]}`)
	got := testing.AllocsPerRun(1000, func() {
		cs, err := e.Apply(ev)
		if err != nil || len(cs) < 5 {
			t.Fatal(cs, err)
		}
		for _, c := range cs {
			if err := states[c.Version].Add(c.Value, c.Minus); err != nil {
				t.Fatal(err)
			}
		}
	})
	if got != 0 {
		t.Fatalf("%v allocations per event", got)
	}
}

func FuzzPredicate(f *testing.F) {
	for _, s := range []string{
		`properties.currency = "EUR"`, `not not exists userId`, `lower(context.a) in ("x", 1.50, true)`, `((traits."a b".c <= -2))`,
		`properties.a starts "x" or properties.a ends "\""`, strings.Repeat("(", 200), `properties.a = 1e5`, `name contains ""`,
	} {
		f.Add(s, `{"timestamp":"2026-11-21T11:59:58.250Z","properties":{"a":"x","currency":"EUR"}}`)
	}
	f.Fuzz(func(t *testing.T, where, body string) {
		pred, err := parsePredicate(where)
		if err != nil {
			if err.Error() == "" {
				t.Fatal("an error without words")
			}
			return
		}
		m := &Metric{Kind: Count, Of: []Matcher{{Any: true}}, where: pred}
		not := &Metric{Kind: Count, Of: []Matcher{{Any: true}}, where: &predicate{op: opNot, kids: []*predicate{pred}}}
		e := NewPlan([]Version{{Def: m}, {Def: not}}, 0).NewEvaluator()
		got, err := e.Apply(Event{Type: event.Track, JSON: []byte(body)})
		if err == nil && len(got) != 1 {
			t.Fatalf("%q and its opposite hold together or not at all: %v", where, got)
		}
	})
}

// FuzzScan holds the scanner to encoding/json: the same texts are JSON, and the
// same values lie at the paths.
func FuzzScan(f *testing.F) {
	for _, s := range []string{
		`{"a":{"b":"x"},"c":1.5e3}`, `{"a":{"b":null},"a":{"b":"\ud83d\ude00\ud800"}}`, `{"c":tru}`, `{}`, `{"a":[{"b":1}],"c":""}`, `{"a" : {"b" : -0 } , "c":false} `, `{"c":01}`, `[]`,
	} {
		f.Add([]byte(s))
	}
	tr := newTrie([][]string{{"a", "b"}, {"c"}})
	f.Fuzz(func(t *testing.T, b []byte) {
		var s scanner
		err := s.scan(tr, b)
		if want := json.Valid(b) && strings.HasPrefix(strings.TrimLeft(string(b), " \t\r\n"), "{"); (err == nil) != want {
			if want && strings.Count(string(b), "[")+strings.Count(string(b), "{") > event.MaxDepth {
				return // deeper than events may be
			}
			t.Fatalf("scan says %v, encoding/json %v", err, want)
		}
		if err != nil {
			return
		}
		var want map[string]json.RawMessage
		if json.Unmarshal(b, &want) != nil {
			return
		}
		var text string
		if json.Unmarshal(want["c"], &text) == nil && len(want["c"]) > 0 && want["c"][0] == '"' && json.Valid(want["c"]) {
			if got := strings.ToValidUTF8(string(s.vals[tr.slot([]string{"c"})].raw), "\ufffd"); got != strings.ToValidUTF8(text, "\ufffd") && !strings.Contains(text, "\ufffd") {
				t.Fatalf("c is %q, want %q", got, text)
			}
		}
	})
}

func BenchmarkApply(b *testing.B) {
	p := plan(b, `
dims: {country: context.location.country, plan: {path: properties.plan, lower: true, allow: [free, pro]}}
metrics:
  orders: {count: Order Completed, by: [country, plan]}
  revenue: {sum: properties.total, of: Order Completed, where: 'properties.currency = "EUR"', by: [country]}
  users: {uniques: user, of: "*", by: [plan]}
`)
	e := p.NewEvaluator()
	ev := track("Order Completed", `"userId":"u1","messageId":"m-123456789","context":{"ip":"192.0.2.1","userAgent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36","library":{"name":"analytics.js","version":"2.0"},"location":{"country":"DE"},"page":{"path":"/checkout/done","url":"https://shop.example.com/checkout/done"}},"integrations":{},"properties":{"plan":"Pro","total":12.50,"currency":"EUR","order_id":"A-1001","products":[{"sku":"x","price":3.5},{"sku":"y","price":9}]}`)
	b.SetBytes(int64(len(ev.JSON)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.Apply(ev); err != nil {
			b.Fatal(err)
		}
	}
}
