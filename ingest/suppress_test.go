package ingest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/wire"
)

// setupSuppressed starts a server that suppresses ids, one a line.
func setupSuppressed(t *testing.T, list string, change ...func(*Source)) *edge {
	t.Helper()
	path := filepath.Join(t.TempDir(), "suppressed.txt")
	if err := os.WriteFile(path, []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	return setup(t, func(c *Config) {
		app := c.Sources["app"]
		app.SuppressFile = path
		for _, f := range change {
			f(&app)
		}
		c.Sources["app"] = app
	})
}

func sha256Of(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func TestSuppressionListIsReadLineByLine(t *testing.T) {
	t.Parallel()
	list, err := parseSuppressed("k", "f", []byte("\ufeffann\r\n\n# bob\n  carl\tx  \nsha256:"+strings.ToUpper(sha256Of("dora"))+"\nsha256:"+sha256Of("42")+"\n#\nJörg\nlast"))
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]bool{
		"ann": true, "bob": false, "# bob": false, "carl\tx": true, "dora": true, "42": true, "Jörg": true, "last": true, "": false, "an": false, "Ann": false,
	} {
		equal(t, id, list.has([]byte(id)), want)
	}
	for text, want := range map[string]string{
		"ann\nsha256:12":                           "k: must have 64 hex digits after sha256: (f, line 2)",
		"\n\nsha256:" + strings.Repeat("x", 64):    "k: must have 64 hex digits after sha256: (f, line 3)",
		"sha256:" + sha256Of("a") + "0":            "k: must have 64 hex digits after sha256: (f, line 1)",
		strings.Repeat("a", 513):                   "k: must name one id a line, of at most 512 bytes (f, line 1)",
		"\xff\xfea\x00n\x00n\x00":                  "k: must be UTF-8 (f, line 1)",
		"a\n" + "b\x00" + "\n" + "sha256:too late": "k: must be UTF-8 (f, line 2)",
	} {
		if _, err := parseSuppressed("k", "f", []byte(text)); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	empty, err := parseSuppressed("k", "f", nil)
	if err != nil || empty.has([]byte("ann")) {
		t.Errorf("an empty list: %v", err)
	}
}

func TestMillionsOfSuppressedIDsStayCompact(t *testing.T) {
	const n = 300_000
	var file strings.Builder
	for i := range n {
		fmt.Fprintf(&file, "user-%d\n", i)
	}
	list, err := parseSuppressed("k", "f", []byte(file.String()))
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if id := fmt.Sprintf("user-%d", i); !list.has([]byte(id)) || list.has([]byte(id+"x")) {
			t.Fatal(id)
		}
	}
	bytes := len(list.ids)*int(unsafe.Sizeof(list.ids[0])) + len(list.starts)*4
	if per := float64(bytes) / n; per > 18.01 {
		t.Errorf("%.2f bytes a line", per)
	}
	if n := testing.AllocsPerRun(100, func() { list.has([]byte("user-7")) }); n != 0 {
		t.Errorf("%v allocations to look up an id", n)
	}
}

func TestSuppressedEventsAreNotKept(t *testing.T) {
	t.Parallel()
	e := setupSuppressed(t, "ann\n42\nsha256:"+sha256Of("bob")+"\n")
	a := e.post(t, "/v1/batch", `{"context":{"traits":{"name":"Ann"}},"batch":[{"type":"page","userId":"u","messageId":"m0"},`+
		`{"type":"page","userId":"ann","messageId":"m1"},{"type":"identify","userId":42,"timestamp":"2026-03-01T10:00:00Z"},`+
		`{"type":"page","anonymousId":"b\u006fb","messageId":"m3"},{"type":"alias","userId":"new","previousId":"ann","messageId":"m4"},`+
		`{"type":"track","userId":"ann","messageId":"m5","properties":{"x":"Ann"}},{"type":"group","userId":"ann","groupId":"g","messageId":"m6"},`+
		`{"type":"page","groupId":"ann","userId":"v","messageId":"m7"}]}`)
	equal(t, "answer", a.body, `{"success":true,"accepted":2,"rejected":[{"index":1,"messageId":"m1","code":"suppressed","message":"events of this person are not kept"},`+
		`{"index":2,"code":"suppressed","message":"events of this person are not kept"},`+
		`{"index":3,"messageId":"m3","code":"suppressed","message":"events of this person are not kept"},`+
		`{"index":4,"messageId":"m4","code":"suppressed","message":"events of this person are not kept"},`+
		`{"index":5,"messageId":"m5","code":"missing_event","message":"track needs event, a string"},`+
		`{"index":6,"messageId":"m6","code":"suppressed","message":"events of this person are not kept"}]}`)
	e.events(t, 2)
	ids := map[string]event.Code{}
	for _, r := range e.rejected(t, 6) {
		ids[r.MessageID] = r.Code
		want := wire.Rejected{
			Stage: event.StageIngest, Code: r.Code, Message: r.Message, Source: "app", ID: r.ID, MessageID: r.MessageID, ReceivedAt: at,
			RequestID: r.RequestID, Index: r.Index, Redacted: true, Size: r.Size,
		}
		if r.Original = nil; r.Size < 40 {
			t.Errorf("size %d", r.Size)
		}
		equal(t, "dead letter", r, want)
	}
	equal(t, "codes", ids, map[string]event.Code{
		"m1": event.CodeSuppressed, "": event.CodeSuppressed, "m3": event.CodeSuppressed, "m4": event.CodeSuppressed, "m5": event.CodeMissingEvent, "m6": event.CodeSuppressed,
	})
	equal(t, "single", e.post(t, "/v1/page", `{"userId":"ann"}`, "X-Request-Id", "r").body,
		`{"success":false,"code":"suppressed","message":"events of this person are not kept","error":"suppressed","requestId":"r"}`)
	equal(t, "metric", e.metric(t, "events_rejected_total", "suppressed", "app"), 6.0)
}

func TestBrowsersCannotTellWhoIsSuppressed(t *testing.T) {
	t.Parallel()
	e := setupSuppressed(t, "ann")
	for _, id := range []string{"ann", "bob"} {
		send := func(path, body string) string {
			return e.do(t, http.MethodPost, path, body, "X-Write-Key", "dev", "X-Request-Id", "r").body
		}
		event := `{"type":"page","userId":"` + id + `","messageId":"m-` + id + `"}`
		equal(t, "new", send("/v1/page", event), `{"success":true}`)
		equal(t, "again", send("/v1/batch", `{"batch":[`+event+`]}`), `{"success":true,"accepted":0,"duplicates":1}`)
		equal(t, "twice", send("/v1/batch", `{"batch":[{"type":"page","userId":"`+id+`","timestamp":"2026-03-01T10:00:00Z"},5]}`),
			`{"success":true,"accepted":1,"rejected":[{"index":1,"code":"not_an_object","message":"an event must be a JSON object"}]}`)
		equal(t, "wrong", send("/v1/track", `{"userId":"`+id+`"}`),
			`{"success":false,"code":"missing_event","message":"track needs event, a string","error":"missing_event","requestId":"r"}`)
		equal(t, "pixel", e.do(t, http.MethodGet, "/v1/pixel/page?writeKey=dev-server&userId="+id, "").status, 200)
	}
	for _, r := range e.events(t, 3) {
		equal(t, "key", string(r.Key), "app/bob")
	}
	for _, r := range e.rejected(t, 7) {
		if strings.Contains(string(r.Original), "ann") || r.Code == event.CodeSuppressed && (r.Key != "" || r.Type != "" || r.Route != "" || !r.Redacted || len(r.Original) > 0) {
			t.Errorf("dead letter: %+v", r)
		}
	}
	equal(t, "metric", e.metric(t, "events_rejected_total", "suppressed", "app"), 3.0)
}

func TestUnreadableEventsOfASourceWithAListAreNotKept(t *testing.T) {
	t.Parallel()
	e := setupSuppressed(t, "ann")
	e.post(t, "/v1/batch", `{"batch":[{"userId":"ann",},[{"userId":"ann"}],{"type":"page","messageId":"m"}]}`)
	e.post(t, "/v1/batch", `{"batch":{"userId":"ann"}}`)
	for _, r := range e.rejected(t, 4) {
		if readable := r.Code == event.CodeMissingIdentity; r.Redacted == readable || (len(r.Original) > 0) != readable || r.Size < 10 {
			t.Errorf("dead letter: %+v", r)
		}
	}
}

func TestListThatCannotBeReadIsNamed(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	app := cfg.Sources["app"]
	app.SuppressFile = filepath.Join(t.TempDir(), "none.txt")
	cfg.Sources["app"] = app
	_, err := newSnapshot(cfg, cfg.Sources, newFiles(""))
	if err == nil || !strings.HasPrefix(err.Error(), "ingest.sources.app.suppress_file: must name a file that can be read (") {
		t.Error(err)
	}
}

func BenchmarkSuppressed(b *testing.B) {
	ids := make([][16]byte, 5_000_000)
	for i := range ids {
		sum := sha256.Sum256(fmt.Appendf(nil, "user-%d", i))
		ids[i] = [16]byte(sum[:16])
	}
	list := newSuppressed(ids)
	i := 0
	id := []byte("user-0000000")
	for b.Loop() {
		i += 7919
		id = fmt.Appendf(id[:5], "%d", i%10_000_000)
		list.has(id)
	}
}

func TestNewRulesAndListsHoldWithoutARestart(t *testing.T) {
	t.Parallel()
	e, file := setupFile(t, keyed("k"), func(c *Config) { c.PrivacyHashKey = testHashKey })
	list := sourcesAt(filepath.Join(filepath.Dir(string(file)), "forgotten.txt"))
	e.until(t, "k", `"success":true`)
	list.save(t, "nobody\n")
	file.save(t, keyed("k")+"    suppress_file: forgotten.txt\n    privacy: [{action: drop, path: event}]\n")
	e.until(t, "k", "after the privacy rules of its source")
	list.save(t, "nobody\nu\n")
	e.until(t, "k", string(event.CodeSuppressed))
	list.save(t, "sha256:broken\nu\n") // the old one stays
	testkit.Eventually(t, "readiness should name the line", func() error {
		if c := e.Check(t.Context()); !strings.Contains(fmt.Sprint(c), "forgotten.txt, line 1") {
			return fmt.Errorf("%v", c)
		}
		return nil
	})
	e.until(t, "k", string(event.CodeSuppressed))
	list.save(t, "nobody\n")
	e.until(t, "k", "after the privacy rules of its source")
}
