//go:build integration

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// site is a shop with Millstream's script, which ingest serves, in Chromium. What happens to it is a list of steps of
// sdk/conformance/FORMAT.md.
type site struct {
	edge *edge
	acts chan act
	host string // at which a step asks for an act
}

// act is something that happens outside Chromium between two steps.
type act struct {
	name string
	done chan struct{}
}

// visit is what is known of the pages when the last one is closed.
type visit struct {
	Error   *string
	Results []struct{ MessageID, Fate, Code string }
	Stats   map[string]any
	Evals   []any
	Stored  int
	Storage struct{ LocalStorage, Cookies map[string]string }
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{edge: newEdge(t), acts: make(chan act)}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		a := act{name: strings.TrimPrefix(r.URL.Path, "/"), done: make(chan struct{})}
		s.acts <- a
		<-a.done
	}))
	t.Cleanup(server.Close)
	s.host = server.URL
	return s
}

// outside is the step that waits for an act; restart and stop are ingest's.
func (s *site) outside(name string) string {
	return fmt.Sprintf(`{"eval":"await fetch('%s/%s')"}`, s.host, name)
}

// track is the step that makes n calls, numbered over all steps.
func track(n int) string {
	return fmt.Sprintf(`{"repeat":%d,"events":[{"type":"track","event":"Seen","properties":{"n":{"$n":true},"pad":{"$repeat":["x",100]}}}]}`, n)
}

// open goes through the steps and returns what came of them.
func (s *site) open(t *testing.T, config string, steps ...string) visit {
	t.Helper()
	input := fmt.Sprintf(`{"writeKey":"dev","apiHost":%q,"config":{"snippet":"millstream","served":true%s},"sequences":[%s]}`,
		s.edge.ingest, config, strings.Join(steps, ","))
	cmd := exec.CommandContext(t.Context(), "node", filepath.Join(repository(t), "sdk/js/conformance/browser.mjs"))
	cmd.Stdin = strings.NewReader(input)
	cmd.Stderr = t.Output()
	cmd.Env = append(os.Environ(), "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1", "MILLSTREAM_TEST_CHROMIUM="+need(t, "MILLSTREAM_TEST_CHROMIUM"))
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case a := <-s.acts:
			switch a.name {
			case "stop":
				s.edge.stop()
			case "start":
				s.edge.start()
			}
			close(a.done)
		case err := <-ended:
			var v visit
			if err == nil {
				err = json.Unmarshal(out.Bytes(), &v)
			}
			if err == nil && v.Error != nil {
				err = fmt.Errorf("%s", *v.Error)
			}
			if err != nil {
				t.Fatalf("browser.mjs: %v", err)
			}
			return v
		case <-time.After(2 * time.Minute):
			_ = cmd.Process.Kill() // it is Wait's error that counts
		}
	}
}

// arrived checks that Kafka holds the events numbered 1 to n, each once.
func (s *site) arrived(t *testing.T, n int) {
	t.Helper()
	seen := map[int]int{}
	deadline := time.Now().Add(20 * time.Second) // a request that outlives its page is nobody's to wait for
	for {
		clear(seen)
		for _, rs := range s.edge.records(t) {
			for _, r := range rs {
				var e struct{ Properties struct{ N int } }
				if err := json.Unmarshal(r.Value, &e); err != nil {
					t.Fatal(err)
				}
				seen[e.Properties.N]++
			}
		}
		if len(seen) >= n || time.Now().After(deadline) {
			break
		}
	}
	for i := 1; i <= n; i++ {
		if seen[i] != 1 {
			t.Errorf("event %d is in Kafka %d times", i, seen[i])
		}
		delete(seen, i)
	}
	if len(seen) > 0 {
		t.Errorf("Kafka holds events that nobody sent: %v", seen)
	}
}

// eval is the step that runs a script in the page.
func eval(script string) string {
	b, _ := json.Marshal(map[string]string{"eval": script})
	return string(b)
}

// again is a script that puts the bundle into the page once more, with this data-options.
func (s *site) again(options string) string {
	return fmt.Sprintf(`delete window.analytics; const s = document.createElement('script'); s.src = '%s/analytics.js/v1/dev/analytics.min.js';
		s.dataset.options = '%s'; await new Promise((ok, no) => { s.onload = ok; s.onerror = no; document.head.append(s) });`, s.edge.ingest, options)
}

const quiet = `,"flushAt":1000,"flushInterval":60000,"autoPage":false`

func TestWebTabClosedInTheMiddle(t *testing.T) {
	t.Run("with what waits", func(t *testing.T) {
		s := newSite(t)
		s.open(t, quiet, track(40), `{"tab":"b"}`, `{"shut":"a"}`, `{"delayMs":500,"eval":"return 1"}`)
		s.arrived(t, 40)
	})
	t.Run("with a request on its way", func(t *testing.T) {
		s := newSite(t)
		s.open(t, `,"flushAt":20,"autoPage":false`, track(55), `{"tab":"b"}`, `{"shut":"a"}`, `{"delayMs":500,"eval":"return 1"}`)
		s.arrived(t, 55)
	})
	t.Run("with more than a last request takes", func(t *testing.T) {
		s := newSite(t)
		s.open(t, quiet, track(400), `{"tab":"b"}`, `{"shut":"a"}`, `{"await":1,"timeout":10000}`, `{"delayMs":500,"flush":10000}`)
		s.arrived(t, 400)
	})
	t.Run("while ingest is away", func(t *testing.T) {
		s := newSite(t)
		s.open(t, `,"flushAt":5,"autoPage":false`, `{"tab":"b"}`, `{"tab":"a"}`, s.outside("stop"), track(30), `{"delayMs":2500,"shut":"a"}`,
			`{"tab":"b"}`, s.outside("start"), `{"await":30,"timeout":30000}`)
		s.arrived(t, 30)
	})
}

func TestWebOfflineAndBack(t *testing.T) {
	s := newSite(t)
	v := s.open(t, `,"flushAt":5,"backoffMax":500,"autoPage":false`, track(10), `{"await":10,"timeout":10000}`, `{"offline":true}`, track(30),
		`{"delayMs":2000,"offline":false}`, `{"await":40,"timeout":30000}`,
		`{"offline":true}`, track(10), `{"delayMs":1500,"unload":true}`, `{"offline":false}`, `{"load":"/later"}`, `{"await":50,"timeout":30000}`)
	s.arrived(t, 50)
	if v.Stored != 0 {
		t.Errorf("%d events are left in storage", v.Stored)
	}
}

func TestWebBlockedStorage(t *testing.T) {
	s := newSite(t)
	v := s.open(t, `,"autoPage":false,"block":["localStorage","cookies"]`, track(60), `{"eval":"return analytics.user().anonymousId().length"}`, `{"flush":10000}`)
	s.arrived(t, 60)
	if len(v.Storage.LocalStorage)+len(v.Storage.Cookies) > 0 || len(v.Evals) != 1 || v.Evals[0] != 36.0 {
		t.Errorf("stored %+v, anonymous id of %v characters", v.Storage, v.Evals)
	}
}

func TestWebTwoTabs(t *testing.T) {
	t.Run("at once", func(t *testing.T) {
		s := newSite(t)
		v := s.open(t, `,"autoPage":false`, track(50), `{"tab":"b"}`, track(50), `{"tab":"a"}`, track(50), `{"tab":"b"}`, track(50), `{"flush":10000}`, `{"tab":"a"}`, `{"flush":10000}`)
		s.arrived(t, 200)
		if len(v.Storage.Cookies) != 1 {
			t.Errorf("the tabs have %v", v.Storage.Cookies)
		}
	})
	t.Run("one is killed while ingest is away", func(t *testing.T) {
		s := newSite(t)
		v := s.open(t, `,"flushAt":5,"backoffMax":500,"autoPage":false`, `{"tab":"b"}`, `{"tab":"a"}`, s.outside("stop"), track(30), `{"delayMs":2500,"kill":"a"}`,
			`{"tab":"b"}`, s.outside("start"), `{"await":30,"timeout":30000}`)
		s.arrived(t, 30)
		if v.Stored != 0 {
			t.Errorf("%d events are left in storage", v.Stored)
		}
	})
}

func TestWebMistakesOfThePageCostNoEvent(t *testing.T) {
	s := newSite(t)
	v := s.open(t, `,"autoPage":false`,
		eval(`const mine = () => { throw new Error('mine') }; analytics.on('track', mine).ready(mine).catch(() => {}); analytics.track('Seen', {n: 1}, mine);
			return (await analytics.track('Seen', {n: 2})).fate`),
		eval(s.again(`{"autoPage":tru`)+`return (await window.analytics.track('Seen', {n: 3})).fate`))
	if diff := cmp.Diff([]any{"delivered", "delivered"}, v.Evals); diff != "" {
		t.Error(diff)
	}
	s.arrived(t, 3)
}

func TestWebClosedClientLeavesThePage(t *testing.T) {
	s := newSite(t)
	v := s.open(t, `,"autoPage":true`,
		eval(`await analytics.close(); const before = analytics.stats().enqueued; history.pushState(null, '', '/closed');
			return [history.pushState === History.prototype.pushState, analytics.stats().enqueued - before]`),
		eval(s.again(`{"autoPage":true}`)+`history.pushState(null, '', '/open'); const { delivered, queued, inFlight } = window.analytics.stats();
			await window.analytics.close(); return [delivered + queued + inFlight, window.analytics.stats().delivered]`))
	if diff := cmp.Diff([]any{[]any{true, 0.0}, []any{2.0, 2.0}}, v.Evals); diff != "" {
		t.Error(diff)
	}
}
