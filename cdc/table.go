package cdc

import (
	"fmt"
	"time"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/wire"
)

// table is a mirrored table in a slot, with the strategies that read it.
type table struct {
	cfg        TableConfig
	unplanned  bool // the configuration names no strategies: they are planned
	schema     string
	table      string
	name       string // schema.table
	plan       *plan  // nil until the origin has been asked
	topic      string
	partitions int32

	st    wire.CDCTable
	tasks []*task
	load  *loading           // nil if none is wanted
	last  *event.TableSchema // the version announced last
	wide  []string           // columns in which a value was met that their types do not hold

	keys *tableKeys // nil where nothing compares with the key store, and until it is joined

	lock      publishLock
	turns     int // pages of urgent jobs since a patient one's
	stopped   *refusal
	untold    bool // the state has to tell that it is stopped
	refused   int  // times in a row
	retryAt   time.Time
	ordered   string    // an order that was not obeyed yet
	obeying   bool      // it waits for the plan
	accepted  bool      // the table is taken for the same one
	announced time.Time // when the schema was told by this owner; zero: not yet
}

func newTable(kind, name string, cfg TableConfig, src SourceConfig) *table {
	schema, tbl, _ := splitTable(kind, name)
	t := &table{cfg: cfg, unplanned: len(cfg.Strategies) == 0, schema: schema, table: tbl, name: schema + "." + tbl, st: wire.CDCTable{V: 1}}
	for _, c := range cfg.Strategies {
		t.tasks = append(t.tasks, newTask(t, c, src))
	}
	return t
}

// restore takes the table's part of a state.
func (t *table) restore(s *state, src SourceConfig) {
	if st, ok := s.tables[t.name]; ok {
		t.st = st
		t.adopt(st.Planned, src)
	}
	for _, k := range t.tasks {
		k.restore(s)
	}
	if l, ok := s.loads[t.name]; ok {
		t.load = newLoading(l, src)
	}
	if ts, ok := s.schemas[t.name][int64(t.st.Schema.Version)]; ok {
		t.last = &ts
	}
}

// complete raises the moment that the table is complete through; a published
// one is never lowered.
func (t *table) complete(at wire.CDCAnchor, b string) {
	if at.H == "" {
		return
	}
	if later(at.H, t.anchored()) {
		t.st.Anchor = &at
	}
	if later(at.H, t.st.CompleteThrough) {
		t.st.CompleteThrough, t.st.Basis = at.H, b
	}
}

// anchored is the horizon that the table is complete to, "" if it never was.
func (t *table) anchored() string {
	if t.st.Anchor == nil {
		return ""
	}
	return t.st.Anchor.H
}

// lowerAnchor moves the anchor back.
func (t *table) lowerAnchor(by time.Duration) {
	if a := t.st.Anchor; a != nil {
		t.st.Anchor = &wire.CDCAnchor{H: stampText(parseStamp(a.H).Add(-by)), Xid: a.Xid}
	}
}

// deleted raises the moment that the table's deletes are complete through.
func (t *table) deleted(h string) {
	if later(h, t.st.DeletesThrough) {
		t.st.DeletesThrough = h
	}
}

// later compares moments of the state; "" is before all.
func later(a, b string) bool {
	return a != "" && (b == "" || parseStamp(a).After(parseStamp(b)))
}

func (t *table) key(part string) wire.CDCKey { return wire.CDCKey{Part: part, Table: t.name} }

// envelope is what the records of the table's next page have in common.
func (t *table) envelope(db, strategy, poll, snapshot string, fence int64, read time.Time) *envelope {
	return &envelope{
		p: t.plan, db: db, topic: t.topic, partitions: t.partitions, schema: wire.Schema16(t.plan.fingerprint),
		strategy: strategy, poll: poll, snapshot: snapshot, sequence: wire.Sequence(fence, t.st.Page), read: read,
	}
}

// What a poll mark tells.
const (
	stateStarted   = "started"
	stateCompleted = "completed"
)

// mark is a poll mark of the table as it is now.
func (t *table) mark(poll, strategy string, kind event.PollKind, state string, rows int64, basis string) *event.Poll {
	m := &event.Poll{
		V: 1, Poll: poll, Strategy: strategy, Kind: kind, Publish: publishUpsert, State: state, Parts: int(t.partitions), Rows: rows,
		Basis: basis, Clock: t.cfg.Clock.SetBy,
	}
	if through := t.st.CompleteThrough; through != "" {
		m.CompleteThrough = &through
	}
	if through := t.st.DeletesThrough; through != "" {
		m.DeletesThrough = &through
	}
	return m
}

func (t *table) String() string { return fmt.Sprintf("table %s", t.name) }

// publishLock orders the pages of a table: it is taken before a page's snapshot
// and given back when the page's records are with the producer, so for each key
// offsets follow snapshots. Ranges of one load have keys of their own and share
// it, all others take it alone. The slot's loop takes and gives it.
type publishLock struct {
	alone  bool
	shared int
}

func (l *publishLock) free(share bool) bool { return !l.alone && (share || l.shared == 0) }

func (l *publishLock) take(share bool) {
	if share {
		l.shared++
		return
	}
	l.alone = true
}

func (l *publishLock) give(share bool) {
	if share {
		l.shared--
		return
	}
	l.alone = false
}
