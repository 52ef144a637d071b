package conformance

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// killedOwner ends an owner that another process has looked at while it lived: what is left is found by a third.
func killedOwner(t *testing.T, c *testCase, sdk, dir string) {
	owner := prepare(t, c, c.Runs[0], sdk, dir)
	ctx, kill := context.WithCancel(t.Context())
	defer kill()
	ended := make(chan error, 1)
	go func() {
		_, err := built.run(ctx, sdk, owner.in)
		ended <- err
	}()
	await(t, "200 calls, and a position behind the first 100", func() bool { return last(t, dir) == 200 && left(t, dir) == 100 })
	judge(t, do(t, c, c.Runs[1], sdk, dir)) // while the owner lives
	select {
	case err := <-ended:
		t.Fatalf("the owner ended by itself: %v", err)
	default:
	}
	kill()
	if err := <-ended; err == nil {
		t.Error("the owner ended by itself")
	}
	heir := do(t, c, c.Runs[2], sdk, dir)
	judge(t, heir)
	owner.look()
	o := &outcome{requests: append(owner.requests, heir.requests...)}
	o.equal("properties.n as accepted of both", o.accepted(), upTo(200))
	for _, text := range o.said {
		t.Error(text)
	}
}

// takenOver has a living owner taken for dead, as a stepped clock or an equal process number did. What it had only on
// disk is the other's to send, what it writes from then on is its own, and is there for the next one; what it still
// holds, in memory or (Go) in a file that it has open, may arrive twice.
func takenOver(t *testing.T, c *testCase, sdk, dir string) {
	owner := prepare(t, c, c.Runs[0], sdk, dir)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		owner.play(t)
	}()
	defer func() { <-ended }()
	await(t, "200 calls on disk", func() bool { return last(t, dir) == 200 })
	leases, err := filepath.Glob(filepath.Join(dir, "spool", "*.lease"))
	if err != nil || len(leases) != 1 {
		t.Fatalf("leases: %v, %v", leases, err)
	}
	if err := lay(dir, map[string]file{"spool/" + filepath.Base(leases[0]): {Text: "{host} {gone} {namespace}\n"}}); err != nil {
		t.Fatal(err)
	}
	taker := do(t, c, c.Runs[1], sdk, dir)
	judge(t, taker)
	owner.server.add(reply{Status: 200}) // the first fate, upon which the owner goes on
	<-ended
	judge(t, owner)
	heir := do(t, c, c.Runs[2], sdk, dir)
	judge(t, heir)
	seen := arrived(owner, taker, heir)
	if len(seen) != 250 {
		t.Errorf("%d events arrived, want 250", len(seen))
	}
	for id, n := range seen {
		if n > 2 {
			t.Errorf("%s arrived %d times", id, n)
		}
	}
}

// await polls, for a program that goes on can be watched in its folder alone.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); <-time.After(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("there were not %s within %v", what, patience)
		}
	}
}

// segments reads the lines of the spool below dir, and from which of them on each file's have no fate.
func segments(t *testing.T, dir string) (lines [][]string, from []int) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "spool", "*.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		pos, _ := os.ReadFile(strings.TrimSuffix(name, ".ndjson") + ".pos") // absent: 0
		offset, _ := strconv.Atoi(strings.TrimSpace(string(pos)))
		data, err := os.ReadFile(name)
		if err != nil {
			continue // all of it has its fate
		}
		offset = min(offset, len(data))
		lines = append(lines, strings.Split(strings.TrimSuffix(string(data), "\n"), "\n"))
		from = append(from, bytes.Count(data[:offset], []byte("\n")))
	}
	return lines, from
}

// last is the highest properties.n on disk.
func last(t *testing.T, dir string) int {
	t.Helper()
	highest := 0
	lines, _ := segments(t, dir)
	for _, segment := range lines {
		for _, line := range segment {
			e, _ := exact([]byte(line)) // one that is being written is none yet
			members, _ := e.(map[string]any)
			p, _ := members["properties"].(map[string]any)
			n, _ := strconv.Atoi(fmt.Sprint(p["n"]))
			highest = max(highest, n)
		}
	}
	return highest
}

// left is how many lines on disk have no fate.
func left(t *testing.T, dir string) int {
	t.Helper()
	total := 0
	lines, from := segments(t, dir)
	for i, segment := range lines {
		total += len(segment) - from[i]
	}
	return total
}
