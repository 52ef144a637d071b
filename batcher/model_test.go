package batcher_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/lake"
)

// Batchers that share a group, and one that takes itself for the owner of
// everything, work through stores that lie, drop and dawdle, and are stopped
// and started at random. Whatever happens, every offset is in one commit, and
// the rows are those of the first record of each message id.
func TestChainModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(5) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			w := setup(t)
			model(t, w, seed)
		})
	}
}

func model(t *testing.T, w *world, seed uint64) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(seed, 11))
	var gates [3]*gate
	for i := range gates {
		gates[i] = w.gate()
		gates[i].set(lying(rand.New(rand.NewPCG(seed, uint64(i)))))
	}
	start := func(i int) *running {
		cfg := quick(t)
		cfg.Cut.Age = 50 * time.Millisecond
		cfg.DrainTimeout = time.Duration(rnd.IntN(2)) * 200 * time.Millisecond
		if i == 2 {
			cfg.Group = "zombies"
		}
		return w.startWith(cfg, gates[i].lake)
	}
	live := map[int]*running{}
	unique := map[string]bool{}
	next := [2]int64{}
	for range 30 {
		p := rnd.IntN(2)
		var recs []*kgo.Record
		for range 1 + rnd.IntN(20) {
			id := fmt.Sprintf("%d-%d", p, rnd.IntN(400)) // some come twice
			unique[id] = true
			recs = append(recs, track("app", id, "Event "+strconv.Itoa(rnd.IntN(3)), day, `{"n":1}`))
		}
		w.send(int32(p), recs...)
		next[p] += int64(len(recs))
		if i := rnd.IntN(3); live[i] == nil {
			live[i] = start(i)
		} else if rnd.IntN(2) == 0 {
			live[i].stop(t)
			delete(live, i)
		}
	}
	for _, r := range live {
		r.stop(t)
	}
	w.start(quick(t))
	var all []lake.Commit
	for p, n := range next {
		all = append(all, w.until(w.names.Events(), int32(p), n)...)
	}
	w.sound()
	got := sum(all)
	if got.rows != int64(len(unique)) || got.records != next[0]+next[1] || got.duplicates != got.records-got.rows || got.holes != 0 {
		t.Errorf("seed %d: totals %+v of %d records, %d of them unique", seed, got, next[0]+next[1], len(unique))
	}
}

// lying is a store that loses one request in eight, the answer to as many, and
// takes its time with others.
func lying(rnd *rand.Rand) func(http.ResponseWriter, *http.Request, http.Handler) bool {
	var mu sync.Mutex // guards rnd
	return func(rw http.ResponseWriter, r *http.Request, next http.Handler) bool {
		mu.Lock()
		what, wait := rnd.IntN(8), time.Duration(rnd.IntN(40))*time.Millisecond
		mu.Unlock()
		switch what {
		case 0:
			dead(rw)
		case 1:
			next.ServeHTTP(httptest.NewRecorder(), r)
			dead(rw)
		case 2:
			t := time.NewTimer(wait)
			defer t.Stop()
			<-t.C
		}
		return false
	}
}
