package ingest

import (
	"strconv"

	"github.com/millstream-data/millstream/internal/event"
)

// PlanMode says what becomes of an event that a tracking plan does not agree with.
type PlanMode string

// The modes of a tracking plan.
const (
	PlanAllow  PlanMode = "allow"  // it is counted
	PlanFlag   PlanMode = "flag"   // it gains context.millstream.violations
	PlanReject PlanMode = "reject" // it becomes a dead letter
)

// outcome is what a plan makes of an event.
type outcome uint8

const (
	outcomeNone outcome = iota // the plan says nothing about such events
	outcomeOK
	outcomeAllow
	outcomeFlag
	outcomeReject
	outcomeWouldFlag
	outcomeWouldReject
	outcomeEnd
)

func (o outcome) String() string {
	switch o {
	case outcomeNone:
		return "unjudged"
	case outcomeOK:
		return "ok"
	case outcomeAllow:
		return "allow"
	case outcomeFlag:
		return "flag"
	case outcomeReject:
		return "reject"
	case outcomeWouldFlag:
		return "would_flag"
	case outcomeWouldReject:
		return "would_reject"
	case outcomeEnd:
	}
	panic("BUG: unknown outcome")
}

// outcomeOf is what mode makes of a violation.
func outcomeOf(mode PlanMode, dryRun bool) outcome {
	switch {
	case mode == PlanFlag && dryRun:
		return outcomeWouldFlag
	case mode == PlanFlag:
		return outcomeFlag
	case mode == PlanReject && dryRun:
		return outcomeWouldReject
	case mode == PlanReject:
		return outcomeReject
	}
	return outcomeAllow
}

// plan is a compiled tracking plan. It does not change.
type plan struct {
	dryRun    bool
	hideNames bool // members that the schemas do not name are not told: the source has privacy rules
	unplanned PlanMode
	events    map[string]*planned // by the name of a track call
	types     [6]*planned         // by place in event.Types; nil for those that are not planned
	heavy     chan struct{}       // one element for each large event that is being judged
}

// planned is what the plan says of one kind of event.
type planned struct {
	schema *schema
	mode   PlanMode
}

// violation is a place in which an event differs from its schema. It never quotes the event's values.
type violation struct {
	path    string // JSON Pointer from the event's root
	rule    string // the schema's keyword
	message string
}

func (v violation) String() string { return v.path + ": " + v.message + " (" + v.rule + ")" }

// maxViolations bounds what is told of one event.
const maxViolations = 10

// Work is counted in steps, of about 0.2 µs each: a schema that looks at a value takes one, and more if it is large. An
// event that would take more than its share is not judged to the end, and counts as one that violates its schema;
// without that a few kilobytes could keep a processor busy for hours where a schema refers to itself.
const (
	planSteps        = 4000    // an event may take so many,
	planStepsPerByte = 2       // so many more for each byte of its properties,
	planStepsEvent   = 1 << 16 // but no more than that,
	planStepsRequest = 2 << 20 // and all events of a request so many
)

// Decoded, properties may take fifty times their bytes. Few large ones are decoded at a time; it would not be faster.
const heavyBytes, heavyAtATime = 16 << 10, 2

// judge says what the plan makes of an event whose members were found sound, and which violations it has. left is what
// the request may still spend.
func (p *plan) judge(body []byte, members []member, f *facts, left *int) (outcome, []violation) {
	pl := p.types[typeAt(f.typ)]
	if f.typ == event.Track {
		if pl = p.events[string(f.name)]; pl == nil {
			return outcomeOf(p.unplanned, p.dryRun), []violation{{"/event", "unplanned", "the tracking plan has no such event"}}
		}
	}
	if pl == nil {
		return outcomeNone, nil
	}
	name := payloadOf(f.typ)
	raw := findMember(body, members, name)
	if len(raw) > heavyBytes {
		p.heavy <- struct{}{}
		defer func() { <-p.heavy }()
	}
	found := pl.schema.check(raw, "/"+name, p.hideNames, left)
	if len(found) == 0 {
		return outcomeOK, nil
	}
	return outcomeOf(pl.mode, p.dryRun), found
}

// payloadOf names the member of an event that a schema is about.
func payloadOf(t event.Type) string {
	if t == event.Identify || t == event.Group {
		return "traits"
	}
	return "properties"
}

// refusalOf is the verdict over an event with these violations.
func refusalOf(found []violation) verdict {
	if found[0].rule == "unplanned" {
		return verdict{event.CodeUnplannedEvent, found[0].message}
	}
	message := found[0].String()
	if n := len(found) - 1; n > 0 {
		message += ", and " + strconv.Itoa(n) + " more"
	}
	return verdict{event.CodePlanViolation, message}
}

// appendViolations writes found as a JSON array.
func appendViolations(dst []byte, found []violation) []byte {
	dst = append(dst, '[')
	for i, v := range found {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendQuoted(append(dst, `{"path":`...), []byte(v.path))
		dst = appendQuoted(append(dst, `,"rule":`...), []byte(v.rule))
		dst = append(appendQuoted(append(dst, `,"message":`...), []byte(v.message)), '}')
	}
	return append(dst, ']')
}

// plan lets the source's plan judge event i. The verdict is zero if the event is accepted, which may give f violations.
func (rq *request) plan(p *plan, i int, f *facts) verdict {
	ev := &rq.idx.events[i]
	left := planStepsRequest - rq.planSpent
	o, found := p.judge(rq.body.b, rq.idx.top[ev.top.lo:ev.top.hi], f, &left)
	rq.planSpent = planStepsRequest - left
	rq.planned[o]++
	switch o {
	case outcomeReject:
		return refusalOf(found)
	case outcomeFlag:
		f.violations = appendViolations(nil, found)
	case outcomeWouldReject:
		f.would = refusalOf(found)
	case outcomeNone, outcomeOK, outcomeAllow, outcomeWouldFlag, outcomeEnd:
	}
	return verdict{}
}

// try notes an event that a plan in its dry run would have refused, as it is after the privacy rules.
func (rq *request) try(i int, f *facts) {
	if len(rq.would) == 2*keepWould { // no more than the last ones are remembered
		rq.would = append(rq.would[:0], rq.would[keepWould:]...)
	}
	rq.would = append(rq.would, wouldReject{
		at: rq.received, code: f.would.code, message: f.would.message, typ: f.typ, event: string(f.name), messageID: string(f.sentID()),
		requestID: rq.id, index: i, key: rq.access.fingerprint, size: rq.idx.events[i].span.len(),
	})
}

// countPlanned enters what became durable.
func (rq *request) countPlanned() {
	source := rq.access.source.name
	for o := outcomeOK; o < outcomeEnd; o++ {
		if n := rq.planned[o]; n > 0 {
			rq.srv.metrics.planned.WithLabelValues(source, o.String()).Add(float64(n))
		}
	}
	if len(rq.would) > 0 {
		rq.srv.dryRuns.add(source, rq.would)
	}
}
