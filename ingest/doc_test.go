package ingest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestDocNamesTestsAndMetricsThatExist(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	whole, err := filepath.Glob("../internal/e2e/*_test.go") // of the built program
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, whole...)
	var tests strings.Builder
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		tests.Write(b)
	}
	for _, name := range regexp.MustCompile(`\bTest[A-Z]\w+`).FindAllString(string(doc), -1) {
		if !strings.Contains(tests.String(), "func "+name+"(t *testing.T)") {
			t.Errorf("doc.go names %s, which is no test", name)
		}
	}
	reg := prometheus.NewRegistry()
	zero := func() float64 { return 0 }
	m := newMetrics(reg, zero, zero, zero, zero)
	for _, c := range []*prometheus.CounterVec{m.requests, m.rejected, m.flagged} {
		c.WithLabelValues("a", "b")
	}
	registerSpool(reg, &producer{}, 0)
	registerSources(reg, func() *snapshot { return &snapshot{} })
	newTails(Tail{}, reg)
	registerAsked(reg, &follower{history: newHistory(Rejections{})})
	m.produceErrors.WithLabelValues("a")
	m.duration.WithLabelValues("a")
	m.zero("app")
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		name, ok := strings.CutPrefix(f.GetName(), "millstream_ingest_")
		if !ok || !strings.Contains(string(doc), name) {
			t.Errorf("doc.go lacks %s", f.GetName())
		}
	}
	equal(t, "series", len(families), strings.Count(string(doc), "_total")+3+15)
}
