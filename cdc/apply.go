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
	t := o.t
	t.busy = false
	if o.sampled {
		s.follow(o.sample)
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
		s.failed(t, o.err)
		return nil
	}
	s.answered()
	switch o.kind {
	case jobPlan:
		return s.applyPlan(ctx, o)
	case jobBegin:
		if late := s.lowered - o.sample.steps; late > 0 {
			lowerStamps(&o.strategy, late) // the clock stepped while the page was read
			o.poll = o.strategy.Poll
		}
		t.strategy.Poll = o.poll
		return s.applyPoll(ctx, o)
	case jobPage:
		return s.applyPoll(ctx, o)
	case jobLoad:
		return s.applyLoad(ctx, o)
	case jobNone:
	}
	panic("BUG: an outcome of no job")
}

// follow keeps the newest sample for the state, and lowers all cursors when
// the origin's clock was set back.
func (s *slot) follow(smp sample) {
	s.st.System, s.st.Server, s.st.Holder = smp.system, smp.server, smp.holder
	if smp.timeline != "" {
		s.st.Timeline = smp.timeline
	}
	s.st.T0, s.st.Raw = stampText(smp.t0), stampText(smp.raw)
	step := smp.steps - s.lowered
	if step <= 0 {
		return
	}
	s.log.Warn("origin's clock was set back", "source", s.source, "by", step.String())
	for _, t := range s.tables {
		if t.known {
			lowerStamps(&t.strategy, step)
		}
	}
	s.lowered = smp.steps
}

// applyPlan announces the table's schema and gives a new strategy its cursors.
func (s *slot) applyPlan(ctx context.Context, o outcome) error {
	t, p := o.t, o.plan
	if t.st.Relation != "" && t.st.Relation != p.rel.identity {
		s.refused(t, &refusal{code: "relation_replaced", text: p.name + " is another table of the same name", mend: "rename it back, or give the source another name to load it anew"})
		return nil
	}
	change, err := p.compare(t.last, t.st.Schema.Numbers)
	if err != nil {
		s.failed(t, err)
		return nil
	}
	if t.st.Rewrite != "" && t.st.Rewrite != p.rel.rewrite {
		s.m.events.WithLabelValues(s.source, "rewrite").Inc()
		s.log.Warn("table was rewritten or truncated; rows that are gone stay in the mirror", "source", s.source, "table", t.name)
	}
	t.plan, t.topic, t.partitions = p, o.topic, o.partitions
	t.retryAt = time.Time{}
	for _, w := range p.rel.warnings {
		s.log.Warn("plan", "source", s.source, "table", t.name, "warning", w)
	}
	if p.stamp >= 0 && !p.indexed(p.stamp) {
		s.log.Warn("no index begins with the cursor column: each poll reads the whole table", "source", s.source, "table", t.name, "column", p.strategy.Timestamp)
	}
	now := time.Now()
	if o.fresh {
		s.begin(t, o, now)
	} else if change.backfill && t.load == nil {
		t.load = newLoad(event.PollBackfill, t.strategy.H, t.st.Basis, now)
	}
	t.st.Relation, t.st.Rewrite = p.rel.identity, p.rel.rewrite
	t.st.Schema = wire.CDCTableSchema{Version: change.mark.Version, Fingerprint: p.fingerprint, Origin: p.rel.print, Numbers: columnNumbers(p)}
	var records []*kgo.Record
	if change.changed {
		s.m.schemas.WithLabelValues(s.source, t.name).Inc()
		t.last = &change.mark
		body, err := wire.EncodeMark(t.last)
		if err != nil {
			return err
		}
		k := wire.CDCKey{Part: wire.CDCPartSchema, Table: t.name, Number: int64(change.mark.Version)}
		records = append(records, &kgo.Record{Topic: s.stateTopic(), Partition: s.partition, Key: k.Append(nil), Value: body})
	}
	if change.changed || t.announced.IsZero() {
		marks, err := s.announce(t, now)
		if err != nil {
			return err
		}
		records = append(marks, records...)
	}
	state, err := s.stateOf(t)
	if err != nil {
		return err
	}
	return s.produce(ctx, append(records, state...)...)
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

// begin gives a strategy its first cursors, and its table a load of the past.
func (s *slot) begin(t *table, o outcome, now time.Time) {
	h := stampText(o.sample.h)
	t.strategy = wire.CDCStrategy{V: 1, Meaning: o.plan.meaning, H: h, Cursor: o.largest}
	t.known = true
	if !t.cfg.Load.Initial {
		t.st.Loaded = true
		return
	}
	t.load = newLoad(event.PollLoad, h, string(o.sample.basis), now)
	t.st.Loaded = false
	if o.plan.id >= 0 {
		t.load.Again = &wire.CDCAgain{T0: stampText(o.sample.t0)}
	}
}

func newLoad(kind event.PollKind, h, b string, now time.Time) *wire.CDCLoad {
	return &wire.CDCLoad{V: 1, Poll: event.ULID(now), Kind: string(kind), Since: stampText(now), Ranges: []wire.CDCRange{{}}, H: h, Basis: b}
}

// announce builds the schema mark for every partition.
func (s *slot) announce(t *table, now time.Time) ([]*kgo.Record, error) {
	t.announced = now
	return t.envelope("", "", "", "", 0, now).mark(wire.KindSchema, t.last)
}

// stateOf builds the records of the table's own state, its strategy's and its load's.
func (s *slot) stateOf(t *table) ([]*kgo.Record, error) {
	topic, n := s.stateTopic(), s.partition
	table, err := stateRecord(topic, n, t.key(wire.CDCPartTable), t.st)
	if err != nil {
		return nil, err
	}
	strategy, err := stateRecord(topic, n, t.key(wire.CDCPartStrategy), t.strategy)
	if err != nil {
		return nil, err
	}
	out := []*kgo.Record{table, strategy}
	if t.load != nil {
		load, err := stateRecord(topic, n, t.key(wire.CDCPartLoad), *t.load)
		if err != nil {
			return nil, err
		}
		out = append(out, load)
	}
	t.stored = time.Now()
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
