package ingest

import (
	"net/http"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/wire"
)

// collect takes in the events of r and returns nil when all that became of them is durable: in this order it
// authenticates, reads, splits, decides and stamps, produces, waits.
func (rq *request) collect(r *http.Request) *refusal {
	ref := rq.take(r)
	rq.charge(ref)
	if ref != nil && (rq.access == nil || !ref.recorded()) {
		return ref
	}
	if ref != nil {
		rq.records, rq.made, rq.ids, rq.refused = rq.records[:0], rq.made[:0], rq.ids[:0], rq.refused[:0]
		rq.meet(r)
		rq.bury(rq.whole(), event.Code(ref.code), ref.message, nil, "", -1)
	}
	if notDurable := rq.settle(); notDurable != nil {
		return notDurable
	}
	return ref
}

// take fills rq.records, without I/O but for the body.
func (rq *request) take(r *http.Request) *refusal {
	snap := rq.srv.sources.Load()
	key, conflict := headerKey(r)
	var ref *refusal
	if key != "" {
		if ref = rq.comeIn(r, snap, key); ref != nil {
			return ref
		}
	}
	if rq.body == nil {
		if ref = rq.read(r); ref != nil {
			return ref
		}
	}
	if ref = rq.split(); ref != nil {
		return ref
	}
	inner := bodyKey(rq.body.b, &rq.idx)
	if rq.access == nil {
		if ref = rq.unreadable(); inner == "" && ref != nil {
			return ref
		}
		if ref = rq.comeIn(r, snap, inner); ref != nil {
			return ref
		}
		key = inner
	}
	if conflict || inner != "" && inner != key {
		rq.srv.metrics.keyConflicts.WithLabelValues(rq.access.source.name).Inc()
	}
	rq.meet(r)
	rq.begin()
	return rq.build()
}

// unreadable says why a single event cannot be read, or nil: its key may be in what was not read, and nobody should
// look for that.
func (rq *request) unreadable() *refusal {
	if rq.kind == routeBatch || rq.kind == routeImport {
		return nil // split has refused it
	}
	ev := &rq.idx.events[0]
	if ev.problem == problemNone {
		return nil
	}
	return refuse(string(ev.problem.code()), rq.problemOf(ev))
}

// split scans the body into rq.idx.
func (rq *request) split() *refusal {
	lim := rq.srv.cfg.Limits
	rq.scan = scanner{
		b: rq.body.b, idx: &rq.idx, maxDepth: lim.Depth, maxEvents: lim.BatchEvents,
	}
	before := rq.idx.size()
	if rq.kind == routeEvent || rq.kind == routePixel {
		if space(rq.body.b, skipBOM(rq.body.b)) == len(rq.body.b) {
			return refuse(codeEmptyBody, emptyBody)
		}
		rq.scan.single()
	} else if !rq.scan.whole() {
		switch {
		case rq.scan.tooMany:
			return refuse(codeTooManyEvents, "a batch is limited to "+strconv.Itoa(lim.BatchEvents)+" events; send smaller ones")
		case space(rq.body.b, skipBOM(rq.body.b)) == len(rq.body.b):
			return refuse(codeEmptyBody, emptyBody)
		}
		return refuse(codeInvalidJSON, problemAt(rq.scan.at, rq.scan.problem, rq.body.b, lim.Depth))
	} else if !rq.idx.batch {
		return refuse(codeNoBatch, `the body is no object with an array "batch"; one event alone goes to /v1/track, /v1/identify and their like`)
	}
	if n := len(rq.idx.events); !rq.hold(int64(max(0, rq.idx.size()-before) + n*recordCost)) {
		return rq.noRoom()
	}
	return nil
}

// begin prepares the stamper for this request, whose sender is known.
func (rq *request) begin() {
	s, a := &rq.stamper, rq.access
	rq.tick = rq.srv.recent.now()
	*s = stamper{
		body: rq.body.b, idx: &rq.idx, arena: &rq.arena, hash: s.hash, ids: &rq.srv.ids, source: a.source.name, received: rq.received,
		skew: a.source.skew, importing: rq.kind == routeImport && a.kind == KindServer,
	}
	rq.arena.room(32)
	lo := len(rq.arena.buf)
	rq.arena.buf = strconv.AppendInt(rq.arena.buf, rq.received.UnixMilli(), 10)
	rq.stampHdr = rq.arena.since(lo)
	s.caller = rq.caller
}

// build decides and stamps every event.
func (rq *request) build() *refusal {
	charged := int64(rq.arena.total)
	rq.reserve(len(rq.idx.events))
	for i := range rq.idx.events {
		rq.one(i)
		if grown := int64(rq.arena.total) + rq.buried - charged; grown > 0 {
			if !rq.hold(grown) {
				return rq.noRoom()
			}
			charged += grown
		}
	}
	rq.sift()
	return nil
}

// one turns event i into a record. A panic over it is a bug, and costs this event only.
func (rq *request) one(i int) {
	ev, n := &rq.idx.events[i], len(rq.records)
	defer func() {
		if p := recover(); p != nil {
			rq.srv.metrics.panics.WithLabelValues("event").Inc()
			rq.srv.log.Error("survived a bug over one event", "panic", p, "request_id", rq.id, "index", i)
			rq.records, rq.made = rq.records[:n], rq.made[:n]
			rq.bury(ev.span.of(rq.body.b), event.CodeInternal, "this server could not handle the event", nil, "", i)
		}
	}()
	f, v := decide(rq.body.b, &rq.idx, ev, rq.typ, rq.access.source.limits, &rq.arena)
	stamped, listed := ev, rq.isListed(ev)
	if listed && v.code == "" && rq.tells() {
		v = verdict{event.CodeSuppressed, suppressedMessage}
	}
	if p := rq.access.source.plan; p != nil && v.code == "" {
		v = rq.plan(p, i, &f)
	}
	if v.code == "" {
		v = rq.judgeBot(ev, &f)
	}
	if v.code == "" && rq.access.source.privacy != nil {
		stamped, v = rq.cleanse(ev, &f)
	}
	if v.code != "" {
		rq.turnDown(i, &f, v, listed)
		return
	}
	if f.would.code != "" && !listed {
		rq.try(i, &f)
	}
	given := f.sentID() != nil
	value := rq.stamper.stamp(stamped, &f, i+rq.first)
	rq.arena.room(len(rq.access.source.name) + 1 + len(f.id))
	lo := len(rq.arena.buf)
	rq.arena.buf = wire.EventKey(rq.arena.buf, rq.access.source.name, "")
	rq.arena.buf = append(rq.arena.buf, f.id...)
	rq.records = append(rq.records, kgo.Record{
		Key: rq.arena.since(lo), Value: value, Headers: rq.appendEventHeaders(&f), Timestamp: rq.received,
	})
	m := made{event: int32(i), typ: uint8(typeAt(f.typ)), fresh: f.fresh, listed: listed, given: given, flags: f.flags} //nolint:gosec // a batch is bounded, and so is a list
	rq.made = append(rq.made, m)
	if listed {
		rq.buried += deadCost // sift puts a dead letter in its place
	}
}

// settle produces rq.records and waits until all are durable.
func (rq *request) settle() *refusal {
	notDurable := refuse(codeNotDurable, "Kafka has not acknowledged; repeat the request")
	if len(rq.records) == 0 {
		if rq.access != nil {
			rq.count()
		}
		return nil
	}
	if isClosed(rq.srv.hurry) {
		return hurried()
	}
	start, limit := time.Now(), time.NewTimer(rq.srv.cfg.Timeouts.AnswerTimeout)
	defer limit.Stop()
	if rq.srv.producer.spool == nil && rq.srv.producer.await(limit.C) == nil {
		return notDurable
	}
	if ref := rq.srv.producer.send(rq); ref != nil {
		return ref
	}
	select {
	case <-rq.done:
	case <-rq.srv.hurry:
		return hurried()
	case <-limit.C:
		rq.srv.producer.lastFail.Store(time.Now().UnixNano())
		return notDurable
	}
	if ref := rq.failed.Load(); ref != nil {
		return ref
	}
	if !rq.alone(limit.C) {
		return notDurable
	}
	path := "kafka"
	if rq.spooled.Load() {
		path = "spool"
		rq.release(rq.held) // what the producer has of it counts in the drain's window, maybe until the end of an outage
	}
	rq.srv.metrics.ack.WithLabelValues(path).Observe(time.Since(start).Seconds())
	if readers := rq.srv.tails.watching(); readers != nil {
		rq.show(readers)
	}
	rq.count()
	return nil
}

// count enters what is durable now.
func (rq *request) count() {
	m, source := rq.srv.metrics, rq.access.source.name
	for i, t := range rq.accepted {
		if t.events > 0 {
			name := string(typeHeaders[i])
			m.accepted.WithLabelValues(source, name).Add(float64(t.events))
			m.bytes.WithLabelValues(source, name).Add(float64(t.bytes))
		}
	}
	m.duplicates.WithLabelValues(source).Add(float64(rq.repeats))
	for bit, n := range rq.flagged {
		if n > 0 {
			m.flagged.WithLabelValues(source, flags(1<<bit).name()).Add(float64(n))
		}
	}
	if rq.hidden > 0 {
		m.rejected.WithLabelValues(source, string(event.CodeSuppressed)).Add(float64(rq.hidden))
	}
	rq.countPlanned()
	for _, r := range rq.refused {
		m.rejected.WithLabelValues(source, string(r.code)).Inc()
	}
}
