package ingest

import "github.com/millstream-data/millstream/internal/event"

// span is a half-open range of bytes of a body; the zero span stands for what is absent.
type span struct{ lo, hi uint32 }

func (s span) of(b []byte) []byte { return b[s.lo:s.hi] }
func (s span) len() int           { return int(s.hi - s.lo) }

// field names a member that the server reads; all others are fieldOther.
type field uint8

const (
	fieldOther field = iota
	fieldType
	fieldUserID
	fieldAnonymousID
	fieldGroupID
	fieldPreviousID
	fieldEvent
	fieldMessageID
	fieldTimestamp
	fieldOriginalTimestamp
	fieldReceivedAt
	fieldSentAt
	fieldContext
	fieldIntegrations
	fieldWriteKey
	fieldBatch
	fieldMillstream // the rest are members of context
	fieldIP
	fieldUserAgent
	fieldLocale
	fieldDirect
	fieldWebdriver
	fieldCount
)

// member is one member of an object, or, at the top level of an event, a run of neighbours that the server does not
// read: such a run is copied in one piece.
type member struct {
	lo    uint32 // opening quote of the (first) name
	val   span   // the value; of a run, hi alone has a meaning
	field field
}

// part is a range of index.top or index.sub.
type part struct{ lo, hi uint32 }

// eventIndex says where an event and its members are, or what is wrong with it.
type eventIndex struct {
	span         span
	top          part // members, in index.top
	context      part // first level of the last "context", in index.sub
	integrations part // first level of the last "integrations", in index.sub
	problem      problem
	at           uint32 // byte of the problem, from the event's first one
}

// envelope is what a batch says for all its events.
type envelope struct {
	sentAt, writeKey      span
	context, integrations span // zero unless objects
	contextParts          part
	integrationsParts     part
}

// index is the outcome of one pass over a body. Its slices are kept from request to request.
type index struct {
	events []eventIndex
	top    []member
	sub    []member
	env    envelope
	batch  bool // there was an array of events
}

// The most entries that are worth keeping between requests.
const keepEvents, keepMembers = 1 << 11, 1 << 15

func (x *index) reset() {
	if cap(x.events) > keepEvents {
		x.events = nil
	}
	if cap(x.top) > keepMembers {
		x.top = nil
	}
	if cap(x.sub) > keepMembers {
		x.sub = nil
	}
	x.events, x.top, x.sub = x.events[:0], x.top[:0], x.sub[:0]
	x.env, x.batch = envelope{}, false
}

// size is roughly what the index occupies.
func (x *index) size() int { return cap(x.events)*48 + (cap(x.top)+cap(x.sub))*16 }

// problem is why bytes are not what they should be; the zero problem is none.
type problem uint8

const (
	problemNone problem = iota
	problemEnd
	problemValue
	problemName
	problemColon
	problemComma
	problemControl
	problemEscape
	problemNumber
	problemUTF8
	problemDepth
	problemNotObject
	problemAfter
)

func (p problem) String() string {
	switch p {
	case problemNone:
		return "nothing is wrong"
	case problemEnd:
		return "the text ends too early"
	case problemValue:
		return "a value was expected"
	case problemName:
		return "a name in double quotes was expected"
	case problemColon:
		return "a colon was expected"
	case problemComma:
		return "a comma or a closing bracket was expected"
	case problemControl:
		return "unescaped control character"
	case problemEscape:
		return "unknown escape"
	case problemNumber:
		return "malformed number"
	case problemUTF8:
		return "broken UTF-8"
	case problemDepth:
		return "nested too deep"
	case problemNotObject:
		return "an event must be a JSON object"
	case problemAfter:
		return "something follows the end of the text"
	}
	panic("BUG: unknown problem")
}

// code is the public name of p.
func (p problem) code() event.Code {
	switch p { //nolint:exhaustive // the rest is grammar
	case problemUTF8:
		return event.CodeInvalidUTF8
	case problemDepth:
		return event.CodeTooDeep
	case problemNotObject:
		return event.CodeNotAnObject
	}
	return event.CodeInvalidJSON
}

// eventField is the field that an event's member feeds. Names are compared unescaped.
func eventField(name []byte) field {
	switch string(name) {
	case "type":
		return fieldType
	case "userId":
		return fieldUserID
	case "anonymousId":
		return fieldAnonymousID
	case "groupId":
		return fieldGroupID
	case "previousId":
		return fieldPreviousID
	case "event":
		return fieldEvent
	case "messageId":
		return fieldMessageID
	case "timestamp":
		return fieldTimestamp
	case "originalTimestamp":
		return fieldOriginalTimestamp
	case "receivedAt":
		return fieldReceivedAt
	case "sentAt":
		return fieldSentAt
	case "context":
		return fieldContext
	case "integrations":
		return fieldIntegrations
	case "writeKey":
		return fieldWriteKey
	}
	return fieldOther
}

func contextField(name []byte) field {
	switch string(name) {
	case "millstream":
		return fieldMillstream
	case "ip":
		return fieldIP
	case "userAgent":
		return fieldUserAgent
	case "locale":
		return fieldLocale
	case "direct":
		return fieldDirect
	case "webdriver":
		return fieldWebdriver
	}
	return fieldOther
}

func batchField(name []byte) field {
	switch string(name) {
	case "batch":
		return fieldBatch
	case "sentAt":
		return fieldSentAt
	case "context":
		return fieldContext
	case "integrations":
		return fieldIntegrations
	case "writeKey":
		return fieldWriteKey
	}
	return fieldOther
}
