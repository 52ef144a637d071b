package cdc

import (
	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/wire"
)

// phaseFull is a poll of every row.
const phaseFull = "full"

// full polls read the whole table by key. With publish replace every row goes
// out between two marks, and the warehouse swaps its table for what came.
type full struct{ publish string }

func (f full) traits() traits {
	return traits{poll: event.PollFull, class: classFull, publish: f.publish, snapshot: "incremental", compares: f.publish == publishDiff, upserts: true, deletes: true}
}

func (f full) start(p *plan, _ opening) wire.CDCStrategy {
	return wire.CDCStrategy{V: 1, Meaning: p.meaning}
}

// resume needs no cursor.
func (f full) resume(p *plan, _ wire.CDCTable, _ []wire.CDCStrategy) (wire.CDCStrategy, bool) {
	return f.start(p, opening{}), true
}

func (f full) begin(_ *plan, _ wire.CDCStrategy, o opening) wire.CDCPoll {
	return newPoll(o, phaseFull)
}

func (f full) next(p *plan, st wire.CDCStrategy, limit int) query {
	if p.keyless() {
		return query{kind: queryHeap, limit: limit}
	}
	return query{kind: queryLoad, after: st.Poll.After, limit: limit}
}

func (f full) advance(p *plan, poll *wire.CDCPoll, pg *page) progress {
	poll.Pages++
	poll.Live += int64(pg.live)
	if pg.full {
		poll.After, poll.AfterKey = pg.last, pg.lastKey
		return pollGoesOn
	}
	if f.publish == publishDiff && poll.Phase == phaseFull && !p.ordered() {
		poll.Phase, poll.After, poll.AfterKey = phaseProbe, nil, ""
		return pollGoesOn
	}
	return pollComplete
}

func (f full) end(_ *plan, st *wire.CDCStrategy) {
	st.H, st.Last, st.Poll = st.Poll.H, st.Poll.ID, nil
}

func (f full) window(*plan, *wire.CDCPoll) *event.PollRange { return nil }
