package ingest

import (
	"crypto/hmac"
	"crypto/sha256"

	"github.com/millstream-data/millstream/internal/event"
)

// cleaned is an event after the rules of its source, behind what its batch says after them, with an index of its own.
// What becomes of the event is made of these bytes alone. One event is there at a time.
type cleaned struct {
	rewriter
	idx    index
	parts  []cleanedBatch // one for each set of rules that was needed
	events int            // where an event begins in dst, and
	subs   int            // in idx.sub
}

// cleanedBatch is what a batch and its request say to events for which rules hold.
type cleanedBatch struct {
	rules  *ruleset
	env    envelope // in dst
	caller caller
}

// keepCleaned is the most that is kept between requests.
const keepCleaned = 512 << 10

// reset prepares c for a request.
func (c *cleaned) reset() {
	if cap(c.dst) > keepCleaned {
		c.dst = nil
	}
	clear(c.parts)
	c.dst, c.parts, c.events, c.subs = c.dst[:0], c.parts[:0], 0, 0
	c.idx.reset()
}

// event makes c of an event of rq for which rules hold. False means that it takes more than limit bytes.
func (c *cleaned) event(rq *request, rules *ruleset, ev span, limit int) (*eventIndex, *cleanedBatch, bool) {
	part := c.batch(rq, rules, limit)
	c.dst, c.idx.events, c.idx.top, c.idx.sub = c.dst[:c.events], c.idx.events[:0], c.idx.top[:0], c.idx.sub[:c.subs]
	if part == nil || !c.copy(rq, ev, limit, rules.root) {
		return nil, nil, false
	}
	sc, out := scanner{b: c.dst, idx: &c.idx, maxDepth: len(c.dst)}, eventIndex{}
	sc.event(c.events, &out)
	out.span = makeSpan(c.events, len(c.dst))
	c.idx.events, c.idx.env = append(c.idx.events, out), part.env
	return &c.idx.events[0], part, true
}

// copy appends the value at v in the body of rq to dst, as nodes say. False means that it was cut at limit bytes.
func (c *cleaned) copy(rq *request, v span, limit int, nodes ...*pathNode) bool {
	before := cap(c.dst)
	c.limit, c.cut = len(c.dst)+limit, false
	c.run(rq.body.b, int(v.lo), int(v.hi), nodes...)
	rq.arena.total += cap(c.dst) - before // held at the gate with it
	return !c.cut
}

// batch returns the batch's part for rules, or nil if it takes more than limit bytes before them or after. It is made
// once: who alternates between rules has a long one read once more for each of them only.
func (c *cleaned) batch(rq *request, rules *ruleset, limit int) *cleanedBatch {
	for i := range c.parts {
		if c.parts[i].rules == rules {
			return &c.parts[i]
		}
	}
	env := &rq.idx.env
	if env.context.len()+env.integrations.len() > limit {
		return nil
	}
	if key := rq.srv.cfg.PrivacyHashKey; c.mac == nil && key != "" {
		c.mac = hmac.New(sha256.New, []byte(key.Reveal()))
	}
	c.dst, c.idx.top, c.idx.sub = c.dst[:c.events], c.idx.top[:0], c.idx.sub[:c.subs]
	part := cleanedBatch{rules: rules, caller: rq.caller}
	lo := len(c.dst)
	c.dst = append(c.dst, env.sentAt.of(rq.body.b)...)
	part.env.sentAt = makeSpan(lo, len(c.dst))
	ok := c.member(rq, env.context, rules.context, fieldContext, limit, &part.env.context, &part.env.contextParts) &&
		c.member(rq, env.integrations, rules.integrations, fieldIntegrations, limit, &part.env.integrations, &part.env.integrationsParts)
	if !ok {
		return nil
	}
	for i, text := range []*[]byte{&part.caller.ip, &part.caller.userAgent, &part.caller.locale} {
		*text = c.filled(rules.fill[i], *text, &rq.arena)
	}
	c.events, c.subs, c.parts = len(c.dst), len(c.idx.sub), append(c.parts, part)
	return &c.parts[len(c.parts)-1]
}

// member makes a member of the batch: whole and parts say where it is. False means that it takes more than limit bytes.
func (c *cleaned) member(rq *request, v span, nodes []*pathNode, f field, limit int, whole *span, parts *part) bool {
	if v.len() == 0 || acting(nodes) != nil { // what a rule is about goes, for it is no text
		return true
	}
	lo := len(c.dst)
	if !c.copy(rq, v, limit, nodes...) {
		return false
	}
	sc := scanner{b: c.dst, idx: &c.idx, maxDepth: len(c.dst)}
	sc.subObject(lo, 1, f, parts)
	*whole = makeSpan(lo, len(c.dst))
	return true
}

// filled returns what becomes of a text that the server would fill in; nil if nothing does.
func (c *cleaned) filled(n *pathNode, raw []byte, a *arena) []byte {
	if n == nil || len(raw) == 0 {
		return raw
	}
	out, stays := c.become(n, raw)
	switch {
	case !stays:
		return nil
	case out == nil:
		return raw
	}
	return a.keep(out)
}

// cleanse leaves of an accepted event what the rules of its source leave, and lets the stamper work with that. What an
// event cannot be without is asked for once more.
func (rq *request) cleanse(ev *eventIndex, f *facts) (*eventIndex, verdict) {
	src := rq.access.source
	clean, part, ok := rq.clean.event(rq, src.privacy.of(f, rq.body.b, &rq.arena), ev.span, src.limits.hard)
	if !ok {
		return ev, verdict{event.CodeEventTooLarge, "the event is too large after the privacy rules of its source"}
	}
	lim := src.limits
	lim.event = lim.hard // what was sent was not too large, and hashes are long
	left, v := decide(rq.clean.dst, &rq.clean.idx, clean, f.typ, lim, &rq.arena)
	if v.code != "" {
		v.message += ", after the privacy rules of its source"
		return ev, v
	}
	left.flags, left.bot, left.violations, left.would = f.flags, f.bot, f.violations, f.would // of what was sent
	left.name, left.messageID, left.longID = rq.arena.keep(left.name), rq.arena.keep(left.messageID), rq.arena.keep(left.longID)
	*f = left
	s := &rq.stamper
	s.body, s.idx, s.caller = rq.clean.dst, &rq.clean.idx, part.caller
	return clean, v
}

// kept is what a dead letter holds of what was refused.
type kept struct {
	value, envelope, sender []byte
	redacted                bool // nothing: nobody can tell what is in it
}

// shown is what a dead letter may hold of the event at i, or of the body at -1, in most bytes and one more. Of a source
// with rules, what cannot be read is not kept.
func (rq *request) shown(i int, original []byte, code event.Code, most int) kept {
	src := rq.access.source
	switch {
	case !src.guarded() && i < 0:
		return kept{value: original, sender: rq.sender(i, &rq.caller)}
	case src.guarded() && (i < 0 || code == event.CodeInternal || rq.idx.events[i].problem != problemNone):
		return kept{redacted: true}
	case src.privacy == nil:
		return kept{value: original, envelope: rq.batchEnvelope(rq.body.b, &rq.idx.env), sender: rq.sender(i, &rq.caller)}
	}
	ev, f, c, out := &rq.idx.events[i], facts{}, &rq.clean, kept{}
	f.find(&rq.idx, ev)
	f.readType(rq.body.b, rq.typ, &rq.arena)
	rules := src.privacy.of(&f, rq.body.b, &rq.arena)
	if part := c.batch(rq, rules, src.limits.hard); part != nil {
		rq.envelope = nil // the rules of other events may be others
		out.envelope, out.sender = rq.batchEnvelope(c.dst, &part.env), rq.sender(i, &part.caller)
	}
	c.dst = c.dst[:c.events]
	c.copy(rq, ev.span, most+1, rules.root)
	out.value = rq.arena.keep(c.dst[c.events:])
	return out
}

// keep copies b to the arena; nil stays nil.
func (a *arena) keep(b []byte) []byte {
	if b == nil {
		return nil
	}
	a.room(len(b))
	lo := len(a.buf)
	a.buf = append(a.buf, b...)
	return a.since(lo)
}
