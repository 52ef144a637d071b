package millstream

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func spooled(s *server, dir string) Options {
	return Options{Endpoint: s.URL, Spool: Spool{Dir: dir, Fsync: FsyncAlways}}
}

func files(t testing.TB, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// write makes a file of the spool as another client would have left it.
func write(t testing.TB, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func lines(ids ...string) string {
	text := ""
	for _, id := range ids {
		text += fmt.Sprintf(`{"type":"track","event":"Paid","userId":"u1","messageId":%q}`, id) + "\n"
	}
	return text
}

func TestSpoolIsEmptyWhenAllIsDelivered(t *testing.T) {
	for _, mode := range []Fsync{FsyncInterval, FsyncAlways, FsyncNever} {
		s, dir := serve(t, status(500, 200)), t.TempDir()
		o := spooled(s, dir)
		o.Spool.Fsync = mode
		c, f := open(t, o)
		track(t, c, "m1", "m2", "m3")
		eventually(t, "three fates", func() bool { return f.count()["delivered"] == 3 })
		if err := c.Close(within(t, 5*time.Second)); err != nil {
			t.Error(err)
		}
		if left := files(t, dir); len(left) > 0 {
			t.Errorf("mode %d leaves %v", mode, left)
		}
	}
}

func TestCloseLeavesInTheSpoolWhatTheNextClientSends(t *testing.T) {
	s, dir := serve(t, status(503)), t.TempDir()
	o := spooled(s, dir)
	o.Spool.Fsync = FsyncInterval
	a, _ := open(t, o)
	track(t, a, "m1", "m2", "m3")
	if err := a.Close(within(t, 50*time.Millisecond)); err != nil {
		t.Errorf("%v: the events are safe", err)
	}
	if n := a.Stats().Spooled; n != 3 {
		t.Errorf("%d spooled", n)
	}
	again := serve(t, status(200))
	o.Endpoint = again.URL
	b, f := open(t, o)
	track(t, b, "m4")
	eventually(t, "four fates", func() bool { return f.count()["delivered"] == 4 })
	if got := strings.Join(again.ids(), " "); got != "m1 m2 m3 m4" {
		t.Errorf("arrived: %s", got)
	}
}

func TestFlushIsDoneWhenTheSpoolIsSynced(t *testing.T) {
	s, dir := serve(t, status(503)), t.TempDir()
	var syncs atomic.Int64
	o := spooled(s, dir)
	o.Spool.Fsync = FsyncInterval
	o.hooks.sync = func(f *os.File) error { syncs.Add(1); return f.Sync() }
	c, _ := open(t, o)
	track(t, c, "m1")
	if err := c.Flush(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	if st := c.Stats(); syncs.Load() == 0 || st.Spooled != 1 || st.Queued != 0 {
		t.Errorf("%d syncs, %+v", syncs.Load(), st)
	}
}

func TestCallsAtTheSameTimeShareASync(t *testing.T) {
	s, dir := serve(t, status(200)), t.TempDir()
	var syncs atomic.Int64
	o := spooled(s, dir)
	o.hooks.sync = func(f *os.File) error { syncs.Add(1); <-time.After(5 * time.Millisecond); return f.Sync() }
	c, f := open(t, o)
	var wait sync.WaitGroup
	for i := range 100 {
		wait.Add(1)
		go func() {
			defer wait.Done()
			track(t, c, fmt.Sprint("m", i))
			if st := c.Stats(); st.Queued == 100 {
				t.Error("a call returned before its sync")
			}
		}()
	}
	wait.Wait()
	if n := syncs.Load(); n >= 50 {
		t.Errorf("%d syncs for 100 calls", n)
	}
	eventually(t, "100 fates", func() bool { return f.count()["delivered"] == 100 })
}

// TestCrashAfterEachStepLosesNothing copies the folder after each change that the writer makes to it, which is what a
// crash at that moment leaves, and starts a client on each copy: together with what had arrived by then, it must bring
// every event whose call had returned.
func TestCrashAfterEachStepLosesNothing(t *testing.T) {
	s, dir := serve(t, func(w http.ResponseWriter, _ request, n int) {
		if n%3 == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}), t.TempDir()
	write(t, dir, "00000000000000aa-0000000000000003.ndjson", lines("old1", "old2", "old3")+`{"torn`)
	write(t, dir, "00000000000000aa-0000000000000003.pos", fmt.Sprint(len(lines("old1"))))
	type crash struct {
		step, dir string
		returned  []string
		arrived   map[string]bool
	}
	var mu sync.Mutex
	returned := []string{"old2", "old3"}
	var crashes []crash
	o := spooled(s, dir)
	o.hooks.step = func(step string) {
		mu.Lock()
		c := crash{step: step, dir: t.TempDir(), returned: append([]string(nil), returned...)}
		mu.Unlock()
		for _, name := range files(t, dir) {
			if text, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
				write(t, c.dir, name, string(text))
			}
		}
		c.arrived = map[string]bool{}
		for _, id := range s.ids() {
			c.arrived[id] = true
		}
		crashes = append(crashes, c) // the writer's goroutine alone does this
	}
	client, f := open(t, o)
	for i := range 30 {
		id := fmt.Sprint("m", i)
		track(t, client, id)
		mu.Lock()
		returned = append(returned, id)
		mu.Unlock()
	}
	eventually(t, "32 fates", func() bool { return f.count()["delivered"] == 32 })
	if err := client.Close(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	steps := map[string]int{}
	for _, c := range crashes {
		steps[c.step]++
		for _, name := range files(t, c.dir) {
			if owner, ok := strings.CutSuffix(name, ".lease"); ok {
				lease(t, c.dir, owner, host(t), deadPid(t), namespaceOf("/proc"), 0)
			}
		}
		again := serve(t, status(200))
		heir, _ := open(t, spooled(again, c.dir))
		track(t, heir, "new")
		if err := heir.Close(within(t, 5*time.Second)); err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, id := range again.ids() {
			if seen[id] {
				t.Errorf("after %q: %s came twice from one folder", c.step, id)
			}
			seen[id] = true
		}
		for _, id := range c.returned {
			if !c.arrived[id] && !seen[id] {
				t.Errorf("after %q: %s is lost", c.step, id)
			}
		}
		if seen["old1"] && c.step != "taken" {
			t.Errorf("after %q: old1 had a fate and came again", c.step)
		}
		if left := files(t, c.dir); len(left) > 0 {
			t.Errorf("after %q: %v is left", c.step, left)
		}
	}
	for _, step := range []string{"lease", "taken", "taken position", "created", "written", "synced", "removed", "position"} {
		if steps[step] == 0 {
			t.Errorf("no crash after %q: %v", step, steps)
		}
	}
}

func TestTornLineIsCutOffAndBadLinesAreCounted(t *testing.T) {
	s, dir := serve(t, status(200)), t.TempDir()
	write(t, dir, "00000000000000aa-0000000000000001.ndjson", "bad\n"+lines("m1")+"[1]\n\n"+lines("m2")+"{\"a\n"+`{"messageId":"torn"`)
	c, f := open(t, spooled(s, dir))
	eventually(t, "two fates", func() bool { return f.count()["delivered"] == 2 })
	eventually(t, "four losses", func() bool { return c.Stats().DroppedByReason[ReasonSpoolError] == 4 })
	if text := c.Stats().LastError; !strings.Contains(text, "lines are no events") {
		t.Errorf("LastError %q", text)
	}
	if err := c.Close(within(t, 5*time.Second)); err != nil || len(files(t, dir)) > 0 {
		t.Errorf("%v, left %v", err, files(t, dir))
	}
	if got := strings.Join(s.ids(), " "); got != "m1 m2" {
		t.Errorf("arrived: %s", got)
	}
}

func TestPositionFollowsWithinASecondAndMakesRoom(t *testing.T) {
	s, dir := serve(t, status(200)), t.TempDir()
	o := spooled(s, dir)
	o.Spool.MaxBytes = 1000
	c, f := open(t, o)
	for i := 1; i <= 20; i++ {
		track(t, c, fmt.Sprint("m", i))
		eventually(t, "a fate", func() bool { return f.count()["delivered"] == i })
	}
	eventually(t, "a position at the end", func() bool {
		for _, name := range files(t, dir) {
			if path := filepath.Join(dir, name); strings.HasSuffix(name, ".ndjson") {
				info, err := os.Stat(path)
				return err == nil && info.Size() > 1000 && readPos(path) == info.Size()
			}
		}
		return false
	})
}

func TestFullDiskMeansMemoryUntilItIsMended(t *testing.T) {
	for _, step := range []string{"write", "half a write", "sync"} {
		t.Run(step, func(t *testing.T) {
			s, dir := serve(t, status(503)), t.TempDir()
			var full atomic.Bool
			o := spooled(s, dir)
			o.hooks.retry = 20 * time.Millisecond
			o.hooks.write = func(f *os.File, text []byte) (int, error) {
				switch {
				case !full.Load() || step == "sync":
					return f.Write(text)
				case step == "half a write":
					n, _ := f.Write(text[:len(text)/2])
					return n, syscall.ENOSPC
				}
				return 0, syscall.ENOSPC
			}
			o.hooks.sync = func(f *os.File) error {
				if full.Load() && step == "sync" {
					return syscall.EIO
				}
				return f.Sync()
			}
			c, f := open(t, o)
			track(t, c, "m1")
			full.Store(true)
			track(t, c, "m2", "m3")
			if st := c.Stats(); st.LastError == "" || st.Queued+st.InFlight+st.Spooled != 3 {
				t.Errorf("%+v", st)
			}
			sums(t, c)
			for _, name := range files(t, dir) {
				text, err := os.ReadFile(filepath.Join(dir, name))
				if strings.HasSuffix(name, ".ndjson") && err == nil && len(text) > 0 && text[len(text)-1] != '\n' {
					t.Errorf("%s has half a line: %q", name, text)
				}
			}
			full.Store(false)
			eventually(t, "the spool works again", func() bool { return c.Stats().Spooled == 3 })
			s.turn(status(200))
			eventually(t, "three fates", func() bool { return f.count()["delivered"] == 3 })
			if err := c.Close(within(t, 5*time.Second)); err != nil || len(files(t, dir)) > 0 {
				t.Errorf("%v, left %v", err, files(t, dir))
			}
		})
	}
}

func TestFolderThatCannotBeMadeMeansMemory(t *testing.T) {
	s, dir := serve(t, status(200)), t.TempDir()
	write(t, dir, "file", "")
	c, f := open(t, spooled(s, filepath.Join(dir, "file", "spool")))
	track(t, c, "m1", "m2")
	eventually(t, "two fates", func() bool { return f.count()["delivered"] == 2 })
	if c.Stats().LastError == "" {
		t.Error("no LastError")
	}
}

func TestSpoolRefusesBeyondItsBound(t *testing.T) {
	s, dir := serve(t, status(503)), t.TempDir()
	o := spooled(s, dir)
	o.Spool.MaxBytes = 2000
	c, f := open(t, o)
	accepted := 0
	for err := error(nil); err == nil; accepted++ {
		if err = c.Track(paid("m")); err != nil && !errors.Is(err, ErrSpoolFull) {
			t.Fatal(err)
		}
	}
	accepted--
	if size := c.Stats().Spooled; size != accepted || accepted < 5 {
		t.Errorf("%d accepted, %d spooled", accepted, size)
	}
	s.turn(status(200))
	eventually(t, "room", func() bool { return f.count()["delivered"] == accepted })
	track(t, c, "more")
}

func TestMemoryBoundHoldsOnlyWhatIsNotWritten(t *testing.T) {
	s, dir := serve(t, status(503)), t.TempDir()
	o := spooled(s, dir)
	o.QueueEvents = 10
	c, f := open(t, o)
	for i := range 1000 {
		track(t, c, fmt.Sprint("m", i))
	}
	s.turn(status(200))
	eventually(t, "1000 fates", func() bool { return f.count()["delivered"] == 1000 })
	for i, r := range f.get() {
		if r.MessageID != fmt.Sprint("m", i) {
			t.Fatalf("%s is number %d", r.MessageID, i)
		}
	}
}

func TestConsentKeepsEventsOffTheDisk(t *testing.T) {
	s, dir := serve(t, status(200)), t.TempDir()
	o := spooled(s, dir)
	o.Consent = ConsentPending
	c, f := open(t, o)
	track(t, c, "m1")
	if err := c.Flush(within(t, 50*time.Millisecond)); err == nil {
		t.Error("flushed without consent")
	}
	for _, name := range files(t, dir) {
		if strings.HasSuffix(name, ".ndjson") {
			t.Errorf("%s is stored", name)
		}
	}
	c.Consent(ConsentGranted, map[string]bool{"Analytics": true})
	track(t, c, "m2")
	eventually(t, "two fates", func() bool { return f.count()["delivered"] == 2 })
	s.turn(status(503))
	track(t, c, "m3")
	c.Consent(ConsentDenied, nil)
	eventually(t, "a fate", func() bool { return f.count()["dropped consent"] == 1 })
	if err := c.Track(paid("m4")); !errors.Is(err, ErrConsent) {
		t.Error(err)
	}
	if err := c.Close(within(t, time.Second)); err != nil || len(files(t, dir)) > 0 {
		t.Errorf("%v, left %v", err, files(t, dir))
	}
}

func TestSpooledEventsExpire(t *testing.T) {
	s, dir := serve(t, status(503)), t.TempDir()
	o := spooled(s, dir)
	o.MaxAge = 100 * time.Millisecond
	c, f := open(t, o)
	track(t, c, "m1", "m2")
	eventually(t, "two fates", func() bool { return f.count()["dropped expired"] == 2 })
}
