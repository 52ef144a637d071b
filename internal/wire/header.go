package wire

import (
	"fmt"
	"strconv"
	"time"

	"github.com/millstream-data/millstream/internal/event"
)

// Header is a record header. It has the shape of the Kafka client's type, so
// the generic functions below work on either without a copy.
type Header struct {
	Key   string
	Value []byte
}

// The shape that a Kafka client's header shares with Header.
type headerShape interface {
	~struct {
		Key   string
		Value []byte
	}
}

// Names of record headers.
const (
	HeaderV          = "v"
	HeaderSource     = "source"
	HeaderType       = "type"
	HeaderEvent      = "event"
	HeaderMessageID  = "message_id"
	HeaderReceivedAt = "received_at"

	HeaderStage     = "stage"
	HeaderCode      = "code"
	HeaderMessage   = "message"
	HeaderID        = "id"
	HeaderKey       = "key"
	HeaderSize      = "size"
	HeaderTruncated = "truncated"
	HeaderRedacted  = "redacted"
	HeaderRequestID = "request_id"
	HeaderRoute     = "route"
	HeaderIndex     = "index"
	HeaderEnvelope  = "envelope"
	HeaderSender    = "sender"
	HeaderColumn    = "column"
	HeaderRecordKey = "record_key"

	HeaderKind     = "kind"
	HeaderTable    = "table"
	HeaderOp       = "op"
	HeaderStrategy = "strategy"
	HeaderPoll     = "poll"
	HeaderSchema   = "schema"
	HeaderVersion  = "version"
	HeaderBody     = "body"
)

// EventHeader is what a consumer can know of an event without parsing its
// JSON. Its strings are copies and may be kept.
type EventHeader struct {
	Source     string
	Type       event.Type
	Event      string // the name of a track call; "" for other types
	MessageID  string
	ReceivedAt time.Time // milliseconds, UTC
}

// AppendEventHeaders appends the headers of an event's record to dst.
func AppendEventHeaders[H headerShape](dst []H, h EventHeader) []H {
	return append(dst,
		H{Key: HeaderV, Value: []byte(Version)},
		H{Key: HeaderSource, Value: []byte(h.Source)},
		H{Key: HeaderType, Value: []byte(h.Type)},
		H{Key: HeaderEvent, Value: []byte(h.Event)},
		H{Key: HeaderMessageID, Value: []byte(h.MessageID)},
		H{Key: HeaderReceivedAt, Value: strconv.AppendInt(nil, h.ReceivedAt.UnixMilli(), 10)},
	)
}

// ParseEventHeaders reads the headers of an event's record. Headers that it
// does not know are ignored; one that is unreadable is an error, and so are a
// version above 1 and a missing or empty source, type, message_id or
// received_at: an empty message id would make duplicates of strangers.
func ParseEventHeaders[H headerShape](hs []H) (EventHeader, error) {
	var (
		out      EventHeader
		received bool
	)
	for _, raw := range hs {
		h := Header(raw)
		switch h.Key {
		case HeaderV:
			if string(h.Value) != Version {
				return out, fmt.Errorf("header v: unknown version %q", h.Value)
			}
		case HeaderSource:
			out.Source = string(h.Value)
		case HeaderType:
			t, ok := event.ParseType(string(h.Value))
			if !ok {
				return out, fmt.Errorf("header type: unknown type %q", h.Value)
			}
			out.Type = t
		case HeaderEvent:
			out.Event = string(h.Value)
		case HeaderMessageID:
			out.MessageID = string(h.Value)
		case HeaderReceivedAt:
			ms, err := strconv.ParseInt(string(h.Value), 10, 64)
			if err != nil {
				return out, fmt.Errorf("header received_at: %w", err)
			}
			out.ReceivedAt = time.UnixMilli(ms).UTC()
			received = true
		}
	}
	switch { // after all of them, for of repeated headers the last one counts
	case out.Source == "":
		return out, missing(HeaderSource)
	case out.Type == "":
		return out, missing(HeaderType)
	case out.MessageID == "":
		return out, missing(HeaderMessageID)
	case !received:
		return out, missing(HeaderReceivedAt)
	}
	return out, nil
}

func missing(header string) error { return fmt.Errorf("header %s: is missing or empty", header) }

// EventKey appends the record key of an event: source, "/", and the user's id
// or else the anonymous one. One person's events stay in order by it.
func EventKey(dst []byte, source, id string) []byte {
	dst = append(dst, source...)
	dst = append(dst, '/')
	return append(dst, id...)
}

// Find returns the value of the first header named key, and whether there is one.
func Find[H headerShape](hs []H, key string) ([]byte, bool) {
	for _, raw := range hs {
		if h := Header(raw); h.Key == key {
			return h.Value, true
		}
	}
	return nil, false
}
