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
	jobNone  jobKind = iota
	jobPlan          // ask for the definition
	jobBegin         // take a sample and read the first page of a poll
	jobPage          // read the next page of a poll
	jobLoad          // read the next page of a load
)

// loadTurn is how many pages of polls go before one of the load.
const loadTurn = 9

// next is what t needs at now, or when it will need something.
func (t *table) next(now time.Time) (jobKind, time.Time) {
	switch {
	case t.busy:
		return jobNone, time.Time{}
	case t.plan == nil:
		return jobPlan, t.retryAt
	}
	loading := t.load != nil && !t.loadDue.After(now)
	switch {
	case loading && t.polled >= loadTurn:
		return jobLoad, now
	case t.strategy.Poll != nil && !t.due.After(now):
		return jobPage, now
	case t.strategy.Poll == nil && !t.due.After(now):
		return jobBegin, now
	case loading:
		return jobLoad, now
	case t.load != nil && t.loadDue.Before(t.due):
		return jobLoad, t.loadDue
	case t.strategy.Poll != nil:
		return jobPage, t.due
	}
	return jobBegin, t.due
}

// dispatch starts the most urgent job and says whether there was one: polls
// before loads, and the longest overdue first.
func (s *slot) dispatch(ctx context.Context, now time.Time, readers *sync.WaitGroup) bool {
	limit := s.src.Connections.Max
	if s.breaker.tries > 0 {
		limit = 1 // a probe
	}
	if s.inflight >= limit || s.breaker.until.After(now) {
		return false
	}
	var (
		best *table
		kind jobKind
		at   time.Time
	)
	for _, t := range s.tables {
		k, due := t.next(now)
		if k == jobNone || due.After(now) {
			continue
		}
		if best == nil || k < kind || k == kind && due.Before(at) {
			best, kind, at = t, k, due
		}
	}
	if best == nil {
		return false
	}
	best.busy = true
	s.inflight++
	j := s.job(best, kind)
	readers.Go(func() { s.results <- s.do(ctx, j) })
	return true
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
	if s.inflight < s.src.Connections.Max {
		for _, t := range s.tables {
			if k, due := t.next(now); k != jobNone && due.After(now) {
				sooner(due)
			}
		}
		if s.breaker.until.After(now) {
			sooner(s.breaker.until)
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
	kind     jobKind
	plan     *plan
	strategy wire.CDCStrategy
	load     wire.CDCLoad
	fresh    bool // jobPlan: cursors are wanted
	lowered  time.Duration
	limit    int
}

func (s *slot) job(t *table, kind jobKind) job {
	j := job{t: t, kind: kind, plan: t.plan, strategy: t.strategy, fresh: !t.known, lowered: s.lowered, limit: t.pager.limit()}
	if t.load != nil {
		j.load = *t.load
	}
	return j
}
