package cdc

import (
	"strconv"
	"time"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/wire"
)

// phaseWindow is a poll of a window.
const phaseWindow = "window"

// bounded polls read a window of a column that moves with the horizon: so far
// back in time, or so many integers. With publish replace the warehouse deletes
// what is in the window and did not come.
type bounded struct {
	publish string
	by      time.Duration // of a column of stamps
	n       int64         // of a column of integers
}

func (b bounded) traits() traits {
	return traits{poll: event.PollBounded, class: classWindow, publish: b.publish, snapshot: "incremental", largest: b.by == 0, compares: b.publish == publishDiff, past: true}
}

func (b bounded) start(p *plan, _ opening) wire.CDCStrategy {
	return wire.CDCStrategy{V: 1, Meaning: p.meaning}
}

// resume needs no cursor: the window is read whole.
func (b bounded) resume(p *plan, _ wire.CDCTable, _ []wire.CDCStrategy) (wire.CDCStrategy, bool) {
	return b.start(p, opening{}), true
}

// begin measures the window back from the horizon, or from the largest integer.
func (b bounded) begin(_ *plan, _ wire.CDCStrategy, o opening) wire.CDCPoll {
	poll := newPoll(o, phaseWindow)
	if b.by > 0 {
		poll.Lo, poll.Until = stampText(o.sample.h.Add(-b.by)), stampText(o.sample.t0.Add(untilMargin))
		return poll
	}
	if most, err := strconv.ParseInt(o.largest, 10, 64); err == nil {
		poll.Max, poll.Cursor = o.largest, strconv.FormatInt(most-b.n, 10)
		if most-b.n > most { // below the least integer
			poll.Cursor = ""
		}
	}
	return poll
}

func (b bounded) next(_ *plan, st wire.CDCStrategy, limit int) query {
	poll := st.Poll
	q := query{kind: queryWindow, after: poll.After, floor: poll.Cursor, top: poll.Max, limit: limit}
	if b.by > 0 {
		q.lo, q.until = parseStamp(poll.Lo), parseStamp(poll.Until)
	}
	return q
}

// advance ends the poll beyond the window's end: what is newer comes by others.
func (b bounded) advance(_ *plan, poll *wire.CDCPoll, pg *page) progress {
	poll.Pages++
	if pg.full && !pg.past {
		poll.After, poll.AfterKey, poll.AfterWindow = pg.last, pg.lastKey, pg.lastWindow
		return pollGoesOn
	}
	return pollComplete
}

func (b bounded) end(_ *plan, st *wire.CDCStrategy) {
	st.H, st.Last, st.Poll = st.Poll.H, st.Poll.ID, nil
}

// window is [h - window, t0), or up to the largest integer.
func (b bounded) window(p *plan, poll *wire.CDCPoll) *event.PollRange {
	c := p.rel.columns[p.window()]
	r := &event.PollRange{Column: c.name, Lo: poll.Cursor, Hi: poll.Max}
	if b.by > 0 {
		r.Lo, r.Hi = poll.Lo, poll.T0
		if c.dateOnly {
			r.Lo, r.Hi = parseStamp(r.Lo).Format(time.DateOnly), parseStamp(r.Hi).Format(time.DateOnly)
		}
	}
	if r.Hi == "" {
		return nil // an empty table has no largest integer, and nothing to delete below it
	}
	return r
}
