package millstream

import (
	"bytes"
	"encoding/json"
	"time"
)

// Around the events of a request's body; sentAt lies between the first two.
const (
	bodyLead  = `{"sentAt":"`
	bodyMid   = `","batch":[`
	bodyEnd   = `]}`
	bodyExtra = len(bodyLead) + len("2006-01-02T15:04:05.000Z") + len(bodyMid) + len(bodyEnd)
)

// batch is what the sender has taken out of queue or spool: events that have no fate yet, joined as in the body.
type batch struct {
	events []byte
	items  []entry
	zip    poster
	from   *segment // of the spool, or nil
	one    bool     // Send's: past the queue, and its result is the caller's
	result Result   // of one
}

// entry is one event of a batch: events[start:end].
type entry struct {
	start, end int
	at         time.Duration // of the call, by Client.age
	next       int64         // where the spool goes on behind it
}

// span is a part of a batch that goes out in one request: items[lo:hi].
type span struct {
	lo, hi   int
	tries    int // requests of this span
	attempts int // requests that have held its events, before it was split too
	counted  int // answers that blamed it
}

func (b *batch) reset() { b.events, b.items, b.from = b.events[:0], b.items[:0], nil }

func (b *batch) body(s span) []byte { return b.events[b.items[s.lo].start:b.items[s.hi-1].end] }

func (b *batch) messageID(i int) string {
	return idIn(b.events[b.items[i].start:b.items[i].end])
}

// idIn returns the message id of an encoded event: of this SDK's at sight, of another's by parsing.
func idIn(event []byte) string {
	if rest, ok := bytes.CutPrefix(event, []byte(idLead)); ok {
		end := bytes.IndexAny(rest, `"\`)
		if end >= 0 && rest[end] == '"' {
			return string(rest[:end])
		}
	}
	var head struct {
		MessageID string `json:"messageId"`
	}
	_ = json.Unmarshal(event, &head) // the id of another SDK's event may be missing, or no text
	return head.MessageID
}

// fill takes events out of the queue until the batch is full. One larger than the bound goes alone.
func (c *Client) fill(b *batch) {
	for c.fillSome(b) {
	}
}

// fillSome copies at most a chunk or so, because calls wait for the lock meanwhile. It reports whether there may be more.
func (c *Client) fillSome(b *batch) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.spool != nil && !c.spool.broken {
		return false // the queue is the writer's
	}
	if c.batchFirst == none && c.q.n > 0 {
		c.batchFirst = c.popped + 1
	}
	for stop := len(b.events) + chunkSize; len(b.events) < stop; {
		if c.q.n == 0 || len(b.items) == c.opts.BatchEvents {
			return false
		}
		next := c.q.peek()
		if len(b.items) > 0 && bodyExtra+len(b.events)+1+next.size > c.opts.BatchBytes {
			return false
		}
		if len(b.items) > 0 {
			b.events = append(b.events, ',')
		}
		start := len(b.events)
		b.events = c.q.pop(b.events)
		b.items = append(b.items, entry{start: start, end: len(b.events), at: next.at})
		c.popped++
		c.flight++
		c.flightBytes += next.size
	}
	return true
}

// settle gives the events of s their fate. Message goes with each but those of rejected.
func (c *Client) settle(b *batch, s span, fate Fate, code, message string, rejected map[int]rejection) {
	var results []Result
	if c.tell.call != nil || b.one {
		results = make([]Result, 0, s.hi-s.lo)
		for i := s.lo; i < s.hi; i++ {
			r := Result{b.messageID(i), fate, code, message, s.attempts}
			if no, ok := rejected[i-s.lo]; ok {
				r.Fate, r.Code, r.Message = Rejected, no.Code, no.Message
			}
			results = append(results, r)
		}
	}
	n, size := s.hi-s.lo, 0
	for i := s.lo; i < s.hi; i++ {
		size += b.items[i].end - b.items[i].start
	}
	c.mu.Lock()
	c.count(Rejected, "", len(rejected))
	c.count(fate, code, n-len(rejected))
	if code == ReasonClosed {
		c.abandoned += n
	}
	if b.from == nil {
		c.flight -= n
		c.flightBytes -= size
	}
	switch {
	case b.from != nil:
		c.spool.settled(b.from, n, b.items[s.hi-1].next)
	case b.one:
	case s.hi == len(b.items):
		c.batchFirst = none
	default:
		c.batchFirst += uint64(n)
	}
	c.notify()
	c.mu.Unlock()
	if b.one {
		b.result = results[0]
		return
	}
	c.tell.add(results)
	for _, no := range rejected {
		c.warn.warn("rejected", "millstream: the server rejects events", "code", no.Code, "message", no.Message, "events", len(rejected))
		break
	}
	if fate == Dropped && code != ReasonConsent {
		c.warn.warn("drop "+code, "millstream: events dropped", "reason", code, "events", n, "message", message)
	}
}
