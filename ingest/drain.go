package ingest

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/wire"
)

const (
	laneWindow = 1 << 20
	laneLeast  = 64 << 10 // a lane has so much of the whole window whatever the others hold
	patience   = time.Second
)

// drain is the pass that reads forward for all lanes but those that are parked.
type drain struct {
	mu sync.Mutex // guards at; lanes' locks are taken below it
	at position   // what lies before it was handed over, or belongs to a lane that is or was parked
}

// fate is what became of a frame.
type fate int

const (
	taken   fate = iota // the producer has it now
	foreign             // another pass, or nobody, needs it
	blocked             // later
	astray              // the lane has gone back
	retired             // the lanes are others, and the pass ends soon
)

// hand gives a frame to the producer if it is the turn of its lane. turn is −1 for the pass of all lanes.
func (p *producer) hand(ln *lane, f *frame, pos, end position, turn int) fate {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	switch {
	case ln.closed:
		return retired
	case turn >= 0 && turn != ln.turn:
		return astray
	case turn < 0 && ln.parked, pos.before(ln.next):
		return foreign
	case ln.rewinding, time.Now().Before(ln.resume):
		return blocked
	}
	size := int64(len(f.key) + len(f.value))
	total := p.held.Load()
	if ln.held > 0 && (ln.held+size > laneWindow || ln.held >= laneLeast && total+size > int64(p.spool.cfg.DrainWindow)) {
		return blocked
	}
	solo := pos.before(ln.soloUntil)
	if (solo || ln.soloing || ln.probing) && ln.head != nil {
		return blocked
	}
	f.key, f.value = bytes.Clone(f.key), bytes.Clone(f.value)
	for i := range f.headers {
		f.headers[i].Value = bytes.Clone(f.headers[i].Value)
	}
	r := f.record()
	e := &entry{ln: ln, r: r, at: time.Now(), size: size, pos: pos, end: end, framed: true, told: true, solo: solo, counted: true}
	r.Topic, r.Partition, r.Context = ln.topic, ln.place(f.hash), e
	ln.link(e)
	ln.next, ln.handed, ln.soloing = end, true, solo
	client := &p.client
	if solo {
		client = &p.solo
	}
	client.Load().Produce(context.Background(), r, p.acked)
	ln.settle() // it may be direct from here on: new records queue behind this one
	return taken
}

// drainAll hands the frames of all lanes over until ctx ends.
func (p *producer) drainAll(ctx context.Context, l *lanes) {
	c := cursor{s: p.spool, at: p.drain.at}
	defer c.close()
	for ctx.Err() == nil {
		f, end, ok, err := c.next()
		if err != nil {
			p.log.Error("spool was not read; tried again in a second", "err", err)
			pause(ctx, nil, time.Second)
			continue
		}
		if !ok {
			p.reached(l, c.at)
			pause(ctx, p.spool.frames, time.Second)
			continue
		}
		if p.advance(ctx, l, &f, c.at, end) {
			c.at = end
		}
	}
}

// advance hands one frame over, or parks its lane when that takes nothing. False means that ctx has ended before.
func (p *producer) advance(ctx context.Context, l *lanes, f *frame, pos, end position) bool {
	ln := l.of(f.topic == frameRejected, f.hash)
	for start := time.Now(); ctx.Err() == nil; {
		p.drain.mu.Lock()
		v := p.hand(ln, f, pos, end, -1)
		if v == blocked && time.Since(start) >= patience {
			ln.mu.Lock()
			ln.parked = true
			ln.mu.Unlock()
			poke(ln.parking)
			v = foreign
		}
		done := v != blocked && v != retired
		if done {
			p.drain.at = end
		}
		p.drain.mu.Unlock()
		if done {
			return true
		}
		pause(ctx, ln.room, 50*time.Millisecond)
	}
	return false
}

// reached tells the lanes that there is nothing of theirs before at.
func (p *producer) reached(l *lanes, at position) {
	p.drain.mu.Lock()
	defer p.drain.mu.Unlock()
	p.drain.at = later(p.drain.at, at)
	for _, ln := range l.all {
		ln.mu.Lock()
		if !ln.parked {
			ln.next = later(ln.next, at)
			ln.settle()
		}
		ln.mu.Unlock()
	}
}

// drainLane hands over the frames of a lane while it is parked, until ctx ends.
func (p *producer) drainLane(ctx context.Context, ln *lane) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-ln.parking:
			p.passOf(ctx, ln)
		}
	}
}

// passOf reads for one lane until it has caught up with the pass of all.
func (p *producer) passOf(ctx context.Context, ln *lane) {
	c := cursor{s: p.spool}
	defer c.close()
	turn := -1
	for ctx.Err() == nil {
		ln.mu.Lock()
		if turn != ln.turn {
			turn, c.at = ln.turn, ln.next
		}
		ln.mu.Unlock()
		f, end, ok, err := c.next()
		if err != nil {
			p.log.Error("spool was not read; tried again in a second", "err", err)
			pause(ctx, nil, time.Second)
			continue
		}
		if p.caughtUp(ln, turn, c.at) {
			return
		}
		v := blocked
		if ok {
			v = foreign
			if (f.topic == frameRejected) == ln.dead && (ln.dead || ln.partition == partition(f.hash, int(ln.count.Load()))) {
				v = p.hand(ln, &f, c.at, end, turn)
			}
		}
		switch v {
		case taken, foreign:
			c.at = end
		case blocked, retired:
			pause(ctx, ln.room, 50*time.Millisecond)
		case astray:
		}
	}
}

// caughtUp gives a parked lane back to the pass of all, if that stands where its own does.
func (p *producer) caughtUp(ln *lane, turn int, at position) bool {
	p.drain.mu.Lock()
	defer p.drain.mu.Unlock()
	ln.mu.Lock()
	defer ln.mu.Unlock()
	if at.before(p.drain.at) || turn != ln.turn || ln.rewinding || !ln.parked {
		return false
	}
	ln.parked, ln.next = false, later(ln.next, p.drain.at)
	ln.settle()
	return true
}

// condemn makes a dead letter of a record that Kafka refused alone. The caller holds the lane, and the entry keeps its
// place there, so that no position passes the frame before the dead letter is acknowledged. A letter that is refused
// itself keeps its headers; the time of its arrival, should that be what Kafka refuses, is one of them.
func (p *producer) condemn(ln *lane, e *entry, why error) {
	old := e.r
	e.letters++
	dead := &kgo.Record{Topic: p.cfg.Names().Rejected(), Context: e, Timestamp: old.Timestamp, Key: old.Key, Headers: old.Headers}
	if !ln.dead {
		h, err := wire.ParseEventHeaders(old.Headers)
		if err != nil {
			p.log.Error("a spooled record has no readable headers", "err", err)
		}
		letter := wire.Rejected{
			Stage: event.StageIngest, Code: event.CodeKafkaRefused, Message: "Kafka does not take this event, probably for its size",
			Source: h.Source, ID: p.ids.UUIDv7(time.Now()), MessageID: h.MessageID, ReceivedAt: old.Timestamp, Type: string(h.Type),
			Original: old.Value, Size: len(old.Value), Max: p.rejectedMax, Route: letterSpooled, Index: -1,
		}
		dead.Key, dead.Headers = []byte(h.Source), wire.AppendRejectedHeaders[kgo.RecordHeader](nil, letter)
		dead.Value, _ = letter.Value()
		p.metrics.rejected.WithLabelValues(h.Source, string(event.CodeKafkaRefused)).Inc()
	}
	switch late := errors.Is(why, kerr.InvalidTimestamp); {
	case late && e.letters == 1:
		dead.Timestamp = time.Time{}
		if ln.dead {
			dead.Value = old.Value
		}
	case old.Topic == dead.Topic:
		dead.Value, dead.Timestamp = nil, time.Time{}
	}
	dead.Partition = p.lanes.Load().rejected.place(murmur2(dead.Key))
	e.r = dead
	p.solo.Load().Produce(context.Background(), dead, p.acked)
}

func pause(ctx context.Context, early <-chan struct{}, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-early:
	case <-timer.C:
	}
}
