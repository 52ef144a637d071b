package cdc

import (
	"cmp"
	"math"
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
func (b bounded) begin(_ *plan, st wire.CDCStrategy, o opening) wire.CDCPoll {
	poll := newPoll(o, phaseWindow)
	if b.by > 0 {
		poll.Lo, poll.Until = stampText(o.sample.h.Add(-b.by)), stampText(o.sample.t0.Add(untilMargin))
		return poll
	}
	// What the last window reached may have been deleted since.
	poll.Max = o.largest
	if idLess(poll.Max, st.High) {
		poll.Max = st.High
	}
	if most, err := strconv.ParseInt(poll.Max, 10, 64); err == nil {
		poll.Cursor = strconv.FormatInt(most-b.n, 10)
		if most-b.n > most { // below the least integer
			poll.Cursor = strconv.FormatInt(math.MinInt64, 10)
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
	st.H, st.Last, st.High, st.Poll = st.Poll.H, st.Poll.ID, st.Poll.Max, nil
}

// window is [h - window, t0), or up to and with the largest integer that was
// ever reached.
func (b bounded) window(p *plan, poll *wire.CDCPoll) *event.PollRange {
	c := p.rel.columns[p.window()]
	r := &event.PollRange{Column: c.name, Lo: poll.Lo, Hi: poll.T0}
	if b.by == 0 {
		r.Lo, r.Hi = cmp.Or(poll.Cursor, "0"), "0" // of a table that was never seen with rows: nothing
		if most, err := strconv.ParseInt(poll.Max, 10, 64); err == nil {
			r.Hi = strconv.FormatInt(max(most, most+1), 10)
		}
	} else if c.dateOnly {
		r.Lo, r.Hi = parseStamp(r.Lo).Format(time.DateOnly), parseStamp(r.Hi).Format(time.DateOnly)
	}
	return r
}
