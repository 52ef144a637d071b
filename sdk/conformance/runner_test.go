package conformance

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// post sends a batch as an SDK would; status 0 is what a cut or a refusal looks like.
func post(t *testing.T, s *server, body string) (status int, h http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/v1/batch", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil
	}
	_ = resp.Body.Close()
	return resp.StatusCode, resp.Header
}

const oneEvent = `{"sentAt":"2026-03-01T10:00:00.000Z","batch":[{"messageId":"m1","type":"track","event":"E","properties":{"n":1}}]}`

func TestServerFollowsItsScript(t *testing.T) {
	t.Parallel()
	s := serve(t, run{
		Script: []reply{
			{Status: 503, Headers: map[string]string{"Retry-After": "{date+100}", "Location": "{other}/x"}},
			{Cut: "before"},
			{Cut: "after"},
			{Status: 200, Away: 60_000},
		},
		Then:  &reply{Status: 204},
		Rules: []reply{{When: &condition{Event: "Bad"}, Status: 400}},
	})
	bad := strings.Replace(oneEvent, `"E"`, `"Bad"`, 1)
	status, h := post(t, s, oneEvent)
	if status != 503 || h.Get("Location") != s.other+"/x" {
		t.Fatalf("%d, %v", status, h)
	}
	if at, err := http.ParseTime(h.Get("Retry-After")); err != nil || time.Until(at) < 90*time.Second {
		t.Errorf("Retry-After: %v, %v", at, err)
	}
	for i, c := range []struct {
		body string
		want int
	}{{bad, 0}, {oneEvent, 0}, {bad, 400}, {oneEvent, 200}, {oneEvent, 0}} { // the last while nobody listens
		if status, _ := post(t, s, c.body); status != c.want {
			t.Errorf("request %d: %d, want %d", i+2, status, c.want)
		}
	}
	requests, _ := s.seen()
	var statuses []int
	for _, r := range requests {
		statuses = append(statuses, r.status)
	}
	o := &outcome{}
	o.equal("statuses", statuses, []int{503, 0, 0, 400, 200})
	o.equal("read before the cut", requests[1].raw == nil, true)
	o.equal("read before the second cut", string(requests[2].body), oneEvent)
	o.equal("numbers", requests[4].numbers(), []int{1})
	if len(o.said) > 0 {
		t.Error(o.said)
	}
}

// good is an outcome that nothing is wrong with.
func good(t *testing.T) *outcome {
	t.Helper()
	s := serve(t, run{})
	body := `{"sentAt":"2026-03-01T10:00:00.000Z","batch":[{"messageId":"m1","type":"track","timestamp":"2026-03-01T10:00:00.000Z","event":"E",` +
		`"properties":{"n":1},"context":{"library":{"name":"millstream-go","version":"0.1.0"}}}]}`
	r := &request{
		method: http.MethodPost, path: "/v1/batch", raw: []byte(body), status: 200,
		header: http.Header{"Authorization": {"Basic d2s6"}, "Content-Type": {"application/json"}, "User-Agent": {"millstream-go/0.1.0"}},
	}
	r.decode()
	in, err := input{Sequences: []any{map[string]any{"events": []any{map[string]any{"type": "track"}}}}}.prepared(s.url, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	stats := map[string]any{"droppedByReason": map[string]any{}, "enqueued": 1.0, "delivered": 1.0}
	for _, name := range []string{"rejected", "dropped", "handedOver", "queued", "inFlight", "spooled"} {
		stats[name] = 0.0
	}
	return &outcome{
		sdk: "go", in: in, requests: []request{*r}, most: 1,
		out: output{Success: true, Results: []result{{MessageID: "m1", Fate: "delivered", Attempts: 1}}, Stats: stats},
	}
}

func TestRunnerSeesWhatIsWrong(t *testing.T) {
	t.Parallel()
	one, two := 1, 2
	wanted := expect{Results: []string{"delivered@1"}, Delivered: &one, Requests: &one, Ordered: 1, Batches: []int{1}, Retries: []string{""}, Gzip: []bool{false}}
	if o := good(t); true {
		if o.judge(wanted); len(o.said) > 0 {
			t.Fatalf("a good outcome: %v", o.said)
		}
	}
	for name, c := range map[string]struct {
		change func(*outcome)
		expect expect
		says   string
	}{
		"an attempt more":     {func(o *outcome) { o.out.Results[0].Attempts = 2 }, wanted, "results"},
		"a code":              {func(o *outcome) { o.out.Results[0].Code = "x" }, wanted, "results"},
		"two fates":           {func(o *outcome) { o.out.Results = append(o.out.Results, o.out.Results[0]) }, expect{}, "two fates"},
		"sums":                {func(o *outcome) { o.out.Stats["delivered"] = 2.0 }, expect{}, "its parts"},
		"reasons":             {func(o *outcome) { o.out.Stats["dropped"], o.out.Stats["delivered"] = 1.0, 0.0 }, expect{}, "by its reasons"},
		"a fate untold":       {func(o *outcome) { o.out.Results = nil }, expect{}, "callback told"},
		"a refusal untold":    {refuse, expect{}, "callback told"},
		"another fate":        {func(o *outcome) { o.out.Results[0].Fate = "rejected" }, expect{}, "callback told"},
		"no count of a call":  {func(o *outcome) { o.in.Sequences = append(o.in.Sequences, o.in.Sequences...) }, expect{}, "after 2 calls"},
		"a call too many":     {func(o *outcome) { o.in.Sequences = []any{} }, expect{}, "after 0 calls"},
		"left in the queue":   {func(o *outcome) { o.out.Stats["queued"], o.out.Stats["delivered"] = 1.0, 0.0 }, expect{}, "after close"},
		"taken, but not told": {func(o *outcome) { o.out.Results[0].MessageID = "m2" }, expect{}, "m1 was taken by the server, and no fate"},
		"told, but not taken": {func(o *outcome) { o.requests[0].status = 500 }, expect{}, "no request that was taken"},
		"a stat that is away": {func(o *outcome) { delete(o.out.Stats, "queued") }, expect{}, "no number queued"},
		"requests":            {func(*outcome) {}, expect{Requests: &two}, "requests: 1, want 2"},
		"order":               {func(*outcome) {}, expect{Ordered: 2}, "properties.n"},
		"leaks":               {func(o *outcome) { o.out.Leaks = 1 }, expect{}, "leaks"},
		"two at once":         {func(o *outcome) { o.most = 2 }, expect{}, "at once"},
		"a preflight":         {func(o *outcome) { o.preflight = 1 }, expect{}, "preflights"},
		"another host":        {func(o *outcome) { o.stolen = []string{"POST /"} }, expect{}, "another host"},
		"a text":              {func(*outcome) {}, expect{Absent: []string{`"n":1`}}, "holds"},
		"no text":             {func(*outcome) {}, expect{Present: []string{"email"}}, "no body holds"},
		"agent":               {func(o *outcome) { o.requests[0].header.Set("User-Agent", "Go") }, expect{}, "User-Agent"},
		"key":                 {func(o *outcome) { o.requests[0].header.Del("Authorization") }, expect{}, "Authorization"},
		"no gzip":             {func(o *outcome) { o.requests[0].body = append(o.requests[0].body, make([]byte, 2000)...) }, expect{}, "gzip"},
		"sentAt":              {func(o *outcome) { o.requests[0].batch.SentAt = "2026-03-01T10:00:00Z" }, expect{}, "sentAt"},
		"a browser's header":  {func(o *outcome) { o.sdk = "browser" }, expect{}, "header Authorization"},
		"another's library":   {func(o *outcome) { o.sdk = "node" }, expect{}, "library of context"},
	} {
		o := good(t)
		c.change(o)
		o.judge(c.expect)
		if text := strings.Join(o.said, "\n"); !strings.Contains(text, c.says) {
			t.Errorf("%s: the runner says %q, want something of %q", name, text, c.says)
		}
	}
}

// refuse makes the one event a refusal that no call told.
func refuse(o *outcome) {
	o.out.Results, o.out.Stats["delivered"], o.out.Stats["dropped"] = nil, 0.0, 1.0
	o.out.Stats["droppedByReason"] = map[string]any{"queue_full": 1.0}
}
