package millstream

import (
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
	one    bool   // Send's: past the queue, and its result is the caller's
	result Result // of one
}

// entry is one event of a batch: events[start:end].
type entry struct {
	start, end int
	id         int // length of the message id at idAt, or 0 where it must be looked for
	at         time.Duration
}

// span is a part of a batch that goes out in one request: items[lo:hi].
type span struct {
	lo, hi   int
	tries    int // requests of this span
	attempts int // requests that have held its events, before it was split too
	counted  int // answers that blamed it
}

func (b *batch) reset() { b.events, b.items = b.events[:0], b.items[:0] }

func (b *batch) body(s span) []byte { return b.events[b.items[s.lo].start:b.items[s.hi-1].end] }

func (b *batch) messageID(i int) string {
	it := b.items[i]
	return idIn(b.events[it.start:it.end], it.id)
}

// idIn returns the message id of an encoded event, whose length at idAt is known, or 0.
func idIn(event []byte, length int) string {
	if length > 0 && len(event) > idAt+length {
		raw := event[idAt : idAt+length]
		plain := true
		for _, b := range raw {
			plain = plain && b != '\\'
		}
		if plain {
			return string(raw)
		}
	}
	var head struct {
		MessageID string `json:"messageId"`
	}
	_ = json.Unmarshal(event, &head) // an event of another SDK's spool may have an id that is no text
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
	if c.batchFirst == none && c.q.n > 0 {
		c.batchFirst = c.popped + 1
	}
	for stop := len(b.events) + chunkSize; len(b.events) < stop; {
		if c.q.n == 0 || len(b.items) == c.opts.BatchEvents {
			return false
		}
		next := c.q.peek()
		if len(b.items) > 0 && bodyExtra+len(b.events)+1+int(next.size) > c.opts.BatchBytes {
			return false
		}
		if len(b.items) > 0 {
			b.events = append(b.events, ',')
		}
		start := len(b.events)
		b.events, _ = c.q.pop(b.events)
		b.items = append(b.items, entry{start, len(b.events), int(next.id), next.at})
		c.popped++
		c.flight++
		c.flightBytes += int(next.size)
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
	c.flight -= n
	c.flightBytes -= size
	if code == ReasonClosed {
		c.abandoned += n
	}
	switch {
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
	if fate == Dropped && code != ReasonConsent {
		c.warn.warn("drop "+code, "millstream: events dropped", "reason", code, "events", n, "message", message)
	}
}
