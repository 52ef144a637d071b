package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millstream-data/millstream/ingest"
)

// events writes lines into a file.
func events(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "events.ndjson")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const (
	examplePlan = "../../deploy/examples/plans/app.yaml"
	goodOrder   = `{"userId":"u1","event":"Order Completed","properties":{"order_id":"o1","total":27.5,"currency":"EUR","products":[{"product_id":"p1"}]}}`
	storedOrder = `{"receivedAt":"2026-03-01T10:00:01.200Z","type":"track","userId":"u1","event":"Order Completed","messageId":"m1",` +
		`"properties":{"order_id":"o1","total":"secret","currency":"EUR","products":[]}}`
)

func TestCheckPlanSaysWhatWouldBecomeOfEvents(t *testing.T) {
	t.Parallel()
	out, _, err := run(t, nil, "check", "--plan", examplePlan, events(t,
		goodOrder, "", storedOrder, `{"type":"identify","userId":"u1","traits":{"email":"nobody"}}`, `{"type":"track","userId":"u1","event":"Other"}`,
		`{"type":"page","userId":"u1"}`, `{"type":"track","event":"Other"}`, `{"type":`, `null`, `{"x":"`+strings.Repeat("x", 2<<20)+`"}`))
	if !errors.Is(err, errFindings) {
		t.Fatalf("want findings, got %v", err)
	}
	const want = `line 3: track "Order Completed": would_reject plan_violation
  /properties/products: must have at least 1 items (minItems)
  /properties/total: must be number, not string (type)
line 4: identify: would_flag
  /traits/email: must be in the format email (format)
line 5: track "Other": allow
  /event: the tracking plan has no such event (unplanned)
line 7: track: reject missing_identity
  neither userId nor anonymousId is set
line 8: event: reject invalid_json
  byte 8: the text ends too early
line 9: event: reject not_an_object
  an event must be a JSON object
line 10: event: reject event_too_large
  the line is too long for an event
9 events, 1 allow, 1 ok, 4 reject, 1 unjudged, 1 would_flag, 1 would_reject; 5 would be refused
`
	if out != want {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
}

func TestCheckPlanEndsWellIfNothingIsRefused(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	p := &program{stdin: strings.NewReader(goodOrder + "\r\n" + `{"type":"track","userId":"u1","event":"Other"}` + "\n"), stdout: &out, stderr: &out}
	if err := p.run(t.Context(), []string{"check", "--plan=" + examplePlan, "-"}); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	if !strings.HasSuffix(out.String(), "2 events, 1 allow, 1 ok; 0 would be refused\n") {
		t.Errorf("got %s", out.String())
	}
}

func TestCheckPlanNamesWhatIsWrongWithThePlan(t *testing.T) {
	t.Parallel()
	plan := file(t, "mode: flga\n")
	out, _, err := run(t, nil, "check", "--plan", plan, events(t))
	if !errors.Is(err, errFindings) || !strings.Contains(out, plan+":1:7: mode: must be allow, flag or reject") {
		t.Errorf("%v: %s", err, out)
	}
	if _, _, err := run(t, nil, "check", "--plan", plan); !errors.Is(err, errUsage) {
		t.Errorf("without events: %v", err)
	}
	if _, _, err := run(t, nil, "check", "--plan", examplePlan, filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a file: %v", err)
	}
}

func TestExampleSourcesLoad(t *testing.T) {
	t.Parallel()
	cfg := ingest.DefaultConfig()
	cfg.SourcesFile = "../../deploy/examples/sources.yaml"
	if saw, err := ingest.CheckSources(cfg); err != nil || saw != "1 with 2 keys" {
		t.Errorf("%s: %v", saw, err)
	}
}
