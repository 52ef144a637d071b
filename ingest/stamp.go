package ingest

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"strconv"
	"time"

	"github.com/millstream-data/millstream/internal/event"
)

// caller is what the request itself says of its sender; the members are JSON strings, or empty.
type caller struct {
	ip, userAgent, locale []byte
	browser               bool // with a browser's key these take part in the context
	suspect               bool // its source wants to know of bots
	bot                   bool // its user agent is one's
}

// stamper turns the events of one request into values. It copies the client's bytes and writes only what it must.
type stamper struct {
	body      []byte
	idx       *index
	arena     *arena
	hash      hash.Hash // SHA-256, reused
	ids       *event.IDs
	source    string
	letter    string // id of the dead letter that is replayed
	caller    caller
	received  time.Time
	skew      bool // correct the client's clock
	importing bool // history: neither correct nor clamp
}

// stamp appends the value of the event ev to the arena and returns it. f gains the message id and the flags that come
// of the time.
func (s *stamper) stamp(ev *eventIndex, f *facts, at int) []byte {
	sentAt := f.val[fieldSentAt].of(s.body)
	addSentAt := isNull(sentAt) && s.idx.env.sentAt.len() > 0
	if addSentAt {
		sentAt = s.idx.env.sentAt.of(s.body)
	}
	t := times{f.val[fieldTimestamp].of(s.body), f.val[fieldOriginalTimestamp].of(s.body), sentAt}
	when, original, flag := stampTime(t, s.received, s.skew, s.importing)
	f.flags |= flag
	setID := s.identify(ev, f, original, sentAt, at)

	env := &s.idx.env
	s.arena.room(ev.span.len() + env.context.len() + env.integrations.len() + env.sentAt.len() +
		len(s.caller.ip) + len(s.caller.userAgent) + len(s.caller.locale) + len(f.violations) + 1536)
	a, lo := s.arena, len(s.arena.buf)
	a.buf = append(a.buf, `{"receivedAt":"`...)
	a.buf = event.AppendTime(a.buf, s.received)
	a.buf = append(a.buf, `","timestamp":"`...)
	a.buf = event.AppendTime(a.buf, when)
	a.buf = append(a.buf, `","originalTimestamp":`...)
	if original != nil {
		a.buf = append(a.buf, original...)
	} else {
		a.buf = append(a.buf, '"')
		a.buf = event.AppendTime(a.buf, s.received)
		a.buf = append(a.buf, '"')
	}
	if addSentAt {
		a.buf = append(append(a.buf, `,"sentAt":`...), sentAt...)
	}
	keepContext := s.context(ev, f)
	keepIntegrations := s.integrations(ev, f)
	if f.setType {
		a.buf = append(append(append(a.buf, `,"type":"`...), f.typ...), '"')
	}
	if setID {
		a.buf = appendQuoted(append(a.buf, `,"messageId":`...), f.messageID)
	}
	s.copyRest(ev, f, setID, addSentAt, keepContext, keepIntegrations)
	a.buf = append(a.buf, '}')
	return a.since(lo)
}

// copyRest copies the client's members in their order, each of those that the server reads once: as it stands last.
func (s *stamper) copyRest(ev *eventIndex, f *facts, setID, setSentAt, keepContext, keepIntegrations bool) {
	a := s.arena
	for _, m := range s.idx.top[ev.top.lo:ev.top.hi] {
		keep := m.field == fieldOther || f.val[m.field] == m.val
		switch m.field { //nolint:exhaustive // the rest is copied
		case fieldReceivedAt, fieldTimestamp, fieldOriginalTimestamp, fieldWriteKey:
			keep = false
		case fieldType:
			keep = keep && !f.setType
		case fieldMessageID:
			keep = keep && !setID
		case fieldSentAt:
			keep = keep && !setSentAt
		case fieldContext:
			keep = keep && keepContext
		case fieldIntegrations:
			keep = keep && keepIntegrations
		}
		if keep {
			a.buf = append(append(a.buf, ','), s.body[m.lo:m.val.hi]...)
		}
	}
}

// identify makes a message id where the client gave none that can be used, and says whether the server writes it. An
// event that carries a time gets the same id each time its request is repeated; without one, equal events are two.
func (s *stamper) identify(ev *eventIndex, f *facts, original, sentAt []byte, at int) bool {
	a := s.arena
	switch {
	case f.messageID != nil:
		return f.numberID
	case f.longID != nil:
		s.hash.Reset()
		s.hash.Write(f.longID)
		f.messageID = s.digest("sha256-", sha256.Size)
	case original != nil || !isNull(sentAt):
		s.hash.Reset()
		a.room(len(s.source) + 64)
		lo := len(a.buf)
		a.buf = append(append(a.buf, s.source...), 0)
		s.hash.Write(a.since(lo))
		s.hash.Write(sentAt)
		a.buf = append(strconv.AppendInt(append(a.buf[:lo], 0), int64(at), 10), 0)
		s.hash.Write(a.since(lo))
		a.buf = a.buf[:lo]
		s.hash.Write(ev.span.of(s.body))
		f.messageID = s.digest("auto-", 16)
	case s.letter != "": // however often it is replayed
		s.hash.Reset()
		a.room(len(s.letter) + 32)
		lo := len(a.buf)
		a.buf = strconv.AppendInt(append(append(a.buf, s.letter...), 0), int64(at), 10)
		s.hash.Write(a.since(lo))
		a.buf = a.buf[:lo]
		f.messageID = s.digest("auto-", 16)
	default:
		a.room(64)
		lo := len(a.buf)
		a.buf = append(a.buf, s.ids.UUIDv7(s.received)...)
		f.messageID, f.fresh = a.since(lo), true
	}
	return true
}

// digest puts prefix and the first n bytes of the hash in hex into the arena.
func (s *stamper) digest(prefix string, n int) []byte {
	a := s.arena
	a.room(len(prefix) + 3*sha256.Size)
	lo := len(a.buf)
	a.buf = append(a.buf, prefix...)
	mid := len(a.buf)
	sum := s.hash.Sum(a.buf[mid+2*n : mid+2*n])
	a.buf = hex.AppendEncode(a.buf, sum[:n])
	return a.since(lo)
}
