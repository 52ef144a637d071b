//go:build integration

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// faults are what happens to a request of an SDK, by the name that expectations use.
func faults() map[string][]fault {
	return map[string][]fault{
		"429":        {{status: 429, retryAfter: 3}},
		"503":        {{status: 503, retryAfter: 1}},
		"500":        {{status: 500}},
		"408":        {{status: 408}},
		"400":        {{status: 400, always: true}},
		"401":        {{status: 401, always: true}},
		"403":        {{status: 403, always: true}},
		"404":        {{status: 404, always: true}},
		"413":        {{status: 413, always: true}},
		"slow":       {{delay: 1500 * time.Millisecond}},
		"cut before": {{cutBefore: true}},
		"cut after":  {{cutAfter: true}},
	}
}

// impatience is the timeout of clients that have one, below the delay of a slow answer.
const impatience = 700 * time.Millisecond

// conduct is what an SDK does about a fault. docs/ingest.md tells it to people.
type conduct struct {
	attempts int
	more     bool // or more: on a busy machine any answer may outlast its patience
	lost     bool // the event does not arrive: the SDK lets go of it
	tells    bool // its caller hears of an error
	asTold   bool // it waits for as long as Retry-After says
}

var (
	repeats = conduct{attempts: 2}
	hurries = conduct{attempts: 2, more: true}
	obeys   = conduct{attempts: 2, asTold: true}
	waits   = conduct{attempts: 1} // without a timeout a slow answer is as good as any
	drops   = conduct{attempts: 1, lost: true, tells: true}
	forgets = conduct{attempts: 1, lost: true} // without a word
	ten     = conduct{attempts: 10, lost: true, tells: true}
)

// conducts returns what was seen of the SDK in its mode.
func conducts(s sdk) map[string]conduct {
	out := map[string]conduct{
		"429": repeats, "503": repeats, "500": repeats, "408": repeats, "slow": hurries, "cut before": repeats, "cut after": repeats,
		"400": drops, "401": drops,
	}
	set := func(c conduct, faults ...string) {
		for _, f := range faults {
			out[f] = c
		}
	}
	if s.driver != "browser" { // a page takes long, and these are like 400
		set(drops, "403", "404", "413")
	}
	switch s.name + " " + s.mode {
	case "analytics-node@3.1.0 batch":
		set(obeys, "429")
	case "analytics-node@6.2.0 batch":
		set(drops, "408")
		set(conduct{attempts: 1, tells: true}, "slow") // it does not repeat after a timeout of its own
	case "analytics-next@1.84.3 single":
		set(obeys, "429")
		set(waits, "slow")
	case "analytics-next@1.84.3 batch":
		set(obeys, "429")
		set(forgets, "400", "401")
		set(waits, "slow")
	case "analytics-next@1.70.0 single": // every answer that its script can read is a delivery
		set(forgets, "429", "503", "400")
		set(waits, "slow")
		// It treats all statuses alike; and after 408 Chromium itself may repeat, on a connection that it has used before.
		delete(out, "408")
		delete(out, "500")
		delete(out, "401")
	case "analytics-next@1.70.0 batch":
		return map[string]conduct{"503": forgets, "cut before": repeats, "cut after": repeats}
	case "analytics-python@2.3.5 single": // the caller is told and decides
		set(drops, "429", "503", "500", "408", "cut before")
		set(conduct{attempts: 1, tells: true}, "slow", "cut after")
	case "analytics-python@2.3.5 batch":
		set(drops, "408")
	case "analytics-go@3.3.0 batch":
		set(ten, "400", "401", "403", "404", "413")
	}
	return out
}

// nothingMore is how long a page is watched that should not repeat: 1.84.3 would have done so by then.
const nothingMore = 4 * time.Second

func TestH02StatusMatrix(t *testing.T) {
	ds := startDrivers(t, "node", "browser", "python", "go")
	e := newEdge(t)
	var all []*sending
	var names []string
	for _, c := range sdks() {
		if c.gzip || c.mode == "single" && c.driver != "browser" && c.driver != "python" {
			continue // they differ in what they gather only
		}
		for name, want := range conducts(c) {
			id := fmt.Sprintf("person-%d", len(all))
			p := newProxy(t, e.ingest, c.secure, faults()[name]...)
			all = append(all, &sending{
				sdk: c, proxy: p,
				run: run{ID: id, TimeoutMS: impatience.Milliseconds(), Calls: []json.RawMessage{fmt.Appendf(nil, `{"type":"identify","userId":%q,"traits":{"n":1}}`, id)}},
				done: func() bool {
					posts := p.requests(http.MethodPost)
					if len(posts) == 0 {
						return false
					}
					if want.attempts == 1 {
						return time.Since(posts[0].at) > nothingMore
					}
					n, err := p.stored()
					return len(posts) >= want.attempts && n > 0 || err != nil
				},
			})
			names = append(names, name)
		}
	}
	paced := pacedSendings(t, e)
	sendAll(t, ds, slices.Concat(all, paced))
	records := e.records(t)
	byKey := map[string]int{}
	for id, rs := range records {
		byKey[string(rs[0].Key)]++
		if len(rs) != 1 {
			t.Errorf("message id %s is in Kafka %d times", id, len(rs))
		}
	}
	for _, s := range paced {
		t.Run(s.sdk.String()+"/rate", func(t *testing.T) { s.checkPaced(t, byKey["paced/"+s.run.ID]) })
	}
	for i, s := range all {
		t.Run(s.sdk.String()+"/"+names[i], func(t *testing.T) {
			if s.err != nil {
				t.Fatal(s.err)
			}
			want := conducts(s.sdk)[names[i]]
			s.check(t, want)
			stored := byKey["app/"+s.run.ID]
			if want.lost && stored != 0 || !want.lost && stored != 1 {
				t.Errorf("%d events are stored, lost: %t", stored, want.lost)
			}
		})
	}
}

// pacedSendings returns SDKs that wait as told, with more calls than their key may send at once.
func pacedSendings(t *testing.T, e *edge) (out []*sending) {
	t.Helper()
	for i, c := range sdks() {
		if c.mode != "single" || c.name != "analytics-node@3.1.0" && c.name != "analytics-next@1.84.3" {
			continue
		}
		c.key = map[string]string{"node": "paced", "browser": "paced-page"}[c.driver]
		p, person := newProxy(t, e.ingest, false), fmt.Sprintf("paced-%d", i)
		out = append(out, &sending{
			sdk: c, proxy: p, run: run{ID: person, Calls: slices.Concat(sixCalls(person), sixCalls(person))},
			done: func() bool { n, err := p.stored(); return n == 12 || err != nil },
		})
	}
	return out
}

// checkPaced sees that the edge, not the script, has held the SDK back, and that all came in the end.
func (s *sending) checkPaced(t *testing.T, stored int) {
	t.Helper()
	if s.err != nil {
		t.Fatal(s.err)
	}
	limited := 0
	for _, x := range s.proxy.requests(http.MethodPost) {
		if x.status == http.StatusTooManyRequests {
			limited++
		}
	}
	t.Logf("%s: answered 429 %d times, told %v", s.took.Round(10*time.Millisecond), limited, s.outcome.Errors)
	if limited == 0 || stored != 12 || len(s.outcome.Errors) > 0 {
		t.Errorf("%d events of 12 are stored, 429 was answered %d times, its caller was told %v", stored, limited, s.outcome.Errors)
	}
}

// check compares what the client did with what is known of it.
func (s *sending) check(t *testing.T, want conduct) {
	t.Helper()
	posts := s.proxy.requests(http.MethodPost)
	if len(posts) != want.attempts && (!want.more || len(posts) < want.attempts) {
		t.Errorf("%d attempts, want %d", len(posts), want.attempts)
	}
	if told := len(s.outcome.Errors) > 0; told != want.tells {
		t.Errorf("its caller was told %v", s.outcome.Errors)
	}
	ids := map[string]bool{}
	var gaps []string
	for i, x := range posts {
		events, err := x.Events()
		if err != nil {
			t.Fatal(err)
		}
		for _, ev := range events {
			ids[ev.MessageID()] = true
		}
		if i > 0 {
			gaps = append(gaps, x.at.Sub(posts[i-1].at).Round(10*time.Millisecond).String())
		}
	}
	if len(ids) != 1 {
		t.Errorf("the event was sent under %d message ids, want one", len(ids))
	}
	t.Logf("%s: %d attempts, pauses %s, told %v", s.took.Round(10*time.Millisecond), len(posts), strings.Join(gaps, " "), s.outcome.Errors)
	if want.asTold && len(posts) > 1 && posts[1].at.Sub(posts[0].at) < 3*time.Second {
		t.Errorf("it was told to wait for 3 s and came back after %s", gaps[0])
	}
}
