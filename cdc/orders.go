package cdc

import (
	"context"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/wire"
)

// order is what somebody wants of a table; see wire.CDCOrder.
type order struct {
	table string
	verb  string
}

// The orders.
const (
	orderReload = wire.CDCReload
	orderHalt   = wire.CDCPause
	orderResume = wire.CDCResume
	orderAccept = wire.CDCAccept
	orderForget = wire.CDCForget
)

// wants says whether an order for the table waits.
func (t *table) wants(verb string) bool { return t.ordered == verb }

// orderPause is what passes before orders are asked for again after an error.
const orderPause = 5 * time.Second

// followOrders hands on the orders that wait in the slot's partition and those
// that come, until ctx ends.
func (s *slot) followOrders(ctx context.Context) {
	for _, name := range sortedKeys(s.restored.orders) {
		s.hear(ctx, order{name, s.restored.orders[name].Order})
	}
	for ctx.Err() == nil {
		if err := s.listen(ctx); err != nil {
			s.log.Warn("orders are not heard", "source", s.source, "err", err)
		}
		select {
		case <-time.After(orderPause):
		case <-ctx.Done():
		}
	}
}

// listen reads the slot's partition on from the takeover. A record that is no
// order that it understands is nothing to it.
func (s *slot) listen(ctx context.Context) error {
	topic := s.stateTopic()
	cl, err := kafka.NewClient(s.kafka, s.log,
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {s.partition: kgo.NewOffset().At(s.restored.end)}}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		return err
	}
	defer cl.Close()
	for ctx.Err() == nil {
		cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			k, err := wire.ParseCDCKey(string(r.Key))
			if err != nil || k.Part != wire.CDCPartOrder || len(r.Value) == 0 {
				return
			}
			v, err := wire.DecodeCDCRecord[wire.CDCOrder](r.Value)
			if err != nil {
				s.log.Warn("an order was not understood", "source", s.source, "table", k.Table, "err", err)
				return
			}
			s.hear(ctx, order{k.Table, v.Order})
		})
	}
	return nil
}

func (s *slot) hear(ctx context.Context, o order) {
	select {
	case s.orders <- o:
	case <-ctx.Done():
	}
}

// take notes an order. The table is left alone from now on until it is obeyed.
func (s *slot) take(ctx context.Context, o order) error {
	for _, t := range s.tables {
		if t.name == o.table {
			if t.ordered != o.verb {
				t.obeying, t.accepted = false, false // the later order counts
			}
			t.ordered = o.verb
			return nil
		}
	}
	left := s.restored.keysOf(o.table)
	switch {
	case o.verb != orderForget:
		s.log.Warn("an order for a table that is not configured", "source", s.source, "table", o.table, "order", o.verb)
		left = nil
	case len(left) > 0:
		s.log.Info("forgotten", "source", s.source, "table", o.table)
	}
	return s.produce(ctx, s.tombstones(append(left, wire.CDCKey{Part: wire.CDCPartOrder, Table: o.table})...)...)
}

// obeyAll obeys the orders of tables that nobody reads at the moment.
func (s *slot) obeyAll(ctx context.Context, now time.Time) error {
	for _, t := range s.tables {
		if t.ordered == "" || t.obeying || !t.lock.free(false) {
			continue
		}
		if err := s.obey(ctx, t, now); err != nil {
			return err
		}
	}
	return nil
}

// obey does what was ordered and tombstones the order, both in one transaction.
// What has to be planned anew is obeyed when the plan is there.
func (s *slot) obey(ctx context.Context, t *table, now time.Time) error {
	s.log.Info("ordered", "source", s.source, "table", t.name, "order", t.ordered)
	switch t.ordered {
	case orderHalt, orderResume:
		t.st.Paused = t.ordered == orderHalt
	case orderReload, orderAccept:
		t.obeying, t.accepted = true, t.ordered == orderAccept
		t.plan, t.retryAt = nil, now
		return nil
	case orderForget:
		s.log.Warn("a configured table is not forgotten", "source", s.source, "table", t.name)
	default:
		s.log.Warn("unknown order", "source", s.source, "table", t.name, "order", t.ordered)
	}
	state, err := s.stateOf(t)
	if err != nil {
		return err
	}
	return s.produce(ctx, append(state, s.obeyed(t)...)...)
}

// obeyed ends the order of a table.
func (s *slot) obeyed(t *table) []*kgo.Record {
	if t.ordered == "" {
		return nil
	}
	t.ordered, t.obeying, t.accepted = "", false, false
	return s.tombstones(wire.CDCKey{Part: wire.CDCPartOrder, Table: t.name})
}

// reload reads a healthy table once more in the lowest class.
func (s *slot) reload(t *table, now time.Time) {
	if t.plan.keyless() {
		for _, k := range t.tasks {
			k.st.Poll, k.due = nil, now
		}
		return
	}
	t.load = newLoading(newLoad(event.PollBackfill, t.anchored(), t.st.Basis, now), s.src)
}

// keysOf are the keys of the state that belong to a table, but for orders.
func (s *state) keysOf(table string) (out []wire.CDCKey) {
	s.keys(func(k wire.CDCKey) {
		if k.Table == table {
			out = append(out, k)
		}
	})
	return out
}

// keys calls yield for each key of the state that belongs to a table, but for orders.
func (s *state) keys(yield func(wire.CDCKey)) {
	for name := range s.tables {
		yield(wire.CDCKey{Part: wire.CDCPartTable, Table: name})
	}
	for k := range s.strategy {
		at := strings.LastIndexByte(k, '/') // names of strategies have none
		yield(wire.CDCKey{Part: wire.CDCPartStrategy, Table: k[:at], Strategy: k[at+1:]})
	}
	for name := range s.loads {
		yield(wire.CDCKey{Part: wire.CDCPartLoad, Table: name})
	}
	for k := range s.overlaps {
		yield(k)
	}
	for name, versions := range s.schemas {
		for v := range versions {
			yield(wire.CDCKey{Part: wire.CDCPartSchema, Table: name, Number: v})
		}
	}
}
