package ingest

import (
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/wire"
)

// maxEnvelope bounds what a dead letter repeats of its batch.
const maxEnvelope = 8 << 10

// turnDown refuses event i.
func (rq *request) turnDown(i int, f *facts, v verdict, listed bool) {
	ev, message := &rq.idx.events[i], v.message
	if ev.problem != problemNone {
		message = rq.problemOf(ev)
	}
	id := f.sentID()
	if listed {
		rq.refused = append(rq.refused, refused{at: i, code: v.code, message: message, messageID: id})
		rq.made = append(rq.made, made{event: int32(i), dead: true}) //nolint:gosec // a batch is bounded
		rq.records = append(rq.records, rq.forgotten(v.code, message, id, i))
		return
	}
	rq.bury(ev.span.of(rq.body.b), v.code, message, id, string(f.rawType), i)
}

// problemOf says where in an event is what keeps it from being read.
func (rq *request) problemOf(ev *eventIndex) string {
	if ev.problem == problemNotObject {
		return ev.problem.String()
	}
	return problemAt(int(ev.at), ev.problem, ev.span.of(rq.body.b), rq.srv.cfg.Limits.Depth)
}

// bury adds the dead letter of an event, or, at index −1, of the request.
func (rq *request) bury(original []byte, code event.Code, message string, messageID []byte, typ string, at int) {
	rq.refused = append(rq.refused, refused{at: at, code: code, message: message, messageID: messageID})
	if rq.typ != "" {
		typ = string(rq.typ)
	}
	r := wire.Rejected{
		Stage: event.StageIngest, Code: code, Message: message, Source: rq.access.source.name, ID: rq.srv.ids.UUIDv7(rq.received),
		MessageID: string(messageID), ReceivedAt: rq.received, Type: string(cutText([]byte(typ), event.MaxName)), Key: rq.access.fingerprint,
		RequestID: rq.id, Route: rq.route(), Index: at, Original: original, Size: len(original), Max: int(rq.srv.cfg.RejectedMax),
	}
	if at >= 0 {
		r.Index += rq.first
	} else {
		r.Size = max(rq.size, len(original))
		r.Truncated = rq.body == nil && r.Size > 0
	}
	left := rq.shown(at, original, code, r.Max)
	r.Original, r.Envelope, r.Sender, r.Redacted = left.value, left.envelope, left.sender, left.redacted
	r.Truncated = r.Truncated && !r.Redacted
	rq.made = append(rq.made, made{event: int32(at), dead: true}) //nolint:gosec // a batch is bounded
	rq.records = append(rq.records, rq.letter(r))
}

// letter returns the record of a dead letter.
func (rq *request) letter(r wire.Rejected) kgo.Record {
	rq.buried += deadCost + int64(len(r.Envelope)+len(r.Sender))
	value, _ := r.Value()
	return kgo.Record{
		Topic: rq.srv.producer.cfg.Names().Rejected(), // marks it as a dead letter
		Key:   rq.access.source.header, Value: value, Headers: wire.AppendRejectedHeaders[kgo.RecordHeader](nil, r), Timestamp: rq.received,
	}
}

// route is the path of the request as a replay must know it.
func (rq *request) route() string {
	switch {
	case rq.kind == routePixel:
		return "/v1/pixel/" + string(rq.typ)
	case rq.kind == routeEvent:
		return "/v1/" + string(rq.typ)
	case rq.kind == routeImport && rq.access.kind == KindServer:
		return "/v1/import"
	}
	return "/v1/batch"
}

// whole is what there is of the body.
func (rq *request) whole() []byte {
	if rq.body != nil {
		return rq.body.b
	}
	return rq.partial
}

// batchEnvelope is the batch's sentAt, context and integrations, from which a replay stamps as at the first arrival.
// An envelope that is too large is left out: half of one would stamp differently.
func (rq *request) batchEnvelope(b []byte, env *envelope) []byte {
	if rq.envelope != nil || rq.kind == routeEvent || rq.kind == routePixel {
		return rq.envelope
	}
	out := []byte{'{'}
	for _, m := range []struct {
		name string
		val  span
	}{{`"sentAt":`, env.sentAt}, {`"context":`, env.context}, {`"integrations":`, env.integrations}} {
		if m.val.len() > 0 {
			out = append(appendMember(out, 1, m.name), m.val.of(b)...)
		}
	}
	if out = append(out, '}'); len(out) > maxEnvelope {
		out = []byte{}
	}
	rq.envelope = out
	return out
}

// letterSpooled marks a dead letter whose value is the event as it should have been stored: the client's bytes were
// gone when Kafka refused it.
const letterSpooled = "spool"
