package ingest

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/millstream-data/millstream/internal/event"
)

func TestH13Routes(t *testing.T) {
	t.Parallel()
	e := setup(t, func(c *Config) { c.PathPrefix = "/collect" })
	single := map[event.Type]string{
		event.Track: `{"userId":"u","event":"E"}`, event.Identify: `{"userId":"u"}`, event.Page: `{"userId":"u"}`,
		event.Screen: `{"userId":"u"}`, event.Group: `{"userId":"u","groupId":"g"}`, event.Alias: `{"userId":"u","previousId":"p"}`,
	}
	n := 0
	want := func(path, body string) {
		t.Helper()
		if a := e.post(t, path, body); a.status != 200 || a.body != `{"success":true}` {
			t.Errorf("POST %s: %d %s", path, a.status, a.body)
		}
		n++
	}
	for typ, body := range single {
		want("/v1/"+string(typ), body)
		want("/v1/"+string(typ[:1]), body)
		want("/"+string(typ), body)
		want("//v1/"+string(typ)+"/", body)
		want("/v1/v1/"+string(typ[:1]), body)
		want("/collect/v1/"+string(typ), body)
	}
	for _, path := range []string{
		"/v1/batch", "/v1/b", "/v1/batch/b", "/v1/b/b", "/v1/import", "/b", "/batch", "/v1/v1/batch", "/collect/v1/b", "/collect/batch/", "/import",
	} {
		want(path, `{"batch":[{"type":"page","userId":"u"}]}`)
	}
	types := map[string]int{}
	for _, r := range e.events(t, n) {
		upTo, _, _ := strings.Cut(headerText(r), " event=")
		types[upTo]++
	}
	equal(t, "types", types, map[string]int{
		"v=1 source=app type=track": 6, "v=1 source=app type=identify": 6, "v=1 source=app type=page": 17,
		"v=1 source=app type=screen": 6, "v=1 source=app type=group": 6, "v=1 source=app type=alias": 6,
	})
	for _, c := range []struct {
		method, path string
		status       int
		body         string
	}{
		{"POST", "/v1/m", 204, ""},
		{"GET", "/health", 200, `{"status":"ready"}`},
		{"GET", "/", 200, `{"status":"ready"}`},
		{"GET", "/robots.txt", 200, "User-agent: *\nDisallow: /\n"},
		{"GET", "/collect/health", 200, `{"status":"ready"}`},
		{"GET", "/v1/track", 405, "method_not_allowed"},
		{"DELETE", "/v1/batch", 405, "method_not_allowed"},
		{"POST", "/health", 405, "method_not_allowed"},
		{"GET", "/v1/nothing", 404, "unknown_route"},
		{"GET", "/analytics.js/v1/dev/analytics.min.js", 200, ""},
		{"HEAD", "/collect/analytics.js/v1/dev/analytics.min.js", 200, ""},
		{"GET", "/analytics.js/v1/v1/analytics.min.js", 404, ""},
		{"GET", "/analytics.js/v1/d.v/analytics.min.js", 404, "unknown_write_key"},
		{"POST", "/analytics.js/v1/dev/analytics.min.js", 405, "method_not_allowed"},
		{"POST", "/v1/track/more", 404, "unknown_route"},
		{"POST", "/other/v1/track", 404, "unknown_route"},
		{"GET", "/v1/projects/dev/settings", 200, `"apiKey":"dev"`},
		{"HEAD", "/v1/projects/dev/settings", 200, ""},
		{"GET", "/projects/dev/settings", 200, `"apiKey":"dev"`},
		{"GET", "/v1/projects/projects/dev/settings", 200, `"apiKey":"dev"`},
		{"GET", "/v1/projects/nobody/settings", 404, "unknown_write_key"},
		{"GET", "/v1/projects/v1/settings", 404, ""},
		{"OPTIONS", "/v1/batch", 204, ""},
		{"OPTIONS", "/nowhere", 204, ""},
		{"PATCH", "/../v1/track", 404, ""},
		{"GET", "/v1/./track", 404, ""},
	} {
		a := e.do(t, c.method, c.path, "")
		if a.status != c.status || !strings.Contains(a.body, c.body) {
			t.Errorf("%s %s: %d %s, want %d %s", c.method, c.path, a.status, a.body, c.status, c.body)
		}
		if a.header.Get("Access-Control-Allow-Origin") != "*" || a.header.Get("X-Request-Id") == "" || a.header.Get("WWW-Authenticate") != "" {
			t.Errorf("%s %s: headers %v", c.method, c.path, a.header)
		}
		if c.status == 405 && a.header.Get("Allow") == "" {
			t.Errorf("%s %s: no Allow", c.method, c.path)
		}
	}
}

func TestNoPathIsRedirected(t *testing.T) {
	t.Parallel()
	e := setup(t)
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "OPTIONS", "TRACE"} {
		for _, path := range []string{"/", "//", "/v1", "/v1/", "/v1/track/", "//v1//track", "/v1/../v1/track", "/health/", "/a/b/../c", "/v1/pixel/track", "/projects/dev/settings/"} {
			if a := e.do(t, method, path, ""); a.status >= 300 && a.status < 400 {
				t.Errorf("%s %s: %d", method, path, a.status)
			}
		}
	}
}

func TestHeadIsAnsweredAsGetIs(t *testing.T) {
	t.Parallel()
	e := setup(t)
	letter := fmt.Sprintf("/v1/rejections/%s", e.letterID(t))
	for _, path := range []string{
		"/", "/health", "/robots.txt", "/v1/projects/dev/settings", "/v1/projects/nobody/settings", "/analytics.js/v1/dev/analytics.min.js",
		"/v1/pixel/page?userId=u", "/v1/rejections", "/v1/rejections?nonsense=1", letter,
	} {
		get := e.do(t, http.MethodGet, path, "", "X-Write-Key", "dev-server")
		head := e.do(t, http.MethodHead, path, "", "X-Write-Key", "dev-server")
		if get.body == "" || head.body != "" || head.status != get.status || head.header.Get("Content-Type") != get.header.Get("Content-Type") || head.header.Get("ETag") != get.header.Get("ETag") {
			t.Errorf("%s: GET %d %v, HEAD %d %v", path, get.status, get.header, head.status, head.header)
		}
	}
	equal(t, "a tail is not opened", e.do(t, http.MethodHead, "/v1/tail", "", "X-Write-Key", "dev-server").status, 200)
	equal(t, "nor for others", e.do(t, http.MethodHead, "/v1/tail", "", "X-Write-Key", "dev").status, 403)
	e.events(t, 1) // of the pixel that was fetched
}

// letterID is that of a dead letter which it makes.
func (e *edge) letterID(t *testing.T) string {
	t.Helper()
	e.post(t, "/v1/track", `{"userId":"u"}`)
	follows(t, e) // a page on a busy machine may be of before
	list := decodePage(t, e.do(t, http.MethodGet, "/v1/rejections", "", "X-Write-Key", "dev-server").body).Rejections
	if len(list) != 1 {
		t.Fatalf("%d dead letters", len(list))
	}
	return list[0].ID
}

func TestSettingsAreCachedByTheirTag(t *testing.T) {
	t.Parallel()
	e := setup(t, func(c *Config) { c.PublicURL = "https://in.example.com/collect/" })
	a := e.do(t, http.MethodGet, "/v1/projects/dev/settings", "")
	if !strings.Contains(a.body, `"apiHost":"in.example.com/collect/v1","protocol":"https"`) || a.header.Get("Cache-Control") != "public, max-age=300" {
		t.Errorf("%v %s", a.header, a.body)
	}
	b := e.do(t, http.MethodGet, "/v1/projects/dev/settings", "", "If-None-Match", a.header.Get("ETag"))
	if b.status != http.StatusNotModified || b.body != "" {
		t.Errorf("%d %s", b.status, b.body)
	}
}

func TestPreflightAllowsWhatSDKsSend(t *testing.T) {
	t.Parallel()
	e := setup(t)
	a := e.do(t, http.MethodOptions, "/v1/batch", "", "Origin", "https://shop.example.com", "Access-Control-Request-Method", "POST",
		"Access-Control-Request-Headers", "authorization,x-custom-1, bad header,x-retry-count")
	equal(t, "headers", a.header.Get("Access-Control-Allow-Headers"),
		"authorization, content-type, content-encoding, x-retry-count, x-write-key, x-request-id, x-custom-1")
	equal(t, "methods", a.header.Get("Access-Control-Allow-Methods"), "GET, POST, OPTIONS")
	equal(t, "max age", a.header.Get("Access-Control-Max-Age"), "86400")
	if a.header.Get("Access-Control-Allow-Credentials") != "" {
		t.Error("credentials are allowed")
	}
}

func TestPixelAnswersAnImageWhateverHappens(t *testing.T) {
	t.Parallel()
	e := setup(t)
	for path, status := range map[string]int{
		"/v1/pixel/track?writeKey=dev&userId=u1&event=Opened&messageId=a&properties.n=1&context.campaign=x": 200,
		"/v1/pixel/page?data=eyJ3cml0ZUtleSI6ImRldiIsInVzZXJJZCI6InUyIiwibWVzc2FnZUlkIjoiYiJ9":              200,
		"/v1/pixel/track?writeKey=dev&userId=u1":                                                            200, // rejected
		"/v1/pixel/track?userId=u1&event=E":                                                                 401,
	} {
		a := e.do(t, http.MethodGet, path, "")
		if a.status != status || len(a.body) != 43 || a.header.Get("Content-Type") != "image/gif" || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d, %d bytes, %v", path, a.status, len(a.body), a.header)
		}
	}
	values := map[string]string{}
	for _, r := range e.events(t, 2) {
		values[string(r.Key)] = string(r.Value)
	}
	if v := values["app/u1"]; !strings.Contains(v, `"properties":{"n":"1"}`) || !strings.Contains(v, `"campaign":"x","ip":"127.0.0.1"`) {
		t.Errorf("flat: %s", v)
	}
	if v := values["app/u2"]; !strings.Contains(v, `"type":"page"`) || strings.Contains(v, "writeKey") {
		t.Errorf("data: %s", v)
	}
	equal(t, "code", e.rejected(t, 1)[0].Code, event.CodeMissingEvent)
}

func TestRequestIDIsTheClientsIfHarmless(t *testing.T) {
	t.Parallel()
	e := setup(t)
	equal(t, "own", e.do(t, "GET", "/robots.txt", "", "X-Request-Id", "a.B_1-2").header.Get("X-Request-Id"), "a.B_1-2")
	for _, id := range []string{"a b", strings.Repeat("x", 65), "<script>"} {
		if got := e.do(t, "GET", "/robots.txt", "", "X-Request-Id", id).header.Get("X-Request-Id"); len(got) != 36 {
			t.Errorf("%q: %q", id, got)
		}
	}
}
