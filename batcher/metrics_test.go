package batcher

import (
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/millstream-data/millstream/internal/config"
)

func TestMetricsAreWellNamed(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	m := newMetrics(reg)
	m.topic("millstream.events")
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "millstream_batcher_") {
			t.Errorf("metric %s", f.GetName())
		}
	}
}

// doc.go promises a test for each failure; each must be there.
func TestFailureTableNamesRealTests(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	files, err := fs.Glob(os.DirFS("."), "*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	compaction, err := fs.Glob(os.DirFS("."), "compact/*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, name := range append(files, compaction...) {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
	}
	for _, name := range regexp.MustCompile(`Test[A-Z]\w+`).FindAllString(string(doc), -1) {
		if !strings.Contains(all.String(), "func "+name+"(") {
			t.Errorf("doc.go names %s, which is no test", name)
		}
	}
}

// docs/batcher.md names every metric, and none that is not there.
func TestMetricsDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/batcher.md")
	if err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	newMetrics(reg)
	described := make(chan *prometheus.Desc, 1)
	go func() {
		reg.Describe(described)
		close(described)
	}()
	known := map[string]bool{}
	for d := range described {
		name := regexp.MustCompile(`fqName: "millstream_batcher_(\w+)"`).FindStringSubmatch(d.String())[1]
		known[name] = true
		if !strings.Contains(string(page), "`"+name) {
			t.Errorf("%s is not on the page", name)
		}
	}
	for _, row := range regexp.MustCompile("(?m)^\\| (`.*?) \\|").FindAllStringSubmatch(string(page), -1) {
		for _, m := range regexp.MustCompile("`([a-z_]+)").FindAllStringSubmatch(row[1], -1) {
			if strings.Contains(m[1], "_") && !known[m[1]] && !strings.HasPrefix(m[1], "millstream_batcher") {
				t.Errorf("%s is on the page, but there is no such metric", m[1])
			}
		}
	}
}

// docs/configuration.md has every option as the program has it.
func TestConfigDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for row := range strings.SplitSeq(config.Reference(struct {
		Batcher Config `yaml:"batcher" doc:"of this package"`
	}{DefaultConfig()}), "\n") {
		if strings.HasPrefix(row, "| `batcher.") {
			rows++
			if !strings.Contains(string(page), row+"\n") {
				t.Errorf("not on the page; make docs writes it anew: %s", row)
			}
		}
	}
	if rows < 30 {
		t.Errorf("%d options", rows)
	}
}
