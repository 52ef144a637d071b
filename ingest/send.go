package ingest

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// send gives each record of rq to the producer or to the spool, in their order, and returns at once; rq hears of each.
// A record with a topic is a dead letter. A refusal means that nothing was given to anybody. The records' contexts are
// not the request's: whoever hangs up after the last byte has sent the events.
func (p *producer) send(rq *request) *refusal {
	l, need := p.lanes.Load(), int64(0)
	if p.spool != nil {
		for i := range rq.records {
			if r := &rq.records[i]; l == nil || l.of(r.Topic != "", murmur2(r.Key)).spooled.Load() {
				need += frameSize(r)
			}
		}
		if need > 0 {
			if ref := p.spool.reserve(need); ref != nil {
				return ref
			}
		}
	}
	rq.expect(len(rq.records))
	if cap(rq.entries) < len(rq.records) {
		rq.entries = make([]entry, len(rq.records))
	}
	rq.entries = rq.entries[:len(rq.records)]
	now := time.Now()
	for i := range rq.records {
		need = p.give(rq, i, now, need)
	}
	if need > 0 {
		p.spool.unreserve(need) // of lanes that have become direct meanwhile
	}
	return nil
}

// give sends record i of rq on its way and returns what remains of the reserved credit.
func (p *producer) give(rq *request, i int, now time.Time, credit int64) int64 {
	r, e := &rq.records[i], &rq.entries[i]
	dead, hash := r.Topic != "", murmur2(r.Key)
	ln := p.limbo
	if l := p.lanes.Load(); l != nil {
		ln = l.of(dead, hash)
	}
	ln.mu.Lock()
	for ln.shut() { // the topics were found just now, their number of partitions changes, or the lane becomes direct
		ln.mu.Unlock()
		if open := p.lanes.Load().of(dead, hash); open != ln {
			ln = open
		} else {
			pause(context.Background(), nil, time.Millisecond)
		}
		ln.mu.Lock()
	}
	defer ln.mu.Unlock()
	if !ln.spooled.Load() {
		r.Topic, r.Partition, r.Context = ln.topic, ln.place(hash), e
		*e = entry{ln: ln, r: r, rq: rq, at: now, size: int64(len(r.Key) + len(r.Value))}
		ln.link(e)
		p.client.Load().Produce(context.Background(), r, p.acked)
		return credit
	}
	size := frameSize(r)
	if credit < size { // it has spooled just now
		if ref := p.spool.reserve(size); ref != nil {
			rq.told(ref)
			rq.leave()
			return credit
		}
		credit += size
	}
	rq.spooled.Store(true)
	p.append(ln, item{ln: ln, rq: rq, size: size}, r, dead)
	return credit - size
}

// append queues a frame. The caller holds the lane.
func (p *producer) append(ln *lane, it item, r *kgo.Record, dead bool) {
	ln.queued++
	it.turn = ln.turn
	p.spool.enqueue(it, func(dst []byte) []byte { return appendFrame(dst, topicOf(dead), r) })
}

// acked is Kafka's answer to a record of either origin.
func (p *producer) acked(r *kgo.Record, err error) {
	if err == nil {
		p.lastAck.Store(time.Now().UnixNano())
	} else {
		p.lastFail.Store(time.Now().UnixNano())
		p.metrics.produceErrors.WithLabelValues(errorLabel(err)).Inc()
		if errors.Is(err, kerr.UnknownTopicID) {
			topic := r.Topic
			p.recreated.Store(&topic)
		}
	}
	e, _ := r.Context.(*entry)
	ln := e.ln
	ln.mu.Lock()
	rq := e.rq // left when the lane is: the entry is the request's
	switch {
	case err == nil:
		ln.acked, ln.probing, ln.backoff = true, false, 0
		p.let(ln, e, nil)
	case isContent(err) && e.solo && e.letters < 2:
		rq = nil
		p.condemn(ln, e, err)
	case isContent(err) && rq != nil && !e.framed && !e.queued && !ln.rewinding:
		ln.unlink(e)
		if e.told {
			break // answered 503
		}
		e.told = true
		rq.lose(r)
	case p.spool == nil || p.closing.Load():
		p.let(ln, e, refuse(codeNotDurable, "Kafka has not acknowledged; repeat the request"))
	default:
		e.failed, e.content = true, isContent(err) && !e.solo
		p.spill(ln)
		ln.rewinding = true
		rq = nil // rewind lets go of it
	}
	park := ln.settle()
	ln.mu.Unlock()
	if rq != nil {
		rq.leave()
	}
	poke(ln.room)
	if park {
		poke(ln.parking)
	}
}

// let unlinks a record that the producer has let go of.
func (p *producer) let(ln *lane, e *entry, ref *refusal) {
	ln.unlink(e)
	if e.rq == nil && ref == nil {
		p.metrics.spoolDrained.Inc()
	}
	if e.rq != nil && !e.told {
		e.told = true
		e.rq.told(ref)
	}
}

// spill turns a direct lane into a spooled one: what it still waits for is appended first. The caller holds the lane.
func (p *producer) spill(ln *lane) {
	if p.spool == nil || ln.spooled.Load() {
		return
	}
	ln.spooled.Store(true)
	ln.handed, ln.acked = true, false
	ln.next = later(ln.next, p.spool.end()) // nothing of it lies before, and a position should not go back
	total := int64(0)
	for e := ln.head; e != nil; e = e.next {
		if !e.framed { // one from the spool may still be with the producer
			total += frameSize(e.r)
		}
	}
	p.log.Warn("kafka does not acknowledge; the lane goes to the spool", "topic", ln.topic, "lane", ln.name, "bytes", total)
	if ref := p.spool.reserve(total); ref != nil {
		for e := ln.head; e != nil; e = e.next {
			if !e.told {
				e.told = true
				e.rq.told(ref)
			}
		}
		return
	}
	for e := ln.head; e != nil; e = e.next {
		if e.framed {
			continue
		}
		e.queued, e.counted = true, true
		ln.window.Add(e.size)
		e.rq.users.Add(1)
		e.rq.spooled.Store(true)
		p.append(ln, item{ln: ln, rq: e.rq, e: e, size: frameSize(e.r)}, e.r, ln.dead)
	}
}

// patrol spools the lanes that Kafka keeps waiting, until ctx ends.
func (p *producer) patrol(ctx context.Context) {
	tick := time.NewTicker(max(min(p.timeouts.AckTimeout, 500*time.Millisecond)/10, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		l := p.lanes.Load()
		if l == nil {
			continue
		}
		patience := p.timeouts.AckTimeout
		if p.busy() {
			patience = min(patience, 500*time.Millisecond)
		}
		now := time.Now()
		for _, ln := range l.all {
			ln.mu.Lock()
			if ln.head != nil && !ln.spooled.Load() && now.Sub(ln.head.at) >= patience {
				p.lastFail.Store(now.UnixNano())
				p.spill(ln)
			}
			park := ln.settle()
			ln.mu.Unlock()
			if park {
				poke(ln.parking)
			}
		}
	}
}
