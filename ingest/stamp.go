package ingest

import (
	"bytes"
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
}

// stamper turns the events of one request into values. It copies the client's bytes and writes only what it must.
type stamper struct {
	body      []byte
	idx       *index
	arena     *arena
	hash      hash.Hash // SHA-256, reused
	ids       *event.IDs
	source    string
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
		len(s.caller.ip) + len(s.caller.userAgent) + len(s.caller.locale) + 1536)
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
	default:
		a.room(64)
		lo := len(a.buf)
		a.buf = append(a.buf, s.ids.UUIDv7(s.received)...)
		f.messageID = a.since(lo)
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

// context writes the event's context if the server has something to add or to remove. True means that the client's
// stays in its place as it is.
func (s *stamper) context(ev *eventIndex, f *facts) bool {
	env := &s.idx.env
	raw := f.val[fieldContext].of(s.body)
	object := len(raw) > 0 && raw[0] == '{'
	if !object && !isNull(raw) {
		f.flags |= flagBadContext
	}
	own := s.idx.sub[ev.context.lo:ev.context.hi]
	shared := s.idx.sub[env.contextParts.lo:env.contextParts.hi]
	setIP := s.setsIP(own, shared)
	if f.flags == 0 && f.longID == nil && !setIP && !s.caller.browser && len(shared) == 0 && !has(own, fieldMillstream) {
		return true
	}
	a := s.arena
	a.buf = append(a.buf, `,"context":{`...)
	lo := len(a.buf)
	for _, m := range own {
		if m.field != fieldMillstream && (m.field != fieldIP || !setIP) {
			a.buf = appendMember(a.buf, lo, s.body[m.lo:m.val.hi])
		}
	}
	for _, m := range shared {
		if m.field != fieldMillstream && (m.field != fieldIP || !setIP) && !s.named(own, m) {
			a.buf = appendMember(a.buf, lo, s.body[m.lo:m.val.hi])
		}
	}
	if setIP {
		a.buf = append(appendMember(a.buf, lo, []byte(`"ip":`)), s.caller.ip...)
	}
	if s.caller.browser {
		s.fill(lo, fieldUserAgent, `"userAgent":`, s.caller.userAgent, own, shared)
		s.fill(lo, fieldLocale, `"locale":`, s.caller.locale, own, shared)
	}
	s.millstream(lo, f)
	a.buf = append(a.buf, '}')
	return false
}

// setsIP says whether context.ip is the request's: always for browsers, for servers only if the event asks for it.
func (s *stamper) setsIP(own, shared []member) bool {
	if len(s.caller.ip) == 0 {
		return false
	}
	if s.caller.browser {
		return true
	}
	for _, list := range [2][]member{own, shared} {
		for i := len(list) - 1; i >= 0; i-- {
			if list[i].field == fieldDirect {
				return string(list[i].val.of(s.body)) == "true"
			}
		}
	}
	return false
}

func (s *stamper) fill(lo int, f field, name string, value []byte, own, shared []member) {
	if len(value) > 0 && !has(own, f) && !has(shared, f) {
		s.arena.buf = append(appendMember(s.arena.buf, lo, name), value...)
	}
}

// millstream writes the server's own member of context, if there is anything in it.
func (s *stamper) millstream(lo int, f *facts) {
	if f.flags == 0 && f.longID == nil {
		return
	}
	a := s.arena
	a.buf = appendMember(a.buf, lo, `"millstream":{`)
	lo = len(a.buf)
	if f.flags != 0 {
		a.buf = append(a.buf, `"flags":[`...)
		first := len(a.buf)
		for bit := flags(1); bit < flagEnd; bit <<= 1 {
			if f.flags&bit != 0 {
				a.buf = append(append(appendMember(a.buf, first, `"`), bit.name()...), '"')
			}
		}
		a.buf = append(a.buf, ']')
	}
	if f.longID != nil {
		a.buf = appendQuoted(appendMember(a.buf, lo, `"messageId":`), cutText(f.longID, event.MaxMessageID))
	}
	a.buf = append(a.buf, '}')
}

// integrations adds the batch's under the event's own. True means that the client's stays in its place as it is.
func (s *stamper) integrations(ev *eventIndex, f *facts) bool {
	env := &s.idx.env
	shared := s.idx.sub[env.integrationsParts.lo:env.integrationsParts.hi]
	raw := f.val[fieldIntegrations].of(s.body)
	if len(shared) == 0 || !isNull(raw) && raw[0] != '{' {
		return true
	}
	own := s.idx.sub[ev.integrations.lo:ev.integrations.hi]
	a := s.arena
	a.buf = append(a.buf, `,"integrations":{`...)
	lo := len(a.buf)
	for _, m := range own {
		a.buf = appendMember(a.buf, lo, s.body[m.lo:m.val.hi])
	}
	for _, m := range shared {
		if !s.named(own, m) {
			a.buf = appendMember(a.buf, lo, s.body[m.lo:m.val.hi])
		}
	}
	a.buf = append(a.buf, '}')
	return false
}

// appendMember appends m behind a comma, unless it is the first one since lo.
func appendMember[T string | []byte](dst []byte, lo int, m T) []byte {
	if len(dst) > lo {
		dst = append(dst, ',')
	}
	return append(dst, m...)
}

func has(list []member, f field) bool {
	for i := range list {
		if list[i].field == f {
			return true
		}
	}
	return false
}

// named says whether a member of list has the name of m.
func (s *stamper) named(list []member, m member) bool {
	name := s.nameOf(m)
	for i := range list {
		other := s.nameOf(list[i])
		if bytes.Equal(name, other) {
			return true
		}
		if bytes.IndexByte(name, '\\') >= 0 || bytes.IndexByte(other, '\\') >= 0 {
			if bytes.Equal(unescape(nil, name), unescape(nil, other)) { // allocates: nobody escapes names, but somebody may
				return true
			}
		}
	}
	return false
}

// nameOf is the inside of the quoted name that m begins with.
func (s *stamper) nameOf(m member) []byte {
	lo := int(m.lo) + 1
	return s.body[lo:looseQuote(s.body, lo)]
}
