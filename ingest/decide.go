package ingest

import (
	"bytes"
	"fmt"

	"github.com/millstream-data/millstream/internal/event"
)

// flags are what the server found odd in an event that it accepted; they go into context.millstream.flags.
type flags uint16

const (
	flagLarge flags = 1 << iota
	flagTypeMismatch
	flagBadID
	flagSuspiciousID
	flagBadTimestamp
	flagClockSkew
	flagBadContext
	flagEnd
)

func (f flags) name() string {
	switch f {
	case flagLarge:
		return "large"
	case flagTypeMismatch:
		return "type_mismatch"
	case flagBadID:
		return "bad_id"
	case flagSuspiciousID:
		return "suspicious_id"
	case flagBadTimestamp:
		return "bad_timestamp"
	case flagClockSkew:
		return "clock_skew"
	case flagBadContext:
		return "bad_context"
	case flagEnd:
	}
	panic("BUG: unknown flag")
}

// verdict says why an event is refused; the zero verdict accepts it.
type verdict struct {
	code    event.Code
	message string
}

// facts is what the server knows of one event after reading it. Its slices belong to the body or to the arena.
type facts struct {
	val       [fieldWriteKey + 1]span // the last occurrence of each member that the server reads
	typ       event.Type
	rawType   []byte // as sent, unescaped; for dead letters
	id        []byte // userId, else anonymousId
	name      []byte // of a track call
	messageID []byte // as it is written; nil if the server makes one
	longID    []byte // the id as sent, if it was too long to be one
	numberID  bool   // messageId was a number
	fresh     bool   // the id was drawn, and no other event has it
	setType   bool   // the server writes the type
	flags     flags
	bot       string // context.millstream.bot

	violations []byte  // of a tracking plan, as a JSON array; nil if none are to be told
	would      verdict // what the plan would have said, were it no dry run
}

// decide reads the members of ev and says whether it is accepted. typ is the route's type, or empty in a batch. It
// depends on nothing but its arguments; unescaped text goes to the arena.
func decide(body []byte, idx *index, ev *eventIndex, typ event.Type, lim limits, a *arena) (facts, verdict) {
	var f facts
	if ev.problem != problemNone {
		return f, verdict{ev.problem.code(), ev.problem.String()}
	}
	f.find(idx, ev)
	if ev.span.len() > lim.soft {
		f.flags |= flagLarge
	}
	f.readMessageID(body, a)
	if size, added := ev.span.len(), idx.env.context.len()+idx.env.integrations.len(); size > lim.event || size+added > lim.hard {
		return f, tooLarge(size, added, lim)
	}
	if v := f.readType(body, typ, a); v.code != "" {
		return f, v
	}
	return f, f.readIDs(body, a)
}

// find notes the last occurrence of each member that the server reads.
func (f *facts) find(idx *index, ev *eventIndex) {
	for _, m := range idx.top[ev.top.lo:ev.top.hi] {
		if m.field != fieldOther {
			f.val[m.field] = m.val
		}
	}
}

// tooLarge says how large an event is, and how large it may be.
func tooLarge(size, added int, lim limits) verdict {
	if size > lim.event {
		return verdict{event.CodeEventTooLarge, fmt.Sprintf("the event has %d bytes, the limit is %d", size, lim.event)}
	}
	return verdict{event.CodeEventTooLarge, fmt.Sprintf("the event has %d bytes, the context and integrations of its batch %d; the limit for both is %d",
		size, added, lim.hard)}
}

func (f *facts) readType(body []byte, route event.Type, a *arena) verdict {
	raw := f.val[fieldType].of(body)
	text, ok := isText(raw)
	if ok {
		f.rawType = a.unescaped(text)
	}
	if route != "" {
		f.typ = route
		f.setType = string(f.rawType) != string(route)
		if f.setType && len(f.rawType) > 0 {
			f.flags |= flagTypeMismatch
		}
		return verdict{}
	}
	if isNull(raw) || ok && len(text) == 0 {
		return verdict{event.CodeMissingType, "type is not set; it is track, identify, page, screen, group or alias"}
	}
	if f.typ, ok = parseType(f.rawType); !ok {
		return verdict{event.CodeUnknownType, "type must be track, identify, page, screen, group or alias, in lower case"}
	}
	return verdict{}
}

// parseType is event.ParseType without the copy of its argument.
func parseType(b []byte) (event.Type, bool) {
	switch string(b) {
	case string(event.Track):
		return event.Track, true
	case string(event.Identify):
		return event.Identify, true
	case string(event.Page):
		return event.Page, true
	case string(event.Screen):
		return event.Screen, true
	case string(event.Group):
		return event.Group, true
	case string(event.Alias):
		return event.Alias, true
	}
	return "", false
}

func (f *facts) readIDs(body []byte, a *arena) verdict {
	user := f.readID(body, fieldUserID, a)
	anonymous := f.readID(body, fieldAnonymousID, a)
	group := f.readID(body, fieldGroupID, a)
	previous := f.readID(body, fieldPreviousID, a)
	if f.id = user; len(user) == 0 {
		f.id = anonymous
	}
	switch {
	case max(len(user), len(anonymous), len(group), len(previous)) > event.MaxName:
		return longID(user, anonymous, group, previous)
	case len(f.id) == 0 && f.flags&flagBadID != 0:
		return verdict{event.CodeMissingIdentity, "userId and anonymousId must be strings or numbers, and one of them set"}
	case len(f.id) == 0:
		return verdict{event.CodeMissingIdentity, "neither userId nor anonymousId is set"}
	case f.typ == event.Alias && len(user) == 0:
		return verdict{event.CodeMissingIdentity, "alias needs userId"}
	case f.typ == event.Alias && len(previous) == 0:
		return verdict{event.CodeMissingPreviousID, "alias needs previousId"}
	case f.typ == event.Group && len(group) == 0:
		return verdict{event.CodeMissingGroupID, "group needs groupId"}
	case f.typ == event.Track:
		return f.readName(body, a)
	}
	return verdict{}
}

// longID names the first id that is too long.
func longID(ids ...[]byte) verdict {
	for i, name := range []string{"userId", "anonymousId", "groupId", "previousId"} {
		if len(ids[i]) > event.MaxName {
			return verdict{event.CodeIDTooLong, fmt.Sprintf("%s has %d bytes, the limit is %d", name, len(ids[i]), event.MaxName)}
		}
	}
	panic("BUG: no id is too long")
}

func (f *facts) readName(body []byte, a *arena) verdict {
	text, _ := isText(f.val[fieldEvent].of(body))
	switch f.name = a.unescaped(text); {
	case len(f.name) == 0:
		return verdict{event.CodeMissingEvent, "track needs event, a string"}
	case len(f.name) > event.MaxName:
		return verdict{event.CodeNameTooLong, fmt.Sprintf("event has %d bytes, the limit is %d", len(f.name), event.MaxName)}
	}
	return verdict{}
}

// readID returns the text of an identifier: a string's, or a number's as it stands.
func (f *facts) readID(body []byte, which field, a *arena) []byte {
	raw := f.val[which].of(body)
	id, ok := isText(raw)
	switch {
	case ok:
		id = a.unescaped(id)
	case isNumber(raw):
		id = raw
	case isNull(raw):
		return nil
	default:
		f.flags |= flagBadID
		return nil
	}
	if isSuspicious(id) {
		f.flags |= flagSuspiciousID
	}
	return id
}

// isSuspicious recognises what programs write when they have no id; thousands of people would become one by it.
func isSuspicious(id []byte) bool {
	if len(id) > 15 {
		return false
	}
	var buf [15]byte
	low := buf[:len(id)]
	for i, c := range id {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		low[i] = c
	}
	switch string(low) {
	case "0", "-1", "null", "(null)", "<null>", "nil", "none", "undefined", "nan", "anonymous", "unknown", "n/a", "guest",
		"true", "false", "[object object]":
		return true
	}
	return false
}

// readMessageID leaves messageID nil if the server has to make one.
func (f *facts) readMessageID(body []byte, a *arena) {
	raw := f.val[fieldMessageID].of(body)
	if text, ok := isText(raw); ok {
		f.messageID = a.unescaped(text)
	} else if isNumber(raw) {
		f.messageID, f.numberID = raw, true
	}
	switch {
	case len(f.messageID) == 0:
		f.messageID = nil
	case len(f.messageID) > event.MaxMessageID:
		f.longID = f.messageID
		f.messageID = nil
	}
}

// sentID is the event's own message id, as far as dead letters name it; nil if the server has to make one.
func (f *facts) sentID() []byte {
	if f.longID != nil {
		return cutText(f.longID, event.MaxMessageID)
	}
	return f.messageID
}

// unescaped returns the text of the inside of a JSON string, which is itself where it has no escapes.
func (a *arena) unescaped(raw []byte) []byte {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw
	}
	a.room(len(raw))
	lo := len(a.buf)
	a.buf = unescape(a.buf, raw)
	return a.since(lo)
}
