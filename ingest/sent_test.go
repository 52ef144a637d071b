package ingest

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/testkit"
)

// TestRecordedSDKRequests replays what Segment's SDKs have sent (make record), and finds each event in Kafka as it was
// on the wire.
func TestRecordedSDKRequests(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/wire/*/*.http")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recorded requests: %v; run make record", err)
	}
	e := setup(t)
	sent := map[string]testkit.SentEvent{}
	calls := map[string][]string{} // an SDK in one of its modes: the types that it sent
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		req, err := testkit.ParseSent(raw)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		var headers []string
		for name, values := range req.Header {
			headers = append(headers, name, values[0])
		}
		if a := e.do(t, req.Method, req.Path, string(req.Body), headers...); a.status != http.StatusOK || a.body != `{"success":true}` {
			t.Errorf("%s: %d %s", file, a.status, a.body)
		}
		events, err := req.Events()
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		mode := file[:strings.LastIndexByte(file, '-')]
		for _, ev := range events {
			sent[ev.MessageID()] = ev
			calls[mode] = append(calls[mode], ev.Type)
		}
	}
	for mode, types := range calls {
		slices.Sort(types)
		equal(t, mode, types, []string{"alias", "group", "identify", "page", "screen", "track"})
	}
	stored := map[string]*kgo.Record{}
	for _, r := range e.events(t, len(sent)) {
		stored[string(r.Headers[4].Value)] = r
	}
	for id, ev := range sent {
		if r := stored[id]; r == nil {
			t.Errorf("%s %s is not in Kafka", ev.Type, id)
		} else {
			testkit.CheckRecord(t, "app", ev, r)
		}
	}
}
