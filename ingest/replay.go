package ingest

import (
	"crypto/sha256"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/wire"
)

// Replayer runs dead letters of this stage through the code that refused them, with the sources as they are
// configured now. It is for one goroutine.
type Replayer struct {
	srv    *Server            // neither listens nor produces
	access map[string]*access // by source and fingerprint
	source map[string]*access // by source; of keys that are gone
	kafka  kafka.Config
	log    *slog.Logger
}

// NewReplayer reads the sources of cfg.
func NewReplayer(cfg Config, k kafka.Config, log *slog.Logger) (*Replayer, error) {
	snap, _, err := compile(cfg)
	if err != nil {
		return nil, err
	}
	zero := func() float64 { return 0 }
	p := &Replayer{
		srv: &Server{
			cfg: cfg, log: log, now: time.Now, gate: gate{limit: 1 << 62}, recent: newRecent(Dedup{}), producer: &producer{cfg: k},
			metrics: newMetrics(prometheus.NewRegistry(), zero, zero, zero, zero),
		},
		access: map[string]*access{}, source: map[string]*access{}, kafka: k, log: log,
	}
	p.srv.sources.Store(snap)
	for _, a := range snap.keys {
		p.access[a.source.name+"/"+a.fingerprint] = a
		p.source[a.source.name] = &access{source: a.source, kind: KindServer}
	}
	return p, nil
}

// Replayed is what became of a dead letter. Its records own their memory.
type Replayed struct {
	ID      string // partition and offset
	Letter  wire.Rejected
	Skipped string          // why it cannot be replayed; empty: it was
	Refusal string          // why it was refused again as a whole
	Events  []*kgo.Record   // that it became
	Refused []*kgo.Record   // dead letters that it became again
	Again   []wire.Rejected // those of Refused
}

// Replay returns what becomes of rec, a record of the dead letters: with its value, envelope, route and time the same
// as at its first arrival, but for what the configuration says otherwise now, and for what privacy rules have taken from
// the sender's address and browser. A message id that has to be made is the same each time.
func (p *Replayer) Replay(rec *kgo.Record) Replayed {
	out := Replayed{ID: place{partition: rec.Partition, offset: rec.Offset}.id(), Letter: wire.ParseRejected(rec.Headers, rec.Value)}
	r := &out.Letter
	if r.ReceivedAt.IsZero() {
		r.ReceivedAt = rec.Timestamp.UTC()
	}
	a := p.access[r.Source+"/"+r.Key]
	if a == nil {
		a = p.source[r.Source]
	}
	rt := routeOf(r)
	switch {
	case r.Stage != event.StageIngest:
		out.Skipped = "another stage"
	case r.Redacted:
		out.Skipped = "redacted"
	case r.Truncated: // size alone says nothing: rules shorten
		out.Skipped = "truncated"
	case len(rec.Value) == 0:
		out.Skipped = "empty"
	case a == nil:
		out.Skipped = "unknown source"
	case rt.kind != routeEvent && rt.kind != routePixel && r.Index >= 0 && len(r.Envelope) == 0:
		out.Skipped = "its batch was not kept"
	}
	if out.Skipped != "" {
		return out
	}
	rq := &request{srv: p.srv, access: a, kind: rt.kind, typ: rt.typ, id: r.RequestID, received: r.ReceivedAt, first: max(r.Index, 0)}
	rq.stamper.hash, rq.clean.again = sha256.New(), true
	rq.body = &buffer{b: bodyOf(r, rt.kind), class: -1}
	if ref := rq.replay(r); ref != nil {
		out.Refusal = ref.code + ": " + ref.message
		rq.records, rq.made = nil, nil
		rq.bury(rq.body.b, event.Code(ref.code), ref.message, nil, "", -1)
	}
	for i := range rq.records {
		made := &rq.records[i]
		if made.Topic == "" {
			made.Topic = p.kafka.Names().Events()
			out.Events = append(out.Events, made)
			continue
		}
		out.Refused, out.Again = append(out.Refused, made), append(out.Again, wire.ParseRejected(made.Headers, made.Value))
	}
	return out
}

// replay does what a request does after its body was read.
func (rq *request) replay(r *wire.Rejected) *refusal {
	if ref := rq.split(); ref != nil {
		return ref
	}
	rq.recall(r)
	rq.begin()
	rq.stamper.letter = r.ID
	if r.Route == letterSpooled {
		return rq.restore()
	}
	return rq.build()
}

// restore makes the record of an event that was stamped already.
func (rq *request) restore() *refusal {
	f, v := decide(rq.body.b, &rq.idx, &rq.idx.events[0], rq.typ, rq.access.source.limits, &rq.arena)
	if v.code != "" || f.messageID == nil {
		return refuse(string(event.CodeInternal), "the spooled event cannot be read: "+v.message)
	}
	rq.records = append(rq.records, kgo.Record{
		Key: append(wire.EventKey(nil, rq.access.source.name, ""), f.id...), Value: rq.body.b, Headers: rq.appendEventHeaders(&f), Timestamp: rq.received,
	})
	return nil
}

// routeOf is the route by which a dead letter came in.
func routeOf(r *wire.Rejected) route {
	name := strings.TrimPrefix(r.Route, "/v1/")
	rt := route{kind: routeEvent}
	switch {
	case name == "import":
		return route{kind: routeImport}
	case r.Route == letterSpooled:
		name = r.Type
	case strings.HasPrefix(name, "pixel/"):
		rt.kind, name = routePixel, strings.TrimPrefix(name, "pixel/")
	}
	var ok bool
	if rt.typ, ok = event.ParseType(name); !ok {
		return route{kind: routeBatch}
	}
	return rt
}

// bodyOf rebuilds the body, as far as it concerned the event.
func bodyOf(r *wire.Rejected, kind routeKind) []byte {
	if kind == routeEvent || kind == routePixel || r.Index < 0 {
		return slices.Clone(r.Original)
	}
	out := append(append([]byte(`{"batch":[`), r.Original...), ']')
	if rest := r.Envelope[1:]; len(rest) > 1 {
		out = append(out, ',')
	}
	return append(out, r.Envelope[1:]...)
}

func (r *Replayed) String() string {
	switch {
	case r.Skipped != "":
		return fmt.Sprintf("%s %s %s: skipped: %s", r.ID, r.Letter.Source, r.Letter.Code, r.Skipped)
	case len(r.Again) > 0:
		return fmt.Sprintf("%s %s %s: refused again: %s: %s", r.ID, r.Letter.Source, r.Letter.Code, r.Again[0].Code, r.Again[0].Message)
	}
	return fmt.Sprintf("%s %s %s: %d events", r.ID, r.Letter.Source, r.Letter.Code, len(r.Events))
}
