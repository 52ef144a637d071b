package batcher

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
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

	loadMu sync.Mutex // guards last, read by the poll loop
	last   load

	// of the goroutine:
	window    *dedup.Window
	span      *span
	seen      int64 // one past the newest record that was read
	begun     time.Time
	rebuilt   bool
	flying    chan result // the range that is being committed; nil: none
	flyingFor *sealed
}

type result struct {
	c   lake.Commit
	err error
}

// inbox is the queue between the poll loop and a chain. It is bounded by the
// poll loop, which stops fetching while all inboxes together hold too much.
type inbox struct {
	mu     sync.Mutex // guards what follows
	recs   []*kgo.Record
	bytes  int64
	closed bool
	order  cut // revoke, drain or memory: what the chain is asked to do
	wake   chan struct{}
}

func (b *inbox) put(recs []*kgo.Record) {
	b.mu.Lock()
	if !b.closed {
		b.recs = append(b.recs, recs...)
		for _, r := range recs {
			b.bytes += recordBytes(r)
		}
	}
	b.mu.Unlock()
	b.ring()
}

func (b *inbox) ring() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// ask leaves an order. Revoke and drain close the inbox: what was not yet taken
// is read again by the next owner.
func (b *inbox) ask(c cut) {
	b.mu.Lock()
	b.order = c
	if c == cutRevoke || c == cutDrain {
		b.closed, b.recs, b.bytes = true, nil, 0
	}
	b.mu.Unlock()
	b.ring()
}

// take returns up to n records and the order, if there is one.
func (b *inbox) take(n int) (recs []*kgo.Record, order cut) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n = min(n, len(b.recs))
	recs, b.recs = b.recs[:n:n], b.recs[n:]
	for _, r := range recs {
		b.bytes -= recordBytes(r)
	}
	if len(b.recs) > 0 {
		b.ring()
	}
	order = b.order
	if order == cutMemory {
		b.order = cutNone
	}
	return recs, order
}

func (b *inbox) held() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bytes
}

// recordBytes is what a record holds, with the client's own part.
func recordBytes(r *kgo.Record) int64 { return int64(len(r.Value))*3/2 + 256 }

func newChain(ctx context.Context, e *env, id lake.ChainID, generation int, writer string, at place, committed func(lake.Commit)) *chain {
	c := &chain{
		env: e, id: id, generation: generation, at: at, isEvents: isEvents(e.topics, id.Topic), committed: committed,
		writer: lake.Writer{Version: e.version, ID: writer, Generation: generation},
		in:     inbox{wake: make(chan struct{}, 1)}, done: make(chan struct{}), begun: time.Now(), seen: at.from,
	}
	c.ctx, c.cancel = context.WithCancelCause(ctx)
	if c.isEvents {
		c.window = dedup.New(e.dedup, dedup.State{Floor: at.from, FloorClockMS: at.floorClock})
	}
	c.span = newSpan(e, id, at.next, at.prev)
	e.metrics.topic(id.Topic)
	return c
}

// run works until the chain is asked to end, its context ends, or it must be
// begun anew. It never returns while a commit is on its way.
func (c *chain) run() {
	defer close(c.done)
	defer c.cancel(nil)
	c.err = c.loop()
	c.in.ask(cutDrain) // takes no further records
	if c.flying != nil {
		c.cancel(c.err)
		<-c.flying
		c.flyingFor.drop()
	}
	c.span.drop()
	c.publish(load{})
	partition := strconv.Itoa(int(c.id.Partition))
	for _, g := range []*prometheus.GaugeVec{c.env.metrics.lagOffsets, c.env.metrics.lagSeconds, c.env.metrics.windowRecords} {
		g.DeleteLabelValues(c.id.Topic, partition) // the next owner's to tell
	}
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
		recs, order := c.in.take(500)
		for _, r := range recs {
			if err := c.add(r); err != nil {
				return err
			}
		}
		if order == cutRevoke || order == cutDrain {
			return c.finish(order)
		}
		l := c.span.measure()
		held := l
		if c.flyingFor != nil { // its rows are in memory until its files are built
			held.memory += c.flyingFor.load.memory
		}
		c.publish(held)
		why := l.due(time.Now(), c.env.cfg.Cut)
		if order == cutMemory && why == cutNone && l.records > 0 {
			why = cutMemory
		}
		if why == cutNone {
			continue
		}
		if err := c.wait(); err != nil { // at most one range on its way
			return err
		}
		c.cut(why)
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
	out := &sealed{span: s, why: why, topicID: c.at.topicID, writer: c.writer}
	if c.window != nil {
		out.dedup = dedupState(c.env.dedup, c.window, s.next, c.windowIncomplete())
	}
	first := s.first
	c.span = newSpan(c.env, c.id, s.next, &first)
	c.flyingFor, c.flying = out, make(chan result, 1)
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
	if r.err != nil {
		return r.err
	}
	c.env.metrics.values(s.counts)
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
	if !c.isEvents {
		if rec.Offset < c.span.first {
			return nil
		}
		return c.span.addChange(c.ctx, rec)
	}
	h, err := wire.ParseEventHeaders(rec.Headers)
	if err != nil {
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
		c.env.metrics.rebuildSeconds.Observe(time.Since(c.begun).Seconds())
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

// publish shows the load to the poll loop and the metrics.
func (c *chain) publish(l load) {
	c.loadMu.Lock()
	c.last = l
	c.loadMu.Unlock()
	if c.window != nil {
		c.env.metrics.windowRecords.WithLabelValues(c.id.Topic, strconv.Itoa(int(c.id.Partition))).Set(float64(c.window.Len()))
	}
}

func (c *chain) load() load {
	c.loadMu.Lock()
	defer c.loadMu.Unlock()
	return c.last
}

var errAbandoned = errors.New("partition was taken away")

// end asks the chain to commit what it has within ctx, and abandons what is not
// done by then. It returns when the chain's goroutine has ended.
func (c *chain) end(ctx context.Context, why cut) error {
	c.in.ask(why)
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
