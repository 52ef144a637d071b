//go:build integration

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millstream-data/millstream/internal/testkit"
)

// awkward are properties that a careless edge would change. JavaScript itself rounds the first one.
const awkward = `{"id":9007199254740993,"price":1.0,"tiny":1e-7,"text":"näïve \u0000 \ud83d\ude00 \"quoted\" \\ \/ <b>&</b> \u2028\t","half":"\ud800",` +
	`"nested":{"a":{"b":[1,{"c":null},[],{},[[0.10]]]}},"empty":"","ключ":"значение","$odd.key [0]":true,"2":"b","1":"a"}`

// sixCalls returns the six calls of a person.
func sixCalls(person string) []json.RawMessage {
	calls := []string{
		`{"type":"identify","userId":"P","traits":A}`,
		`{"type":"track","userId":"P","event":"Order „Completed“ \\ 1","properties":A}`,
		`{"type":"page","userId":"P","name":"Home","properties":A}`,
		`{"type":"screen","userId":"P","name":"Start","properties":A}`,
		`{"type":"group","userId":"P","groupId":"g-1","traits":A}`,
		`{"type":"alias","userId":"P","previousId":"before"}`,
	}
	out := make([]json.RawMessage, len(calls))
	for i, c := range calls {
		out[i] = json.RawMessage(strings.NewReplacer("P", person, "A", awkward).Replace(c))
	}
	return out
}

// sending is a run of an SDK with what came of it.
type sending struct {
	sdk     sdk
	proxy   *proxy
	run     run
	done    func() bool
	outcome outcome
	err     error
	took    time.Duration
}

// sendAll lets all run side by side and waits for them.
func sendAll(t *testing.T, ds drivers, all []*sending) {
	t.Helper()
	var wg sync.WaitGroup
	for _, s := range all {
		wg.Go(func() {
			start := time.Now()
			s.outcome, s.err = ds.send(t.Context(), s.sdk, s.proxy, s.run, s.done)
			s.took = time.Since(start)
		})
	}
	wg.Wait()
}

func TestH01SegmentSDKs(t *testing.T) {
	ds := startDrivers(t, "node", "browser", "python", "go")
	e := newEdge(t)
	var all []*sending
	for i, c := range sdks() {
		p := newProxy(t, e.ingest, c.secure)
		person := fmt.Sprintf("user-%d", i)
		all = append(all, &sending{
			sdk: c, proxy: p, run: run{ID: person, Calls: sixCalls(person)},
			done: func() bool { n, err := p.stored(); return n == 6 || err != nil },
		})
	}
	sendAll(t, ds, all)
	records := e.records(t)
	total := 0
	for _, s := range all {
		t.Run(s.sdk.String(), func(t *testing.T) {
			if s.err != nil {
				t.Fatal(s.err)
			}
			if len(s.outcome.Errors) > 0 {
				t.Errorf("the client complains: %v", s.outcome.Errors)
			}
			types := map[string]int{}
			posts := s.proxy.requests(http.MethodPost)
			for _, x := range posts {
				if x.status != http.StatusOK || !strings.HasPrefix(string(x.answer), `{"success":true`) {
					t.Errorf("%s %s was answered %d %s", x.Method, x.Path, x.status, x.answer)
				}
				events, err := x.Events()
				if err != nil {
					t.Fatal(err)
				}
				for _, ev := range events {
					types[ev.Type]++
					got := records[ev.MessageID()]
					if len(got) != 1 {
						t.Errorf("%s %s: %d records, want one", ev.Type, ev.MessageID(), len(got))
						continue
					}
					testkit.CheckRecord(t, "app", ev, got[0])
					if key := string(got[0].Key); key != "app/"+s.run.ID {
						t.Errorf("%s %s: its key is %s", ev.Type, ev.MessageID(), key)
					}
					if id := "9007199254740993"; ev.Type == "track" && (s.sdk.driver == "python" || s.sdk.driver == "go") && !strings.Contains(string(got[0].Value), id) {
						t.Errorf("%s %s: its record should hold %s: %s", ev.Type, ev.MessageID(), id, got[0].Value)
					}
				}
				total += len(events)
			}
			for _, name := range []string{"track", "identify", "page", "screen", "group", "alias"} {
				if types[name] != 1 {
					t.Errorf("%d events of type %s were sent, want one", types[name], name)
				}
			}
			if want := map[string]int{"single": 6, "batch": 1}[s.sdk.mode]; len(posts) != want && s.sdk.name != "analytics-node@6.2.0" {
				t.Errorf("%d requests, want %d", len(posts), want)
			}
			record(t, s)
		})
	}
	if len(records) != total {
		t.Errorf("Kafka holds %d events, %d were sent", len(records), total)
	}
}

// TestPythonsInfinityCostsNoOtherEvent has an SDK write a number that is none: json.dumps says Infinity.
func TestPythonsInfinityCostsNoOtherEvent(t *testing.T) {
	ds := startDrivers(t, "python")
	e := newEdge(t)
	p := newProxy(t, e.ingest, false)
	var calls []json.RawMessage
	for i, n := range []string{"1", "1e400", "3"} {
		calls = append(calls, fmt.Appendf(nil, `{"type":"track","userId":"infinite-%d","event":"Measured","properties":{"n":%s}}`, i, n))
	}
	client := sdk{name: "analytics-python@2.3.5", driver: "python", key: "dev-server", mode: "batch"}
	if o, err := ds.send(t.Context(), client, p, run{ID: "infinite", Calls: calls}, nil); err != nil || len(o.Errors) > 0 {
		t.Fatal(err, o.Errors)
	}
	posts := p.requests(http.MethodPost)
	if len(posts) != 1 || !bytes.Contains(posts[0].Body, []byte("Infinity")) {
		t.Fatalf("want one request with Infinity, got %d", len(posts))
	}
	answer := string(posts[0].answer)
	for _, want := range []string{`"accepted":2`, `"index":1,`, `"code":"invalid_json"`} {
		if !strings.Contains(answer, want) {
			t.Errorf("the answer should hold %s: %s", want, answer)
		}
	}
	records := e.records(t)
	for i, want := range []int{1, 0, 1} {
		if n := stored(records, fmt.Sprintf("infinite-%d", i)); n != want {
			t.Errorf("event %d is stored %d times, want %d", i, n, want)
		}
	}
}

// record writes what the client sent into the folder that MILLSTREAM_TEST_RECORD names, for the tests that replay it.
func record(t *testing.T, s *sending) {
	t.Helper()
	root := os.Getenv("MILLSTREAM_TEST_RECORD")
	if root == "" {
		return
	}
	dir := filepath.Join(root, s.sdk.name)
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // part of the source tree
		t.Fatal(err)
	}
	_, mode, _ := strings.Cut(s.sdk.String(), " ")
	for i, x := range s.proxy.requests(http.MethodPost) {
		path := filepath.Join(dir, fmt.Sprintf("%s-%d.http", mode, i+1))
		if err := os.WriteFile(path, x.Append(nil), 0o644); err != nil { //nolint:gosec // the same
			t.Fatal(err)
		}
	}
}

func TestH06LargeBatch(t *testing.T) {
	ds := startDrivers(t, "node")
	e := newEdge(t)
	p := newProxy(t, e.ingest, false)
	calls := make([]json.RawMessage, 60)
	for i := range calls {
		calls[i] = fmt.Appendf(nil, `{"type":"track","userId":"u%d","event":"Large","properties":{"n":%d,"text":%q}}`, i%7, i, strings.Repeat("x", 20<<10))
	}
	if o, err := ds.send(t.Context(), sdks()[1], p, run{ID: "large", Calls: calls}, nil); err != nil || len(o.Errors) > 0 {
		t.Fatal(err, o.Errors)
	}
	posts := p.requests(http.MethodPost)
	if len(posts) != 1 || len(posts[0].Body) < 1<<20 {
		t.Errorf("want one request above 1 MiB, got %d", len(posts))
	}
	records, stored := e.records(t), 0
	for _, x := range posts {
		if x.status != http.StatusOK {
			t.Errorf("the batch was answered %d %s", x.status, x.answer)
		}
		events, err := x.Events()
		if err != nil {
			t.Fatal(err)
		}
		for _, ev := range events {
			if got := records[ev.MessageID()]; len(got) != 1 {
				t.Errorf("%s: %d records, want one", ev.MessageID(), len(got))
			} else {
				testkit.CheckRecord(t, "app", ev, got[0])
				stored++
			}
		}
	}
	if stored != 60 {
		t.Errorf("%d of 60 events are stored", stored)
	}
}
