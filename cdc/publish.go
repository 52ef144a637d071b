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
	t, k, pg, now := o.t, o.k, o.page, time.Now()
	poll := *k.st.Poll
	s.measure(t, &k.pager, pg)
	if err := s.compare(k, &poll, pg); err != nil {
		return err
	}
	quiet := len(k.overlap.old)+len(k.overlap.next)+len(k.overlap.keys) == 0
	records, err := s.started(k, &poll, now)
	if err != nil {
		return err
	}
	out, err := s.rowsOf(t, pg, publisher{k: k, strategy: k.name(), poll: poll.ID, snapshot: k.traits.snapshot, note: k.remember})
	if err != nil {
		return err
	}
	if err := s.compared(k, pg); err != nil {
		return err
	}
	records = append(records, out.records...)
	s.clocks(k, &poll, pg)
	went := k.strategy.advance(k.plan, &poll, pg)
	k.share.spent += pg.took
	if !poll.Fast && (went == pollCut || went == pollCutShort) {
		for _, h := range k.overlap.unread() {
			k.overlap.add(h)
			out.told[k] = append(out.told[k], h)
		}
	}
	poll.Rows += int64(countChanges(out.records))
	k.st.Poll = &poll
	state, err := s.overlapRecords(t, out.told)
	if err != nil {
		return err
	}
	complete := went == pollComplete || went == pollCutShort
	if complete && poll.Fast {
		marks, err := s.endFast(k, poll, now)
		if err != nil {
			return err
		}
		records = append(records, marks...)
	} else if complete {
		k.share.ended(now, k.table.cfg.Overlap.Share, k.cfg.Every, poll.Max)
		marks, err := s.endPoll(k, poll, now, &state)
		if err != nil {
			return err
		}
		records = append(records, marks...)
	} else {
		k.due = now.Add(rest(k.cfg, pg.took))
	}
	// A poll that found nothing and remembers nothing moves cursors that need
	// not be stored at once: an older cursor with its overlap is as good.
	if quiet && len(records) == 0 && len(state) == 0 && complete && now.Sub(k.stored) < s.cfg.Marks.Quiet {
		return nil
	}
	if poll.Fast && complete && poll.Pages == 1 && len(records) == 0 && len(state) == 0 {
		return nil // it moved nothing
	}
	own, err := s.stateOf(t, k)
	if err != nil {
		return err
	}
	return s.hand(ctx, records, append(state, own...))
}

// started builds the mark that begins a poll which replaces.
func (s *slot) started(k *task, poll *wire.CDCPoll, now time.Time) ([]*kgo.Record, error) {
	if k.traits.publish != publishReplace || poll.Pages > 0 {
		return nil, nil
	}
	return s.pollMark(k, poll, stateStarted, now)
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

// publisher is what publishes a page.
type publisher struct {
	k        *task // nil for a load
	strategy string
	poll     string
	snapshot string
	note     func(*row) (publish, tell, room bool)
}

// published is what a page came to.
type published struct {
	records []*kgo.Record
	told    map[*task][]wire.CDCHash // what strategies remember that the state has to be told
}

// rowsOf builds the records of a page. The page's number counts all pages of
// the table. What is published corrects what other strategies remember of its
// key: a row whose version is a hash may become again what it was.
func (s *slot) rowsOf(t *table, pg *page, by publisher) (published, error) {
	t.st.Page++
	env := t.envelope(s.origin.name(), by.strategy, by.poll, by.snapshot, s.st.Fence, pg.at)
	out := published{records: make([]*kgo.Record, 0, len(pg.rows)), told: map[*task][]wire.CDCHash{}}
	letters, rejected := 0, s.kafka.Names().Rejected()
	for i := range pg.rows {
		r := &pg.rows[i]
		publish, tell, room := by.note(r)
		if tell {
			out.told[by.k] = append(out.told[by.k], r.hash)
		}
		if !room {
			s.m.overlapAgain.WithLabelValues(s.source, t.name).Inc()
		}
		if !publish {
			s.m.suppressed.WithLabelValues(s.source, t.name).Inc()
			continue
		}
		r.fresh = true
		t.correct(by.k, r, &out)
		if err := t.publish(r, by.k == nil); err != nil {
			return out, s.storeFailed(err)
		}
		s.countDifference(by.k, r)
		if r.adjusted != nil {
			s.m.adjusted.WithLabelValues(s.source, t.name).Inc()
		}
		if len(r.rejects) > 0 || r.tooLarge {
			id := fmt.Sprintf("%s/%d/%d", t.topic, s.st.Fence, t.st.Page)
			for _, d := range env.rejected(rejected, id, r, letters) {
				out.records, letters = append(out.records, d), letters+1
				code, _ := wire.Find(d.Headers, wire.HeaderCode)
				s.m.rejected.WithLabelValues(s.source, string(code)).Inc()
			}
		}
		if r.tooLarge {
			continue
		}
		rec, err := env.record(r)
		if err != nil {
			return out, err
		}
		s.m.records.WithLabelValues(s.source, t.name, opOf(r)).Inc()
		s.m.recordBytes.WithLabelValues(s.source, t.name).Add(float64(len(rec.Key) + len(rec.Value)))
		out.records = append(out.records, rec)
		if r.op == event.OpDelete && s.cfg.Topics.Tombstones {
			tomb := *rec
			tomb.Value = nil
			out.records = append(out.records, &tomb)
		}
	}
	outcome, remembered := pageEmpty, 0
	if len(out.records) > 0 {
		outcome = pagePublished
	}
	for _, k := range t.tasks {
		remembered += k.overlap.size()
	}
	s.m.page(t.name, outcome)
	s.m.overlapRows.WithLabelValues(s.source, t.name).Set(float64(remembered))
	return out, nil
}

// correct replaces what the strategies but by remember of a row's key.
func (t *table) correct(by *task, r *row, out *published) {
	for _, k := range t.tasks {
		if k != by && k.overlap.replace(r.hash) {
			out.told[k] = append(out.told[k], r.hash)
		}
	}
}

func opOf(r *row) string {
	if r.op == "" {
		return string(event.OpRead)
	}
	return string(r.op)
}

// countChanges leaves tombstones out, and the dead letters, which have no
// partition of the table.
func countChanges(records []*kgo.Record) (n int) {
	for _, r := range records {
		if r.Value == nil {
			continue
		}
		if kind, ok := wire.Find(r.Headers, wire.HeaderKind); ok && string(kind) == string(wire.KindChange) {
			n++
		}
	}
	return n
}

func (s *slot) measure(t *table, g *pager, pg *page) {
	if t.stopped != nil {
		s.log.Info("table is read again", "source", s.source, "table", t.name)
		t.stopped, t.refused = nil, 0
		s.report()
	}
	g.took(pg)
	s.m.pageSeconds.WithLabelValues(s.source).Observe(pg.took.Seconds())
	s.m.pageRows.WithLabelValues(s.source).Observe(float64(len(pg.rows)))
	s.m.originSeconds.WithLabelValues(s.source).Add(pg.took.Seconds())
	s.m.originRows.WithLabelValues(s.source).Add(float64(len(pg.rows)))
}

// overlapRecords tells the state what strategies remember since this page.
func (s *slot) overlapRecords(t *table, told map[*task][]wire.CDCHash) ([]*kgo.Record, error) {
	var out []*kgo.Record
	for _, k := range t.tasks {
		if len(told[k]) == 0 {
			continue
		}
		key := k.key(wire.CDCPartOverlap)
		key.Poll, key.Number = k.st.Last, t.st.Page
		if k.st.Poll != nil && !k.st.Poll.Fast {
			key.Poll = k.st.Poll.ID
			k.overlap.mine = append(k.overlap.mine, key)
		} else {
			k.overlap.keys = append(k.overlap.keys, key)
		}
		r, err := stateRecord(s.stateTopic(), s.partition, key, wire.CDCOverlap{V: 1, Set: told[k]})
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// endPoll makes a complete poll's ends the cursors, and returns its marks.
func (s *slot) endPoll(k *task, poll wire.CDCPoll, now time.Time, state *[]*kgo.Record) ([]*kgo.Record, error) {
	t := k.table
	k.strategy.end(k.plan, &k.st)
	*state = append(*state, s.tombstones(k.overlap.turn()...)...)
	if (t.st.Loaded || !k.traits.past) && k.sees() {
		t.complete(wire.CDCAnchor{H: poll.H, Xid: poll.Xid}, poll.Basis)
	}
	if k.traits.deletes {
		t.deleted(poll.H)
	}
	s.m.age(t)
	k.due = k.timing.after(now, k.cfg, poll.Rows, s.source, t.name+"/"+k.name())
	s.m.pollSeconds.WithLabelValues(s.source, t.name, k.name()).Observe(now.Sub(parseStamp(poll.Started)).Seconds())
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
	quiet := k.st.Marked != "" && now.Sub(parseStamp(k.st.Marked)) < s.cfg.Marks.Quiet
	if k.traits.publish != publishReplace && poll.Rows == 0 && (quiet || !t.st.Loaded) {
		return out, nil
	}
	k.st.Marked = stampText(now)
	marks, err := s.pollMark(k, &poll, stateCompleted, now)
	return append(out, marks...), err
}

func (s *slot) pollMark(k *task, poll *wire.CDCPoll, state string, now time.Time) ([]*kgo.Record, error) {
	return k.table.envelope("", "", "", "", 0, now).mark(wire.KindPoll, k.pollMark(poll, state))
}
