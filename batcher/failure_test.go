package batcher_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/batcher"
	"github.com/millstream-data/millstream/internal/dedup"
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

// kill is kill -9 as far as the world can see: nothing that the batcher does
// from now on reaches the store.
func (g *gate) kill() {
	g.set(func(rw http.ResponseWriter, _ *http.Request, _ http.Handler) bool { dead(rw); return true })
}

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
	first := w.startWith(cfg, g.lake, dedup.DefaultConfig())
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
	r := w.startWith(quick(t), g.lake, dedup.DefaultConfig())
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
func (g *gate) hold() (held chan struct{}, release chan struct{}) {
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
	return w.startWith(cfg, g.lake, dedup.DefaultConfig())
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
	s := w.startWith(cfg, successor.lake, dedup.DefaultConfig())
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

func TestDedupSurvivesRestart(t *testing.T) {
	w := setup(t)
	r := w.start(quick(t))
	w.send(0, track("app", "twin", "A", day, "{}"), track("app", "other", "A", day, "{}"))
	w.until(w.names.Events(), 0, 2)
	r.stop(t)
	w.send(0, track("app", "twin", "A", day, "{}"), track("shop", "twin", "A", day, "{}"), track("app", "twin", "A", day, "{}"))
	r = w.start(quick(t))
	w.until(w.names.Events(), 0, 5)
	r.stop(t)
	w.send(0, track("app", "other", "A", day, "{}"), track("app", "new", "A", day, "{}"))
	w.start(quick(t))
	commits := w.until(w.names.Events(), 0, 7)
	w.sound()
	if got := sum(commits); got.duplicates != 3 || got.rows != 4 {
		t.Errorf("totals %+v", got)
	}
}

func TestAccountingIdentity(t *testing.T) {
	w := setup(t)
	w.start(quick(t))
	evening := day.Add(20 * time.Hour)
	w.send(0,
		track("app", "1", "A", day, "{}"), track("app", "1", "A", day, "{}"), track("app", "2", "A", evening, "{}"),
		track("shop", "1", "A", day, "{}"), eventRecord("shop", "track", "A", "3", evening, "no json"),
	)
	commits := w.until(w.names.Events(), 0, 5)
	w.sound()
	got := map[string]lake.Accounting{}
	for _, c := range commits {
		for _, a := range c.Accounting {
			k := a.Source + " " + a.DT
			s := got[k]
			got[k] = lake.Accounting{
				Source: a.Source, DT: a.DT, Records: s.Records + a.Records, Primary: s.Primary + a.Primary,
				Duplicates: s.Duplicates + a.Duplicates, Rejected: s.Rejected + a.Rejected,
			}
		}
	}
	want := map[string]lake.Accounting{
		"app 2026-11-21":  {Source: "app", DT: "2026-11-21", Records: 2, Primary: 1, Duplicates: 1},
		"app 2026-11-22":  {Source: "app", DT: "2026-11-22", Records: 1, Primary: 1},
		"shop 2026-11-21": {Source: "shop", DT: "2026-11-21", Records: 1, Primary: 1},
		"shop 2026-11-22": {Source: "shop", DT: "2026-11-22", Records: 1, Rejected: 1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("accounts (-want +got):\n%s", diff)
	}
}

func TestLostOffsetsAreACommit(t *testing.T) {
	w := setup(t)
	r := w.start(quick(t))
	w.send(0, w.tracks(10)...)
	w.until(w.names.Events(), 0, 10)
	r.stop(t)
	w.send(0, w.tracks(20)...)
	var o kadm.Offsets
	o.Add(kadm.Offset{Topic: w.names.Events(), Partition: 0, At: 25})
	if _, err := kadm.NewClient(w.client).DeleteRecords(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	w.start(quick(t))
	commits := w.until(w.names.Events(), 0, 30)
	w.sound()
	var loss []lake.Commit
	for _, c := range commits {
		if c.Kind == lake.KindLoss {
			loss = append(loss, c)
		}
	}
	if len(loss) != 1 || loss[0].First != 10 || loss[0].Next != 25 || loss[0].Holes != 15 || loss[0].Reason == "" {
		t.Errorf("loss commits %+v", loss)
	}
	last := commits[len(commits)-1]
	if got := sum(commits); got.rows != 15 || last.Dedup == nil || !last.Dedup.Incomplete {
		t.Errorf("totals %+v, dedup %+v", got, last.Dedup)
	}
}

func TestRecreatedTopicStops(t *testing.T) {
	w := setup(t)
	r := w.start(quick(t))
	w.send(0, w.tracks(10)...)
	w.until(w.names.Events(), 0, 10)
	r.stop(t)
	adm := kadm.NewClient(w.client)
	if _, err := adm.DeleteTopics(t.Context(), w.names.Events()); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the topic is made anew", func() error {
		_, err := adm.CreateTopic(t.Context(), 2, 1, nil, w.names.Events())
		return err
	})
	testkit.Eventually(t, "records are taken", func() error {
		w.client.PurgeTopicsFromClient(w.names.Events())
		recs := w.tracks(20)
		for _, rec := range recs {
			rec.Topic, rec.Partition = w.names.Events(), 0
		}
		return w.client.ProduceSync(t.Context(), recs...).FirstErr()
	})
	w.send(1, w.tracks(5)...)
	r = w.start(quick(t))
	w.until(w.names.Events(), 1, 5) // it had no chain, so nothing can overlap
	if n := r.gauge(t, "millstream_batcher_stopped_partitions"); n != 1 {
		t.Errorf("%v partitions are stopped", n)
	}
	commits := w.until(w.names.Events(), 0, 10)
	if last := commits[len(commits)-1]; last.Next != 10 {
		t.Errorf("the chain went on to %d", last.Next)
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
	w.startWith(quick(t), g.lake, dedup.DefaultConfig())
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

func TestRebalanceUnderLoad(t *testing.T) {
	w := setup(t)
	w.start(quick(t))
	stop := make(chan struct{})
	sent := make(chan int64)
	go func() {
		n := int64(0)
		for {
			recs := make([]*kgo.Record, 20)
			for i := range recs {
				recs[i] = track("app", fmt.Sprintf("load-%d-%d", n, i), "Load", day, `{"n":1}`)
				recs[i].Topic, recs[i].Partition = w.names.Events(), int32(n%2)
			}
			if err := w.client.ProduceSync(context.Background(), recs...).FirstErr(); err != nil && !errors.Is(err, kgo.ErrClientClosed) {
				t.Error(err)
			}
			n++
			select {
			case <-stop:
				sent <- n * 20
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	w.until(w.names.Events(), 0, 100)
	second := w.start(quick(t)) // 1 → 2
	var owner int32 = -1
	testkit.Eventually(t, "the second one commits", func() error {
		for p := range int32(2) {
			if second.counter(t, "millstream_batcher_rebalances_total", "event", "assigned") > 0 {
				owner = p
				return nil
			}
		}
		return errNotYet
	})
	w.until(w.names.Events(), 0, w.end(w.names.Events(), 0)+100)
	w.until(w.names.Events(), 1, w.end(w.names.Events(), 1)+100)
	second.stop(t) // 2 → 1
	w.until(w.names.Events(), 0, w.end(w.names.Events(), 0)+100)
	w.until(w.names.Events(), 1, w.end(w.names.Events(), 1)+100)
	close(stop)
	total := <-sent
	var all []lake.Commit
	for p := range int32(2) {
		all = append(all, w.until(w.names.Events(), p, w.end(w.names.Events(), p))...)
	}
	w.sound()
	if got := sum(all); got.rows != total || got.records != total || got.duplicates != 0 || owner < 0 {
		t.Errorf("totals %+v of %d", got, total)
	}
}

// A batcher that is stopped has committed what it had read.
func TestDrainCommitsWhatIsOpen(t *testing.T) {
	w := setup(t)
	cfg := quick(t)
	cfg.Cut.Age = time.Hour
	r := w.start(cfg)
	w.send(0, w.tracks(10)...)
	testkit.Eventually(t, "the records are read", func() error {
		if r.counter(t, "millstream_batcher_records_total", "outcome", "row") < 10 {
			return errNotYet
		}
		return nil
	})
	r.stop(t)
	commits := w.until(w.names.Events(), 0, 10)
	if len(commits) != 1 || commits[0].Cut != "drain" {
		t.Errorf("commits %+v", commits)
	}
	w.sound()
}

// Rows that are in no file are bounded: the largest range is cut before its age.
func TestMemoryBudgetCuts(t *testing.T) {
	w := setup(t)
	cfg := quick(t)
	cfg.Cut.Age = time.Hour
	cfg.Memory = batcher.MemoryConfig{Fetch: 1 << 20, Chunks: 1 << 20}
	w.start(cfg)
	big := strings.Repeat("x", 2000)
	var recs []*kgo.Record
	for i := range 2000 {
		recs = append(recs, track("app", fmt.Sprint(i), "Big", day, fmt.Sprintf(`{"s":"%s%d"}`, big, i)))
	}
	w.send(0, recs...)
	testkit.Eventually(t, "a range is cut for memory", func() error {
		commits, err := w.chain(w.names.Events(), 0)
		if err != nil {
			return err
		}
		for _, c := range commits {
			if c.Cut == "memory" {
				return nil
			}
		}
		return fmt.Errorf("%d commits", len(commits))
	})
	w.sound()
}

func s3Client(t *testing.T, cfg objstore.Config) *objstore.Client {
	t.Helper()
	c, err := objstore.New(t.Context(), cfg, testkit.Bucket, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return c
}
