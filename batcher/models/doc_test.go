//go:build cgo

package models

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/internal/testkit/golden"
)

var (
	docPath    = filepath.Join("..", "..", "docs", "models.md")
	docModel   = regexp.MustCompile("(?s)<!-- model ([a-z_]+) -->\n```sql\n(.*?)```\n")
	docGolden  = regexp.MustCompile("(?s)<!-- transcript ([a-z_]+) -->\n```sql\n.*?```\n")
	sqlMoment  = regexp.MustCompile(`'2[0-9]{3}-[0-9-]+ [0-9:.]+'`)
	sqlSeconds = regexp.MustCompile(`, [0-9]+\.[0-9]{3}, '`)
	sqlOID     = regexp.MustCompile(`attrelid = [0-9]+`)
)

// documented builds the models of the document.
func documented(t *testing.T) *kit {
	t.Helper()
	doc, err := os.ReadFile(docPath)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, found := range docModel.FindAllStringSubmatch(string(doc), -1) {
		files[found[1]] = found[2]
	}
	k := setup(t, files)
	k.exec("CREATE TABLE app.order_completed (received_at TIMESTAMP, currency VARCHAR(8), total DOUBLE PRECISION)")
	k.exec("INSERT INTO app.order_completed VALUES ('2026-11-20 06:15:02', 'EUR', 12.5), ('2026-11-21 06:15:02', 'USD', 7)")
	return k
}

func TestModelsDocumentIsTrue(t *testing.T) {
	t.Parallel()
	k := documented(t)
	got := k.build()
	if len(got) != 2 {
		t.Errorf("the document has %d models", len(got))
	}
	for _, r := range got {
		k.ok(r)
	}
}

func TestModelsTranscriptGolden(t *testing.T) {
	t.Parallel()
	k := documented(t)
	k.ok(k.build("daily_revenue")["daily_revenue"])
	p, s := k.look()
	k.sent = nil
	k.builder.Build(t.Context(), k.gate, p, s, []*Model{p.Model("daily_revenue")}, func(r Result) { k.ok(r) })
	text := strings.Join(k.sent, ";\n") + ";\n"
	text = strings.ReplaceAll(text, k.dir, "models")
	text = regexp.MustCompile(`__(new|old)_[0-9a-z]{26}`).ReplaceAllString(text, "__${1}_01jd3x9k2m7q8r5t6v0w1y0001")
	text = sqlOID.ReplaceAllString(sqlSeconds.ReplaceAllString(sqlMoment.ReplaceAllString(text, "'2026-11-21 06:15:30.000'"), ", 0.471, '"), "attrelid = 4711")
	text = regexp.MustCompile(`'[0-9a-f]{64}'`).ReplaceAllString(text, "'8cd8…a516'")
	golden.Equal(t, filepath.Join("testdata", "transcripts", "model_build.sql"), []byte(text))
}

// TestModelsDocumentShowsTheTranscripts wants each in docs/models.md as it is.
func TestModelsDocumentShowsTheTranscripts(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile(docPath)
	if err != nil {
		t.Fatal(err)
	}
	folders := map[string]string{"model_build": "testdata", "upload": filepath.Join("..", "upload", "testdata")}
	got := docGolden.ReplaceAllFunc(doc, func(b []byte) []byte {
		name := string(docGolden.FindSubmatch(b)[1])
		text, err := os.ReadFile(filepath.Join(folders[name], "transcripts", name+".sql"))
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Appendf(nil, "<!-- transcript %s -->\n```sql\n%s```\n", name, text)
	})
	golden.Equal(t, docPath, got)
}

func TestModelsMetricsDocumented(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	m := newMetrics(reg)
	m.count(Result{Model: &Model{}, Outcome: OutcomeBuilt, Tests: []TestResult{{Failures: 1}}})
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if !strings.Contains(string(doc), f.GetName()) {
			t.Errorf("doc.go does not name %s", f.GetName())
		}
	}
}
