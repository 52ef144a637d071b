package cdc

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/wire"
)

// table is a mirrored table in a slot. One page of it at a time is read and
// published, so that for each key the order of offsets is the order of
// snapshots, whatever reads it.
type table struct {
	cfg        TableConfig
	schema     string
	table      string
	name       string // schema.table
	plan       *plan  // nil until the origin has been asked
	topic      string
	partitions int32

	st       wire.CDCTable
	strategy wire.CDCStrategy
	known    bool // strategy was in the state
	load     *wire.CDCLoad
	last     *event.TableSchema // the version announced last
	overlap  *overlap
	pager    pager

	busy      bool
	due       time.Time // of the next poll
	loadDue   time.Time
	polled    int // pages of polls since the load's last one
	stopped   *refusal
	refused   int // times in a row
	retryAt   time.Time
	announced time.Time // when the schema was told by this owner; zero: not yet
	stored    time.Time // when the strategy's state was written last
}

func newTable(kind, name string, cfg TableConfig, src SourceConfig) *table {
	schema, tbl, _ := splitTable(kind, name)
	return &table{
		cfg: cfg, schema: schema, table: tbl, name: schema + "." + tbl, pager: pager{cfg: src.Page},
		overlap: newOverlap(cfg.Overlap.Max), st: wire.CDCTable{V: 1},
	}
}

func (t *table) strategyName() string { return t.cfg.Strategies[0].Name }

// restore takes the table's part of a state.
func (t *table) restore(s *state) {
	if st, ok := s.tables[t.name]; ok {
		t.st = st
	}
	t.strategy, t.known = s.strategy[t.name+"/"+t.strategyName()]
	if l, ok := s.loads[t.name]; ok {
		t.load = &l
	}
	if ts, ok := s.schemas[t.name][int64(t.st.Schema.Version)]; ok {
		t.last = &ts
	}
	keys := make([]wire.CDCKey, 0, len(s.overlaps))
	for k := range s.overlaps {
		if k.Table == t.name && k.Strategy == t.strategyName() {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b wire.CDCKey) int { return cmp.Compare(a.Number, b.Number) }) // the later page wins
	for _, k := range keys {
		into := t.overlap.old
		if t.strategy.Poll != nil && k.Poll == t.strategy.Poll.ID {
			into = t.overlap.next
			t.overlap.mine = append(t.overlap.mine, k)
		} else {
			t.overlap.keys = append(t.overlap.keys, k)
		}
		for _, h := range s.overlaps[k].Set {
			key, version := halves(h)
			into[key] = version
		}
	}
}

// watermark raises the moment that the table is complete through; a published
// one is never lowered.
func (t *table) watermark(h, b string) {
	if h == "" || t.st.CompleteThrough != "" && !parseStamp(h).After(parseStamp(t.st.CompleteThrough)) {
		return
	}
	t.st.CompleteThrough, t.st.Basis = h, b
}

func (t *table) key(part string) wire.CDCKey {
	return wire.CDCKey{Part: part, Table: t.name, Strategy: t.strategyName()}
}

// envelope is what the records of the table's next page have in common.
func (t *table) envelope(db, strategy, poll, snapshot string, fence int64, read time.Time) *envelope {
	return &envelope{
		p: t.plan, db: db, topic: t.topic, partitions: t.partitions, schema: wire.Schema16(t.plan.fingerprint),
		strategy: strategy, poll: poll, snapshot: snapshot, sequence: wire.Sequence(fence, t.st.Page), read: read,
	}
}

// pollMark is a mark of the table as it is now.
func (t *table) pollMark(poll string, kind event.PollKind, state string, rows int64, basis string) *event.Poll {
	strategy := t.strategyName()
	if kind != event.PollIncremental {
		strategy = string(kind)
	}
	m := &event.Poll{
		V: 1, Poll: poll, Strategy: strategy, Kind: kind, Publish: "upsert", State: state, Parts: int(t.partitions), Rows: rows,
		Basis: basis, Clock: t.cfg.Clock.SetBy,
	}
	if t.st.CompleteThrough != "" {
		through := t.st.CompleteThrough
		m.CompleteThrough = &through
	}
	return m
}

func (t *table) String() string { return fmt.Sprintf("table %s", t.name) }
