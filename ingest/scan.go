package ingest

import "bytes"

// scanner checks a body's grammar and fills an index, in one pass and without allocating. Its methods take the
// position to read at and return the one after what they read, or -1 with problem and at set.
type scanner struct {
	b         []byte
	idx       *index
	maxDepth  int // levels of brackets in an event
	maxEvents int
	problem   problem
	at        int
	tooMany   bool // the batch has more than maxEvents
}

// level says which members of an object the index is about.
type level uint8

const (
	levelEvent level = iota
	levelContext
	levelPlain // integrations: every member, none of them special
)

func (s *scanner) fail(i int, p problem) int {
	s.problem, s.at = p, i
	return -1
}

// single scans a body that is one event. It always leaves one event in the index, if only a broken one.
func (s *scanner) single() {
	i := space(s.b, skipBOM(s.b))
	ev := eventIndex{span: span{uint32(i), uint32(len(s.b))}} //nolint:gosec // bodies are below 1 GiB
	end := s.event(i, &ev)
	if end >= 0 {
		if rest := space(s.b, end); rest < len(s.b) {
			end = s.fail(rest, problemAfter)
		}
	}
	if end >= 0 {
		ev.span.hi = uint32(end) //nolint:gosec // bodies are below 1 GiB
	} else {
		s.spoil(&ev, i)
	}
	s.keep(ev)
}

// whole scans a body that is a batch. False means that the envelope is unreadable: problem, at and tooMany tell why.
func (s *scanner) whole() bool {
	i := space(s.b, skipBOM(s.b))
	if i < len(s.b) && s.b[i] == '{' {
		i = s.batch(i)
	} else {
		i = s.value(i, 0)
	}
	if i < 0 {
		return false
	}
	if i = space(s.b, i); i < len(s.b) {
		s.fail(i, problemAfter)
		return false
	}
	return true
}

func (s *scanner) batch(i int) int {
	if i = space(s.b, i+1); i < len(s.b) && s.b[i] == '}' {
		return i + 1
	}
	for {
		name := i
		if i = s.name(i); i < 0 {
			return -1
		}
		f := s.fieldAt(name, i, batchField)
		if i = s.colon(i); i < 0 {
			return -1
		}
		if i = s.batchMember(i, f); i < 0 {
			return -1
		}
		next, done := s.comma(i, '}')
		if next < 0 || done {
			return next
		}
		i = next
	}
}

// batchMember reads a value of the envelope. Of repeated members the last one counts.
func (s *scanner) batchMember(i int, f field) int {
	env, lo := &s.idx.env, i
	switch f { //nolint:exhaustive // the rest is skipped
	case fieldBatch:
		s.idx.events, s.idx.top, s.idx.batch = s.idx.events[:0], s.idx.top[:0], false
		if i < len(s.b) && s.b[i] == '[' {
			s.idx.batch = true
			return s.events(i)
		}
	case fieldContext, fieldIntegrations:
		whole, parts := &env.context, &env.contextParts
		if f == fieldIntegrations {
			whole, parts = &env.integrations, &env.integrationsParts
		}
		*whole, *parts = span{}, part{}
		if i < len(s.b) && s.b[i] == '{' {
			if i = s.subObject(i, 1, f, parts); i >= 0 {
				*whole = makeSpan(lo, i)
			}
			return i
		}
	case fieldSentAt, fieldWriteKey:
		if i = s.value(i, 1); i >= 0 {
			if f == fieldSentAt {
				env.sentAt = makeSpan(lo, i)
			} else {
				env.writeKey = makeSpan(lo, i)
			}
		}
		return i
	}
	return s.value(i, 1)
}

// events reads the array at i. An event with broken grammar ends where quotes and brackets alone say that it does.
func (s *scanner) events(i int) int {
	if i = space(s.b, i+1); i < len(s.b) && s.b[i] == ']' {
		return i + 1
	}
	for {
		if len(s.idx.events) >= s.maxEvents {
			s.tooMany = true
			return s.fail(i, problemAfter)
		}
		lo, ev := i, eventIndex{}
		next, done := -1, false
		end := s.event(lo, &ev)
		if end >= 0 {
			next, done = s.comma(end, ']')
		}
		if next >= 0 {
			ev.span = makeSpan(lo, end)
		} else {
			end = looseEnd(s.b, lo)
			if end < 0 {
				return -1 // the problem of the strict pass stands
			}
			ev.span = makeSpan(lo, lo+len(bytes.TrimRight(s.b[lo:end], " \t\r\n")))
			s.spoil(&ev, lo)
			if done = s.b[end] == ']'; done {
				next = end + 1
			} else {
				next = space(s.b, end+1)
			}
		}
		s.keep(ev)
		if i = next; done {
			return i
		}
	}
}

// spoil turns the scanner's problem into the event's.
func (s *scanner) spoil(ev *eventIndex, lo int) {
	ev.problem, ev.at = s.problem, uint32(s.at-lo) //nolint:gosec // bodies are below 1 GiB
	s.idx.top = s.idx.top[:ev.top.lo]
	ev.top, ev.context, ev.integrations = part{}, part{}, part{}
	s.problem, s.at = problemNone, 0
}

func (s *scanner) keep(ev eventIndex) {
	s.idx.events = append(s.idx.events, ev)
}

// event reads the value at i and, if it is an object, indexes its members.
func (s *scanner) event(i int, ev *eventIndex) int {
	n := uint32(len(s.idx.top)) //nolint:gosec // bodies are below 1 GiB
	ev.top = part{n, n}
	if i >= len(s.b) || s.b[i] != '{' {
		if i = s.value(i, 0); i >= 0 {
			ev.problem = problemNotObject
		}
		return i
	}
	i = s.object(i, 1, levelEvent, ev)
	ev.top.hi = uint32(len(s.idx.top)) //nolint:gosec // bodies are below 1 GiB
	return i
}

// subObject indexes the first level of the object at i and leaves its range in parts.
func (s *scanner) subObject(i, depth int, f field, parts *part) int {
	lv := levelContext
	if f == fieldIntegrations {
		lv = levelPlain
	}
	lo := uint32(len(s.idx.sub)) //nolint:gosec // bodies are below 1 GiB
	i = s.object(i, depth+1, lv, nil)
	*parts = part{lo, uint32(len(s.idx.sub))} //nolint:gosec // bodies are below 1 GiB
	return i
}

// object reads the object at i, which is level number depth, and indexes its members. ev is nil but for events.
func (s *scanner) object(i, depth int, lv level, ev *eventIndex) int {
	if depth > s.maxDepth {
		return s.fail(i, problemDepth)
	}
	if i = space(s.b, i+1); i < len(s.b) && s.b[i] == '}' {
		return i + 1
	}
	for {
		name := i
		if i = s.name(i); i < 0 {
			return -1
		}
		f := fieldOther
		switch lv {
		case levelEvent:
			f = s.fieldAt(name, i, eventField)
		case levelContext:
			f = s.fieldAt(name, i, contextField)
		case levelPlain:
		}
		if i = s.colon(i); i < 0 {
			return -1
		}
		lo := i
		if ev != nil && (f == fieldContext || f == fieldIntegrations) {
			i = s.eventObject(i, f, ev)
		} else {
			i = s.value(i, depth)
		}
		if i < 0 {
			return -1
		}
		m := member{lo: uint32(name), val: makeSpan(lo, i), field: f} //nolint:gosec // bodies are below 1 GiB
		if ev == nil {
			s.idx.sub = append(s.idx.sub, m)
		} else {
			s.addTop(m, ev)
		}
		next, done := s.comma(i, '}')
		if next < 0 || done {
			return next
		}
		i = next
	}
}

// addTop appends m, or lengthens the run before it.
func (s *scanner) addTop(m member, ev *eventIndex) {
	if n := len(s.idx.top); m.field == fieldOther && n > int(ev.top.lo) && s.idx.top[n-1].field == fieldOther {
		s.idx.top[n-1].val.hi = m.val.hi
		return
	}
	s.idx.top = append(s.idx.top, m)
}

// eventObject reads an event's context or integrations; a value that is no object has no parts.
func (s *scanner) eventObject(i int, f field, ev *eventIndex) int {
	parts := &ev.context
	if f == fieldIntegrations {
		parts = &ev.integrations
	}
	*parts = part{}
	if i < len(s.b) && s.b[i] == '{' {
		return s.subObject(i, 1, f, parts)
	}
	return s.value(i, 1)
}

// fieldAt looks up the name whose quotes stand at lo and before hi.
func (s *scanner) fieldAt(lo, hi int, find func([]byte) field) field {
	raw := s.b[lo+1 : hi-1]
	if bytes.IndexByte(raw, '\\') < 0 {
		return find(raw)
	}
	const longest = len("originalTimestamp")
	if len(raw) > 6*longest {
		return fieldOther
	}
	var buf [6 * longest]byte
	return find(unescape(buf[:0], raw))
}

// value reads any value; depth is the number of brackets open around it.
func (s *scanner) value(i, depth int) int {
	if i >= len(s.b) {
		return s.fail(i, problemEnd)
	}
	switch c := s.b[i]; c {
	case '"':
		return s.text(i)
	case '{', '[':
		return s.skip(i, depth+1, c == '{')
	case 't':
		return s.literal(i, "true")
	case 'f':
		return s.literal(i, "false")
	case 'n':
		return s.literal(i, "null")
	default:
		return s.number(i)
	}
}

// skip reads an object or array of which nothing is indexed.
func (s *scanner) skip(i, depth int, object bool) int {
	if depth > s.maxDepth {
		return s.fail(i, problemDepth)
	}
	closing := byte(']')
	if object {
		closing = '}'
	}
	if i = space(s.b, i+1); i < len(s.b) && s.b[i] == closing {
		return i + 1
	}
	for {
		if object {
			if i = s.name(i); i < 0 {
				return -1
			}
			if i = s.colon(i); i < 0 {
				return -1
			}
		}
		if i = s.value(i, depth); i < 0 {
			return -1
		}
		next, done := s.comma(i, closing)
		if next < 0 || done {
			return next
		}
		i = next
	}
}

// comma reads what follows an element: a comma, after which the next one begins, or the closing bracket.
func (s *scanner) comma(i int, closing byte) (next int, done bool) {
	if i = space(s.b, i); i >= len(s.b) {
		return s.fail(i, problemEnd), false
	}
	switch s.b[i] {
	case ',':
		return space(s.b, i+1), false
	case closing:
		return i + 1, true
	}
	return s.fail(i, problemComma), false
}
