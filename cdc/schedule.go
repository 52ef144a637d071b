package cdc

import (
	"context"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/millstream-data/millstream/internal/wire"
)

// jobKind is what a reader does for a table.
type jobKind int

const (
	jobPlan  jobKind = iota + 1 // ask for the definition
	jobBegin                    // take a sample and read the first page of a poll
	jobPage                     // read the next page of a poll
	jobLoad                     // read the next page of a range of a load
	jobCount                    // count rows that a strategy's stamps do not show
	jobGuard                    // ask how busy the origin is; of no table
)

// shares says whether jobs of the kind share the publish lock of a table.
func (k jobKind) shares() bool { return k == jobLoad || k == jobCount }

// candidate is a job that may start when it is due.
type candidate struct {
	t      *table
	k      *task // of a poll
	kind   jobKind
	number int // of a load's range
	class  class
	due    time.Time // since then it has been waiting
}

// patientTurn is how many pages of urgent jobs go before one of a patient job
// that waits.
const patientTurn = 9

// candidates calls yield for each job of t that may start, now or later, as far
// as the publish lock lets it. Who takes the lock alone goes first, but for one
// page of ten: turn says that it is a patient job's turn in the slot.
func (t *table) candidates(now time.Time, turn bool, yield func(candidate)) {
	if t.st.Paused && t.ordered == "" || t.ordered != "" && !t.obeying {
		return // an order is obeyed when nobody reads the table
	}
	if t.plan == nil {
		if t.lock.free(false) {
			yield(candidate{t: t, kind: jobPlan, class: classPlan, due: t.retryAt})
		}
		return
	}
	if t.keys != nil && t.keys.closing {
		return // the key store catches up with the last of what was published
	}
	only := t.turns >= patientTurn && t.patientDue(now) // else polls of t would leave none to its load
	waits := false
	for _, k := range t.tasks {
		if only && !k.traits.class.patient() || k.held() {
			continue
		}
		waits = waits || !k.due.After(now)
		if t.lock.free(false) {
			yield(candidate{t: t, k: k, kind: k.job(), class: k.traits.class, due: k.due})
		}
	}
	for _, k := range t.tasks {
		if !waits && !k.countDue.IsZero() && !k.counting && t.lock.free(true) {
			yield(candidate{t: t, k: k, kind: jobCount, class: classBackfill, due: k.countDue})
		}
	}
	if t.load == nil || waits && !turn && !only || !t.lock.free(true) || !t.load.room(t.cfg.Load.Parallel) {
		return
	}
	for i, r := range t.load.runs {
		if !r.busy && t.load.open(i) {
			yield(candidate{t: t, kind: jobLoad, number: i, class: t.load.class(), due: r.due})
		}
	}
}

// patientDue says whether a patient job of t waits at now.
func (t *table) patientDue(now time.Time) bool {
	for _, k := range t.tasks {
		if k.traits.class.patient() && !k.held() && !k.due.After(now) {
			return true
		}
	}
	if t.load != nil {
		for i, r := range t.load.runs {
			if t.load.open(i) && !r.due.After(now) {
				return true
			}
		}
	}
	return false
}

func (k *task) job() jobKind {
	if k.st.Poll == nil || k.plan.keyless() { // a stream begins anew
		return jobBegin
	}
	return jobPage
}

// urgency picks the job to start: by class, then by deadline; of ten pages one
// is for the patient job that has waited longest.
type urgency struct {
	now     time.Time
	turn    bool // a patient one is due
	patient bool // patient jobs may start
	room    bool // a connection is left for what is not classFresh
	best    candidate
	found   bool
	waits   bool // a patient job is due
}

func (u *urgency) offer(c candidate) {
	u.waits = u.waits || c.class.patient() && !c.due.After(u.now)
	switch {
	case c.due.After(u.now), c.class.patient() && !u.patient, c.class > classFresh && !u.room:
		return
	case !u.found || u.before(c):
		u.best, u.found = c, true
	}
}

// before says whether c goes before the best so far.
func (u *urgency) before(c candidate) bool {
	if u.turn && c.class.patient() != u.best.class.patient() {
		return c.class.patient()
	}
	if u.turn && c.class.patient() || c.class == u.best.class {
		return c.due.Before(u.best.due)
	}
	return c.class < u.best.class
}

// dispatch starts the most urgent job and says whether there was one.
func (s *slot) dispatch(ctx context.Context, now time.Time, readers *sync.WaitGroup) bool {
	limit := s.connections()
	if s.breaker.tries > 0 {
		limit = 1 // a probe
	}
	if s.inflight >= limit || s.breaker.until.After(now) {
		return false
	}
	reserved := min(s.src.Connections.Reserved, limit-1)
	u := urgency{now: now, turn: s.turns >= patientTurn, patient: !s.guard.busy(), room: s.slow < limit-reserved}
	for _, t := range s.tables {
		t.candidates(now, u.turn, u.offer)
	}
	if u.waits && s.src.Kind != kindSQLite && s.guard.due(now) {
		s.ask(ctx, readers)
	}
	if !u.found {
		return false
	}
	s.start(ctx, u.best, readers)
	return true
}

// start takes the publish lock for a job and hands it to a reader.
func (s *slot) start(ctx context.Context, c candidate, readers *sync.WaitGroup) {
	t := c.t
	t.lock.take(c.kind.shares())
	if c.kind == jobLoad {
		t.load.runs[c.number].busy = true
	}
	if c.kind == jobCount {
		c.k.counting = true
	}
	if c.class.patient() {
		s.turns, t.turns = 0, 0
	} else if c.kind != jobPlan {
		s.turns, t.turns = s.turns+1, t.turns+1
	}
	if c.class > classFresh {
		s.slow++
	}
	if c.kind == jobBegin && !c.due.IsZero() {
		s.m.pollLateness.WithLabelValues(s.source, t.name, c.k.name()).Observe(time.Since(c.due).Seconds())
	}
	s.inflight++
	j := s.job(c)
	readers.Go(func() { s.results <- s.do(ctx, j) })
}

// wait is the time until something may be due; results end it sooner.
func (s *slot) wait(now time.Time) time.Duration {
	wake := now.Add(time.Minute)
	sooner := func(t time.Time) {
		if t.Before(wake) {
			wake = t
		}
	}
	if s.tx.open {
		sooner(s.tx.since.Add(s.cfg.Transaction.Linger))
	}
	if s.inflight < s.connections() {
		for _, t := range s.tables {
			t.candidates(now, false, func(c candidate) {
				if c.due.After(now) {
					sooner(c.due)
				}
			})
		}
		if s.breaker.until.After(now) {
			sooner(s.breaker.until)
		}
		if s.guard.busy() && !s.guard.asking {
			sooner(s.guard.asked.Add(guardEvery))
		}
	}
	return max(wake.Sub(now), time.Millisecond)
}

// nextTick is when the poll after one at now is due: ticks have a phase of
// their own, which survives restarts and keeps tables from asking together.
func nextTick(now time.Time, every time.Duration, source, name string) time.Time {
	h := fnv.New64a()
	_, _ = h.Write([]byte(source + "\x00" + name))    // never fails
	phase := time.Duration(h.Sum64() % uint64(every)) //nolint:gosec // validated > 0
	since := time.Duration(now.UnixNano()) - phase
	return time.Unix(0, int64(since-since%every+every+phase))
}

// breaker leaves an origin alone that is away: a pause that doubles, with
// jitter, and one probe after it.
type breaker struct {
	cfg   BreakerConfig
	tries int
	until time.Time
	why   string
}

// open begins a pause and says whether the origin was there before.
func (b *breaker) open(now time.Time) (first bool) {
	pause := b.cfg.Min << min(b.tries, 16)
	if pause > b.cfg.Max || pause <= 0 {
		pause = b.cfg.Max
	}
	b.until = now.Add(pause/2 + rand.N(pause/2+1)) //nolint:gosec // jitter is no secret
	b.tries++
	return b.tries == 1
}

func (b *breaker) text() string {
	if b.tries == 0 {
		return ""
	}
	return "it is away: " + b.why
}

// job is a copy of what a reader needs; the loop's own state is not shared.
type job struct {
	t        *table
	k        *task // of a poll; its name and strategy do not change
	kind     jobKind
	class    class
	plan     *plan // the strategy's own, of a load the table's
	st       wire.CDCStrategy
	load     wire.CDCLoad      // without its ranges
	number   int               // of the range
	part     wire.CDCRange     // the range itself
	relation string            // jobPlan: identity of the table that was read; "" for none
	ordered  string            // jobPlan: the order that waits for it
	anew     bool              // jobPlan: it is ordered to be read as if it were another one
	accepted bool              // jobPlan: it is ordered to be taken for the same one
	wanted   map[string]string // jobPlan: meaning of each strategy that has cursors, by name
	wide     []string          // jobPlan: columns that are wider than they are declared
	fast     bool              // jobBegin: new values only
	newest   time.Time         // the newest stamp that was read
	top      string            // the largest id of the last whole poll
	lowered  time.Duration
	limit    int
}

func (s *slot) job(c candidate) job {
	j := job{t: c.t, k: c.k, kind: c.kind, class: c.class, number: c.number, plan: c.t.plan, lowered: s.lowered}
	switch c.kind {
	case jobBegin, jobPage, jobCount:
		j.plan, j.st, j.limit = c.k.plan, c.k.st, c.k.pager.limit()
		j.fast, j.newest, j.top = c.k.fast(time.Now()), time.UnixMicro(c.k.newest), c.k.share.top
	case jobLoad:
		j.load, j.part, j.limit = c.t.load.CDCLoad, c.t.load.Ranges[c.number], c.t.load.pager.limit()
		j.load.Ranges = nil
	case jobPlan:
		j.relation, j.accepted, j.ordered = c.t.st.Relation, c.t.accepted, c.t.ordered
		j.anew = c.t.wants(orderReload) && c.t.stopped != nil
		j.wanted, j.wide = map[string]string{}, c.t.widened()
		for _, k := range c.t.tasks {
			if k.known {
				j.wanted[k.name()] = k.st.Meaning
			}
		}
	case jobGuard: // of no table, and not dispatched from here
	}
	return j
}
