package cdc

import (
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/wire"
)

// share bounds the time that a strategy spends on reading rows again that it
// knows. Long transactions hold the horizon back and make overlaps long; then
// most polls are fast: they read values above the newest alone and publish, but
// move neither cursor nor watermark.
type share struct {
	spent       time.Duration // on the pages of the running poll
	known, read int           // of its rows
	whole       time.Time     // polls that begin before are fast; zero: none are
	top         string        // the largest id when the last whole poll began
}

// count takes a row of the running poll.
func (s *share) count(fresh bool) {
	s.read++
	if !fresh {
		s.known++
	}
}

// ended takes a whole poll: the next one waits until what known rows cost is the
// share of the time that may be spent on them.
func (s *share) ended(now time.Time, limit Share, every time.Duration, top string) {
	again := time.Duration(0)
	if s.read > 0 {
		again = time.Duration(float64(s.spent) * float64(s.known) / float64(s.read))
	}
	*s = share{top: top}
	if limit > 0 && float64(again) > float64(limit)*float64(every) {
		s.whole = now.Add(time.Duration(float64(again) / float64(limit)))
	}
}

// fast says whether a poll that begins at now reads new values only.
func (k *task) fast(now time.Time) bool {
	return k.traits.poll == event.PollIncremental && k.st.Last != "" && now.Before(k.share.whole) && (k.plan.stamp < 0 || k.newest > 0)
}

// quicken makes a poll that was begun a fast one. It moves no cursor, so the next
// whole poll reads from where this one would have: all that it publishes has to be
// remembered until then.
func quicken(poll *wire.CDCPoll, newest time.Time, top string) {
	poll.Fast = true
	if poll.Phase == phaseStamp {
		poll.Keep = poll.Lo
		if newest.After(parseStamp(poll.Lo)) {
			poll.Lo = stampText(newest)
		}
	}
	if idLess(poll.Cursor, top) {
		poll.Cursor = top
	}
}

// endFast ends a fast poll, and returns its mark if it published anything.
func (s *slot) endFast(k *task, poll wire.CDCPoll, now time.Time) ([]*kgo.Record, error) {
	k.st.Poll = nil
	k.share.spent, k.share.known, k.share.read = 0, 0, 0
	k.due = k.timing.after(now, k.cfg, poll.Rows, s.source, k.table.name+"/"+k.name())
	s.m.polls.WithLabelValues(s.source, k.table.name, outcomeFast).Inc()
	if poll.Rows == 0 {
		return nil, nil
	}
	return s.pollMark(k, &poll, stateCompleted, now)
}
