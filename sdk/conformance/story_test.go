package conformance

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// stories are cases of more than one run that files cannot tell.
var stories = map[string]func(t *testing.T, c *testCase, sdk, dir string){
	"sizes":        sizes,
	"memory":       memory,
	"two-owners":   twoOwners,
	"killed-owner": killedOwner,
	"taken-over":   takenOver,
	"languages":    languages,
	"real-ingest":  realIngest,
}

// maxEvent is the largest event, in bytes as encoded.
const maxEvent = 256 << 10

// sizes learns how large the case's event is without its padding, and then fills it to the byte: each character alone,
// once to the limit and once beyond it.
func sizes(t *testing.T, c *testCase, sdk, dir string) {
	padded := func(text string) run {
		r := c.run
		r.Input.Sequences = []any{map[string]any{"events": []any{map[string]any{
			"type": "track", "userId": "u1", "event": "Filled", "properties": map[string]any{"pad": text},
		}}}}
		return r
	}
	send := func(text string) *outcome {
		o := do(t, c, padded(text), sdk, dir)
		judge(t, o)
		return o
	}
	empty := send("")
	if t.Failed() {
		return
	}
	base := len(empty.requests[0].batch.Batch[0])
	for _, char := range []string{"é", "€", "😀"} {
		room := maxEvent - base
		text := strings.Repeat(char, room/len(char)) + strings.Repeat("x", room%len(char))
		full := send(text)
		if len(full.requests) == 0 || len(full.requests[0].batch.Batch) == 0 {
			t.Fatalf("%d bytes of %s: no request", maxEvent, char)
		}
		if n := len(full.requests[0].batch.Batch[0]); n != maxEvent {
			t.Errorf("%s: the event has %d bytes, want %d", char, n, maxEvent)
		}
		over := send(text + "x")
		if len(over.requests) > 0 || over.out.Refused["too_large"] != 1 {
			t.Errorf("%s: one byte too many: %d requests, refused %v", char, len(over.requests), over.out.Refused)
		}
	}
}

// twoOwners lets two processes use one spool at the same time, and a third one find what they leave.
func twoOwners(t *testing.T, c *testCase, sdk, dir string) {
	var both [2]*outcome
	var wg sync.WaitGroup
	for i := range both {
		wg.Go(func() { both[i] = do(t, c, c.Runs[i], sdk, dir) })
	}
	wg.Wait()
	for _, o := range both {
		judge(t, o)
	}
	last := do(t, c, c.Runs[2], sdk, dir)
	judge(t, last)
	seen := arrived(append(both[:], last)...)
	want := c.Expect
	if fmt.Sprint(len(seen)) != string(want) {
		t.Errorf("%d events arrived, want %s", len(seen), want)
	}
	for id, n := range seen {
		if n > 1 {
			t.Errorf("%s arrived %d times", id, n)
		}
	}
}

// arrived counts how often each event is in a request that was answered with success.
func arrived(all ...*outcome) map[string]int {
	seen := map[string]int{}
	for _, o := range all {
		for _, r := range o.requests {
			if r.status == 200 {
				for _, id := range r.ids() {
					seen[id]++
				}
			}
		}
	}
	return seen
}

// languages leaves a spool behind in each of the other languages and has it drained by this one.
func languages(t *testing.T, c *testCase, sdk, dir string) {
	for _, writer := range columns {
		if writer == "browser" {
			continue
		}
		folder := filepath.Join(dir, writer)
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		judge(t, do(t, c, c.Runs[0], writer, folder))
		drained := do(t, c, c.Runs[1], sdk, folder)
		judge(t, drained)
		if t.Failed() {
			t.Fatalf("written by %s, drained by %s", writer, sdk)
		}
		for _, r := range drained.requests {
			for _, e := range r.batch.events {
				context, _ := e["context"].(map[string]any)
				library, _ := context["library"].(map[string]any)
				if library["name"] != "millstream-"+writer {
					t.Errorf("an event of %s says it is of %v", writer, library["name"])
				}
			}
		}
	}
}
