package wire

import (
	"strconv"
	"time"

	"github.com/millstream-data/millstream/internal/event"
)

// MaxRejected bounds the original bytes that a dead letter carries, where
// Rejected.Max says nothing else.
const MaxRejected = 900 << 10

// Rejected is a dead letter. Its record's key is Source, its value Original.
type Rejected struct {
	Stage   event.Stage
	Code    event.Code
	Message string // a sentence for people
	Source  string
	// ID names the dead letter; a repeated record has the same one. It is a
	// UUID from ingest and <topic>/<partition>/<offset> from later stages.
	ID         string
	MessageID  string
	ReceivedAt time.Time // zero if unknown
	Type       string    // as sent; may be no type at all
	Key        string    // fingerprint of the write key
	RequestID  string
	Route      string // by which it came in, as ingest knows it
	Index      int    // place in the batch, or -1
	Envelope   []byte // the batch's sentAt, context and integrations as JSON
	Sender     []byte // what the request said of its sender, as JSON
	Redacted   bool   // the bytes were withheld for privacy
	Size       int    // bytes of the original before it was cut
	Truncated  bool   // set by ParseRejected: Original was cut
	Original   []byte
	Max        int // bytes of Original that are kept; 0: MaxRejected

	// Of a row of a mirrored table.
	Table     string // schema.table
	Column    string // whose value it was, or ""
	RecordKey string // the row's key as JSON
}

// Value returns the bytes to store and whether they were cut.
func (r Rejected) Value() (value []byte, truncated bool) {
	most := r.Max
	if most == 0 {
		most = MaxRejected
	}
	switch {
	case r.Redacted:
		return nil, false
	case len(r.Original) > most:
		return r.Original[:most], true
	}
	return r.Original, false
}

// AppendRejectedHeaders appends the headers of r's record to dst. Members that
// are empty are left out, but for those that every dead letter has. The envelope and
// the sender are not copied.
func AppendRejectedHeaders[H headerShape](dst []H, r Rejected) []H {
	put := func(key, value string) {
		if value != "" {
			dst = append(dst, H{Key: key, Value: []byte(value)})
		}
	}
	dst = append(dst,
		H{Key: HeaderV, Value: []byte(Version)},
		H{Key: HeaderStage, Value: []byte(r.Stage)},
		H{Key: HeaderCode, Value: []byte(r.Code)},
		H{Key: HeaderMessage, Value: []byte(r.Message)},
		H{Key: HeaderSource, Value: []byte(r.Source)},
	)
	put(HeaderID, r.ID)
	put(HeaderMessageID, r.MessageID)
	if !r.ReceivedAt.IsZero() {
		put(HeaderReceivedAt, strconv.FormatInt(r.ReceivedAt.UnixMilli(), 10))
	}
	put(HeaderType, r.Type)
	put(HeaderKey, r.Key)
	size := r.Size
	if size == 0 {
		size = len(r.Original)
	}
	put(HeaderSize, strconv.Itoa(size))
	if _, cut := r.Value(); cut || r.Truncated {
		put(HeaderTruncated, "1")
	}
	if r.Redacted {
		put(HeaderRedacted, "1")
	}
	put(HeaderRequestID, r.RequestID)
	put(HeaderRoute, r.Route)
	if r.Index >= 0 {
		put(HeaderIndex, strconv.Itoa(r.Index))
	}
	if len(r.Envelope) > 0 { // shared by all dead letters of a batch
		dst = append(dst, H{Key: HeaderEnvelope, Value: r.Envelope})
	}
	if len(r.Sender) > 0 {
		dst = append(dst, H{Key: HeaderSender, Value: r.Sender})
	}
	put(HeaderTable, r.Table)
	put(HeaderColumn, r.Column)
	put(HeaderRecordKey, r.RecordKey)
	return dst
}

// ParseRejected reads a dead letter. It never fails: a dead letter that has
// lost a header is still worth showing. Original, Envelope and Sender alias value and
// headers.
func ParseRejected[H headerShape](hs []H, value []byte) Rejected {
	r := Rejected{Index: -1, Original: value, Size: len(value)}
	for _, raw := range hs {
		h := Header(raw)
		v := string(h.Value)
		switch h.Key {
		case HeaderStage:
			r.Stage = event.Stage(v)
		case HeaderCode:
			r.Code = event.Code(v)
		case HeaderMessage:
			r.Message = v
		case HeaderSource:
			r.Source = v
		case HeaderID:
			r.ID = v
		case HeaderMessageID:
			r.MessageID = v
		case HeaderReceivedAt:
			if ms, err := strconv.ParseInt(v, 10, 64); err == nil {
				r.ReceivedAt = time.UnixMilli(ms).UTC()
			}
		case HeaderType:
			r.Type = v
		case HeaderKey:
			r.Key = v
		case HeaderSize:
			if n, err := strconv.Atoi(v); err == nil && n >= len(value) {
				r.Size = n
			}
		case HeaderTruncated:
			r.Truncated = v == "1"
		case HeaderRedacted:
			r.Redacted = v == "1"
		case HeaderRequestID:
			r.RequestID = v
		case HeaderRoute:
			r.Route = v
		case HeaderIndex:
			if n, err := strconv.Atoi(v); err == nil && n >= 0 {
				r.Index = n
			}
		case HeaderEnvelope:
			r.Envelope = h.Value
		case HeaderSender:
			r.Sender = h.Value
		case HeaderTable:
			r.Table = v
		case HeaderColumn:
			r.Column = v
		case HeaderRecordKey:
			r.RecordKey = v
		}
	}
	return r
}
