package ingest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/testkit"
)

func basic(user string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(user)) }

func TestH14Auth(t *testing.T) {
	t.Parallel()
	hashed := sha256.Sum256([]byte("only-as-hash"))
	e := setup(t, func(c *Config) {
		c.Sources["web"] = Source{
			Enabled: true, SkewCorrection: true, Origins: []string{"https://shop.example.com", "https://*.example.org"},
			Keys: []Key{
				{Key: "web", Kind: KindBrowser},
				{Key: "web-server", Kind: KindServer},
				{Key: "old", Kind: KindBrowser, NotAfter: at.Add(-time.Second)},
				{Key: "rotating", Kind: KindBrowser, NotAfter: at.Add(time.Hour)},
				{SHA256: hex.EncodeToString(hashed[:]), Kind: KindServer},
			},
		}
		c.Sources["strict"] = Source{Enabled: true, Origins: []string{"https://a.example"}, RequireOrigin: true, Keys: []Key{{Key: "strict", Kind: KindBrowser}}}
		c.Sources["closed"] = Source{Keys: []Key{{Key: "closed", Kind: KindServer}}}
	})
	const ev = `{"userId":"u","event":"E"`
	for _, c := range []struct {
		name, path, body string
		headers          []string
		want             string // source, or code
	}{
		{"basic", "", ev + `}`, []string{"Authorization", basic("dev:")}, "app"},
		{"basic without colon", "", ev + `}`, []string{"Authorization", basic("dev")}, "app"},
		{"basic without padding", "", ev + `}`, []string{"Authorization", strings.TrimRight(basic("dev:x"), "=")}, "app"},
		{"basic wins", "?writeKey=dev", ev + `,"writeKey":"dev"}`, []string{"Authorization", basic("web:"), "X-Write-Key", "dev"}, "web"},
		{"undecodable basic is absent", "", ev + `}`, []string{"Authorization", "Basic %%%", "X-Write-Key", "dev"}, "app"},
		{"basic in the other alphabet", "", ev + `}`, []string{"Authorization", "basic " + base64.URLEncoding.EncodeToString([]byte("dev:~~~???"))}, "app"},
		{"empty basic is absent", "", ev + `}`, []string{"Authorization", basic(":dev"), "X-Write-Key", "web"}, "web"},
		{"bearer and a header", "", ev + `,"writeKey":"dev"}`, []string{"Authorization", "Bearer " + basic("dev:")[6:], "X-Write-Key", "web"}, "web"},
		{"bearer and a query", "?writeKey=dev", ev + `}`, []string{"Authorization", "Bearer abc"}, "app"},
		{"bearer alone", "", ev + `}`, []string{"Authorization", "Bearer abc"}, codeMissingKey},
		{"a key ahead of the body is checked before it", "", `{"userId":`, []string{"X-Write-Key", "nobody"}, codeUnknownKey},
		{"a number is no key", "", ev + `,"writeKey":1}`, nil, codeMissingKey},
		{"expired in the body", "", ev + `,"writeKey":"old"}`, nil, codeExpiredKey},
		{"origin in the body", "", ev + `,"writeKey":"web"}`, []string{"Origin", "https://evil.example"}, codeOriginDenied},
		{"bearer is passed over", "", ev + `,"writeKey":"dev"}`, []string{"Authorization", "Bearer abc"}, "app"},
		{"header before query", "?writeKey=dev", ev + `}`, []string{"X-Write-Key", "web"}, "web"},
		{"query", "?writeKey=dev", ev + `}`, nil, "app"},
		{"query in lower case", "?writekey=dev", ev + `,"writeKey":"web"}`, nil, "app"},
		{"body", "", ev + `,"writeKey":"web"}`, nil, "web"},
		{"none", "", ev + `}`, nil, codeMissingKey},
		{"unknown", "", ev + `}`, []string{"X-Write-Key", "nobody"}, codeUnknownKey},
		{"unknown in the body", "", ev + `,"writeKey":"nobody"}`, nil, codeUnknownKey},
		{"a wrong key first decides", "", ev + `,"writeKey":"dev"}`, []string{"X-Write-Key", "nobody"}, codeUnknownKey},
		{"expired", "", ev + `}`, []string{"X-Write-Key", "old"}, codeExpiredKey},
		{"rotating", "", ev + `}`, []string{"X-Write-Key", "rotating"}, "web"},
		{"hashed", "", ev + `}`, []string{"X-Write-Key", "only-as-hash"}, "web"},
		{"disabled", "", ev + `}`, []string{"X-Write-Key", "closed"}, codeSourceDisabled},
		{"origin", "", ev + `}`, []string{"X-Write-Key", "web", "Origin", "https://shop.example.com"}, "web"},
		{"wildcard origin", "", ev + `}`, []string{"X-Write-Key", "web", "Origin", "https://a.b.example.org"}, "web"},
		{"wildcard needs a label", "", ev + `}`, []string{"X-Write-Key", "web", "Origin", "https://example.org"}, codeOriginDenied},
		{"other origin", "", ev + `}`, []string{"X-Write-Key", "web", "Origin", "https://evil.example"}, codeOriginDenied},
		{"other scheme", "", ev + `}`, []string{"X-Write-Key", "web", "Origin", "http://shop.example.com"}, codeOriginDenied},
		{"null origin", "", ev + `}`, []string{"X-Write-Key", "web", "Origin", "null"}, codeOriginDenied},
		{"origins are not for servers", "", ev + `}`, []string{"X-Write-Key", "web-server", "Origin", "https://evil.example"}, "web"},
		{"origin required", "", ev + `}`, []string{"X-Write-Key", "strict"}, codeOriginDenied},
	} {
		a := e.do(t, http.MethodPost, "/v1/track"+c.path, c.body, c.headers...)
		switch a.status {
		case 200:
			if strings.Contains(c.want, "_") {
				t.Errorf("%s: accepted, want %s", c.name, c.want)
			}
		default:
			if !strings.Contains(a.body, `"code":"`+c.want+`"`) || !strings.Contains(a.body, `"error":"`+c.want+`"`) {
				t.Errorf("%s: %d %s, want %s", c.name, a.status, a.body, c.want)
			}
			if want := (&refusal{code: c.want}).status(); a.status != want || a.header.Get("WWW-Authenticate") != "" {
				t.Errorf("%s: %d, want %d; WWW-Authenticate %q", c.name, a.status, want, a.header.Get("WWW-Authenticate"))
			}
		}
	}
	sources := map[string]int{}
	for _, r := range e.events(t, 19) {
		sources[strings.Fields(headerText(r))[1]]++
		if strings.Contains(string(r.Value), "writeKey") {
			t.Errorf("a key reached the topic: %s", r.Value)
		}
	}
	equal(t, "sources", sources, map[string]int{"source=app": 9, "source=web": 10})
	e.rejected(t, 0)
	equal(t, "conflicts", e.metric(t, "key_conflicts_total", "web"), 3.0)
	for code, want := range map[string]float64{codeMissingKey: 3, codeUnknownKey: 4, codeExpiredKey: 2, codeSourceDisabled: 1, codeOriginDenied: 6} {
		equal(t, code, e.metric(t, "unauthorized_total", code), want)
	}
	equal(t, "server key in a browser", e.metric(t, "server_key_in_browser_total", "web"), 1.0)
}

func TestKeysOverlapWhileTheyAreChanged(t *testing.T) {
	t.Parallel()
	_, kcfg := testkit.Kafka(t)
	var now atomic.Int64
	now.Store(at.UnixMilli())
	e := setupFaulty(t, kcfg, func(s *Server) { s.now = func() time.Time { return time.UnixMilli(now.Load()) } }, func(c *Config) {
		c.Sources["app"] = Source{Enabled: true, Keys: []Key{{Key: "old", Kind: KindServer, NotAfter: at.Add(time.Hour)}, {Key: "new", Kind: KindServer}}}
	})
	send := func(key string, want int) {
		t.Helper()
		equal(t, key, e.do(t, http.MethodPost, "/v1/page", `{"userId":"u"}`, "X-Write-Key", key).status, want)
	}
	send("old", 200)
	send("new", 200)
	now.Store(at.Add(time.Hour).UnixMilli()) // its last moment
	send("old", 200)
	now.Add(1)
	send("old", 401)
	send("new", 200)
}

func TestBatchKeyIsTheEnvelopesElseAnEvents(t *testing.T) {
	t.Parallel()
	e := setup(t, func(c *Config) {
		c.Sources["web"] = Source{Enabled: true, Keys: []Key{{Key: "web", Kind: KindServer}}}
	})
	for _, body := range []string{
		`{"batch":[{"type":"page","userId":"u","writeKey":"dev"}],"writeKey":"web"}`,
		`{"batch":[{"type":"page","userId":"u"},{"type":"page","userId":"u","writeKey":"web"}]}`,
	} {
		if a := e.do(t, http.MethodPost, "/v1/batch", body); a.status != 200 {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	}
	for _, r := range e.events(t, 3) {
		equal(t, "key", string(r.Key), "web/u")
	}
}

func TestKeysOfTheConfigurationStaySecret(t *testing.T) {
	t.Parallel()
	c := testConfig()
	c.Sources["app"] = Source{Keys: []Key{{Key: "not a key", Kind: "robot"}, {Key: "twice", Kind: KindServer}, {Key: "twice", Kind: KindServer}}}
	err := c.Validate()
	if err == nil || strings.Contains(err.Error(), "not a key") || strings.Contains(err.Error(), "twice") {
		t.Errorf("validate: %v", err)
	}
	for _, want := range []string{"ingest.sources.app.keys[0].key: must be 1 to 128", "ingest.sources.app.keys[0].kind: must be browser or server", "ingest.sources.app.keys[2]: must not be a key"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q lacks %q", err, want)
		}
	}
}

func TestConfigurationNamesEveryProblem(t *testing.T) {
	t.Parallel()
	if err := testConfig().Validate(); err != nil {
		t.Errorf("the configuration of millstream dev: %v", err)
	}
	c := DefaultConfig()
	c.Listen, c.Limits.Body, c.Timeouts.AnswerTimeout, c.Produce.Compression = "nowhere", 64*config.MiB, 0, "rar"
	c.TrustedProxies = []string{"10.0.0.1"}
	err := c.Validate()
	for _, want := range []string{"ingest.listen:", "ingest.limits.body:", "ingest.timeouts.answer_timeout:", "ingest.produce.compression:", "ingest.trusted_proxies[0]:", "ingest.sources:"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
}

func TestEventsGoToTheSpoolBeforeTheirRequestIsAnswered(t *testing.T) {
	t.Parallel()
	c := testConfig()
	c.Timeouts.AckTimeout = c.Timeouts.AnswerTimeout
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "ingest.timeouts.ack_timeout: must be < ingest.timeouts.answer_timeout, which is 8s (got 8s)") {
		t.Errorf("validate: %v", err)
	}
	c.Spool.MaxBytes = 0 // nothing waits for it then
	if err := c.Validate(); err != nil {
		t.Errorf("without a spool: %v", err)
	}
}

func TestRefusedKeysAreLoggedByTheirFingerprint(t *testing.T) {
	t.Parallel()
	log := &logged{}
	_, kcfg := testkit.Kafka(t)
	e := setupFaulty(t, kcfg, func(s *Server) { s.log = slog.New(slog.NewTextHandler(log, nil)) }, func(c *Config) {
		c.Sources["web"] = Source{Enabled: true, Origins: []string{"https://a.example"}, Keys: []Key{{Key: "web-browser", Kind: KindBrowser}}}
	})
	for _, c := range []struct{ method, path, key, want string }{
		{"POST", "/v1/page", "nobodys-key", "code=unknown_write_key key=" + fingerprint(sha256.Sum256([]byte("nobodys-key"))) + ` source=""`},
		{"POST", "/v1/page", "web-browser", "code=origin_denied key=" + fingerprint(sha256.Sum256([]byte("web-browser"))) + " source=web"},
		{"GET", "/v1/tail", "dev", "code=server_key_required key=" + fingerprint(sha256.Sum256([]byte("dev"))) + " source=app"},
		{"POST", "/v1/page", "", `code=missing_write_key key="" source=""`},
	} {
		e.warned.mu.Lock()
		e.warned.last = time.Time{} // a second has passed
		e.warned.mu.Unlock()
		e.do(t, c.method, c.path, page("m"), "X-Write-Key", c.key, "Origin", "https://b.example")
		if lines := log.String(); !strings.Contains(lines, c.want) {
			t.Errorf("%s: no %q in\n%s", c.path, c.want, lines)
		}
	}
	before := strings.Count(log.String(), "requests refused for their write key")
	for range 20 {
		e.do(t, "POST", "/v1/page", page("m"), "X-Write-Key", "nobodys-key")
	}
	if n := strings.Count(log.String(), "requests refused for their write key") - before; n > 3 {
		t.Errorf("%d lines of 20 requests in a moment", n)
	}
	if lines := log.String(); strings.Contains(lines, "nobodys-key") || strings.Contains(lines, "web-browser") {
		t.Errorf("a key is in the log:\n%s", lines)
	}
}

func TestAnEventThatCannotBeReadIsNotAskedForItsKey(t *testing.T) {
	t.Parallel()
	e := setup(t)
	for body, want := range map[string][2]string{
		`{"userId":"u","event":"E","writeKey":"dev",}`:   {"invalid_json", "byte 43"},
		`{"userId":"u","event":"E` + "\xff" + `"}`:       {"invalid_utf8", "byte 24"},
		`["writeKey","dev"]`:                             {"not_an_object", "object"},
		`{"userId":"u","event":"E","writeKey":"nobody"}`: {"unknown_write_key", ""},
		`{"userId":"u","event":"E"}`:                     {"missing_write_key", ""},
	} {
		a := e.do(t, "POST", "/v1/track", body)
		if !strings.Contains(a.body, `"`+want[0]+`"`) || !strings.Contains(a.body, want[1]) {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	}
	equal(t, "dead letters of nobody", len(e.rejected(t, 0)), 0)
}

func TestAPixelIsABrowsersWhateverItsKey(t *testing.T) {
	t.Parallel()
	e := setup(t, func(c *Config) {
		c.Sources["web"] = Source{Enabled: true, Origins: []string{"https://a.example"}, Keys: []Key{{Key: "secret", Kind: KindServer}}}
	})
	equal(t, "a server's request", e.do(t, "POST", "/v1/page", page("m1"), "X-Write-Key", "secret", "Origin", "https://b.example").status, 200)
	equal(t, "another site's image", e.do(t, "GET", "/v1/pixel/page?writeKey=secret&userId=u", "", "Origin", "https://b.example").status, 403)
	equal(t, "its own", e.do(t, "GET", "/v1/pixel/page?writeKey=secret&userId=u", "", "Origin", "https://a.example").status, 200)
}
