package cdc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/wire"
)

// apply takes what a reader brought into state and transaction. The error is
// Kafka's and ends the slot; what the origin said is dealt with here.
func (s *slot) apply(ctx context.Context, o outcome) error {
	if o.sampled {
		s.follow(o.sample)
		s.heed(o.sample)
	}
	if o.kind == jobGuard {
		s.guard.asking = false
		return nil // who needs the sample that failed says so
	}
	t := o.t
	if !o.more {
		t.lock.give(o.kind.shares())
		if o.class > classFresh {
			s.slow--
		}
	}
	switch o.kind { //nolint:exhaustive // the others leave no trace
	case jobLoad:
		t.load.runs[o.number].busy = false
	case jobCount:
		o.k.counting, o.k.countDue = false, time.Now().Add(countEvery)
	}
	var ke *kafkaError
	switch {
	case errors.As(o.err, &ke):
		return fmt.Errorf("%s: %w", t, ke.error)
	case o.err != nil && ctx.Err() != nil:
		return nil //nolint:nilerr // the readers were told to stop
	case o.err != nil:
		if o.kind == jobBegin || o.kind == jobPage {
			s.m.polls.WithLabelValues(s.source, t.name, outcomeFailed).Inc()
		}
		s.failed(o, o.err)
		return nil
	}
	s.answered()
	if t.plan == nil && o.kind != jobPlan {
		return nil // another range has found out that the definition is another one
	}
	switch o.kind {
	case jobPlan:
		return s.applyPlan(ctx, o)
	case jobBegin:
		if late := s.lowered - o.sample.steps; late > 0 {
			lowerStamps(&o.st, late) // the clock stepped while the page was read
			o.poll = o.st.Poll
		}
		o.k.st.Poll = o.poll
		return s.applyPoll(ctx, o)
	case jobPage:
		return s.applyPoll(ctx, o)
	case jobLoad:
		return s.applyLoad(ctx, o)
	case jobCount:
		s.m.nullRows.WithLabelValues(s.source, t.name).Set(float64(o.unseen.nulls))
		s.m.futureRows.WithLabelValues(s.source, t.name).Set(float64(o.unseen.future))
		return nil
	case jobGuard:
	}
	panic("BUG: an outcome of no job")
}

// follow keeps the newest sample for the state, and lowers all cursors when
// the origin's clock was set back.
func (s *slot) follow(smp sample) {
	s.st.System, s.st.Server, s.st.Holder = smp.system, smp.server, smp.holder
	if smp.timeline != "" {
		if s.st.Timeline != "" && s.st.Timeline != smp.timeline {
			s.failover()
		}
		s.st.Timeline = smp.timeline
	}
	s.st.T0, s.st.Raw = stampText(smp.t0), stampText(smp.raw)
	step := smp.steps - s.lowered
	if step <= 0 {
		return
	}
	s.log.Warn("origin's clock was set back", "source", s.source, "by", step.String())
	for _, t := range s.tables {
		for _, k := range t.tasks {
			if k.known {
				lowerStamps(&k.st, step)
			}
		}
		t.lowerAnchor(step)
	}
	s.lowered = smp.steps
}

// applyPlan announces the table's schema and gives a new strategy its cursors.
func (s *slot) applyPlan(ctx context.Context, o outcome) error {
	t, p := o.t, o.plan
	if t.ordered != o.ordered {
		return nil // another order came meanwhile: it is obeyed first, then planned again
	}
	if r := t.misplaced(p); r != nil {
		s.refused(t, r)
		return nil
	}
	another := o.another(p)
	change, err := p.compare(t.last, t.st.Schema.Numbers, another)
	if err != nil {
		s.failed(o, err)
		return nil
	}
	if n := o.planned; n != nil {
		t.cfg, t.tasks, t.st.Planned = n.cfg, n.tasks, n.state
		s.log.Info("planned", "source", s.source, "table", t.name, "strategies", describeStrategies(n.cfg.Strategies))
	}
	stale := s.noticed(t, p, change)
	t.plan, t.topic, t.partitions = p, o.topic, o.partitions
	t.retryAt, t.st.Stopped = time.Time{}, nil
	for _, w := range p.rel.warnings {
		s.log.Warn("plan", "source", s.source, "table", t.name, "warning", w)
	}
	now := time.Now()
	s.adopt(t, p, now)
	if change.changed {
		t.restart(now)
	}
	if another {
		s.m.events.WithLabelValues(s.source, eventReplaced).Inc()
		s.log.Warn("another table, or ordered anew: it is read whole", "source", s.source, "table", t.name)
		t.st.Loaded, t.st.Anchor, t.load = false, nil, nil
	}
	s.begin(t, o, another, now)
	retyped := change.changed && len(change.mark.Retyped) > 0
	switch {
	case another:
	case retyped, stale:
		s.renew(t, retyped, now)
	case t.load != nil && change.backfill:
		t.load.again()
	case t.load == nil && (change.backfill || t.wants(orderReload)):
		s.reload(t, now)
	}
	t.st.Relation, t.st.Rewrite, t.st.Leaves = p.rel.identity, p.rel.rewrite, p.rel.leaves
	t.st.Schema = wire.CDCTableSchema{Version: change.mark.Version, Fingerprint: p.fingerprint, Origin: p.rel.print, Numbers: columnNumbers(p)}
	records, err := s.told(t, change, now)
	if err != nil {
		return err
	}
	if another && t.load == nil {
		records = append(records, s.tombstones(t.key(wire.CDCPartLoad))...) // of the table that was
	}
	state, err := s.stateOf(t, t.tasks...)
	if err != nil {
		return err
	}
	return s.produce(ctx, append(append(records, state...), s.obeyed(t)...)...)
}

// adopt gives each strategy its part of the plan.
func (s *slot) adopt(t *table, p *plan, now time.Time) {
	for _, k := range t.tasks {
		k.plan = p.own[k.name()]
		if counts := k.traits.poll == event.PollIncremental && k.plan.stamp >= 0 && k.plan.indexed(k.plan.stamp); !counts {
			k.countDue = time.Time{}
		} else if k.countDue.IsZero() {
			k.countDue = now.Add(countFirst)
		}
		if own := k.plan; own.stamp >= 0 && !own.indexed(own.stamp) {
			s.log.Warn("no index begins with the cursor column: each poll reads the whole table", "source", s.source, "table", t.name, "column", p.rel.columns[own.stamp].name)
		}
	}
}

// told builds the marks of the table's schema, and its record in the state.
func (s *slot) told(t *table, change schemaChange, now time.Time) ([]*kgo.Record, error) {
	var records []*kgo.Record
	if change.changed {
		s.m.schemas.WithLabelValues(s.source, t.name).Inc()
		t.last = &change.mark
		body, err := wire.EncodeMark(t.last)
		if err != nil {
			return nil, err
		}
		k := wire.CDCKey{Part: wire.CDCPartSchema, Table: t.name, Number: int64(change.mark.Version)}
		records = append(records, &kgo.Record{Topic: s.stateTopic(), Partition: s.partition, Key: k.Append(nil), Value: body})
	}
	if change.changed || t.announced.IsZero() {
		marks, err := s.announce(t, now)
		if err != nil {
			return nil, err
		}
		records = append(marks, records...)
	}
	return records, nil
}

func columnNumbers(p *plan) map[string]int {
	out := map[string]int{}
	for _, c := range p.rel.columns {
		if c.number != 0 {
			out[c.name] = c.number
		}
	}
	return out
}

// begin gives strategies without cursors their first ones, from the past that
// the table is complete to if there is one; else the table gets a load. Another
// table of the same name takes the old one's place.
func (s *slot) begin(t *table, o outcome, another bool, now time.Time) {
	var others []wire.CDCStrategy
	for _, k := range t.tasks {
		if _, fresh := o.fresh[k.name()]; !fresh {
			others = append(others, k.st)
		}
	}
	first, past, ids := len(others) == 0, false, false
	for _, k := range t.tasks {
		largest, fresh := o.fresh[k.name()]
		if !fresh {
			continue
		}
		st, ok := wire.CDCStrategy{}, false
		if t.st.Loaded && t.st.Anchor != nil {
			st, ok = k.strategy.resume(k.plan, t.st, others)
		}
		if !ok {
			st = k.strategy.start(k.plan, opening{sample: o.sample, largest: largest, now: now})
			past, ids = past || k.traits.past, ids || k.plan.id >= 0
		}
		k.st, k.known = st, true
	}
	switch {
	case !past:
		t.st.Loaded = t.st.Loaded || first
	case !t.cfg.Load.Initial && first && !another:
		t.st.Loaded = true
	default:
		t.st.Loaded = false
		kind := event.PollLoad
		if another {
			kind = event.PollFull
		}
		load := newLoad(kind, stampText(o.sample.h), string(o.sample.basis), now)
		load.LSN = o.sample.lsn
		if ids {
			load.Again = &wire.CDCAgain{T0: stampText(o.sample.t0)}
		}
		t.load = newLoading(load, s.src)
	}
}

// announce builds the schema mark for every partition.
func (s *slot) announce(t *table, now time.Time) ([]*kgo.Record, error) {
	t.announced = now
	return t.envelope("", "", "", "", 0, now).mark(wire.KindSchema, t.last)
}

// stateOf builds the records of the table's own state, of its load's and of the
// strategies that have changed.
func (s *slot) stateOf(t *table, changed ...*task) ([]*kgo.Record, error) {
	topic, n, now := s.stateTopic(), s.partition, time.Now()
	table, err := stateRecord(topic, n, t.key(wire.CDCPartTable), t.st)
	if err != nil {
		return nil, err
	}
	out := []*kgo.Record{table}
	for _, k := range changed {
		strategy, err := stateRecord(topic, n, k.key(wire.CDCPartStrategy), k.st)
		if err != nil {
			return nil, err
		}
		out = append(out, strategy)
		k.stored = now
	}
	if t.load != nil {
		load, err := stateRecord(topic, n, t.key(wire.CDCPartLoad), t.load.CDCLoad)
		if err != nil {
			return nil, err
		}
		out = append(out, load)
	}
	return out, nil
}

// tombstones builds the records that end keys of the state.
func (s *slot) tombstones(keys ...wire.CDCKey) []*kgo.Record {
	out := make([]*kgo.Record, len(keys))
	for i, k := range keys {
		out[i] = &kgo.Record{Topic: s.stateTopic(), Partition: s.partition, Key: k.Append(nil)}
	}
	return out
}
