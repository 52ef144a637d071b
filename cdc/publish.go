package cdc

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/wire"
)

// applyPoll publishes a page of an incremental poll. Rows, marks and the
// cursors behind them join one transaction.
func (s *slot) applyPoll(ctx context.Context, o outcome) error {
	t, pg, now := o.t, o.page, time.Now()
	poll := *t.strategy.Poll
	s.measure(t, pg)
	t.polled++
	quiet := len(t.overlap.old)+len(t.overlap.next)+len(t.overlap.keys) == 0
	records, hashes, err := s.rowsOf(t, pg, t.strategyName(), poll.ID, "false", t.remember)
	if err != nil {
		return err
	}
	published := len(records) > 0
	complete, early := advance(t.plan, &poll, pg)
	if early {
		for _, h := range t.overlap.unread() {
			t.overlap.add(h)
			hashes = append(hashes, h)
		}
	}
	poll.Rows += int64(countChanges(records))
	t.strategy.Poll = &poll
	state, err := s.overlapRecord(t, poll.ID, hashes)
	if err != nil {
		return err
	}
	if complete {
		marks, err := s.endPoll(t, poll, now, &state)
		if err != nil {
			return err
		}
		records = append(records, marks...)
	}
	// A poll that found nothing and remembers nothing moves cursors that need
	// not be stored at once: an older cursor with its overlap is as good.
	if quiet && !published && len(records) == 0 && len(state) == 0 && complete && now.Sub(t.stored) < s.cfg.Marks.Quiet {
		return nil
	}
	own, err := s.stateOf(t)
	if err != nil {
		return err
	}
	return s.hand(ctx, records, append(state, own...))
}

// hand puts a page into the transaction: rows first, then what says that they are out.
func (s *slot) hand(ctx context.Context, records, state []*kgo.Record) error {
	for _, step := range []struct {
		name    string
		records []*kgo.Record
	}{{"rows", records}, {"cursor", state}} {
		if err := s.hook(step.name); err != nil {
			return err
		}
		if err := s.produce(ctx, step.records...); err != nil {
			return err
		}
	}
	return s.hook("handed")
}

// remember notes the version of a row of a poll. It says whether to publish
// it, and whether the state has to be told.
func (t *table) remember(r *row) (publish, tell, room bool) {
	publish, room = !t.overlap.known(r.hash), true
	if r.keep {
		tell, room = t.overlap.add(r.hash)
	} else if publish {
		tell = t.overlap.replace(r.hash)
	}
	return publish, tell, room
}

// correct notes the version of a row of a load. A backfill publishes every row:
// a new column with a default changes no version.
func (t *table) correct(r *row) (publish, tell, room bool) {
	if t.overlap.known(r.hash) && t.load.Kind != string(event.PollBackfill) {
		return false, false, true
	}
	return true, t.overlap.replace(r.hash), true
}

// rowsOf builds the records of a page, and returns the hashes that the state
// has to be told of. The page's number counts all pages of the table.
func (s *slot) rowsOf(t *table, pg *page, strategy, poll, snapshot string, note func(*row) (publish, tell, room bool)) ([]*kgo.Record, []wire.CDCHash, error) {
	t.st.Page++
	env := t.envelope(s.origin.name(), strategy, poll, snapshot, s.st.Fence, pg.at)
	records, hashes := make([]*kgo.Record, 0, len(pg.rows)), []wire.CDCHash(nil)
	letters, rejected := 0, s.kafka.Names().Rejected()
	for i := range pg.rows {
		r := &pg.rows[i]
		publish, tell, room := note(r)
		if tell {
			hashes = append(hashes, r.hash)
		}
		if !room {
			s.m.overlapAgain.WithLabelValues(s.source, t.name).Inc()
		}
		if !publish {
			s.m.suppressed.WithLabelValues(s.source, t.name).Inc()
			continue
		}
		if r.adjusted != nil {
			s.m.adjusted.WithLabelValues(s.source, t.name).Inc()
		}
		if len(r.rejects) > 0 || r.tooLarge {
			id := fmt.Sprintf("%s/%d/%d", t.topic, s.st.Fence, t.st.Page)
			for _, d := range env.rejected(rejected, id, r, letters) {
				records, letters = append(records, d), letters+1
				code, _ := wire.Find(d.Headers, wire.HeaderCode)
				s.m.rejected.WithLabelValues(s.source, string(code)).Inc()
			}
		}
		if r.tooLarge {
			continue
		}
		rec, err := env.record(r)
		if err != nil {
			return nil, nil, err
		}
		s.m.records.WithLabelValues(s.source, t.name, string(event.OpRead)).Inc()
		s.m.recordBytes.WithLabelValues(s.source, t.name).Add(float64(len(rec.Key) + len(rec.Value)))
		records = append(records, rec)
	}
	outcome := pageEmpty
	if len(records) > 0 {
		outcome = pagePublished
	}
	s.m.page(t.name, outcome)
	s.m.overlapRows.WithLabelValues(s.source, t.name).Set(float64(t.overlap.size()))
	return records, hashes, nil
}

// countChanges leaves the dead letters out, which have no partition of the table.
func countChanges(records []*kgo.Record) (n int) {
	for _, r := range records {
		if kind, ok := wire.Find(r.Headers, wire.HeaderKind); ok && string(kind) == string(wire.KindChange) {
			n++
		}
	}
	return n
}

func (s *slot) measure(t *table, pg *page) {
	if t.stopped != nil {
		s.log.Info("table is read again", "source", s.source, "table", t.name)
		t.stopped, t.refused = nil, 0
		s.report()
	}
	t.pager.took(pg.took, len(pg.rows))
	s.m.pageSeconds.WithLabelValues(s.source).Observe(pg.took.Seconds())
	s.m.pageRows.WithLabelValues(s.source).Observe(float64(len(pg.rows)))
	s.m.originSeconds.WithLabelValues(s.source).Add(pg.took.Seconds())
	s.m.originRows.WithLabelValues(s.source).Add(float64(len(pg.rows)))
}

func (s *slot) overlapRecord(t *table, poll string, hashes []wire.CDCHash) ([]*kgo.Record, error) {
	if len(hashes) == 0 {
		return nil, nil
	}
	k := t.key(wire.CDCPartOverlap)
	k.Poll, k.Number = poll, t.st.Page
	r, err := stateRecord(s.stateTopic(), s.partition, k, wire.CDCOverlap{V: 1, Set: hashes})
	if err != nil {
		return nil, err
	}
	if t.strategy.Poll != nil && t.strategy.Poll.ID == poll {
		t.overlap.mine = append(t.overlap.mine, k)
	} else {
		t.overlap.keys = append(t.overlap.keys, k)
	}
	return []*kgo.Record{r}, nil
}

// endPoll makes a complete poll's ends the cursors, and returns its marks.
func (s *slot) endPoll(t *table, poll wire.CDCPoll, now time.Time, state *[]*kgo.Record) ([]*kgo.Record, error) {
	endPoll(t.plan, &t.strategy)
	*state = append(*state, s.tombstones(t.overlap.turn()...)...)
	if t.st.Loaded {
		t.watermark(poll.H, poll.Basis)
		s.m.completeAge.WithLabelValues(s.source, t.name).Set(now.Sub(parseStamp(t.st.CompleteThrough)).Seconds())
	}
	t.due = nextTick(now, t.cfg.Strategies[0].Every, s.source, t.name)
	outcome := outcomeComplete
	if poll.Rows == 0 {
		outcome = outcomeEmpty
	}
	s.m.polls.WithLabelValues(s.source, t.name, outcome).Inc()
	var out []*kgo.Record
	if now.Sub(t.announced) >= s.cfg.Marks.Repeat {
		marks, err := s.announce(t, now)
		if err != nil {
			return nil, err
		}
		out = marks
	}
	quiet := t.strategy.Marked != "" && now.Sub(parseStamp(t.strategy.Marked)) < s.cfg.Marks.Quiet
	if poll.Rows == 0 && (quiet || !t.st.Loaded) {
		return out, nil
	}
	t.strategy.Marked = stampText(now)
	m := t.pollMark(poll.ID, event.PollIncremental, "completed", poll.Rows, poll.Basis)
	marks, err := t.envelope("", "", "", "", 0, now).mark(wire.KindPoll, m)
	return append(out, marks...), err
}

// applyLoad publishes a page of a load. Polls go on beside it, so rows are
// published once more rather than compared.
func (s *slot) applyLoad(ctx context.Context, o outcome) error {
	t, now := o.t, time.Now()
	t.polled = 0
	load := *t.load
	if o.waits {
		t.loadDue = now.Add(time.Second)
		return nil
	}
	r := rangeOf(&load, o.settled)
	pg := o.page
	s.measure(t, pg)
	var records []*kgo.Record
	if !load.Begun {
		load.Begun = true
		marks, err := s.loadMark(t, &load, "started", now)
		if err != nil {
			return err
		}
		records = marks
	}
	snapshot := "true"
	if load.Kind == string(event.PollBackfill) {
		snapshot = "incremental"
	}
	rows, hashes, err := s.rowsOf(t, pg, load.Kind, load.Poll, snapshot, t.correct)
	if err != nil {
		return err
	}
	records = append(records, rows...)
	load.Rows += int64(countChanges(rows))
	if pg.full {
		r.Last = pg.last
	} else {
		r.Done = true
	}
	load.Ranges = []wire.CDCRange{r}
	t.load = &load
	s.m.loadRows.WithLabelValues(s.source, t.name).Set(float64(load.Rows))
	overlapOf := t.strategy.Last
	if t.strategy.Poll != nil {
		overlapOf = t.strategy.Poll.ID
	}
	state, err := s.overlapRecord(t, overlapOf, hashes)
	if err != nil {
		return err
	}
	if r.Done && load.Again == nil {
		marks, err := s.endLoad(t, &load, now)
		if err != nil {
			return err
		}
		records, state = append(records, marks...), append(state, s.tombstones(t.key(wire.CDCPartLoad))...)
	}
	own, err := s.stateOf(t)
	if err != nil {
		return err
	}
	return s.hand(ctx, records, append(state, own...))
}

// rangeOf is the range that a page belongs to. It notes in load whether the page
// was read early, or whether all of it is being read once more.
func rangeOf(load *wire.CDCLoad, settled bool) wire.CDCRange {
	r := load.Ranges[0]
	if load.Again == nil {
		return r
	}
	again := *load.Again
	load.Again = &again
	switch {
	case r.Done: // settled at last: once more from the start
		r, load.Again = wire.CDCRange{}, nil
	case settled && !again.Must:
		load.Again = nil
	case !settled:
		load.Again.Must = true
	}
	return r
}

// endLoad makes the table complete: to the load's own horizon, and to that of
// the polls which went on beside it.
func (s *slot) endLoad(t *table, load *wire.CDCLoad, now time.Time) ([]*kgo.Record, error) {
	t.st.Loaded = true
	t.watermark(load.H, load.Basis)
	t.watermark(t.strategy.H, load.Basis)
	t.load = nil
	s.log.Info("load complete", "source", s.source, "table", t.name, "rows", load.Rows)
	s.m.loadRows.WithLabelValues(s.source, t.name).Set(0)
	return s.loadMark(t, load, "completed", now)
}

func (s *slot) loadMark(t *table, load *wire.CDCLoad, state string, now time.Time) ([]*kgo.Record, error) {
	m := t.pollMark(load.Poll, event.PollKind(load.Kind), state, load.Rows, load.Basis)
	return t.envelope("", "", "", "", 0, now).mark(wire.KindPoll, m)
}
