package ingest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/millstream-data/millstream/internal/event"
)

func TestH05Poison(t *testing.T) {
	t.Parallel()
	e := setup(t)
	page := func(rest string) string { return `{"type":"page","userId":"u"` + rest + `}` }
	bad := map[int]struct {
		event string
		code  event.Code
	}{
		3:  {`{"type":"wander","userId":"u"}`, event.CodeUnknownType},
		4:  {`{"userId":"u"}`, event.CodeMissingType},
		7:  {page(`,"x":"` + strings.Repeat("x", 300<<10) + `"`), event.CodeEventTooLarge},
		8:  {`{"type":"page","messageId":"no-ids"}`, event.CodeMissingIdentity},
		15: {page(",\"x\":\"a\x00b\""), event.CodeInvalidJSON},
		16: {page(`,"x":NaN`), event.CodeInvalidJSON},
		17: {page(`,"x":[1,2,],"y":{"z":"]}"},`), event.CodeInvalidJSON},
		23: {page(`,"x":` + strings.Repeat("[", 200) + strings.Repeat("]", 200)), event.CodeTooDeep},
		24: {page(",\"x\":\"\xff\xfe\""), event.CodeInvalidUTF8},
		42: {`null`, event.CodeNotAnObject},
		43: {`["type","page"]`, event.CodeNotAnObject},
		44: {``, event.CodeInvalidJSON},
		50: {`{"type":"track","userId":"u"}`, event.CodeMissingEvent},
		51: {`{"type":"track","userId":"u","event":"` + strings.Repeat("e", 513) + `"}`, event.CodeNameTooLong},
		52: {`{"type":"page","userId":"` + strings.Repeat("e", 513) + `"}`, event.CodeIDTooLong},
		53: {`{"type":"group","userId":"u"}`, event.CodeMissingGroupID},
		54: {`{"type":"alias","userId":"u"}`, event.CodeMissingPreviousID},
		55: {`{"type":"alias","anonymousId":"u","previousId":"p"}`, event.CodeMissingIdentity},
		99: {`{"type":"page" "userId":"u"}`, event.CodeInvalidJSON},
	}
	odd := map[int]string{ // strange, and good
		30: page(`,"x":"\u0000"`), 31: page(`,"x":"\ud800"`), 32: page(`,"x":` + strings.Repeat("[", 199) + strings.Repeat("]", 199)),
		33: page(`,"messageId":"twice"`), 34: page(`,"messageId":"twice"`),
	}
	events := make([]string, 100)
	for i := range events {
		if events[i] = odd[i]; events[i] == "" {
			events[i] = page(fmt.Sprintf(`,"messageId":"m%d"`, i))
		}
		if b, ok := bad[i]; ok {
			events[i] = b.event
		}
	}
	a := e.post(t, "/v1/batch", `{"batch":[`+strings.Join(events, ", ")+`]}`)
	var got struct {
		Success    bool
		Accepted   int
		Duplicates int
		Rejected   []struct {
			Index     int
			MessageID string
			Code      event.Code
			Message   string
		}
	}
	if err := json.Unmarshal([]byte(a.body), &got); err != nil || a.status != http.StatusOK || !got.Success {
		t.Fatalf("%d %s: %v", a.status, a.body, err)
	}
	equal(t, "accepted", got.Accepted, 99-len(bad))
	equal(t, "duplicates", got.Duplicates, 1)
	want, codes := map[int]event.Code{}, map[int]event.Code{}
	for i, b := range bad {
		want[i] = b.code
	}
	for _, r := range got.Rejected {
		codes[r.Index] = r.Code
		if r.Message == "" {
			t.Errorf("event %d: no message", r.Index)
		}
	}
	equal(t, "codes in the answer", codes, want)
	e.events(t, 99-len(bad))
	records := map[int]event.Code{}
	for _, r := range e.rejected(t, len(bad)) {
		records[r.Index] = r.Code
		equal(t, "original", string(r.Original), bad[r.Index].event)
		if r.Stage != event.StageIngest || r.Source != "app" || len(r.ID) != 36 || len(r.Key) != 8 || !r.ReceivedAt.Equal(at) || r.Size != len(bad[r.Index].event) {
			t.Errorf("dead letter: %+v", r)
		}
		if r.Index == 8 {
			equal(t, "message id", r.MessageID, "no-ids")
		}
	}
	equal(t, "codes of dead letters", records, want)
	equal(t, "metric", e.metric(t, "events_rejected_total", "invalid_json", "app"), 5.0)
	equal(t, "metric", e.metric(t, "events_accepted_total", "app", "page"), float64(99-len(bad)))
}

func TestSingleRoutesAnswerTheEventsCode(t *testing.T) {
	t.Parallel()
	e := setup(t)
	for body, code := range map[string]string{
		`{"userId":"u"}`: "missing_event", `{"event":"E"}`: "missing_identity", `[1]`: "not_an_object", `{"userId":"u",}`: "invalid_json", `{"userId":"u","event":"E"} x`: "invalid_json",
	} {
		a := e.post(t, "/v1/track", body, "X-Request-Id", "r1")
		if a.status != 400 || !strings.HasPrefix(a.body, `{"success":false,"code":"`+code+`"`) || !strings.HasSuffix(a.body, `"requestId":"r1"}`) {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	}
	e.rejected(t, 5)
	equal(t, "type mismatch", e.post(t, "/v1/track", `{"type":"page","userId":"u","event":"E","messageId":"m"}`).status, 200)
	if v := string(e.events(t, 1)[0].Value); !strings.Contains(v, `"context":{"millstream":{"flags":["type_mismatch"]}},"type":"track","userId"`) {
		t.Error(v)
	}
}

func TestUnreadableRequestsAreRefusedWhole(t *testing.T) {
	t.Parallel()
	e := setup(t, func(c *Config) { c.Limits.BatchEvents = 3; c.Limits.Body = 1 << 10 })
	for _, c := range []struct {
		body   string
		status int
		code   string
		enc    string
	}{
		{``, 400, "empty_body", ""},
		{" \n", 400, "empty_body", ""},
		{`{"batch":[{"type":"page"`, 400, "invalid_json", ""},
		{`{"batch":[]`, 400, "invalid_json", ""},
		{`{"events":[]}`, 400, "no_batch", ""},
		{`[]`, 400, "no_batch", ""},
		{`{"batch":{}}`, 400, "no_batch", ""},
		{`{"batch":[]}x`, 400, "invalid_json", ""},
		{`{"batch":[1,2,3,4]}`, 413, "too_many_events", ""},
		{strings.Repeat(" ", 1<<11), 413, "body_too_large", ""},
		{`{}`, 400, "bad_encoding", "br"},
		{`{}`, 400, "bad_encoding", "gzip, gzip"},
		{`{}`, 400, "bad_encoding", "gzip"},
		{`{}`, 400, "bad_encoding", "zstd"},
		{`{}`, 400, "bad_encoding", "deflate"},
	} {
		a := e.post(t, "/v1/batch", c.body, "Content-Encoding", c.enc)
		if a.status != c.status || !strings.Contains(a.body, `"code":"`+c.code+`"`) {
			t.Errorf("%.40s %s: %d %s, want %d %s", c.body, c.enc, a.status, a.body, c.status, c.code)
		}
	}
	for _, r := range e.rejected(t, 15) {
		if r.Index != -1 || r.RequestID == "" {
			t.Errorf("%+v", r)
		}
	}
	equal(t, "an empty batch", e.post(t, "/v1/batch", `{"batch":[]}`).body, `{"success":true}`)
	equal(t, "a stranger", e.do(t, http.MethodPost, "/v1/batch", `{"batch":[`).status, 400)
	e.rejected(t, 15)
}

func TestLongListsOfRejectedEventsAreCut(t *testing.T) {
	t.Parallel()
	e := setup(t)
	a := e.post(t, "/v1/batch", `{"batch":[1`+strings.Repeat(",1", 1500)+`]}`)
	if n := strings.Count(a.body, `"index":`); n != maxListed || !strings.HasSuffix(a.body, `],"rejectedTotal":1501}`) {
		t.Errorf("%d listed: …%s", n, a.body[len(a.body)-80:])
	}
	e.rejected(t, 1501)
}

func TestBatchContextThatIsTooLargeIsRefused(t *testing.T) {
	t.Parallel()
	e := setup(t)
	a := e.post(t, "/v1/batch", `{"batch":[{"type":"page","userId":"u"}],"context":{"x":"`+strings.Repeat("x", 320<<10)+`"}}`)
	if !strings.Contains(a.body, `"event_too_large"`) {
		t.Error(a.body)
	}
}

func TestPanicRejectsOneEvent(t *testing.T) {
	t.Parallel()
	e := setup(t)
	rq := e.newRequest("r", route{kind: routeBatch})
	defer rq.leave()
	rq.access = e.sources.Load().find("dev-server")
	rq.body = &buffer{b: []byte(`{"batch":[{"type":"page","userId":"a"},{"type":"page","userId":"b"},{"type":"page","userId":"c"}]}`), class: -1}
	if ref := rq.split(); ref != nil {
		t.Fatal(ref)
	}
	rq.meet(&http.Request{})
	rq.begin()
	rq.idx.events[1].top.hi = 1 << 20 // as a bug in the scanner might
	if ref := rq.build(); ref != nil {
		t.Fatal(ref)
	}
	if ref := rq.settle(); ref != nil {
		t.Fatal(ref)
	}
	e.events(t, 2)
	dead := e.rejected(t, 1)[0]
	equal(t, "code", dead.Code, event.CodeInternal)
	equal(t, "original", string(dead.Original), `{"type":"page","userId":"b"}`)
	equal(t, "metric", e.metric(t, "panics_total", "event"), 1.0)
}
