package rollup

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/internal/dedup"
	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/testkit"
)

func read(t *testing.T, names ...string) string {
	t.Helper()
	var out strings.Builder
	for _, n := range names {
		b, err := os.ReadFile(n)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(b)
	}
	return out.String()
}

func TestDocumentationNamesWhatExists(t *testing.T) {
	t.Parallel()
	doc := read(t, "doc.go")
	tests := read(t, "failures_test.go", "oracle_test.go", "publish_test.go", "rollup_test.go")
	for _, name := range regexp.MustCompile(`\bTest\w+`).FindAllString(doc, -1) {
		if !strings.Contains(tests, "func "+name+"(") {
			t.Errorf("doc.go names %s, which does not exist", name)
		}
	}
	reg := prometheus.NewRegistry()
	if _, err := New(DefaultConfig(), Deps{Kafka: kafka.DefaultConfig(), Dedup: dedup.DefaultConfig(), Log: testkit.Log(t), Registry: reg}); err != nil {
		t.Fatal(err)
	}
	described := regexp.MustCompile(`"(\w+)", "[A-Z][^"]*\."`).FindAllStringSubmatch(read(t, "metrics.go"), -1)
	documented := regexp.MustCompile(`millstream_rollup_(\w+)`).FindAllStringSubmatch(doc, -1)
	name := func(m []string) string { return m[1] }
	have, want := names(documented, name), names(described, name)
	if !slices.Equal(have, want) {
		t.Errorf("doc.go has %v\nmetrics.go %v", have, want)
	}
}

func names(ms [][]string, f func([]string) string) []string {
	out := make([]string, len(ms))
	for i, m := range ms {
		out[i] = f(m)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
