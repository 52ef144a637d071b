package cdc

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// world is a PostgreSQL server of which the horizon sees only what a role with
// SELECT may see. It checks each promise: whoever commits after a sample has
// stamps at or after the sample's raw.
type world struct {
	rnd      *rand.Rand
	clock    time.Time     // the server's
	mono     time.Duration // the sampler's
	slack    time.Duration
	activity bool
	open     map[txID]*modelTx
	prepared map[string]*modelTx
	number   map[string]int64
	gids     int
	floor    time.Time // h of the newest sample
	broken   error     // the first promise that was not kept
}

type modelTx struct {
	id    txID
	stamp time.Time // now() of its statements: begin, or the message's time for a chained one
	chain time.Time // COMMIT AND CHAIN came at this time and is being carried out
}

func (w *world) pass(d time.Duration) { w.clock, w.mono = w.clock.Add(d), w.mono+d }

func (w *world) begin(backend string, stamp time.Time) {
	w.number[backend]++
	id := txID{backend, w.number[backend]}
	w.open[id] = &modelTx{id: id, stamp: stamp}
}

// act does one random thing at the server.
func (w *world) act() {
	w.pass(time.Duration(w.rnd.IntN(3000)) * time.Millisecond)
	backend := fmt.Sprint(w.rnd.IntN(4))
	var tx *modelTx
	for _, candidate := range w.open {
		if candidate.id.backend == backend {
			tx = candidate
		}
	}
	switch what := w.rnd.IntN(10); {
	case tx == nil:
		// A frozen process: the stamp is read before the lock is seen.
		w.begin(backend, w.clock.Add(-time.Duration(w.rnd.Int64N(int64(w.slack)))))
	case what < 4 && tx.chain.IsZero(): // COMMIT
		w.commit(tx)
		delete(w.open, tx.id)
	case !tx.chain.IsZero(): // the successor keeps the message's time
		w.commit(tx)
		delete(w.open, tx.id)
		w.begin(backend, tx.chain)
	case what < 6: // COMMIT AND CHAIN, which takes its time
		tx.chain = w.clock
	case what < 7: // PREPARE
		w.gids++
		w.prepared[fmt.Sprint("g", w.gids)] = tx
		delete(w.open, tx.id)
	}
	for gid, tx := range w.prepared {
		if w.rnd.IntN(6) == 0 {
			w.commit(tx)
			delete(w.prepared, gid)
		}
	}
}

func (w *world) commit(tx *modelTx) {
	if w.broken == nil && !w.floor.IsZero() && tx.stamp.Before(w.floor) {
		w.broken = fmt.Errorf("transaction %v with stamp %s commits below the horizon %s, by %s", tx.id, tx.stamp, w.floor, w.floor.Sub(tx.stamp))
	}
}

func (w *world) read() reading {
	r := reading{t0: w.clock, mono: w.mono, basis: basisLocks}
	if w.activity {
		r.basis = basisActivity
	}
	w.pass(time.Duration(w.rnd.IntN(20)) * time.Millisecond)
	for id, tx := range w.open {
		o := openTx{id: id}
		if w.activity {
			o.start, o.query = tx.stamp, tx.chain
		}
		r.open = append(r.open, o)
	}
	for gid := range w.prepared {
		r.prepared = append(r.prepared, gid)
	}
	return r
}

// runModel runs a random schedule and returns the promise that was not kept.
func runModel(seed uint64, activity bool, f faults) error {
	start := time.Date(2026, 11, 21, 6, 15, 0, 0, time.UTC)
	w := &world{
		rnd: rand.New(rand.NewPCG(seed, 3)), clock: start, slack: time.Second, activity: activity,
		open: map[txID]*modelTx{}, prepared: map[string]*modelTx{}, number: map[string]int64{},
	}
	fresh := horizon{slack: w.slack, initial: 24 * time.Hour, faults: f}
	hz := fresh
	w.floor = hz.observe(w.read()).h
	var lowered time.Duration // steps that are already in floor
	for range 120 {
		w.act()
		soon := false // whether a sample follows at once
		switch w.rnd.IntN(12) {
		case 0: // another process takes over with what the state says
			stored, t0 := hz.raw, hz.t0
			hz, lowered = fresh, 0
			hz.stored, hz.storedT0 = stored, t0
			soon = true
		case 1: // the clock is set back; what is open keeps its stamps
			back := time.Second + time.Duration(w.rnd.IntN(60_000))*time.Millisecond
			w.clock = w.clock.Add(-back)
			// Until a sample notices nothing is promised for stamps of the
			// new clock.
			soon = true
		}
		if !soon && w.rnd.IntN(3) > 0 {
			continue
		}
		s := hz.observe(w.read())
		if s.raw.After(s.t0) {
			return fmt.Errorf("raw %s is after the clock %s", s.raw, s.t0)
		}
		if s.steps > lowered { // as the slot lowers the cursors of its tables
			w.floor, lowered = w.floor.Add(lowered-s.steps), s.steps
		}
		if s.h.After(w.floor) {
			w.floor = s.h
		}
	}
	return w.broken
}

// MILLSTREAM_TEST_SEEDS is how many schedules run for each method; 100,000 take
// a core ten seconds.
func TestHorizonModel(t *testing.T) {
	t.Parallel()
	seeds := testSeeds(t, 600)
	for _, activity := range []bool{false, true} {
		t.Run(fmt.Sprintf("activity=%t", activity), func(t *testing.T) {
			t.Parallel()
			for seed := range seeds {
				if err := runModel(seed, activity, faults{}); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
		})
	}
}

// testSeeds is how many random runs a test makes.
func testSeeds(t *testing.T, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv("MILLSTREAM_TEST_SEEDS")
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("MILLSTREAM_TEST_SEEDS: %v", err)
	}
	return n
}

func TestHorizonRules(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 21, 6, 0, 0, 0, time.UTC)
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	read := func(s int, prepared []string, open ...txID) reading {
		r := reading{t0: at(s), mono: time.Duration(s) * time.Second, basis: basisLocks, prepared: prepared}
		for _, id := range open {
			r.open = append(r.open, openTx{id: id})
		}
		return r
	}
	a7, a8 := txID{"a", 7}, txID{"a", 8}

	t.Run("a transaction that a first sample finds may be a day old", func(t *testing.T) {
		t.Parallel()
		hz := horizon{initial: 24 * time.Hour}
		if got := hz.observe(read(0, nil, a7)).raw; !got.Equal(at(-86400)) {
			t.Errorf("raw: got %s, want a day before %s", got, at(0))
		}
	})
	t.Run("the state's raw bounds it better", func(t *testing.T) {
		t.Parallel()
		hz := horizon{initial: 24 * time.Hour, stored: at(-5)}
		if got := hz.observe(read(0, nil, a7)).raw; !got.Equal(at(-5)) {
			t.Errorf("raw: got %s, want %s", got, at(-5))
		}
	})
	t.Run("a new transaction began after the sample before", func(t *testing.T) {
		t.Parallel()
		hz := horizon{initial: 24 * time.Hour}
		hz.observe(read(0, nil))
		if got := hz.observe(read(10, nil, a7)).raw; !got.Equal(at(0)) {
			t.Errorf("raw: got %s, want %s", got, at(0))
		}
		if got := hz.observe(read(20, nil, a7)).raw; !got.Equal(at(0)) {
			t.Errorf("raw of an old acquaintance: got %s, want %s", got, at(0))
		}
	})
	t.Run("a chained transaction is as old as the sight of its predecessor", func(t *testing.T) {
		t.Parallel()
		hz := horizon{initial: 24 * time.Hour}
		hz.observe(read(0, nil))
		hz.observe(read(10, nil, a7))
		if got := hz.observe(read(20, nil, a8)).raw; !got.Equal(at(0)) {
			t.Errorf("raw: got %s, want %s: its now() may be the message's", got, at(0))
		}
	})
	t.Run("a prepared transaction is as old as raw was", func(t *testing.T) {
		t.Parallel()
		hz := horizon{initial: 24 * time.Hour}
		hz.observe(read(0, nil))
		hz.observe(read(10, nil, a7))
		if got := hz.observe(read(20, []string{"g"})).raw; !got.Equal(at(0)) {
			t.Errorf("raw: got %s, want %s", got, at(0))
		}
	})
	t.Run("a clock that is set back moves what is remembered", func(t *testing.T) {
		t.Parallel()
		hz := horizon{initial: 24 * time.Hour}
		hz.observe(read(0, nil))
		hz.observe(read(10, nil, a7))
		r := read(20, nil, a7)
		r.t0 = at(-40) // an hour hand: 60 s back
		s := hz.observe(r)
		if s.steps != time.Minute || !s.raw.Equal(at(-60)) {
			t.Errorf("got a step of %s and raw %s, want 1m and %s", s.steps, s.raw, at(-60))
		}
	})
}
