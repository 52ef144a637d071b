package cdc

import (
	"math/big"
	"slices"
	"time"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/wire"
)

// The phases of an incremental poll.
const (
	phaseStamp = "stamp"
	phaseNulls = "nulls" // rows without a stamp, with clock.nulls: always
	phaseID    = "id"
)

// The margin beyond the clock at which a poll under constant writing ends. It
// is more than what any dialect rounds a stamp by.
const untilMargin = 65 * time.Second

// maxNulls bounds the rows without a stamp that a poll reads.
const maxNulls = 100_000

// maxPending bounds the ids that wait for older transactions to end.
const maxPending = 16

// incremental polls rows above a stamp, above an id, or both: what is new is
// found by the id although its stamp may be missing or backdated, changes by
// the stamp.
type incremental struct{ stamp, id bool }

func (i incremental) traits() traits {
	return traits{
		poll: event.PollIncremental, class: classFresh, publish: publishUpsert, snapshot: "false",
		overlap: true, largest: i.id, upserts: i.stamp, past: true,
	}
}

func (i incremental) start(p *plan, o opening) wire.CDCStrategy {
	return wire.CDCStrategy{V: 1, Meaning: p.meaning, H: stampText(o.sample.h), Cursor: o.largest, Column: p.idName()}
}

// resume begins at the horizon that the table is complete to. An id's cursor
// can only be another strategy's on the same column, since no moment of the
// past tells which ids had been drawn.
func (i incremental) resume(p *plan, t wire.CDCTable, others []wire.CDCStrategy) (wire.CDCStrategy, bool) {
	st := wire.CDCStrategy{V: 1, Meaning: p.meaning, H: t.Anchor.H, Column: p.idName()}
	if !i.id {
		return st, true
	}
	for _, o := range others {
		if o.Column == st.Column {
			st.Cursor = o.Cursor
			return st, true
		}
	}
	return st, false
}

// begin releases ids for which all who drew lower ones have ended.
func (i incremental) begin(p *plan, st wire.CDCStrategy, o opening) wire.CDCPoll {
	s := o.sample
	poll := newPoll(o, phaseStamp)
	poll.Cursor, poll.Max = st.Cursor, o.largest
	poll.Lo = stampText(parseStamp(st.H).Add(-p.margin()))
	poll.Keep = stampText(s.h.Add(-p.margin()))
	poll.Until = stampText(s.t0.Add(p.margin() + untilMargin))
	if !i.stamp {
		poll.Phase = phaseID
	}
	for _, w := range st.Pending {
		if !s.raw.Before(parseStamp(w.T0)) && idLess(poll.Cursor, w.Max) {
			poll.Cursor = w.Max
		}
	}
	return poll
}

func (i incremental) next(_ *plan, st wire.CDCStrategy, limit int) query {
	poll := st.Poll
	q := query{kind: queryStamp, lo: parseStamp(poll.Lo), after: poll.After, keep: parseStamp(poll.Keep), until: parseStamp(poll.Until), limit: limit}
	// With both cursors the id phase of this very poll reads from the old
	// cursor on and must know what the stamp phase published.
	q.keepID, q.cursor = st.Cursor, st.Cursor
	if poll.Fast {
		q.cursor = poll.Cursor
	}
	switch poll.Phase {
	case phaseNulls:
		q.kind = queryNulls
	case phaseID:
		q.kind = queryID
		if !i.stamp {
			q.keepID = poll.Cursor
		}
	}
	return q
}

func (i incremental) advance(p *plan, poll *wire.CDCPoll, pg *page) progress {
	poll.Pages++
	if poll.Phase == phaseNulls {
		poll.Nulls += int64(len(pg.rows))
	}
	if pg.full && !pg.past && (poll.Phase != phaseNulls || poll.Nulls < maxNulls) {
		poll.After = pg.last
		return pollGoesOn
	}
	phase := i.behind(poll.Phase, p.cfg.Clock.Nulls == nullsAlways)
	switch {
	case phase == "" && pg.full:
		return pollCutShort
	case phase == "":
		return pollComplete
	}
	poll.Phase, poll.After = phase, nil
	if pg.full {
		return pollCut
	}
	return pollGoesOn
}

// behind is the phase that follows another one, "" behind the last.
func (i incremental) behind(phase string, nulls bool) string {
	switch {
	case phase == phaseStamp && nulls:
		return phaseNulls
	case phase != phaseID && i.id:
		return phaseID
	}
	return ""
}

func (i incremental) window(*plan, *wire.CDCPoll) *event.PollRange { return nil }

func (i incremental) end(_ *plan, st *wire.CDCStrategy) {
	poll := st.Poll
	st.H, st.Cursor, st.Last = poll.H, poll.Cursor, poll.ID
	st.Pending = slices.DeleteFunc(slices.Clone(st.Pending), func(w wire.CDCPending) bool { return !idLess(st.Cursor, w.Max) })
	if i.id && idLess(st.Cursor, poll.Max) {
		st.Pending = append(st.Pending, wire.CDCPending{Max: poll.Max, T0: poll.T0})
	}
	if len(st.Pending) > maxPending {
		// Dropping one in the middle only delays the cursor.
		st.Pending = slices.Delete(st.Pending, maxPending/2, maxPending/2+1)
	}
	st.Poll = nil
}

// lowerStamps follows a clock that was set back: what commits from now on may
// carry stamps below the cursors by as much.
func lowerStamps(st *wire.CDCStrategy, step time.Duration) {
	back := func(s *string) {
		if *s != "" {
			*s = stampText(parseStamp(*s).Add(-step))
		}
	}
	back(&st.H)
	pending := slices.Clone(st.Pending)
	for i := range pending {
		back(&pending[i].T0)
	}
	st.Pending = pending
	if st.Poll != nil {
		poll := *st.Poll
		back(&poll.H)
		back(&poll.Keep)
		back(&poll.T0)
		st.Poll = &poll
	}
}

// idLess compares ids in decimal; "" is below all.
func idLess(a, b string) bool {
	if a == "" || b == "" {
		return a == "" && b != ""
	}
	x, okX := new(big.Int).SetString(a, 10)
	y, okY := new(big.Int).SetString(b, 10)
	if !okX || !okY {
		panic("BUG: ids are integers: " + a + ", " + b)
	}
	return x.Cmp(y) < 0
}

func stampText(t time.Time) string { return event.FormatTime(t) }

// parseStamp reads what stampText wrote; state is ours, so another text is a bug.
func parseStamp(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		panic("BUG: a moment in the state: " + err.Error())
	}
	return t
}
