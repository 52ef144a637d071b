package conformance

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// slack is how much more than the queue's bound a process may grow by, in bytes: about twice what was seen, which is
// what the runtime has not collected yet. Without a bound the events of the case alone would take 160 MB.
var slack = map[string]int{"go": 40 << 20, "node": 96 << 20, "python": 16 << 20, "browser": 6 << 20}

// memory compares how large the case's process gets, as the machine sees it, with one that makes a single call. A page
// has no process of its own, so of browsers it is the heap after a collection, while the queue is full.
func memory(t *testing.T, c *testCase, sdk, dir string) {
	many := c.run
	one := many
	one.Input.Sequences = []any{with(many.Input.Sequences[0], "repeat", 1), many.Input.Sequences[1]}
	one.Expect, one.Checks = nil, nil
	grown := func(r run) int {
		if sdk == "browser" {
			r.Input.Sequences = []any{r.Input.Sequences[0], map[string]any{"heap": true}, r.Input.Sequences[1]}
		}
		o := do(t, c, r, sdk, dir)
		judge(t, o)
		if sdk == "browser" && len(o.out.Heaps) == 1 {
			return o.out.Heaps[0]
		}
		return o.out.resident
	}
	few, most := grown(one), grown(many)
	if few == 0 || most == 0 {
		t.Fatalf("the memory of the program is not to be seen: %d and %d bytes", few, most)
	}
	bound := count(many.Input.Config["queueBytes"])
	t.Logf("%d bytes after one call, %d more after all", few, most-few)
	if most-few > bound+slack[sdk] {
		t.Errorf("the program grew by %d bytes, want at most the queue's %d and %d", most-few, bound, slack[sdk])
	}
}

// with is a copy of a step with another member.
func with(step any, name string, value any) map[string]any {
	members, _ := step.(map[string]any)
	out := maps.Clone(members)
	out[name] = value
	return out
}

// largest looks at a process until it has ended, and returns the most memory that it had; 0 where there is no /proc.
// The figure of its own end, rusage's, would be the parent's if that is larger.
func largest(pid int, ended <-chan struct{}) int {
	most := 0
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)) // gone at the end
		if _, rest, found := bytes.Cut(status, []byte("VmHWM:")); found {
			kib, _ := strconv.Atoi(strings.Fields(string(rest))[0])
			most = max(most, kib<<10)
		}
		select {
		case <-ended:
			tick.Stop()
			return most
		case <-tick.C:
		}
	}
}
