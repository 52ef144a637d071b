package ingest

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/millstream-data/millstream/internal/event"
)

// TestNoAnswerIsARedirect makes paths of all that SDKs and proxies leave on them. To three SDKs a 3xx means delivered.
func TestNoAnswerIsARedirect(t *testing.T) {
	t.Parallel()
	e := setup(t, func(c *Config) { c.PathPrefix, c.PublicURL = "/collect", "https://in.example.com" })
	parts := []string{
		"", "", "v1", "v1", "collect", "track", "t", "batch", "b", "import", "m", "pixel", "projects", "dev", "settings", "health", "robots.txt",
		"rejections", "tail", "analytics.js", "analytics.min.js", "..", ".", "%2e%2e", "a b", "\x00", "é", "index.html", "favicon.ico", "*",
	}
	methods := []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW"}
	r := rand.New(rand.NewPCG(3, 4))
	seen := map[int]int{}
	for range 5000 {
		path := ""
		for range r.IntN(6) {
			path += "/" + parts[r.IntN(len(parts))]
		}
		method := methods[r.IntN(len(methods))]
		req := httptest.NewRequest(method, "/", nil)
		req.URL = &url.URL{Path: path}
		if r.IntN(2) == 0 {
			req.Header.Set("X-Write-Key", "dev")
		}
		rec := httptest.NewRecorder()
		e.ServeHTTP(rec, req)
		seen[rec.Code]++
		if rec.Code < 200 || rec.Code > 299 && rec.Code < 400 || rec.Code > 499 || rec.Header().Get("Location") != "" {
			t.Errorf("%s %q: %d", method, path, rec.Code)
		}
		if h := rec.Header(); h.Get("Access-Control-Allow-Origin") != "*" || h.Get("X-Request-Id") == "" || h.Get("WWW-Authenticate") != "" {
			t.Errorf("%s %q: headers %v", method, path, h)
		}
	}
	for _, code := range []int{200, 204, 400, 401, 404, 405} {
		if seen[code] == 0 {
			t.Errorf("no path was answered %d: %v", code, seen)
		}
	}
}

func TestH09Tenancy(t *testing.T) {
	t.Parallel()
	e := setup(t, func(c *Config) {
		c.Sources["other"] = Source{Enabled: true, SkewCorrection: true, Keys: []Key{{Key: "other", Kind: KindServer}}}
	})
	for range 2 { // the second time both are duplicates
		for _, key := range []string{"dev-server", "other"} {
			equal(t, key, e.post(t, "/v1/page", page("same"), "X-Write-Key", key).status, http.StatusOK)
		}
	}
	keys := map[string]string{}
	for _, r := range e.events(t, 2) {
		keys[string(r.Key)] = headerText(r)
	}
	for _, source := range []string{"app", "other"} {
		want := fmt.Sprintf("v=1 source=%s type=page event= message_id=same received_at=1772359201200", source)
		equal(t, source, keys[source+"/u"], want)
		equal(t, "duplicates of "+source, e.metric(t, "events_duplicate_total", source), 1.0)
	}
}

func TestPixelHasEveryType(t *testing.T) {
	t.Parallel()
	e := setup(t)
	for _, typ := range event.Types() {
		for _, path := range []string{"/v1/pixel/", "/pixel/", "/v1/v1//pixel/"} {
			a := e.do(t, http.MethodGet, path+string(typ)+"?writeKey=dev&userId=u&event=E&groupId=g&previousId=p", "")
			if a.status != 200 || len(a.body) != 43 {
				t.Errorf("%s%s: %d", path, typ, a.status)
			}
		}
	}
	types := map[string]int{}
	for _, r := range e.events(t, 18) {
		types[strings.Fields(headerText(r))[2]]++
	}
	equal(t, "types", types, map[string]int{"type=track": 3, "type=identify": 3, "type=page": 3, "type=screen": 3, "type=group": 3, "type=alias": 3})
}
