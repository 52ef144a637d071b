package batcher_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/batcher"
	"github.com/millstream-data/millstream/internal/testkit"
)

// noise makes n events of about 2 KB that compress badly.
func noise(seed uint64, n int) (out []*kgo.Record) {
	rnd := rand.New(rand.NewPCG(seed, 3))
	for i := range n {
		b := make([]byte, 1500)
		for j := range b {
			b[j] = byte(rnd.Uint32())
		}
		out = append(out, track("app", fmt.Sprintf("noise-%d-%d", seed, i), "Big", day,
			fmt.Sprintf(`{"s":%q}`, base64.StdEncoding.EncodeToString(b))))
	}
	return out
}

// smallDisk is a disk of so many bytes that holds a folder.
type smallDisk struct {
	dir      string
	capacity int64
	full     atomic.Int64 // writes that did not fit

	mu sync.Mutex // one write at a time
}

func (d *smallDisk) wrap(w io.Writer) io.Writer { return diskWriter{d, w} }

type diskWriter struct {
	disk *smallDisk
	w    io.Writer
}

func (w diskWriter) Write(b []byte) (int, error) {
	w.disk.mu.Lock()
	defer w.disk.mu.Unlock()
	files, err := os.ReadDir(w.disk.dir)
	if err != nil {
		return 0, err
	}
	sum := int64(len(b))
	for _, f := range files {
		if info, err := f.Info(); err == nil { // else it has just been removed
			sum += info.Size()
		}
	}
	if sum > w.disk.capacity {
		w.disk.full.Add(1)
		return 0, &os.PathError{Op: "write", Path: w.disk.dir, Err: syscall.ENOSPC}
	}
	return w.w.Write(b)
}

// A disk that is smaller than a range is paused for; ranges are cut smaller
// until they fit, and everything arrives.
func TestDiskFull(t *testing.T) {
	w := setup(t)
	cfg := quick(t)
	cfg.Cut.Age = 5 * time.Second // no range would be cut before it is too large
	disk := &smallDisk{dir: cfg.Disk.Dir, capacity: 500 << 10}
	w.send(0, noise(1, 700)...)
	r := w.startDeps(cfg, batcher.Deps{Kafka: w.kafka, Lake: w.lake, Dedup: w.dedup, Version: "test", Log: testkit.Log(t), Disk: disk.wrap})
	testkit.Eventually(t, "intake pauses for the disk", func() error {
		if r.counter(t, "millstream_batcher_paused", "reason", "disk") != 1 {
			return errNotYet
		}
		return nil
	})
	commits := w.until(w.names.Events(), 0, 700)
	w.sound()
	if got := sum(commits); got.rows != 700 || got.records != 700 {
		t.Errorf("totals %+v", got)
	}
	if disk.full.Load() == 0 || commits[0].Cut != "disk" {
		t.Errorf("%d writes did not fit, the first cut was for %s", disk.full.Load(), commits[0].Cut)
	}
	if n := r.gauge(t, "millstream_batcher_verify_failures_total"); n != 0 {
		t.Errorf("%v files are said not to verify", n)
	}
}

// storeAway answers 503 to every put until the switch is turned.
func storeAway(g *gate) (away *atomic.Bool) {
	away = new(atomic.Bool)
	away.Store(true)
	g.set(func(rw http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if isPut(r) && away.Load() {
			rw.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		return false
	})
	return away
}

func tight(cfg batcher.Config) batcher.Config {
	cfg.Memory = batcher.MemoryConfig{Fetch: 2 << 20, Chunks: 2 << 20, RowGroups: 2 << 20}
	return cfg
}

func (r *running) pausedFor(t *testing.T, reason string) func() error {
	return func() error {
		t.Helper()
		if r.counter(t, "millstream_batcher_paused", "reason", reason) != 1 {
			return errNotYet
		}
		return nil
	}
}

// A batcher that waits for its store hands partitions over all the same.
func TestPartitionsMoveWhilePaused(t *testing.T) {
	w := setup(t)
	g := w.gate()
	away := storeAway(g)
	for p := range int32(2) {
		w.send(p, noise(uint64(p), 2500)...)
	}
	cfg := tight(quick(t))
	cfg.RevokeBudget = 500 * time.Millisecond
	stuck := w.startWith(cfg, g.lake)
	testkit.Eventually(t, "the first one is stuck", stuck.pausedFor(t, "store"))
	w.start(quick(t))
	testkit.Eventually(t, "a partition has moved and is committed", func() error {
		for p := range int32(2) {
			if commits, err := w.chain(w.names.Events(), p); err != nil || len(commits) > 0 && commits[len(commits)-1].Next == 2500 {
				return err
			}
		}
		return errNotYet
	})
	if err := stuck.pausedFor(t, "store")(); err != nil {
		t.Error("the first one does not wait any more")
	}
	away.Store(false)
	for p := range int32(2) {
		if got := sum(w.until(w.names.Events(), p, 2500)); got.rows != 2500 || got.records != 2500 {
			t.Errorf("partition %d: totals %+v", p, got)
		}
	}
	w.sound()
}

// A chain that ends while nothing is taken in is begun anew at once: it might
// be the one that the others wait for.
func TestChainsBeginAnewWhilePaused(t *testing.T) {
	w := setup(t)
	g := w.gate()
	var away atomic.Bool
	free := make(chan struct{})
	g.set(func(rw http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		switch {
		case isData(r) && away.Load() && strings.Contains(r.URL.Path, "millstream.events-0-"):
			rw.WriteHeader(http.StatusServiceUnavailable)
			return true
		case isCommit(r) && strings.Contains(r.URL.Path, "millstream.events/1/"):
			<-free
		}
		return false
	})
	away.Store(true)
	w.send(1, w.tracks(10)...)
	cfg := tight(quick(t))
	cfg.Cut.Age = time.Hour
	r := w.startWith(cfg, g.lake)
	testkit.Eventually(t, "the small partition is read", func() error {
		if r.counter(t, "millstream_batcher_records_total", "outcome", "row") < 10 {
			return errNotYet
		}
		return nil
	})
	w.zombie(w.gate()) // commits what the first one has open
	w.until(w.names.Events(), 1, 10)
	w.send(0, noise(1, 2500)...)
	testkit.Eventually(t, "the first one is stuck with the large partition", func() error {
		// The range that the store refuses is on disk; that the next one fills the
		// memory ends only with it.
		groups := r.counter(t, "millstream_batcher_memory_bytes", "kind", "row_groups")
		if groups <= 0.6*float64(cfg.Memory.RowGroups) {
			return errNotYet
		}
		return r.pausedFor(t, "store")()
	})
	close(free)
	testkit.Eventually(t, "the small one has lost its range and is begun anew", func() error {
		if r.counter(t, "millstream_batcher_abandoned_ranges_total", "reason", "lost") < 1 {
			return errNotYet
		}
		return nil
	})
	if err := r.pausedFor(t, "store")(); err != nil {
		t.Error("it does not wait any more")
	}
	away.Store(false)
	w.until(w.names.Events(), 0, 2500)
	w.sound()
}

// While the store hangs at the assignment the member stays in its group, and
// leaves room for another one.
func TestSlowStoreDoesNotEvict(t *testing.T) {
	w := setup(t)
	g := w.gate()
	release := make(chan struct{})
	var asked atomic.Int64
	g.set(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		asked.Add(1)
		select {
		case <-release:
		case <-r.Context().Done():
		}
		return false
	})
	for p := range int32(2) {
		w.send(p, w.tracks(10)...)
	}
	w.startWith(quick(t), g.lake)
	testkit.Eventually(t, "the store is asked for the chains", func() error {
		if asked.Load() == 0 {
			return errNotYet
		}
		return nil
	})
	w.start(quick(t))
	adm := kadm.NewClient(w.client)
	testkit.Eventually(t, "both are members, and each has a partition", func() error {
		groups, err := adm.DescribeGroups(t.Context(), "millstream-batcher")
		if err != nil {
			return err
		}
		group := groups["millstream-batcher"]
		if group.State != "Stable" || len(group.Members) != 2 {
			return fmt.Errorf("%s with %d members", group.State, len(group.Members))
		}
		for _, m := range group.Members {
			if a, ok := m.Assigned.AsConsumer(); !ok || len(a.Topics) != 1 || len(a.Topics[0].Partitions) != 1 {
				return fmt.Errorf("%s has no partition of its own", m.MemberID)
			}
		}
		return nil
	})
	close(release)
	for p := range int32(2) {
		w.until(w.names.Events(), p, 10)
	}
	w.sound()
}

func TestSpoolIsOfOneBatcher(t *testing.T) {
	w := setup(t)
	cfg := quick(t)
	if err := os.MkdirAll(cfg.Disk.Dir, 0o750); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"left.parquet", "somebody's.txt"} {
		if err := os.WriteFile(filepath.Join(cfg.Disk.Dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	first := w.start(cfg)
	w.send(0, w.tracks(1)...)
	w.until(w.names.Events(), 0, 1)
	if _, err := os.Stat(filepath.Join(cfg.Disk.Dir, "left.parquet")); err == nil {
		t.Error("what an earlier process has left is still there")
	}
	if _, err := os.Stat(filepath.Join(cfg.Disk.Dir, "somebody's.txt")); err != nil {
		t.Error("another's file is gone")
	}
	second, err := batcher.New(cfg, batcher.Deps{
		Kafka: w.kafka, Lake: w.lake, Dedup: w.dedup, Version: "test", Log: testkit.Log(t), Registry: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "in use by the batcher of process") {
		t.Errorf("the second batcher says: %v", err)
	}
	first.stop(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := second.Run(ctx); err != nil {
		t.Errorf("after the first has stopped: %v", err)
	}
}
