package cdc

import (
	"slices"
	"strconv"
	"time"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/wire"
)

// The phases of an incremental poll.
const (
	phaseStamp = "stamp"
	phaseID    = "id"
)

// The margin beyond the clock at which a poll under constant writing ends. It
// is more than what any dialect rounds a stamp by.
const untilMargin = 65 * time.Second

// maxPending bounds the ids that wait for older transactions to end.
const maxPending = 16

// beginPoll starts a poll with a sample that ended before the first page, and
// with the largest id read before that sample.
func beginPoll(p *plan, st wire.CDCStrategy, s sample, largest string, now time.Time) wire.CDCPoll {
	poll := wire.CDCPoll{
		ID: event.ULID(now), Phase: phaseStamp, H: stampText(s.h), T0: stampText(s.t0), Basis: string(s.basis),
		Cursor: st.Cursor, Max: largest, Started: stampText(now),
		Lo:    stampText(parseStamp(st.H).Add(-p.margin())),
		Keep:  stampText(s.h.Add(-p.margin())),
		Until: stampText(s.t0.Add(p.margin() + untilMargin)),
	}
	if p.stamp < 0 {
		poll.Phase = phaseID
	}
	for _, w := range st.Pending {
		// All who drew ids up to w.Max have ended before this sample.
		if !s.raw.Before(parseStamp(w.T0)) && idLess(poll.Cursor, w.Max) {
			poll.Cursor = w.Max
		}
	}
	return poll
}

// nextQuery is the page that the poll reads next.
func nextQuery(p *plan, st wire.CDCStrategy, limit int) query {
	poll := st.Poll
	q := query{kind: queryStamp, lo: parseStamp(poll.Lo), after: poll.After, keep: parseStamp(poll.Keep), until: parseStamp(poll.Until), limit: limit}
	// With both cursors the id phase of this very poll reads from the old
	// cursor on and must know what the stamp phase published.
	q.keepID, q.cursor = st.Cursor, st.Cursor
	if poll.Phase == phaseID {
		q.kind = queryID
		if p.stamp < 0 {
			q.keepID = poll.Cursor
		}
	}
	return q
}

// advance moves poll past a page and says whether the poll is complete, and
// whether it ended before the last row.
func advance(p *plan, poll *wire.CDCPoll, pg *page) (complete, early bool) {
	poll.Pages++
	if pg.full && !pg.past {
		poll.After = pg.last
		return false, false
	}
	early = pg.full && pg.past
	if poll.Phase == phaseStamp && p.id >= 0 {
		poll.Phase, poll.After = phaseID, nil
		return false, early
	}
	return true, early
}

// endPoll makes the complete poll's ends the strategy's cursors.
func endPoll(p *plan, st *wire.CDCStrategy) {
	poll := st.Poll
	st.H, st.Cursor, st.Last = poll.H, poll.Cursor, poll.ID
	st.Pending = slices.DeleteFunc(slices.Clone(st.Pending), func(w wire.CDCPending) bool { return !idLess(st.Cursor, w.Max) })
	if p.id >= 0 && idLess(st.Cursor, poll.Max) {
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
	back := func(s *string) { *s = stampText(parseStamp(*s).Add(-step)) }
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
	x, errX := strconv.ParseInt(a, 10, 64)
	y, errY := strconv.ParseInt(b, 10, 64)
	if errX != nil || errY != nil {
		panic("BUG: ids are integers: " + a + ", " + b)
	}
	return x < y
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
