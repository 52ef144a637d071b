package ingest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// prepare opens the spool, if there is to be one.
func (p *producer) prepare(c Config) error {
	dir := spoolDir(c)
	if c.Spool.MaxBytes == 0 {
		if segs, _, err := listSegments(dir); err == nil && len(segs) > 0 {
			return fmt.Errorf("ingest.spool.max_bytes: is 0, but %s holds %d segments that were acknowledged; let them drain first", dir, len(segs))
		}
		return nil
	}
	s, err := openSpool(dir, c.Spool, p.log)
	if err != nil {
		return err
	}
	if p.start, err = readPositions(dir); err != nil {
		p.log.Warn("positions of the spool are not readable; all its frames are sent again", "err", err)
	}
	for _, at := range p.start.Lanes {
		seq := uint64(at[0]) //nolint:gosec // written by us
		if at[1] > segmentHeader {
			seq++
		}
		s.nextSeq = max(s.nextSeq, seq) // what is behind a position would never be sent
	}
	p.spool = s
	// Until the topics are known nobody knows the lanes: all records go to the spool in one order.
	p.limbo.spooled.Store(true)
	p.limbo.handed = true
	return nil
}

// adopt replaces the lanes of events if the number of partitions has changed. While there is anything in the spool they
// stay, for frames know their lane by that number.
func (p *producer) adopt(events string, n int, rejected string, m int) {
	old := p.lanes.Load()
	switch {
	case old == nil:
		p.first(events, n, rejected, m)
		p.log.Info("topics found", "events", events, "partitions", n)
		close(p.found)
		return
	case int(old.rejected.count.Load()) != m:
		old.rejected.count.Store(int32(m)) //nolint:gosec // few partitions
	}
	if len(old.events) == n {
		return
	}
	p.teach(events, n)
	if p.spool != nil && old.spooled() > 0 || !old.quiet() {
		p.log.Warn("the number of partitions has changed; it is adopted when nothing waits for Kafka", "events", events, "partitions", n)
		return
	}
	next := &lanes{rejected: old.rejected}
	p.extend(next, events, n, m)
	p.lanes.Store(next)
	poke(p.changed)
	p.log.Warn("the number of partitions has changed", "events", events, "partitions", n)
}

// teach waits a moment for the client to see n partitions, of which it would hear within five minutes: it fails records
// of partitions that it does not know. If it has never produced it learns of them when it does.
func (p *producer) teach(events string, n int) {
	client := p.client.Load()
	client.ForceMetadataRefresh()
	p.solo.Load().ForceMetadataRefresh()
	for limit := time.Now().Add(time.Second); time.Now().Before(limit); pause(context.Background(), nil, 5*time.Millisecond) {
		if leader, _, err := client.PartitionLeader(events, int32(n-1)); err == nil && leader >= 0 { //nolint:gosec // few partitions
			return
		}
	}
}

// quiet closes the lanes of events and waits until they hold nothing: a record accepted for one number of partitions
// must not become a frame under another, whose positions may have passed it. Requests wait meanwhile. If it takes long
// the lanes are opened again.
func (l *lanes) quiet() bool {
	shut := func(closed bool) (idle bool) {
		idle = true
		for _, ln := range l.events {
			ln.mu.Lock()
			ln.closed = closed
			idle = idle && ln.head == nil && ln.queued == 0 && !ln.spooled.Load()
			ln.mu.Unlock()
		}
		return idle
	}
	for limit := time.Now().Add(time.Second); time.Now().Before(limit); {
		if shut(true) {
			return true
		}
		pause(context.Background(), nil, 5*time.Millisecond)
	}
	shut(false)
	return false
}

// extend adds the lanes of n partitions. What is in the spool now is not theirs.
func (p *producer) extend(l *lanes, events string, n, m int) {
	for i := range n {
		ln := newLane(laneName(i), events, false, int32(i), &p.held, p.drained) //nolint:gosec // few partitions
		ln.count.Store(int32(n))                                                //nolint:gosec // few partitions
		l.events = append(l.events, ln)
	}
	l.rejected.count.Store(int32(m)) //nolint:gosec // few partitions
	l.all = append(append([]*lane(nil), l.events...), l.rejected)
}

// first makes the lanes. If there is anything in the spool, all begin spooled and learn from the writer where what may
// be theirs ends.
func (p *producer) first(events string, n int, rejected string, m int) {
	l := &lanes{rejected: newLane("rejected", rejected, true, -1, &p.held, p.drained)}
	p.extend(l, events, n, m)
	p.limbo.mu.Lock()
	defer p.limbo.mu.Unlock()
	if p.spool != nil && (p.limbo.queued > 0 || p.spool.holds()) {
		for i, ln := range l.all {
			ln.spooled.Store(true)
			ln.next = p.start.of(ln.name, n)
			if i == 0 || ln.next.before(p.drain.at) {
				p.drain.at = ln.next
			}
			ln.queued = 1
			p.spool.enqueue(item{ln: ln}, nil)
		}
	}
	p.lanes.Store(l)
	p.limbo.closed = true
}

// drains hands frames over from when the topics are known until ctx ends.
func (p *producer) drains(ctx context.Context) {
	select {
	case <-p.found:
	case <-ctx.Done():
		return
	}
	for ctx.Err() == nil {
		l := p.lanes.Load()
		round, cancel := context.WithCancel(ctx)
		var g sync.WaitGroup
		g.Go(func() { p.drainAll(round, l) })
		for _, ln := range l.all {
			g.Go(func() { p.drainLane(round, ln) })
		}
		select {
		case <-ctx.Done():
		case <-p.changed:
		}
		cancel()
		g.Wait()
	}
}

// spoolState says in a sentence what keeps events from reaching Kafka directly, and whether they are durable even so.
func (p *producer) spoolState() (sentence string, durable bool) {
	l := p.lanes.Load()
	why := p.spool.usable()
	switch {
	case l == nil && why != "":
		return "Kafka was not reached yet. " + why, false
	case l == nil:
		if e := p.watchErr.Load(); e != nil && *e != nil {
			return fmt.Sprintf("Kafka was not reached yet: %v. Events go to the spool.", *e), true
		}
		return "Kafka was not reached yet. Events go to the spool.", true
	}
	n := l.spooled()
	switch {
	case n > 0 && why != "":
		return fmt.Sprintf("Kafka does not acknowledge on %d of %d lanes. %s", n, len(l.all), why), n < len(l.all)
	case n > 0:
		return fmt.Sprintf("Kafka does not acknowledge on %d of %d lanes, or they drain. Their events go to the spool.", n, len(l.all)), true
	case p.spool.damaged() > 0:
		return fmt.Sprintf("%d segments of the spool are damaged: %s holds them as *.corrupt.", p.spool.damaged(), p.spool.dir), true
	}
	return "", true
}

// goSpool starts the goroutines of the spool: the writer and what watches over it end with work, the passes with drains.
// The last positions are written when all of them have ended.
func (p *producer) goSpool(work, drains context.Context, g *errgroup.Group) {
	var all sync.WaitGroup
	all.Go(func() { p.spool.write(work) })
	all.Go(func() { p.patrol(work) })
	all.Go(func() { p.drains(drains) })
	all.Go(func() {
		for work.Err() == nil {
			pause(work, p.drained, time.Second)
			p.save()
		}
	})
	g.Go(func() error {
		all.Wait()
		p.save()
		return nil
	})
}
