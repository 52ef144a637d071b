package batcher_test

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/batcher"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/testkit"
)

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
	cfg.Memory = batcher.MemoryConfig{Fetch: 1 << 20, Chunks: 1 << 20, RowGroups: 1 << 20}
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

// What a revoked partition cannot commit in time is read again by its next owner.
func TestRevokeBudgetExceeded(t *testing.T) {
	w := setup(t)
	g := w.gate()
	cfg := quick(t)
	cfg.RevokeBudget = 300 * time.Millisecond
	w.send(0, w.tracks(20)...)
	w.send(1, w.tracks(20)...)
	held := make(chan struct{})
	var once atomic.Bool
	release := make(chan struct{})
	g.set(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if isPut(r) {
			if once.CompareAndSwap(false, true) {
				close(held)
			}
			<-release // slower than any budget
		}
		return false
	})
	slow := w.startWith(cfg, g.lake)
	<-held
	w.start(quick(t)) // takes a partition over
	testkit.Eventually(t, "a range is abandoned", func() error {
		if slow.counter(t, "millstream_batcher_abandoned_ranges_total", "reason", "stopped") == 0 {
			return errNotYet
		}
		return nil
	})
	close(release)
	var all []lake.Commit
	for p := range int32(2) {
		all = append(all, w.until(w.names.Events(), p, 20)...)
	}
	w.sound()
	if got := sum(all); got.rows != 40 || got.records != 40 {
		t.Errorf("totals %+v", got)
	}
}

// While the store does not answer, what is fetched and built stays within its
// bounds, and afterwards everything arrives.
func TestSlowStoreBoundsMemory(t *testing.T) {
	w := setup(t)
	g := w.gate()
	var away atomic.Bool
	away.Store(true)
	g.set(func(rw http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if isPut(r) && away.Load() {
			rw.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		return false
	})
	rnd := rand.New(rand.NewPCG(1, 1))
	pad := func() string { // the broker's bounds are of compressed bytes
		b := make([]byte, 1500)
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		return base64.StdEncoding.EncodeToString(b)
	}
	for i := range 5 {
		var recs []*kgo.Record
		for j := range 1000 {
			recs = append(recs, track("app", fmt.Sprintf("%d-%d", i, j), "Big", day, fmt.Sprintf(`{"s":"%s%d"}`, pad(), j)))
		}
		w.send(0, recs...)
	}
	cfg := quick(t)
	cfg.Memory = batcher.MemoryConfig{Fetch: 2 << 20, Chunks: 2 << 20, RowGroups: 2 << 20}
	r := w.startWith(cfg, g.lake) // not earlier: retries come the less often the longer the store is away
	testkit.Eventually(t, "fetching waits", func() error {
		if r.gauge(t, "millstream_batcher_paused") != 1 {
			return errNotYet
		}
		return nil
	})
	// A poll may bring one fetch more than the bound; the backlog is several times that.
	if held := r.counter(t, "millstream_batcher_memory_bytes", "kind", "fetch"); held > 10<<20 {
		t.Errorf("%.0f bytes of records are held", held)
	}
	if rows := r.counter(t, "millstream_batcher_memory_bytes", "kind", "chunks"); rows > 10<<20 {
		t.Errorf("%.0f bytes of rows are held", rows)
	}
	away.Store(false)
	commits := w.until(w.names.Events(), 0, 5000)
	w.sound()
	if got := sum(commits); got.rows != 5000 {
		t.Errorf("totals %+v", got)
	}
}
