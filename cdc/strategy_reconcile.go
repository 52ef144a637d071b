package cdc

import (
	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/wire"
)

// The phases of polls that compare with the key store.
const (
	phaseRanges = "ranges" // digests, then the keys of ranges that differ
	phaseProbe  = "probe"  // keys that the store does not order are looked for one by one
)

// reconcile polls compare digests of ranges of keys, and read the ranges whose
// digest is another one or whose keys were written since.
type reconcile struct{ digest string }

// traits: a digest by crc32 only says which ranges are worth reading, and proves
// nothing.
func (r reconcile) traits() traits {
	proves := r.digest != digestCRC32
	return traits{
		poll: event.PollReconcile, class: classReconcile, publish: publishDiff, snapshot: "incremental",
		compares: true, upserts: proves, deletes: proves, past: true,
	}
}

func (r reconcile) start(p *plan, _ opening) wire.CDCStrategy {
	return wire.CDCStrategy{V: 1, Meaning: p.meaning}
}

// resume needs no cursor: every range is looked at.
func (r reconcile) resume(p *plan, _ wire.CDCTable, _ []wire.CDCStrategy) (wire.CDCStrategy, bool) {
	return r.start(p, opening{}), true
}

func (r reconcile) begin(_ *plan, _ wire.CDCStrategy, o opening) wire.CDCPoll {
	return newPoll(o, phaseRanges)
}

// next is not asked: what a page reads follows from the key store's ranges.
func (r reconcile) next(*plan, wire.CDCStrategy, int) query { panic("BUG: reconcile reads ranges") }

func (r reconcile) advance(p *plan, poll *wire.CDCPoll, pg *page) progress {
	poll.Pages++
	if pg.anew { // the poll itself may have begun anew, with a lost store
		poll.Live = 0
	}
	poll.Live += int64(pg.live)
	poll.AfterKey = pg.lastKey
	switch {
	case pg.full:
		return pollGoesOn
	case poll.Phase == phaseRanges && !p.ordered():
		poll.Phase, poll.AfterKey = phaseProbe, ""
		return pollGoesOn
	}
	return pollComplete
}

func (r reconcile) end(_ *plan, st *wire.CDCStrategy) {
	st.H, st.Last, st.Poll = st.Poll.H, st.Poll.ID, nil
}

func (r reconcile) window(*plan, *wire.CDCPoll) *event.PollRange { return nil }
