package cdc

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// mysqlWorld is a server of which the horizon sees the process list and the
// transactions of InnoDB. As in world, whoever commits after a sample has no
// stamp below the sample's h.
type mysqlWorld struct {
	rnd      *rand.Rand
	clock    time.Time
	mono     time.Duration
	slack    time.Duration
	sessions [4]mysqlSession
	detached map[string]time.Time // prepared transactions without session: their oldest stamp
	ids      int
	floor    time.Time
	stepped  bool // the clock was set back, and no sample has noticed: nothing is promised
	broken   error
}

type mysqlSession struct {
	statement time.Time // NOW() of the running statement; zero while asleep
	listed    time.Time // from here on the process list has it
	trx       string    // "" for none
	started   string
	oldest    time.Time // the least stamp that the transaction has written
}

func (w *mysqlWorld) pass(d time.Duration) { w.clock, w.mono = w.clock.Add(d), w.mono+d }

func (w *mysqlWorld) commit(oldest time.Time) {
	if w.broken == nil && !w.stepped && oldest.Before(w.floor) {
		w.broken = fmt.Errorf("a stamp of %s commits below the horizon %s, by %s", oldest, w.floor, w.floor.Sub(oldest))
	}
}

// act does one random thing at the server.
func (w *mysqlWorld) act() {
	s := &w.sessions[w.rnd.IntN(len(w.sessions))]
	what := w.rnd.IntN(10)
	switch asleep := s.statement.IsZero(); {
	case asleep && s.trx != "" && what < 4: // COMMIT
		w.commit(s.oldest)
		*s = mysqlSession{}
	case asleep && s.trx != "" && what < 5: // XA PREPARE, and the session ends
		w.detached[s.trx] = s.oldest
		*s = mysqlSession{}
	case asleep: // a statement, which waits for a metadata lock
		s.statement, s.listed = w.clock, w.clock.Add(time.Duration(w.rnd.Int64N(int64(w.slack))))
	case w.clock.Before(s.listed): // it stands between reading the clock and all else
	case s.trx == "" && what < 6: // it comes to InnoDB
		w.ids++
		s.trx, s.started, s.oldest = fmt.Sprint(w.ids), w.clock.Add(-210*time.Minute).Format(time.DateTime), s.statement
	case s.trx != "" && what < 4: // it ends, its transaction stays open
		s.statement = time.Time{}
	case s.trx != "" && what < 7: // it ends and commits
		w.commit(s.oldest)
		*s = mysqlSession{}
	}
	for id, oldest := range w.detached {
		if w.rnd.IntN(30) == 0 {
			w.commit(oldest)
			delete(w.detached, id)
		}
	}
}

// meanwhile is what happens between two statements of a sample.
func (w *mysqlWorld) meanwhile() {
	for range w.rnd.IntN(4) {
		w.pass(time.Duration(w.rnd.IntN(15)) * time.Millisecond)
		w.act()
	}
}

func (w *mysqlWorld) read(f faults) reading {
	r := reading{t0: w.clock, mono: w.mono, basis: basisProcess}
	w.meanwhile()
	statements := func() {
		for n, s := range w.sessions {
			if !s.statement.IsZero() && !w.clock.Before(s.listed) {
				r.procs.running = append(r.procs.running, runningStatement{thread: int64(n + 1), age: max(0, w.clock.Sub(s.statement).Truncate(time.Second))})
			}
		}
	}
	transactions := func() {
		for n, s := range w.sessions {
			if s.trx != "" {
				r.procs.open = append(r.procs.open, openTrx{id: s.trx, thread: int64(n + 1), started: s.started})
			}
		}
		for id := range w.detached {
			r.procs.open = append(r.procs.open, openTrx{id: id})
		}
	}
	if f.transactionFirst {
		transactions()
		w.meanwhile()
		statements()
	} else {
		statements()
		w.meanwhile()
		transactions()
	}
	w.meanwhile()
	return r
}

// runProcessModel runs a random schedule and returns the promise that was not kept.
func runProcessModel(seed uint64, f faults) error {
	w := &mysqlWorld{
		rnd: rand.New(rand.NewPCG(seed, 4)), clock: time.Date(2026, 11, 21, 6, 15, 0, 0, time.UTC), slack: time.Second,
		detached: map[string]time.Time{},
	}
	fresh := horizon{slack: w.slack, initial: 24 * time.Hour, lookback: 15 * time.Minute, faults: f}
	hz := fresh
	w.floor = hz.observe(w.read(f)).h
	var lowered time.Duration
	for range 200 {
		w.pass(time.Duration(w.rnd.IntN(1500)) * time.Millisecond)
		w.act()
		soon := true
		switch w.rnd.IntN(16) {
		case 0: // another process takes over
			stored, t0 := hz.raw, hz.t0
			hz, lowered = fresh, 0
			hz.stored, hz.storedT0 = stored, t0
		case 1: // the clock is set back
			w.clock, w.stepped = w.clock.Add(-time.Second-time.Duration(w.rnd.IntN(60_000))*time.Millisecond), true
		default:
			soon = w.rnd.IntN(3) == 0
		}
		if !soon {
			continue
		}
		s := hz.observe(w.read(f))
		w.stepped = false
		if s.raw.After(s.t0) {
			return fmt.Errorf("raw %s is after the clock %s", s.raw, s.t0)
		}
		if s.steps > lowered {
			w.floor, lowered = w.floor.Add(lowered-s.steps), s.steps
		}
		if s.h.After(w.floor) {
			w.floor = s.h
		}
	}
	return w.broken
}

func TestProcessHorizonModel(t *testing.T) {
	t.Parallel()
	for seed := range testSeeds(t, 600) {
		if err := runProcessModel(seed, faults{}); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// Each rule of the arithmetic is needed: without it the model breaks a promise.
func TestProcessHorizonMutations(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]faults{
		"slack 0":                            {noSlack: true},
		"first bounds at t0":                 {firstAtT0: true},
		"no memory of the process list":      {noProcessMemory: true},
		"transactions before the statements": {transactionFirst: true},
		"a clock that is set back unnoticed": {noClockStep: true},
	} {
		noticed := false
		for seed := range uint64(400) {
			noticed = noticed || runProcessModel(seed, f) != nil
		}
		if !noticed {
			t.Errorf("%s: 400 schedules did not notice", name)
		}
	}
}

func TestProcessHorizonRules(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 21, 6, 0, 0, 0, time.UTC)
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	read := func(s int, running []runningStatement, open ...openTrx) reading {
		return reading{t0: at(s), mono: time.Duration(s) * time.Second, basis: basisProcess, procs: processList{running: running, open: open}}
	}
	waits := []runningStatement{{thread: 7, age: 30 * time.Second}}
	trx := openTrx{id: "1", thread: 7, started: "02:30:09"}
	cases := []struct {
		name     string
		readings []reading
		want     int
	}{
		{"a statement may have read the clock a second before its age says", []reading{read(0, nil), read(40, waits)}, 9},
		{"a transaction that is new began after the sample before", []reading{read(0, nil), read(40, nil), read(60, nil, trx)}, 40},
		{"but for one whose thread ran a statement then", []reading{read(0, nil), read(40, waits), read(60, nil, trx)}, 9},
		{"a transaction keeps its bound", []reading{read(0, nil), read(40, nil), read(60, nil, trx), read(80, nil, trx)}, 40},
		{"another one of the same thread does not", []reading{read(0, nil), read(40, nil, trx), read(60, nil, openTrx{id: "2", thread: 7, started: "02:30:55"})}, 40},
		{"what lost its session is as old as raw was", []reading{read(0, nil), read(40, nil, trx), read(60, nil, openTrx{id: "1"})}, 0},
		{"and is known by its id from then on", []reading{read(0, nil), read(40, nil), read(60, nil, openTrx{id: "1"}), read(80, nil, openTrx{id: "1"})}, 40},
		{"a first sample knows nothing", []reading{read(0, nil, trx)}, -86400},
		{"nor does the first one after a guess", []reading{read(0, nil), {t0: at(20), mono: 20 * time.Second, basis: basisLookback}, read(40, nil, trx)}, 40 - 86400},
	}
	for _, c := range cases {
		hz := horizon{initial: 24 * time.Hour, lookback: 15 * time.Minute}
		var got sample
		for _, r := range c.readings {
			got = hz.observe(r)
		}
		if !got.raw.Equal(at(c.want)) {
			t.Errorf("%s: raw: got %s, want %s", c.name, got.raw, at(c.want))
		}
	}
}
