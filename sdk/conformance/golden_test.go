package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/millstream-data/millstream/internal/testkit/golden"
)

// called is an entry of golden/events: a call, and the event that every SDK makes of it.
type called struct {
	Call  any `json:"call,omitempty"`
	Event any `json:"event"`
}

// wired is an entry of golden/requests.
type wired struct {
	Method  string            `json:"method"`
	Path    string            `json:"path"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"` // inflated
}

// golden compares the run's events with those of all SDKs, and its requests with those of its own.
func (o *outcome) golden(t *testing.T) {
	t.Helper()
	calls := o.calls()
	var events []called
	var requests []wired
	for _, r := range o.requests {
		for _, e := range r.batch.events {
			c := called{}
			if len(calls) > len(events) {
				c.Call = calls[len(events)]
			}
			call, _ := c.Call.(map[string]any)
			c.Event = o.shared(e, call)
			events = append(events, c)
		}
		requests = append(requests, o.wired(r))
	}
	name := o.c.Name + ".json"
	if os.Getenv("MILLSTREAM_TEST_UPDATE") == "" || o.sdk == o.c.SDKs[0] { // one SDK writes what all must make
		golden.Equal(t, filepath.Join("golden", "events", name), pretty(events))
	}
	golden.Equal(t, filepath.Join("golden", "requests", o.sdk, name), pretty(requests))
}

// calls lists the calls of the input in their order; none where a script in the page makes them.
func (o *outcome) calls() []any {
	var out []any
	for _, s := range o.in.Sequences {
		step, _ := s.(map[string]any)
		events, _ := step["events"].([]any)
		out = append(out, events...)
	}
	return out
}

// platform lists what a browser knows of itself and its page.
var platform = []string{"page", "userAgent", "userAgentData", "locale", "timezone", "screen", "campaign", "webdriver", "consent"}

// shared is an event without what an SDK or its platform adds on its own.
func (o *outcome) shared(e, call map[string]any) map[string]any {
	e = maps.Clone(e)
	c, _ := e["context"].(map[string]any)
	given, _ := call["context"].(map[string]any)
	c = maps.Clone(c)
	delete(c, "library")
	if o.sdk == "browser" {
		for _, name := range platform {
			if _, asked := given[name]; !asked {
				delete(c, name)
			}
		}
		for _, name := range []string{"anonymousId", "userId"} { // an identity is kept from call to call
			if _, asked := call[name]; !asked {
				delete(e, name)
			}
		}
		o.pageless(e, call)
	}
	delete(e, "context")
	if len(c) > 0 {
		e["context"] = c
	}
	return e
}

// pageless takes from a page view what the browser's call fills in by itself.
func (o *outcome) pageless(e, call map[string]any) {
	p, ok := e["properties"].(map[string]any)
	if !ok || e["type"] != "page" {
		return
	}
	p = maps.Clone(p)
	asked, _ := call["properties"].(map[string]any)
	for _, name := range []string{"path", "referrer", "search", "title", "url", "name", "category"} {
		if _, is := asked[name]; !is {
			delete(p, name)
		}
	}
	e["properties"] = p
}

// matters lists the headers that the edge looks at and an SDK chooses.
var matters = []string{"Authorization", "Content-Encoding", "Content-Type", "User-Agent", "X-Retry-Count"}

var (
	port      = regexp.MustCompile(`127\.0\.0\.1:\d+`)
	anonymous = regexp.MustCompile(`"anonymousId":"[0-9a-f-]{36}"`)
	agent     = regexp.MustCompile(`"userAgent":"[^"]*"`)
	zone      = regexp.MustCompile(`"(timezone|locale)":"[^"]*"`)
	screen    = regexp.MustCompile(`"screen":\{[^}]*\}`)
)

// wired is a request without what changes from run to run or from machine to machine.
func (o *outcome) wired(r request) wired {
	w := wired{r.method, r.path, map[string]string{}, string(r.body)}
	for _, name := range matters {
		if v := r.header.Get(name); v != "" && (name != "User-Agent" || o.sdk != "browser") {
			w.Headers[name] = v
		}
	}
	if o.sdk == "browser" {
		for from, to := range map[*regexp.Regexp]string{
			port: "127.0.0.1:1", anonymous: `"anonymousId":"6f0f5c0e-0000-4000-8000-000000000001"`, agent: `"userAgent":"Mozilla/5.0"`,
			zone: `"$1":"made up"`, screen: `"screen":{"width":1280,"height":720,"density":1}`,
		} {
			w.Body = from.ReplaceAllString(w.Body, to)
		}
	}
	return w
}

func pretty(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("BUG: %v", err))
	}
	return b.Bytes()
}

// decode brings a decoded value into a struct.
func decode(v, into any) bool {
	raw, err := json.Marshal(v)
	return err == nil && json.Unmarshal(raw, into) == nil
}

// TestGoldenCases runs the cases whose events and requests lie in golden/.
func TestGoldenCases(t *testing.T) {
	t.Parallel()
	playAll(t, func(c testCase) bool { return c.Golden })
}

// TestGoldenFilesHaveTheirCase keeps files of cases that were renamed from lying about.
func TestGoldenFilesHaveTheirCase(t *testing.T) {
	t.Parallel()
	var names []string
	for _, c := range loadCases(t) {
		if c.Golden {
			names = append(names, c.Name+".json")
		}
	}
	files, err := filepath.Glob("golden/*/*.json")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("golden/*/*/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range append(files, more...) {
		if !slices.Contains(names, filepath.Base(f)) {
			t.Errorf("%s is of no golden case: remove it", f)
		}
	}
}
