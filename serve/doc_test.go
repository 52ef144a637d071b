package serve

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func readAll(t *testing.T, pattern string) string {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("%s: %v", pattern, err)
	}
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
	doc, tests := readAll(t, "doc.go"), readAll(t, "*_test.go")
	for _, name := range regexp.MustCompile(`\bTest\w+`).FindAllString(doc, -1) {
		if !strings.Contains(tests, "func "+name+"(") {
			t.Errorf("doc.go names %s, which does not exist", name)
		}
	}
	sorted := func(ms [][]string) []string {
		var out []string
		for _, m := range ms {
			out = append(out, m[1])
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	source := readAll(t, "metrics.go")
	described := sorted(regexp.MustCompile(`(?:counter|counters|gauge|gauges|histogram)\("(\w+)"`).FindAllStringSubmatch(source, -1))
	described = append(described, "request_seconds")
	slices.Sort(described)
	documented := sorted(regexp.MustCompile(`millstream_serve_(\w+)`).FindAllStringSubmatch(doc, -1))
	if !slices.Equal(described, documented) {
		t.Errorf("doc.go has %v\nmetrics.go %v", documented, described)
	}
}

// TestDocsShowGoldenFrames: the examples of docs/api.md are the frames that tests execute.
func TestDocsShowGoldenFrames(t *testing.T) {
	t.Parallel()
	docs := readAll(t, filepath.Join("..", "docs", "api.md"))
	for line := range strings.SplitSeq(strings.TrimSpace(readAll(t, filepath.Join("testdata", "protocol", "*.ndjson"))), "\n") {
		if !strings.Contains(docs, line) {
			t.Errorf("docs/api.md does not show\n%s", line)
		}
	}
}
