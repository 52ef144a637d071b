package ingest

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestRefusalsSayHowToMendThem(t *testing.T) {
	t.Parallel()
	e := setup(t)
	n := 0
	for _, c := range []struct {
		path, body, want string
		headers          []string
	}{
		{"/v1/batch", "\x1f\x8b\x08\x00 and so on", "byte 0: a value was expected; this looks like gzip: send Content-Encoding: gzip", nil},
		{"/v1/track", "\x1f\x8b\x08\x00 and so on", "byte 0: a value was expected; this looks like gzip: send Content-Encoding: gzip", nil},
		{"/v1/track", "\x28\xb5\x2f\xfd and so on", "this looks like zstd: send Content-Encoding: zstd", nil},
		{"/v1/track", "\x78\x9c and so on", "this looks like zlib: send Content-Encoding: deflate", nil},
		{"/v1/track", "userId=u&event=E", "byte 0: a value was expected; this looks like a form: send the event as JSON, or as the query of /v1/pixel", nil},
		{"/v1/batch", "data=%7B%7D", "this looks like a form: send the event as JSON", nil},
		{"/v1/track", "------boundary\r\nContent-Disposition: form-data", "this looks like a form with parts: send the event as JSON", nil},
		{"/v1/track", "{\x00\"\x00", "this looks like UTF-16: send UTF-8", nil},
		{"/v1/track", `{'userId':'u'}`, "byte 1: JSON has double quotes", nil},
		{"/v1/track", `{"userId":"u",}`, "byte 14: nothing follows the last comma", nil},
		{"/v1/track", "{\"userId\":\"a\nb\"}", `byte 12: unescaped control character, to be written as \u000a`, nil},
		{"/v1/track", `{"userId":"u","event":"E","x":` + strings.Repeat("[", 250), "byte 229: nested deeper than 200 levels", nil},
		{"/v1/track", `{"userId":"` + strings.Repeat("u", 600) + `"}`, "userId has 600 bytes, the limit is 512", nil},
		{"/v1/track", `{"userId":"u","event":"` + strings.Repeat("u", 513) + `"}`, "event has 513 bytes, the limit is 512", nil},
		{"/v1/track", `{"userId":{},"event":"E"}`, "userId and anonymousId must be strings or numbers, and one of them set", nil},
		{"/v1/batch", `[{"type":"page"}]`, "one event alone goes to /v1/track, /v1/identify and their like", nil},
		{"/v1/batch", " ", `the body is empty; it should be an event, or {"batch":[…]} with several`, nil},
		{"/v1/batch", "text", "leave that out if it is not compressed", []string{"Content-Encoding", "gzip"}},
		{"/v1/batch", strings.Repeat("x", 4<<20+1), "the body has 4194305 bytes, the limit is 4MiB; send smaller batches", nil},
		{"/v1/batch", many(10_001, "0"), "a batch is limited to 10000 events; send smaller ones", nil},
	} {
		a := e.post(t, c.path, c.body, c.headers...)
		var got struct{ Message string }
		if err := json.Unmarshal([]byte(a.body), &got); err != nil {
			t.Fatalf("%s: %v", a.body, err)
		}
		if a.status < 400 || a.status > 413 || !strings.Contains(got.Message, c.want) {
			t.Errorf("%.60q: %d %s, want %s", c.body, a.status, got.Message, c.want)
		}
		n++
	}
	e.rejected(t, n)
	a := e.do(t, "POST", "/v1/track", `{}`, "Authorization", "Bearer abc")
	if a.status != 401 || !strings.Contains(a.body, "a Bearer token is none") {
		t.Errorf("%d %s", a.status, a.body)
	}
}
