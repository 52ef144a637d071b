package batcher

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/dedup"
	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/wire"
)

// chain carries one partition from an assignment to its end. Its goroutine owns
// the window and the open range; the poll loop only hands it records.
type chain struct {
	env        *env
	id         lake.ChainID
	generation int
	writer     lake.Writer
	at         place
	isEvents   bool
	committed  func(lake.Commit) // after each commit

	in     inbox
	ctx    context.Context //nolint:containedctx // the chain is its goroutine; the context ends both
	cancel context.CancelCauseFunc
	done   chan struct{}
	err    error // why it ended; set before done is closed

	windowBytes atomic.Int64 // set by the goroutine

	// of the goroutine:
	window    *dedup.Window
	span      *span
	seen      int64     // one past the newest record that was read
	seenAt    time.Time // when that was received
	begun     time.Time
	rebuilt   bool
	limits    CutConfig   // of the topic; Age is the effective one
	asked     cut         // what the policy has asked the open range to be cut for
	overdue   bool        // the open range is full, but the one before it is still on its way
	flying    chan result // the range that is being committed; nil: none
	flyingFor *sealed
	storm     storm
	failed    int64 // estimated size of the range that failed
	told      load  // what the governor was told last
	waited    bool  // and whether the range waited
}

type result struct {
	c   lake.Commit
	err error
}

// What a chain takes from its inbox at once: then it looks at what it holds.
const (
	takeRecords = 500
	takeBytes   = 1 << 20
)

func newChain(ctx context.Context, e *env, id lake.ChainID, generation int, writer string, at place, committed func(lake.Commit)) *chain {
	c := &chain{
		env: e, id: id, generation: generation, at: at, isEvents: isEvents(e.topics, id.Topic), committed: committed,
		writer: lake.Writer{Version: e.version, ID: writer, Generation: generation},
		in:     newInbox(), done: make(chan struct{}), begun: time.Now(), seen: at.from, limits: e.cfg.of(id.Topic),
	}
	c.storm.rest = e.rest
	c.ctx, c.cancel = context.WithCancelCause(ctx)
	if c.isEvents {
		c.window = dedup.New(e.dedup, dedup.State{Floor: at.from, FloorClockMS: at.floorClock})
	}
	c.span = newSpan(e, id, at.next, at.prev)
	c.in.read(at.next, time.Time{})
	e.metrics.topic(id.Topic)
	return c
}

// run works until the chain is asked to end, its context ends, or it must be
// begun anew. It never returns while a commit is on its way.
func (c *chain) run() {
	defer close(c.done)
	defer c.cancel(nil)
	c.err = c.loop()
	if isDiskFull(c.err) {
		c.env.governor.diskFull(max(c.span.load.bytes, c.failed))
	}
	c.in.finish(cutDrain) // takes no further records
	if c.flying != nil {
		c.cancel(c.err)
		<-c.flying
		c.flyingFor.drop()
	}
	c.span.drop()
	c.env.rests.end(c.env.client, c.id, time.Now())
	c.env.governor.forget(c)
	c.env.metrics.forget(c.id) // the next owner's to tell
}

func (c *chain) loop() error {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return context.Cause(c.ctx)
		case r := <-c.flying:
			if err := c.landed(r); err != nil {
				return err
			}
		case <-c.in.wake:
		case <-tick.C:
		}
		ask, end := c.in.orders()
		if end != cutNone {
			return c.finish(end)
		}
		if err := c.relieve(ask); err != nil {
			return err
		}
		if err := c.take(); err != nil {
			return err
		}
		c.settle()
		if ask != reliefNone {
			c.in.relieved()
		}
	}
}

// take adds what is in the inbox, unless budgets or the range before forbid it
// or the chain rests.
func (c *chain) take() error {
	now := time.Now()
	resting, ended := c.storm.rests(now)
	if ended {
		c.env.rests.end(c.env.client, c.id, now)
	}
	if resting || c.overdue || c.env.governor.shut.Load() {
		return nil
	}
	for _, r := range c.in.take(takeRecords, takeBytes) {
		before := c.span.load.records
		if err := c.add(r); err != nil {
			return err
		}
		if c.span.load.records > before && c.storm.note(c.span.last == outRejected, now) {
			c.env.rests.begin(c.env.client, c.id, c.span.refusal, now)
		}
	}
	return nil
}

// relieve does what the policy asks for.
func (c *chain) relieve(r relief) error {
	switch r {
	case reliefNone:
	case reliefChunk:
		return c.span.writeChunk(c.ctx)
	case reliefGroup:
		return c.span.writeGroup()
	case reliefMemory:
		c.asked = cutMemory
	case reliefDisk:
		c.asked = cutDisk
	}
	return nil
}

// settle cuts the open range if that is due, and tells what it holds.
func (c *chain) settle() {
	l := c.span.measure()
	why := l.due(time.Now(), c.limits)
	if short := c.env.governor.short.Load(); short > 0 && l.records > 0 && l.bytes >= short {
		why = cutDisk
	}
	if why == cutNone && l.records > 0 {
		why = c.asked
	}
	if why != cutNone && c.flying == nil { // at most one range on its way
		c.cut(why)
		l, why = c.span.measure(), cutNone
	}
	// By age alone a range may grow while it waits: the longer, the fewer files.
	c.overdue = why != cutNone && why != cutAge
	c.tell(l, why != cutNone)
}

// tell shows the load to the policy and the metrics.
func (c *chain) tell(l load, waiting bool) {
	if l != c.told || waiting != c.waited || c.asked != cutNone {
		c.env.governor.open(c, l, waiting)
		c.told, c.waited = l, waiting
	}
	c.in.read(max(c.seen, c.span.first), c.seenAt)
	if c.window != nil {
		c.env.metrics.windowRecords.WithLabelValues(c.id.Topic, strconv.Itoa(int(c.id.Partition))).Set(float64(c.window.Len()))
		c.windowBytes.Store(c.window.Bytes())
	}
}

// finish commits what is open and ends.
func (c *chain) finish(why cut) error {
	if err := c.wait(); err != nil {
		return err
	}
	if c.span.load.records > 0 {
		c.cut(why)
	}
	return c.wait()
}

// wait returns when no range is on its way.
func (c *chain) wait() error {
	if c.flying == nil {
		return nil
	}
	select {
	case r := <-c.flying:
		return c.landed(r)
	case <-c.ctx.Done():
		return context.Cause(c.ctx)
	}
}

// cut sends the open range on its way and opens the next one.
func (c *chain) cut(why cut) {
	s := c.span
	out := &sealed{
		span: s, why: why, topicID: c.at.topicID, writer: c.writer,
		holds: func(h held) { c.env.governor.sealed(c, h) },
	}
	if c.window != nil {
		out.dedup = dedupState(c.env.dedup, c.window, s.next, c.windowIncomplete())
	}
	c.env.governor.cut(c, s.load.held)
	first := s.first
	c.span = newSpan(c.env, c.id, s.next, &first)
	c.flyingFor, c.flying, c.asked = out, make(chan result, 1), cutNone
	go func(flying chan<- result) { // run waits for it
		commit, err := out.commit(c.ctx)
		flying <- result{commit, err}
	}(c.flying)
}

// landed ends a range that was on its way.
func (c *chain) landed(r result) error {
	s := c.flyingFor
	c.flying, c.flyingFor = nil, nil
	s.drop()
	s.holds(held{})
	if r.err != nil {
		c.failed = s.load.bytes
		return r.err
	}
	var bytes int64
	for _, f := range r.c.Files {
		bytes += f.Bytes
	}
	c.limits.Age = nextAge(c.limits.Age, c.env.cfg.of(c.id.Topic), len(r.c.Files), bytes)
	for table, counts := range s.counts {
		c.env.metrics.values(table, counts)
	}
	c.env.committed(r.c, s.load.opened)
	c.env.log.Debug("committed", "chain", c.id.String(), "first", r.c.First, "next", r.c.Next, "cut", r.c.Cut, "files", len(r.c.Files))
	c.committed(r.c)
	return nil
}

// windowIncomplete says whether the window should reach below what Kafka had.
func (c *chain) windowIncomplete() bool {
	return c.at.windowLost > 0 && c.window.State(c.seen).Floor <= c.at.windowLost
}

// add takes one record. Those below the position only feed the window.
func (c *chain) add(rec *kgo.Record) error {
	if rec.Offset < c.seen {
		return nil // read before; a client may repeat itself after a new position
	}
	c.seen = rec.Offset + 1
	if rec.Attrs.IsControl() { // the end of a transaction: kept so that the chain knows how far it has read
		return nil
	}
	if !c.isEvents {
		c.seenAt = receivedAt(rec)
		if rec.Offset < c.span.first {
			return nil
		}
		return c.span.addChange(c.ctx, rec)
	}
	h, err := wire.ParseEventHeaders(rec.Headers)
	c.seenAt = h.ReceivedAt
	if err != nil {
		c.seenAt = receivedAt(rec)
		c.window.Skip(rec.Offset, rec.Timestamp.UnixMilli())
		if rec.Offset >= c.span.first {
			c.rejectHeaders(rec, err)
		}
		return nil
	}
	duplicate := c.window.Observe(rec.Offset, rec.Timestamp.UnixMilli(), dedup.Identity(h.Source, h.MessageID))
	if rec.Offset < c.span.first {
		return nil
	}
	if !c.rebuilt {
		c.rebuilt = true
		c.env.metrics.rebuildSeconds.WithLabelValues(c.id.Topic, strconv.Itoa(int(c.id.Partition))).Observe(time.Since(c.begun).Seconds())
	}
	return c.span.addEvent(c.ctx, rec, h, duplicate)
}

func (c *chain) rejectHeaders(rec *kgo.Record, problem error) {
	source, ok := wire.Find(rec.Headers, wire.HeaderSource)
	if !ok || len(source) == 0 {
		source = []byte(unknownSource)
	}
	code := event.CodeMissingField
	if t, ok := wire.Find(rec.Headers, wire.HeaderType); ok {
		if _, known := event.ParseType(string(t)); !known {
			code = event.CodeUnknownType
		}
	}
	c.span.reject(c.ctx, rec, string(source), code, problem.Error())
	c.span.count(rec, c.env.names.Origin(string(source)), rec.Timestamp, outRejected)
}

var errAbandoned = errors.New("partition was taken away")

// end asks the chain to commit what it has within ctx, and abandons what is not
// done by then. It returns when the chain's goroutine has ended.
func (c *chain) end(ctx context.Context, why cut) error {
	c.in.finish(why)
	select {
	case <-c.done:
	case <-ctx.Done():
		c.abandon()
		c.env.log.Warn("range was not committed in time, its next owner reads it again", "chain", c.id.String())
	}
	return c.err
}

// abandon ends the chain at once.
func (c *chain) abandon() {
	c.cancel(fmt.Errorf("%s: %w", c.id, errAbandoned))
	<-c.done
}
