package batcher_test

import (
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/testkit"
)

// Whatever nobody names goes at once, while batchers that lie, crash and fight
// for a partition write: nothing that a commit names is ever deleted.
func TestGCIsSafeBesideWriters(t *testing.T) {
	w := setup(t)
	orphan := w.lake.Paths.Data("app", "thing", day, w.names.Events(), 0, 0, 1, "0badcafe") // so that there is one on a lucky day, too
	if err := w.lake.Store.Create(t.Context(), orphan, []byte("of a batcher that was killed")); err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(3, 9))
	stop, stopped := make(chan struct{}), make(chan int)
	go func() { // ends before the test does
		removed := 0
		for {
			select {
			case <-stop:
				stopped <- removed
				return
			default:
				removed += w.collect()
			}
		}
	}()
	next := int64(0)
	for range 6 {
		var live []*running
		for i, group := range []string{"one", "two"} { // each takes itself for the owner
			g := w.gate()
			g.set(careless(rand.New(rand.NewPCG(rnd.Uint64(), uint64(i)))))
			cfg := quick(t)
			cfg.Group, cfg.Cut.Age, cfg.DrainTimeout = group, 30*time.Millisecond, 0
			live = append(live, w.startWith(cfg, g.lake))
		}
		for range 4 {
			var recs []*kgo.Record
			for range 1 + rnd.IntN(10) {
				recs = append(recs, track("app", "m-"+strconv.FormatInt(next, 10), "Thing", day, `{"n":1}`))
				next++
			}
			w.send(0, recs...)
			w.until(w.names.Events(), 0, next-int64(rnd.IntN(len(recs)))) // some rounds end in the middle
		}
		for _, r := range live {
			r.stop(t)
		}
	}
	w.start(quick(t))
	commits := w.until(w.names.Events(), 0, next)
	close(stop)
	removed := <-stopped + w.collect()
	w.sound()
	if got := sum(commits); got.rows != next {
		t.Errorf("%d rows of %d", got.rows, next)
	}
	if removed == 0 {
		t.Error("there was no garbage: the test shows nothing")
	}
	testkit.Eventually(t, "no garbage is left", func() error {
		w.collect()
		if n := w.objects(); n != named(commits) {
			return errNotYet
		}
		return nil
	})
}

// careless is a store that loses one request in eight, and the answer to as many.
func careless(rnd *rand.Rand) func(http.ResponseWriter, *http.Request, http.Handler) bool {
	var mu sync.Mutex // guards rnd
	return func(rw http.ResponseWriter, r *http.Request, next http.Handler) bool {
		mu.Lock()
		what := rnd.IntN(8)
		mu.Unlock()
		switch what {
		case 0:
			dead(rw)
		case 1:
			next.ServeHTTP(httptest.NewRecorder(), r)
			dead(rw)
		}
		return false
	}
}

// collect removes all garbage of any age and returns how much there was.
func (w *world) collect() (n int) {
	g := lake.GC{Lake: w.lake, Delete: true, Now: time.Now().Add(time.Minute)}
	r, err := g.Run(w.t.Context(), func(lake.Garbage) { n++ })
	if err != nil {
		w.t.Errorf("gc: %v", err)
	}
	for _, p := range r.Problems {
		w.t.Errorf("gc: %s", p)
	}
	return n
}
