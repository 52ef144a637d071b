package metric

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/millstream-data/millstream/internal/event"
)

// TestDocumentedExamples runs docs/metrics.md: every definition parses, and the
// events make the totals that it prints.
func TestDocumentedExamples(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../docs/metrics.md")
	must(t, err)
	blocks := map[string][]string{}
	for _, m := range regexp.MustCompile("(?s)```(\\w+)\n(.*?)```").FindAllStringSubmatch(string(b), -1) {
		blocks[m[1]] = append(blocks[m[1]], m[2])
	}
	for _, y := range blocks["yaml"] {
		if _, err := Parse([]File{{Name: "docs/metrics.md", Data: y}}); err != nil {
			t.Error(err)
		}
	}
	set, err := Parse([]File{{Name: "m.yaml", Data: blocks["yaml"][0]}})
	must(t, err)
	var got strings.Builder
	for _, zone := range []string{"UTC", "Europe/Berlin"} {
		fmt.Fprintf(&got, "%-13s %s\n", zone, totals(t, set, zone, blocks["json"][0]))
	}
	if got.String() != blocks["text"][0] {
		t.Errorf("the example gives\n%swant\n%s", got.String(), blocks["text"][0])
	}
}

func totals(t *testing.T, set *Set, zone, events string) string {
	t.Helper()
	states := map[string]*State{}
	var vs []Version
	for _, m := range set.Metrics {
		vs = append(vs, Version{Name: m.Name, Def: m})
		if m.Kind != Ratio {
			states[m.Name] = m.NewState()
		}
	}
	z, err := LoadZone(zone)
	must(t, err)
	p := NewPlan(vs, 0)
	e := p.NewEvaluator()
	for line := range strings.Lines(events) {
		var head struct {
			Type      event.Type
			Event     string
			Timestamp time.Time
		}
		must(t, json.Unmarshal([]byte(line), &head))
		cs, err := e.Apply(Event{Source: "app", Type: head.Type, Name: head.Event, ReceivedMS: head.Timestamp.UnixMilli(), JSON: []byte(strings.TrimSpace(line))})
		must(t, err)
		for _, c := range cs {
			if FormatDate(z.Day(c.At)) == "2026-03-29" && !c.Bad {
				must(t, states[p.Versions[c.Version].Name].Add(c.Value, c.Minus))
			}
		}
	}
	var parts []string
	for _, m := range set.Metrics {
		var r Result
		if m.Kind == Ratio {
			a, b := m.Divides[0], m.Divides[1]
			r = m.Divide(set.Metric(a).Result(states[a]), set.Metric(b).Result(states[b]))
		} else {
			r = m.Result(states[m.Name])
		}
		parts = append(parts, m.Name+" "+r.Decimal)
	}
	return strings.Join(parts, "  ")
}

func TestFormatExample(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("FORMAT.md")
	must(t, err)
	sum, count := every()[1].NewState(), every()[0].NewState()
	for _, v := range []int64{1250, -25} {
		must(t, sum.Add(v, false))
	}
	for range 3 {
		must(t, count.Add(0, false))
	}
	tuple := AppendTuple(nil, "DE")
	for _, want := range []string{hex.EncodeToString(sum.Append(nil)), hex.EncodeToString(count.Append(nil)), hex.EncodeToString(tuple), fmt.Sprintf("%016x", DimHash(tuple))} {
		if !strings.Contains(string(b), "`"+want+"`") {
			t.Errorf("FORMAT.md does not say %s", want)
		}
	}
}

func TestShopExampleLoads(t *testing.T) {
	t.Parallel()
	set, err := Load("../../deploy/examples/metrics")
	must(t, err)
	for _, name := range []string{"orders", "revenue", "dau"} {
		if m := set.Metric(name); m == nil || len(m.By) != 1 || m.By[0].Name != "plan" {
			t.Errorf("%s is %+v", name, m)
		}
	}
}
