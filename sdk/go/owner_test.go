package millstream

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// deadPid is that of a process that has ended.
func deadPid(t testing.TB) int {
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid
}

func lease(t testing.TB, dir, owner, host string, pid int, namespace string, age time.Duration) {
	t.Helper()
	write(t, dir, owner+".lease", fmt.Sprintf("%s %d %s\n", host, pid, namespace))
	at := time.Now().Add(-age)
	if err := os.Chtimes(filepath.Join(dir, owner+".lease"), at, at); err != nil {
		t.Fatal(err)
	}
}

func host(t testing.TB) string {
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func TestOnlyDeadOwnersAreTakenOver(t *testing.T) {
	here := namespaceOf("/proc")
	if here == "-" {
		t.Skip("this system has no name for the space of its process numbers")
	}
	s, dir := serve(t, status(200)), t.TempDir()
	for _, o := range []struct {
		owner, host string
		pid         int
		namespace   string
		age         time.Duration
	}{
		{"00000000000000a1", "elsewhere", 1, here, 30 * time.Second},         // alive, as far as one can see
		{"00000000000000a2", "elsewhere", 1, "-", 90 * time.Second},          // silent, and stays so
		{"00000000000000a3", host(t), os.Getppid(), here, 30 * time.Second},  // alive
		{"00000000000000a4", host(t), deadPid(t), here, 0},                   // gone
		{"00000000000000a5", host(t), os.Getpid(), here, 0},                  // an earlier process of this number
		{"00000000000000a6", host(t), os.Getpid(), "boot/1", 0},              // another container's of this host name
		{"00000000000000a7", host(t), deadPid(t), "-", 0},                    // nobody knows whose number that is
		{"00000000000000a8", "elsewhere", 1, "boot/1", -90 * time.Second},    // from a clock ahead, and silent
		{"00000000000000a9", "a name with blanks", 1, here, 3 * time.Second}, // not readable: not yet
	} {
		lease(t, dir, o.owner, o.host, o.pid, o.namespace, o.age)
		write(t, dir, o.owner+"-0000000000000001.ndjson", lines(o.owner))
	}
	write(t, dir, "00000000000000b1-0000000000000001.ndjson", lines("00000000000000b1")) // without a lease
	write(t, dir, "notes.txt", "not ours")
	write(t, dir, "00000000000000b2.lease", "x")
	o := spooled(s, dir)
	o.hooks.watch = 20 * time.Millisecond
	c, f := open(t, o)
	eventually(t, "five fates", func() bool { return f.count()["delivered"] == 5 })
	if err := c.Close(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	ids := s.ids()
	sort.Strings(ids)
	want := "00000000000000a2 00000000000000a4 00000000000000a5 00000000000000a8 00000000000000b1"
	if got := strings.Join(ids, " "); got != want {
		t.Errorf("arrived: %s", got)
	}
	want = ""
	for _, owner := range []string{"a1", "a3", "a6", "a7", "a9"} {
		want += "00000000000000" + owner + "-0000000000000001.ndjson 00000000000000" + owner + ".lease "
	}
	if got := strings.Join(files(t, dir), " "); got != want+"00000000000000b2.lease notes.txt" {
		t.Errorf("left: %s", got)
	}
}

func TestOldLeaseIsDeadWhenItStaysUntouched(t *testing.T) {
	dir := t.TempDir()
	s := newSpool(nil, Spool{Dir: dir}, hooks{})
	owner := "00000000000000aa"
	lease(t, dir, owner, "elsewhere", 1, "-", 2*time.Hour)
	now := time.Now()
	for _, step := range []struct {
		after time.Duration
		touch bool
		free  bool
	}{
		{0, false, false},                // never on the first look
		{10 * time.Second, false, false}, // too early
		{11 * time.Second, true, false},  // touched by an owner whose clock is wrong
		{21 * time.Second, false, false},
		{22 * time.Second, false, true},
	} {
		if step.touch {
			lease(t, dir, owner, "elsewhere", 1, "-", time.Hour)
		}
		if got := s.free(owner, now.Add(step.after)); got != step.free {
			t.Errorf("after %v: free is %v", step.after, got)
		}
	}
}

func TestClientsOfOneProcessLeaveEachOtherAlone(t *testing.T) {
	s, dir := serve(t, status(503)), t.TempDir()
	a, fa := open(t, spooled(s, dir))
	track(t, a, "m1", "m2")
	b, _ := open(t, spooled(s, dir))
	track(t, b, "m3")
	if n := b.Stats().Spooled; n != 1 {
		t.Errorf("the second client holds %d events", n)
	}
	s.turn(status(200))
	eventually(t, "two fates", func() bool { return fa.count()["delivered"] == 2 })
}

func TestTwoClientsShareAFolder(t *testing.T) {
	s, dir := serve(t, status(200)), t.TempDir()
	for i := range 40 {
		write(t, dir, fmt.Sprintf("00000000000000aa-%016d.ndjson", i), lines(fmt.Sprint("old", i)))
	}
	a, fa := open(t, spooled(s, dir))
	b, fb := open(t, spooled(s, dir))
	for i := range 20 {
		track(t, a, fmt.Sprint("a", i))
		track(t, b, fmt.Sprint("b", i))
	}
	eventually(t, "80 fates", func() bool { return fa.count()["delivered"]+fb.count()["delivered"] == 80 })
	seen := map[string]int{}
	for _, id := range s.ids() {
		if seen[id]++; seen[id] > 1 {
			t.Errorf("%s came twice", id)
		}
	}
}

// TestOwnerThatStoodStillLosesItsFilesButNoEvent takes the files of a living client over, as one does that takes it for
// dead, while most of its events are on disk only.
func TestOwnerThatStoodStillLosesItsFilesButNoEvent(t *testing.T) {
	s, dir := serve(t, status(503)), t.TempDir()
	o := spooled(s, dir)
	o.QueueEvents, o.BatchEvents = 10, 5
	c, f := open(t, o)
	for i := range 50 {
		track(t, c, fmt.Sprint("m", i))
	}
	taken := t.TempDir()
	for _, name := range files(t, dir) {
		if err := os.Rename(filepath.Join(dir, name), filepath.Join(taken, name)); err != nil {
			t.Fatal(err)
		}
	}
	for i := 50; i < 100; i++ {
		track(t, c, fmt.Sprint("m", i))
	}
	left := ""
	for _, name := range files(t, taken) {
		text, err := os.ReadFile(filepath.Join(taken, name))
		if err != nil {
			t.Fatal(err)
		}
		left += string(text)
	}
	for i := range 50 {
		if !strings.Contains(left, fmt.Sprintf(`"m%d"`, i)) {
			t.Errorf("m%d was on disk and is not", i)
		}
	}
	s.turn(status(200))
	eventually(t, "100 fates", func() bool { return f.count()["delivered"] == 100 })
}

func TestFileThatIsNotReadableForAWhileIsKept(t *testing.T) {
	s, dir := serve(t, status(200)), t.TempDir()
	write(t, dir, "00000000000000aa-0000000000000001.ndjson", lines("old1"))
	write(t, dir, "00000000000000aa-0000000000000002.ndjson", lines("old2"))
	var misses atomic.Int64
	o := spooled(s, dir)
	o.hooks.retry, o.hooks.files = 10*time.Millisecond, 1
	o.hooks.open = func(path string) (*os.File, error) {
		if misses.Add(1) <= 20 {
			return nil, syscall.EMFILE
		}
		return os.Open(path)
	}
	c, f := open(t, o)
	track(t, c, "m1", "m2")
	eventually(t, "four fates", func() bool { return f.count()["delivered"] == 4 })
	if misses.Load() < 20 || c.Stats().LastError == "" {
		t.Errorf("%d misses, LastError %q", misses.Load(), c.Stats().LastError)
	}
}

// TestFileThatCannotBeOpenedStaysItsOwners puts a folder in the place of a file. Under the taker's name nobody would look
// at it again before the taker's end.
func TestFileThatCannotBeOpenedStaysItsOwners(t *testing.T) {
	s, dir := serve(t, status(200)), t.TempDir()
	segment, pos := "00000000000000aa-0000000000000001.ndjson", "00000000000000aa-0000000000000001.pos"
	if err := os.Mkdir(filepath.Join(dir, segment), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, dir, pos, fmt.Sprint(len(lines("m1"))))
	write(t, dir, "00000000000000aa-0000000000000002.ndjson", lines("m3"))
	c, f := open(t, spooled(s, dir))
	eventually(t, "the other file", func() bool { return f.count()["delivered"] == 1 })
	if text := c.Stats().LastError; !strings.Contains(text, "is a directory") {
		t.Errorf("LastError %q", text)
	}
	if err := c.Close(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	if left := files(t, dir); !slices.Equal(left, []string{segment, pos}) {
		t.Fatalf("left %v", left)
	}
	if err := os.Remove(filepath.Join(dir, segment)); err != nil {
		t.Fatal(err)
	}
	write(t, dir, segment, lines("m1", "m2"))
	_, f = open(t, spooled(s, dir))
	eventually(t, "the line behind the position", func() bool { return f.count()["delivered"] == 1 })
	if got := strings.Join(s.ids(), " "); got != "m3 m2" {
		t.Errorf("arrived: %s", got)
	}
}

// TestLostFileIsNoSilentLoss removes the files: one that is open still gives its events, one that is not is booked.
func TestLostFileIsNoSilentLoss(t *testing.T) {
	for _, kept := range []bool{true, false} {
		release := make(chan struct{})
		s, dir := serve(t, func(w http.ResponseWriter, _ request, n int) {
			if n == 0 {
				<-release
			}
			_, _ = io.WriteString(w, "{}")
		}), t.TempDir()
		write(t, dir, "00000000000000aa-0000000000000001.ndjson", lines("m1", "m2"))
		write(t, dir, "00000000000000aa-0000000000000002.ndjson", lines("m3"))
		o := spooled(s, dir)
		o.BatchEvents, o.FlushAt = 1, 1
		if !kept {
			o.hooks.files = 1
		}
		c, f := open(t, o)
		track(t, c, "m4")
		eventually(t, "a request", func() bool { return len(s.seen()) == 1 })
		for _, name := range files(t, dir) {
			_ = os.Remove(filepath.Join(dir, name))
		}
		close(release)
		want := 4
		if !kept {
			want = 2 // m2 and m3 are gone
		}
		eventually(t, "the others", func() bool { return f.count()["delivered"] == want })
		if n := c.Stats().HandedOver; n != uint64(4-want) {
			t.Errorf("kept %v: %d handed over", kept, n)
		}
		sums(t, c)
	}
}
