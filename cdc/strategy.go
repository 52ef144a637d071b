package cdc

import (
	"time"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/wire"
)

// class is the urgency of a job: a lower one goes first.
type class int

const (
	classPlan      class = iota // nothing of a table is read before it
	classFresh                  // incremental, xmin
	classWindow                 // bounded
	classReconcile              // reconcile
	classFull                   // full
	classLoad                   // the first load
	classBackfill               // rows that are read once more
)

// patient says whether jobs of the class take what the others leave, and one
// page of ten.
func (c class) patient() bool { return c >= classReconcile }

// The ways in which a poll's rows reach the warehouse.
const (
	publishUpsert  = "upsert"
	publishReplace = "replace"
	publishDiff    = "diff"
)

// traits are what the slot's loop has to know of a strategy.
type traits struct {
	poll     event.PollKind
	class    class
	publish  string
	snapshot string // source.snapshot of its records
	overlap  bool   // versions that will be read again are remembered, and known ones not published
	largest  bool   // a poll begins with the largest value of plan.id, read before the sample
	upserts  bool   // sees every insert and update: it raises complete_through whatever else there is
	deletes  bool   // sees every delete: it raises deletes_through
	compares bool   // with the key store, for which it waits
	past     bool   // sees only what is new, so the past has to be loaded
}

// opening is what was asked of the origin before a poll's first page: the
// largest value of plan.id if wanted, and then a sample.
type opening struct {
	sample  sample
	largest string
	now     time.Time // by this process's clock
}

// progress is what a page did to a poll.
type progress int

const (
	pollGoesOn progress = iota
	pollComplete
	// pollCut is a phase that went on to the next one, pollCutShort a poll that
	// is complete, each before its last row: what the last poll remembered and
	// this one did not meet has to be remembered on.
	pollCut
	pollCutShort
)

// strategy is a way of finding changed rows: how a poll begins, which page comes
// next, what a page does to the poll, what its end does to the cursors. Its
// methods are pure but for what a reader may share, so that a poll goes on from
// its state in another process. Each kind has a file.
type strategy interface {
	traits() traits
	// start gives a strategy its first cursors: it sees what changes from now on.
	start(p *plan, o opening) wire.CDCStrategy
	// resume gives a strategy that is added to a complete table, or whose meaning
	// changed, cursors from which nothing is missed. It reports false if there
	// are none; then the table is loaded again.
	resume(p *plan, t wire.CDCTable, others []wire.CDCStrategy) (wire.CDCStrategy, bool)
	// begin starts a poll whose sample has ended before its first page.
	begin(p *plan, st wire.CDCStrategy, o opening) wire.CDCPoll
	// next is the page that the running poll reads next.
	next(p *plan, st wire.CDCStrategy, limit int) query
	// advance moves the poll past a page.
	advance(p *plan, poll *wire.CDCPoll, pg *page) progress
	// window is the part of the table that a poll replaces; nil for all of it, or
	// where nothing is replaced.
	window(p *plan, poll *wire.CDCPoll) *event.PollRange
	// end makes the ends of the running poll, which is complete, the cursors.
	end(p *plan, st *wire.CDCStrategy)
}

// newStrategy returns the kind that c names; Validate has refused all others.
func newStrategy(c StrategyConfig) strategy {
	switch c.Kind {
	case kindIncremental:
		return incremental{stamp: len(c.Timestamp) > 0, id: c.ID != ""}
	case kindBounded:
		return bounded{publish: c.Publish, by: c.Window.By, n: c.Window.N}
	case kindFull:
		return full{publish: c.Publish}
	case kindXmin:
		return xmin{}
	case kindReconcile:
		return reconcile{digest: c.Digest}
	}
	panic("BUG: no strategy of kind " + c.Kind)
}

// newPoll is a poll that began with o.
func newPoll(o opening, phase string) wire.CDCPoll {
	s := o.sample
	return wire.CDCPoll{
		ID: event.ULID(o.now), Phase: phase, H: stampText(s.h), T0: stampText(s.t0), Basis: string(s.basis), Started: stampText(o.now),
	}
}
