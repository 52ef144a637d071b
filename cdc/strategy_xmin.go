package cdc

import (
	"strconv"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/wire"
)

// phaseHeap is a walk over the blocks of a table.
const phaseHeap = "heap"

// xmin polls read the whole heap, and of it every row version whose transaction
// may have ended since the last poll. A subtransaction's id is above its
// parent's, so a lower bound by the oldest running transaction misses none.
type xmin struct{}

func (x xmin) traits() traits {
	return traits{
		poll: event.PollXmin, class: classFresh, publish: publishUpsert, snapshot: "false",
		overlap: true, largest: true, upserts: true, past: true,
	}
}

func (x xmin) start(p *plan, o opening) wire.CDCStrategy {
	return wire.CDCStrategy{V: 1, Meaning: p.meaning, H: stampText(o.sample.h), Cursor: o.sample.xid}
}

// resume begins at the transaction that the table is complete to; without one
// the first poll reads every row.
func (x xmin) resume(p *plan, t wire.CDCTable, _ []wire.CDCStrategy) (wire.CDCStrategy, bool) {
	return wire.CDCStrategy{V: 1, Meaning: p.meaning, H: t.Anchor.H, Cursor: t.Anchor.Xid}, true
}

// begin takes X of a sample before the scan. The largest value is the number of
// blocks; what is added behind them the last range reads, which is open.
func (x xmin) begin(p *plan, st wire.CDCStrategy, o opening) wire.CDCPoll {
	poll := newPoll(o, phaseHeap)
	poll.Cursor, poll.Max, poll.Heap = o.sample.xid, o.largest, p.rel.rewrite
	if comparable32(st.Cursor, poll.Cursor) {
		poll.Lo = st.Cursor
	}
	return poll
}

// comparable32 says whether ids from one to the other can be told apart by 32
// bits in circular order, as rows have them.
func comparable32(from, to string) bool {
	a, errA := strconv.ParseUint(from, 10, 64)
	b, errB := strconv.ParseUint(to, 10, 64)
	return errA == nil && errB == nil && a <= b && b-a < 1<<31
}

// next is a range of blocks. A table that was rewritten in between has its rows
// elsewhere, so the walk begins again.
func (x xmin) next(p *plan, st wire.CDCStrategy, limit int) query {
	poll := st.Poll
	q := query{kind: queryXmin, cursor: poll.Lo, keepID: poll.Cursor, limit: limit}
	if len(poll.After) > 0 && poll.Heap == p.rel.rewrite {
		q.block = decimalOr0(poll.After[0])
	}
	q.blocks = max(1, int64(limit)/p.rel.density())
	if q.block+q.blocks >= decimalOr0(poll.Max) {
		q.blocks = 0
	}
	return q
}

func decimalOr0(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64) // what the state holds was a number
	return n
}

func (x xmin) advance(p *plan, poll *wire.CDCPoll, pg *page) progress {
	poll.Pages++
	poll.Heap = p.rel.rewrite
	if pg.full {
		poll.After = pg.last
		return pollGoesOn
	}
	return pollComplete
}

func (x xmin) end(_ *plan, st *wire.CDCStrategy) {
	st.H, st.Cursor, st.Last, st.Poll = st.Poll.H, st.Poll.Cursor, st.Poll.ID, nil
}

func (x xmin) window(*plan, *wire.CDCPoll) *event.PollRange { return nil }

// rewind reads every row: the promoted server gives the ids of transactions that
// it lost to others.
func (x xmin) rewind(st *wire.CDCStrategy) {
	st.Cursor, st.Poll = "", nil
}
