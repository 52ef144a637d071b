package ingest

import (
	"bytes"
	"slices"

	"github.com/millstream-data/millstream/internal/event"
)

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
	if f.flags == 0 && f.longID == nil && f.violations == nil && !setIP && !s.caller.browser && len(shared) == 0 && !has(own, fieldMillstream) {
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
	mine := s.overrides(own, shared)
	for _, m := range shared {
		if m.field != fieldMillstream && (m.field != fieldIP || !setIP) && !mine.has(m) {
			a.buf = appendMember(a.buf, lo, s.body[m.lo:m.val.hi])
		}
	}
	if setIP && len(s.caller.ip) > 0 {
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

// setsIP says whether context.ip is the request's: always for browsers, for servers only if the event asks for it. Where
// nobody knows that any more there is none: what the event says was not believed when it came.
func (s *stamper) setsIP(own, shared []member) bool {
	return s.caller.browser || isDirect(s.body, own, shared)
}

// isDirect says whether an event of a server asks for the address of its request.
func isDirect(b []byte, own, shared []member) bool {
	for _, list := range [2][]member{own, shared} {
		for _, m := range slices.Backward(list) {
			if m.field == fieldDirect {
				return string(m.val.of(b)) == "true"
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
	if f.flags == 0 && f.longID == nil && f.violations == nil && f.bot == "" {
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
	if f.bot != "" {
		a.buf = append(append(appendMember(a.buf, lo, `"bot":"`), f.bot...), '"')
	}
	if f.violations != nil {
		a.buf = append(appendMember(a.buf, lo, `"violations":`), f.violations...)
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
	mine := s.overrides(own, shared)
	for _, m := range shared {
		if !mine.has(m) {
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

// override tells which members of a batch an event has itself.
type override struct {
	s   *stamper
	own []member
	set map[string]struct{} // instead of looking through own, where that would take long
}

func (s *stamper) overrides(own, shared []member) override {
	o := override{s: s, own: own}
	if len(own)*len(shared) > 1<<12 { // nobody sends that; somebody could, to keep this server busy
		o.set = make(map[string]struct{}, len(own))
		for _, m := range own {
			o.set[string(unescape(nil, s.nameOf(m)))] = struct{}{}
		}
	}
	return o
}

// has says whether the event has a member of m's name.
func (o override) has(m member) bool {
	name := o.s.nameOf(m)
	if o.set != nil {
		_, ok := o.set[string(unescape(nil, name))]
		return ok
	}
	for i := range o.own {
		other := o.s.nameOf(o.own[i])
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
