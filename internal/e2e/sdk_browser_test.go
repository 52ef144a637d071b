//go:build integration

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/kafka"
)

// pageRequest is what a page's script fetches.
type pageRequest struct {
	URL     string            `json:"url"`
	Method  string            `json:"method,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	Body    string            `json:"body,omitempty"`
	Repeat  int               `json:"repeat,omitempty"` // how often Body is sent
}

// pageAnswer is what it could read.
type pageAnswer struct {
	Status     int
	RetryAfter string
	RequestID  string
	Body       string
	Error      string
}

func TestH08Chromium(t *testing.T) {
	ds := startDrivers(t, "browser")
	e := newEdge(t, "ingest.limits.body=64KiB", "ingest.limits.batch_events=10")
	t.Run("preflights", func(t *testing.T) { testPreflights(t, ds, e) })
	t.Run("a retry passes", func(t *testing.T) { testRetryPasses(t, ds, e) })
	t.Run("what is gathered is sent when the page is left", func(t *testing.T) { testLeftPage(t, ds, e) })
	t.Run("a script reads every error", func(t *testing.T) { testErrorsAreReadable(t, ds, e) })
}

// browsers returns a sending of calls for each version and mode, over proxies with the script.
func browsers(t *testing.T, e *edge, name string, calls int, script ...fault) []*sending {
	t.Helper()
	var out []*sending
	for i, c := range sdks() {
		if c.driver != "browser" {
			continue
		}
		p := newProxy(t, e.ingest, c.secure, script...)
		person := fmt.Sprintf("%s-%d", name, i)
		out = append(out, &sending{
			sdk: c, proxy: p, run: run{ID: person, Calls: sixCalls(person)[:calls]},
			done: func() bool { n, err := p.stored(); return n == calls || err != nil },
		})
	}
	return out
}

func testPreflights(t *testing.T, ds drivers, e *edge) {
	all := browsers(t, e, "preflight", 1)
	sendAll(t, ds, all)
	for _, s := range all {
		if s.err != nil {
			t.Error(s.err)
		}
		preflights := s.proxy.requests(http.MethodOptions)
		if want := s.sdk.name != "analytics-next@1.70.0"; len(preflights) > 0 != want {
			t.Errorf("%s: %d preflights, want some: %t", s.sdk, len(preflights), want)
		}
		for _, x := range preflights {
			if asked := x.Header.Get("Access-Control-Request-Headers"); x.status != http.StatusNoContent || !strings.Contains(asked, "authorization") {
				t.Errorf("%s: a preflight for %q was answered %d", s.sdk, asked, x.status)
			}
		}
		for _, x := range s.proxy.requests(http.MethodPost) {
			if got := x.Header.Get("Authorization") != ""; got != (len(preflights) > 0) {
				t.Errorf("%s: %d preflights, but authorization: %t", s.sdk, len(preflights), got)
			}
		}
	}
}

// testRetryPasses hangs up three times: Chromium itself may repeat once, the SDK has to do the rest. 1.70.0 does not
// look at a status; 1.84.3 forgets X-Retry-Count at times when it batches.
func testRetryPasses(t *testing.T, ds drivers, e *edge) {
	cut := fault{cutBefore: true}
	all := append(browsers(t, e, "cut", 1, cut, cut, cut), browsers(t, e, "503", 1, fault{status: 503, retryAfter: 1})[:2]...)
	sendAll(t, ds, all)
	records := e.records(t)
	for _, s := range all {
		if s.err != nil {
			t.Error(s.err)
			continue
		}
		posts := s.proxy.requests(http.MethodPost)
		last := posts[len(posts)-1]
		if got, want := last.Header.Get("X-Retry-Count") != "", s.sdk.name == "analytics-next@1.84.3"; got != want && s.sdk.mode == "single" {
			t.Errorf("%s: the last of %d attempts has X-Retry-Count: %t", s.sdk, len(posts), got)
		}
		if n := stored(records, s.run.ID); n != 1 {
			t.Errorf("%s: %d events are stored after %d attempts", s.sdk, n, len(posts))
		}
	}
}

// stored counts the message ids of a person.
func stored(records map[string][]*kgo.Record, person string) (n int) {
	for _, rs := range records {
		if string(rs[0].Key) == "app/"+person {
			n++
		}
	}
	return n
}

// testLeftPage looks away from the page and then leaves it, while the SDK gathers: it sends what it holds both times.
func testLeftPage(t *testing.T, ds drivers, e *edge) {
	var all []*sending
	for _, s := range browsers(t, e, "left", 4) {
		if s.sdk.mode == "batch" {
			s.run.Leave, s.done = true, func() bool { return true }
			all = append(all, s)
		}
	}
	sendAll(t, ds, all)
	for _, s := range all {
		if s.err != nil {
			t.Error(s.err)
		}
		twice := func() bool {
			n, err := s.proxy.stored()
			return n == 4 && sent(t, s.proxy) == 8 || err != nil
		}
		if err := await(t.Context(), 10*time.Second, twice); err != nil {
			t.Errorf("%s: %d events were sent, want 4 of them twice", s.sdk, sent(t, s.proxy))
		}
	}
	records := e.records(t)
	for _, s := range all {
		if n := stored(records, s.run.ID); n != 4 {
			t.Errorf("%s: %d events are stored", s.sdk, n)
		}
	}
}

// sent counts the events of all requests, repeated ones each time.
func sent(t *testing.T, p *proxy) (n int) {
	t.Helper()
	for _, x := range p.requests(http.MethodPost) {
		events, err := x.Events()
		if err != nil {
			t.Error(err)
		}
		n += len(events)
	}
	return n
}

// testErrorsAreReadable lets a page of another origin provoke every error that it can.
func testErrorsAreReadable(t *testing.T, ds drivers, e *edge) {
	nowhere := kafka.DefaultConfig()
	nowhere.Brokers, nowhere.TopicPrefix = []string{freeAddr(t)}, "nowhere"
	away := newIngest(t, nowhere, "ingest.spool.max_bytes=0", "ingest.timeouts.answer_timeout=1s")
	away.probe = "/livez"
	away.start()
	key := map[string]string{"Authorization": "Basic ZGV2Og=="}
	post := func(path string, headers map[string]string, body string) pageRequest {
		return pageRequest{URL: e.ingest + path, Method: http.MethodPost, Headers: headers, Body: body}
	}
	batch := `{"batch":[{"type":"page","userId":"u"}]}`
	cases := []struct {
		status int
		code   string
		pageRequest
	}{
		{400, "empty_body", post("/v1/batch", key, "")},
		{400, "invalid_json", post("/v1/batch", key, "{")},
		{400, "no_batch", post("/v1/batch", key, "{}")},
		{400, "bad_encoding", post("/v1/batch", map[string]string{"X-Write-Key": "dev", "Content-Encoding": "br"}, "{}")},
		{400, "missing_identity", post("/v1/page", key, "{}")},
		{401, "missing_write_key", post("/v1/batch", nil, batch)},
		{401, "unknown_write_key", post("/v1/batch?writeKey=nobody", nil, batch)},
		{403, "source_disabled", post("/v1/batch", map[string]string{"X-Write-Key": "closed"}, batch)},
		{404, "unknown_route", post("/v1/nothing", key, batch)},
		{405, "method_not_allowed", pageRequest{URL: e.ingest + "/v1/batch", Method: http.MethodGet}},
		{413, "too_many_events", post("/v1/batch", key, `{"batch":[`+strings.Repeat("{},", 10)+`{}]}`)},
		{413, "body_too_large", pageRequest{URL: e.ingest + "/v1/batch", Method: http.MethodPost, Headers: key, Body: "0123456789abcdef", Repeat: 8 << 10}},
		{413, "body_too_large", pageRequest{URL: e.ingest + "/v1/batch", Method: http.MethodPost, Headers: key, Body: "0123456789abcdef", Repeat: 256 << 10}},
		{200, "", post("/v1/batch?writeKey=stopped", nil, batch)},
		{429, "rate_limited", post("/v1/batch?writeKey=stopped", nil, batch)},
		{503, "not_durable", pageRequest{URL: away.ingest + "/v1/batch", Method: http.MethodPost, Headers: key, Body: batch}},
	}
	requests := make([]pageRequest, len(cases))
	for i, c := range cases {
		requests[i] = c.pageRequest
	}
	answer, err := ds["browser"].ask(run{ID: "errors", Requests: requests})
	if err != nil {
		t.Fatal(err)
	}
	out := <-answer
	if out.Failed != "" || len(out.Strangers) > 0 || len(out.Answers) != len(cases) {
		t.Fatalf("the page: %+v", out)
	}
	for i, c := range cases {
		a := out.Answers[i]
		var body struct{ Code, RequestID string }
		if err := json.Unmarshal([]byte(a.Body), &body); err != nil || a.Status != c.status || body.Code != c.code || a.RequestID == "" || c.code != "" && a.RequestID != body.RequestID {
			t.Errorf("%s %s %s: the page read %+v", c.Method, c.URL, c.code, a)
		}
		if got, want := a.RetryAfter != "", c.status == 429 || c.status == 503; got != want {
			t.Errorf("%s: Retry-After %q", c.code, a.RetryAfter)
		}
	}
	away.stop()
}
