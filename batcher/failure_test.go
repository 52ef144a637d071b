package batcher_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/local"
	"github.com/millstream-data/millstream/internal/objstore"
	"github.com/millstream-data/millstream/internal/testkit"
)

// gate is an S3 endpoint before the world's server, of one batcher alone, so
// that one can be cut off while another works.
type gate struct {
	lake   *lake.Lake
	filter atomic.Pointer[local.Intercept]
}

// gate gives a batcher its own way to the store.
func (w *world) gate() *gate {
	w.t.Helper()
	g := &gate{}
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if f := g.filter.Load(); f != nil && *f != nil && (*f)(rw, r, w.s3) {
			return
		}
		w.s3.ServeHTTP(rw, r)
	}))
	w.t.Cleanup(srv.Close)
	cfg := testkit.S3Config(w.s3)
	cfg.Endpoint, cfg.MaxAttempts, cfg.Timeout = srv.URL, 1, 3*time.Second
	g.lake = &lake.Lake{Store: s3Client(w.t, cfg), Paths: w.lake.Paths}
	return g
}

func (g *gate) set(f local.Intercept) { g.filter.Store(&f) }

func isPut(r *http.Request) bool    { return r.Method == http.MethodPut }
func isCommit(r *http.Request) bool { return isPut(r) && strings.Contains(r.URL.Path, "/_commits/") }
func isData(r *http.Request) bool   { return isPut(r) && strings.HasSuffix(r.URL.Path, ".parquet") }

// dead ends a connection without an answer.
func dead(http.ResponseWriter) { panic(http.ErrAbortHandler) }

// crash runs a batcher until a request that at matches arrives, kills it there,
// and runs another one. deliver says whether the store gets that request.
func crash(t *testing.T, at func(*http.Request) bool, deliver bool) (*world, []lake.Commit) {
	w := setup(t)
	g := w.gate()
	w.send(0, w.tracks(50)...)
	hit := make(chan struct{})
	var once atomic.Bool
	g.set(func(rw http.ResponseWriter, r *http.Request, next http.Handler) bool {
		if !at(r) && !once.Load() {
			return false
		}
		if once.CompareAndSwap(false, true) {
			if deliver {
				next.ServeHTTP(httptest.NewRecorder(), r)
			}
			close(hit)
		}
		dead(rw)
		return true
	})
	cfg := quick(t)
	cfg.DrainTimeout = 0
	first := w.startWith(cfg, g.lake)
	<-hit
	first.stop(t)
	w.start(quick(t))
	w.send(0, w.tracks(50)...)
	commits := w.until(w.names.Events(), 0, 100)
	w.sound()
	if got := sum(commits); got.rows != 100 || got.primary != 100 || got.duplicates != 0 || got.holes != 0 {
		t.Errorf("totals %+v", got)
	}
	return w, commits
}

// objects counts the data objects of the lake, orphans included.
func (w *world) objects() (n int) {
	w.t.Helper()
	all, err := w.lake.Store.List(w.t.Context(), "millstream/app/", "", 0)
	if err != nil {
		w.t.Fatal(err)
	}
	return len(all)
}

func named(commits []lake.Commit) (n int) {
	for _, c := range commits {
		n += len(c.Files)
	}
	return n
}

func TestCrashBeforePut(t *testing.T) {
	w, commits := crash(t, isData, false)
	if w.objects() != named(commits) {
		t.Errorf("%d objects, %d named", w.objects(), named(commits))
	}
}

func TestCrashBetweenDataAndCommit(t *testing.T) {
	w, commits := crash(t, isCommit, false)
	if w.objects() < named(commits) {
		t.Errorf("%d objects, %d named", w.objects(), named(commits))
	}
}

func TestCrashAfterCommit(t *testing.T) {
	w, commits := crash(t, isCommit, true)
	if commits[0].Writer.Generation == 0 || w.objects() != named(commits) {
		t.Errorf("%d objects, %d named", w.objects(), named(commits))
	}
}

func TestCommitTimeoutThatLanded(t *testing.T) {
	w := setup(t)
	g := w.gate()
	var lost atomic.Int64
	g.set(func(rw http.ResponseWriter, r *http.Request, next http.Handler) bool {
		if isCommit(r) && lost.Add(1) == 1 {
			next.ServeHTTP(httptest.NewRecorder(), r)
			dead(rw)
		}
		return false
	})
	r := w.startWith(quick(t), g.lake)
	w.send(0, w.tracks(10)...)
	w.until(w.names.Events(), 0, 10)
	w.send(0, w.tracks(10)...) // the same chain goes on
	commits := w.until(w.names.Events(), 0, 20)
	w.sound()
	if got := sum(commits); got.rows != 20 || w.objects() != named(commits) {
		t.Errorf("totals %+v, %d objects", got, w.objects())
	}
	if own, rival := r.counter(t, "millstream_batcher_commit_conflicts_total", "outcome", "own"), r.counter(t, "millstream_batcher_commit_conflicts_total", "outcome", "lost"); own != 1 || rival != 0 {
		t.Errorf("conflicts: own %v, lost %v", own, rival)
	}
}

// hold keeps the first commit of a batcher from the store until release.
func (g *gate) hold() (held, release chan struct{}) {
	held, release = make(chan struct{}), make(chan struct{})
	var once atomic.Bool
	g.set(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if isCommit(r) && once.CompareAndSwap(false, true) {
			close(held)
			<-release
		}
		return false
	})
	return held, release
}

// zombie is a batcher whose group does not know of the other's, so that both
// take themselves for the owner.
func (w *world) zombie(g *gate) *running {
	cfg := quick(w.t)
	cfg.Group = "zombies"
	return w.startWith(cfg, g.lake)
}

func TestZombieCannotOverlap(t *testing.T) {
	w := setup(t)
	g := w.gate()
	held, release := g.hold()
	w.send(0, w.tracks(20)...)
	z := w.zombie(g)
	<-held // all its data is there, and its commit on the way
	w.start(quick(t))
	w.until(w.names.Events(), 0, 20)
	close(release)
	testkit.Eventually(t, "the zombie loses", func() error {
		if z.counter(t, "millstream_batcher_commit_conflicts_total", "outcome", "lost") == 0 {
			return errNotYet
		}
		return nil
	})
	w.send(0, w.tracks(20)...) // both go on, and meet again
	commits := w.until(w.names.Events(), 0, 40)
	w.sound()
	if got := sum(commits); got.rows != 40 || got.records != 40 {
		t.Errorf("totals %+v", got)
	}
}

func TestSuccessorAdoptsZombieCommit(t *testing.T) {
	w := setup(t)
	successor := w.gate()
	held, release := successor.hold()
	w.send(0, w.tracks(20)...)
	cfg := quick(t)
	cfg.Group = "successors"
	s := w.startWith(cfg, successor.lake)
	<-held
	zombie := w.zombie(w.gate())
	w.until(w.names.Events(), 0, 20) // it wakes and puts before the successor does
	zombie.stop(t)
	close(release)
	w.send(0, w.tracks(20)...)
	commits := w.until(w.names.Events(), 0, 40)
	w.sound()
	if got := sum(commits); got.rows != 40 || got.records != 40 {
		t.Errorf("totals %+v", got)
	}
	if s.counter(t, "millstream_batcher_commit_conflicts_total", "outcome", "lost") != 1 {
		t.Error("the successor did not lose the range")
	}
}

func TestGroupOffsetsDoNotMatter(t *testing.T) {
	t.Parallel()
	for name, offset := range map[string]int64{"deleted": -1, "forward": 25, "back": 0, "beyond the end": 1000} {
		t.Run(name, func(t *testing.T) {
			w := setup(t)
			r := w.start(quick(t))
			for i := range int64(3) {
				w.send(0, w.tracks(10)...)
				w.until(w.names.Events(), 0, 10*(i+1))
			}
			r.stop(t)
			w.send(0, w.tracks(10)...)
			adm := kadm.NewClient(w.client)
			if offset < 0 {
				if _, err := adm.DeleteGroups(t.Context(), "millstream-batcher"); err != nil {
					t.Fatal(err)
				}
			} else {
				var o kadm.Offsets
				o.Add(kadm.Offset{Topic: w.names.Events(), Partition: 0, At: offset, LeaderEpoch: -1, Metadata: "v1:7"})
				if err := adm.CommitAllOffsets(t.Context(), "millstream-batcher", o); err != nil {
					t.Fatal(err)
				}
			}
			w.start(quick(t))
			commits := w.until(w.names.Events(), 0, 40)
			w.sound()
			if got := sum(commits); got.rows != 40 || got.records != 40 {
				t.Errorf("totals %+v", got)
			}
		})
	}
}

func TestTakenDataKeyIsNotOverwritten(t *testing.T) {
	w := setup(t)
	g := w.gate()
	var taken atomic.Pointer[string]
	g.set(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if isData(r) && taken.Load() == nil {
			key := strings.TrimPrefix(r.URL.Path, "/"+testkit.Bucket+"/")
			taken.Store(&key)
			if err := w.lake.Store.Put(context.Background(), key, []byte("another's orphan")); err != nil {
				t.Error(err)
			}
		}
		return false
	})
	w.startWith(quick(t), g.lake)
	w.send(0, w.tracks(10)...)
	commits := w.until(w.names.Events(), 0, 10)
	w.sound()
	if b, err := w.lake.Store.Get(t.Context(), *taken.Load()); err != nil || string(b) != "another's orphan" {
		t.Errorf("the object is now %d bytes, %v", len(b), err)
	}
	for _, c := range commits {
		for _, f := range c.Files {
			if f.Key == *taken.Load() {
				t.Error("the commit names another's object")
			}
		}
	}
}

func TestForbiddenStorePauses(t *testing.T) {
	w := setup(t)
	g := w.gate()
	var refusing atomic.Bool
	refusing.Store(true)
	var refused atomic.Int64
	g.set(func(rw http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if isPut(r) && refusing.Load() {
			refused.Add(1)
			rw.WriteHeader(http.StatusForbidden)
			return true
		}
		return false
	})
	health, r := w.startWatched(quick(t), g.lake)
	w.send(0, w.tracks(10)...)
	testkit.Eventually(t, "the store has refused", func() error {
		report := health.Report(t.Context())
		if refused.Load() < 2 || report.State.String() != "not ready" || !strings.Contains(report.String(), "store refuses") {
			return fmt.Errorf("%d refusals, %s", refused.Load(), report)
		}
		return nil
	})
	refusing.Store(false)
	commits := w.until(w.names.Events(), 0, 10)
	w.sound()
	if got := sum(commits); got.rows != 10 {
		t.Errorf("totals %+v", got)
	}
	r.stop(t)
}

func s3Client(t *testing.T, cfg objstore.Config) *objstore.Client {
	t.Helper()
	c, err := objstore.New(t.Context(), cfg, testkit.Bucket, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return c
}
