package wire

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/millstream-data/millstream/internal/event"
)

// Kind says what a record of a topic of changes is.
type Kind string

// The kinds of records. Everything that is not KindChange has no value and
// looks like a tombstone to a consumer that knows Debezium only.
const (
	KindChange Kind = "change"
	KindSchema Kind = "schema"
	KindPoll   Kind = "poll"
)

// ChangeHeader is what the headers of a record on a topic of changes say.
type ChangeHeader struct {
	Kind     Kind
	Source   string
	Table    string // schema.table as the origin writes them
	Op       event.Op
	Strategy string
	Poll     string
	Schema   string // first 16 hex digits of the schema's fingerprint
	Version  string // of the row: xmin in decimal, or 32 hex digits
	Body     []byte // of a mark: its JSON
}

// AppendChangeHeaders appends the headers of a change, a schema mark or a poll
// mark to dst.
func AppendChangeHeaders[H headerShape](dst []H, h ChangeHeader) []H {
	dst = append(dst,
		H{Key: HeaderV, Value: []byte(Version)},
		H{Key: HeaderKind, Value: []byte(h.Kind)},
		H{Key: HeaderSource, Value: []byte(h.Source)},
		H{Key: HeaderTable, Value: []byte(h.Table)},
	)
	if h.Kind != KindChange {
		return append(dst, H{Key: HeaderBody, Value: h.Body})
	}
	return append(dst,
		H{Key: HeaderOp, Value: []byte(h.Op)},
		H{Key: HeaderStrategy, Value: []byte(h.Strategy)},
		H{Key: HeaderPoll, Value: []byte(h.Poll)},
		H{Key: HeaderSchema, Value: []byte(h.Schema)},
		H{Key: HeaderVersion, Value: []byte(h.Version)},
	)
}

// ParseChangeHeaders reads the headers of a record on a topic of changes.
// Headers that it does not know are ignored; kind, source and table must be
// there. Body aliases the header's value.
func ParseChangeHeaders[H headerShape](hs []H) (ChangeHeader, error) {
	var out ChangeHeader
	for _, raw := range hs {
		h := Header(raw)
		v := string(h.Value)
		switch h.Key {
		case HeaderV:
			if v != Version {
				return out, fmt.Errorf("header v: unknown version %q", v)
			}
		case HeaderKind:
			out.Kind = Kind(v)
		case HeaderSource:
			out.Source = v
		case HeaderTable:
			out.Table = v
		case HeaderOp:
			out.Op = event.Op(v)
		case HeaderStrategy:
			out.Strategy = v
		case HeaderPoll:
			out.Poll = v
		case HeaderSchema:
			out.Schema = v
		case HeaderVersion:
			out.Version = v
		case HeaderBody:
			out.Body = h.Value
		}
	}
	if out.Kind == "" || out.Source == "" || out.Table == "" {
		return out, fmt.Errorf("headers: a record of changes needs kind, source and table")
	}
	return out, nil
}

// MarkKey returns the record key of a mark, which no row can have.
func MarkKey(k Kind) []byte { return []byte(`{"__millstream":"` + string(k) + `"}`) }

// DecodeChange reads the value of a change. Members that it does not know are
// ignored; a row that is no object and an operation other than r, c, u and d
// are errors.
func DecodeChange(value []byte) (event.Change, error) {
	var c event.Change
	if err := json.Unmarshal(value, &c); err != nil {
		return c, fmt.Errorf("decode change: %w", err)
	}
	if isNull(c.Before) {
		c.Before = nil
	}
	if isNull(c.After) {
		c.After = nil
	}
	if isNull(c.Transaction) {
		c.Transaction = nil
	}
	if c.Before != nil && c.Before[0] != '{' || c.After != nil && c.After[0] != '{' {
		return c, fmt.Errorf("decode change: before and after must be objects or null")
	}
	switch c.Op {
	case event.OpRead, event.OpCreate, event.OpUpdate, event.OpDelete:
		return c, nil
	}
	return c, fmt.Errorf("decode change: unknown op %q", c.Op)
}

// PassAndPage returns the two numbers of a change's source sequence.
func PassAndPage(sequence string) (pass, page int64, err error) {
	var parts [2]string
	if err := json.Unmarshal([]byte(sequence), &parts); err != nil {
		return 0, 0, fmt.Errorf("sequence %q: %w", sequence, err)
	}
	if pass, err = strconv.ParseInt(parts[0], 10, 64); err != nil {
		return 0, 0, fmt.Errorf("sequence %q: %w", sequence, err)
	}
	if page, err = strconv.ParseInt(parts[1], 10, 64); err != nil {
		return 0, 0, fmt.Errorf("sequence %q: %w", sequence, err)
	}
	return pass, page, nil
}

// Sequence is the text form that PassAndPage reads.
func Sequence(pass, page int64) string { return fmt.Sprintf(`["%d","%d"]`, pass, page) }

// TableFingerprint is the SHA-256 of the lines name TAB origin TAB lake TAB key
// LF of a mirrored table's columns, as "sha256:" and 64 hex digits.
func TableFingerprint(cols []event.TableColumn) string {
	h := sha256.New()
	for _, c := range cols {
		fmt.Fprintf(h, "%s\t%s\t%s\t%d\n", c.Name, c.Origin, c.Lake, c.Key)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// Schema16 is the form of a table's fingerprint in the header "schema": its
// first 16 hex digits.
func Schema16(fingerprint string) string {
	const lead = len("sha256:")
	if len(fingerprint) < lead+16 {
		return fingerprint
	}
	return fingerprint[lead : lead+16]
}

// EncodeMark returns the body of a schema mark (event.TableSchema) or a poll
// mark (event.Poll), or of a pointer to one. Lists and maps that are nil are
// written as empty ones.
func EncodeMark(mark any) ([]byte, error) {
	switch m := mark.(type) {
	case *event.TableSchema:
		mark = withoutNil(*m)
	case event.TableSchema:
		mark = withoutNil(m)
	}
	b, err := marshal(mark)
	if err != nil {
		return nil, fmt.Errorf("encode mark: %w", err)
	}
	return b, nil
}

func withoutNil(s event.TableSchema) event.TableSchema {
	for _, list := range []*[]string{&s.Key, &s.Retyped, &s.Dropped} {
		if *list == nil {
			*list = []string{}
		}
	}
	if s.Renamed == nil {
		s.Renamed = map[string]string{}
	}
	if s.Columns == nil {
		s.Columns = []event.TableColumn{}
	}
	return s
}

// DecodeTableSchema reads the body of a schema mark. A version above 1 is an
// error; members that it does not know are ignored.
func DecodeTableSchema(body []byte) (event.TableSchema, error) {
	var s event.TableSchema
	if err := json.Unmarshal(body, &s); err != nil {
		return s, fmt.Errorf("decode schema mark: %w", err)
	}
	if s.V != 1 {
		return s, fmt.Errorf("decode schema mark: unknown version %d", s.V)
	}
	return s, nil
}

// DecodePoll reads the body of a poll mark. A version above 1 is an error;
// members that it does not know are ignored.
func DecodePoll(body []byte) (event.Poll, error) {
	var p event.Poll
	if err := json.Unmarshal(body, &p); err != nil {
		return p, fmt.Errorf("decode poll mark: %w", err)
	}
	if p.V != 1 {
		return p, fmt.Errorf("decode poll mark: unknown version %d", p.V)
	}
	return p, nil
}

// marshal is json.Marshal that leaves <, > and & as they are: rows are full of
// them, and no reader puts a record into HTML unescaped.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), nil
}

func isNull(b json.RawMessage) bool { return string(b) == "null" }
