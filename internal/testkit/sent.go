package testkit

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Sent is a request of a tracking client as it was on the wire.
type Sent struct {
	Method, Path string // Path with its query, as it was sent
	Header       http.Header
	Body         []byte // still compressed, if it was
}

// SentEvent is an event of a Sent with what its batch says.
type SentEvent struct {
	Type    string
	Members map[string]json.RawMessage // of the event; bytes as they were sent
	Batch   map[string]json.RawMessage // of the batch without its array; nil for a request of one event
}

// matters lists the headers that an edge may look at.
var matters = []string{
	"Accept-Language", "Authorization", "Content-Encoding", "Content-Type", "Origin", "User-Agent", "X-Retry-Count", "X-Write-Key",
}

// Append writes s as an HTTP request that ParseSent reads, with the headers that matter in a fixed order.
func (s Sent) Append(dst []byte) []byte {
	dst = fmt.Appendf(dst, "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n", s.Method, s.Path, len(s.Body))
	for _, name := range matters {
		for _, v := range s.Header.Values(name) {
			dst = fmt.Appendf(dst, "%s: %s\r\n", name, v)
		}
	}
	return append(append(dst, "\r\n"...), s.Body...)
}

// ParseSent reads what Append wrote.
func ParseSent(b []byte) (Sent, error) {
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(b)))
	if err != nil {
		return Sent{}, fmt.Errorf("parse request: %w", err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return Sent{}, fmt.Errorf("parse request's body: %w", err)
	}
	return Sent{r.Method, r.RequestURI, r.Header, body}, nil
}

// Events splits the body by encoding/json alone, so that what the edge makes of it has something to be compared with.
func (s Sent) Events() ([]SentEvent, error) {
	body := s.Body
	if s.Header.Get("Content-Encoding") == "gzip" {
		zr, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil, fmt.Errorf("inflate: %w", err)
		}
		if body, err = io.ReadAll(zr); err != nil {
			return nil, fmt.Errorf("inflate: %w", err)
		}
	}
	var top map[string]json.RawMessage
	if err := json.Unmarshal(body, &top); err != nil {
		return nil, fmt.Errorf("split body: %w", err)
	}
	raw, isBatch := top["batch"]
	if !isBatch {
		return []SentEvent{{Type: pathType(s.Path), Members: top}}, nil
	}
	delete(top, "batch")
	var batch []map[string]json.RawMessage
	if err := json.Unmarshal(raw, &batch); err != nil {
		return nil, fmt.Errorf("split batch: %w", err)
	}
	events := make([]SentEvent, len(batch))
	for i, members := range batch {
		events[i] = SentEvent{Type: text(members["type"]), Members: members, Batch: top}
	}
	return events, nil
}

// pathType returns the type that a path such as /v1/t or /v1/track stands for.
func pathType(path string) string {
	last := path[strings.LastIndexByte(path, '/')+1:]
	for _, name := range []string{"track", "identify", "page", "screen", "group", "alias"} {
		if last == name || last == name[:1] {
			return name
		}
	}
	return ""
}

// text returns the value of a JSON string, and nothing for all else.
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// members returns those of a JSON object, and none of all else.
func members(raw json.RawMessage) map[string]json.RawMessage {
	var m map[string]json.RawMessage
	if json.Unmarshal(raw, &m) != nil {
		return nil
	}
	return m
}

// MessageID returns the event's message id.
func (e SentEvent) MessageID() string { return text(e.Members["messageId"]) }

// serverMembers are those that the edge writes itself, or takes away.
var serverMembers = []string{"context", "messageId", "originalTimestamp", "receivedAt", "sentAt", "timestamp", "type", "writeKey"}

// CheckRecord compares a record of the events' topic with the event that was sent to source: everything that the edge
// does not set is the same to the byte.
func CheckRecord(tb testing.TB, source string, e SentEvent, r *kgo.Record) {
	tb.Helper()
	var got map[string]json.RawMessage
	if err := json.Unmarshal(r.Value, &got); err != nil {
		tb.Errorf("%s: its record is no JSON: %v: %s", e.MessageID(), err, r.Value)
		return
	}
	same := func(what string, got, want any) {
		tb.Helper()
		if got != want {
			tb.Errorf("%s %s: %s is\n%v\nbut should be\n%v", e.Type, e.MessageID(), what, got, want)
		}
	}
	for name, want := range e.Members {
		if !slices.Contains(serverMembers, name) {
			same(name, string(got[name]), string(want))
		}
	}
	for name := range got {
		_, sent := e.Members[name]
		_, inBatch := e.Batch[name]
		if !sent && !slices.Contains(serverMembers, name) && (!inBatch || name != "integrations") {
			tb.Errorf("%s %s: the record has %s, which nobody sent", e.Type, e.MessageID(), name)
		}
	}
	same("writeKey", string(got["writeKey"]), "")
	same("type", text(got["type"]), e.Type)
	same("messageId", string(got["messageId"]), string(e.Members["messageId"]))
	same("originalTimestamp", string(got["originalTimestamp"]), string(e.Members["timestamp"]))
	sentAt := e.Members["sentAt"]
	if sentAt == nil {
		sentAt = e.Batch["sentAt"]
	}
	same("sentAt", string(got["sentAt"]), string(sentAt))
	checkContext(e, got["context"], same)

	person := text(e.Members["userId"])
	if person == "" {
		person = text(e.Members["anonymousId"])
	}
	same("key", string(r.Key), source+"/"+person)
	received, err := time.Parse(time.RFC3339, text(got["receivedAt"]))
	if err != nil {
		tb.Errorf("%s: receivedAt: %v", e.MessageID(), err)
	}
	headers := make([]string, len(r.Headers))
	for i, h := range r.Headers {
		headers[i] = h.Key + "=" + string(h.Value)
	}
	name := ""
	if e.Type == "track" {
		name = text(e.Members["event"])
	}
	same("headers", strings.Join(headers, "\n"), strings.Join([]string{
		"v=1", "source=" + source, "type=" + e.Type, "event=" + name, "message_id=" + e.MessageID(), "received_at=" + strconv.FormatInt(received.UnixMilli(), 10),
	}, "\n"))
}

// checkContext compares context member by member: the batch's stand under the event's, and the edge may add some.
func checkContext(e SentEvent, raw json.RawMessage, same func(what string, got, want any)) {
	got, want := members(raw), map[string]json.RawMessage{}
	maps.Copy(want, members(e.Batch["context"]))
	maps.Copy(want, members(e.Members["context"]))
	for name, v := range want {
		if name != "ip" && name != "millstream" {
			same("context."+name, string(got[name]), string(v))
		}
	}
	var lib struct{ Name, Version string }
	_ = json.Unmarshal(got["library"], &lib) // absent: seen by the next line
	same("the library of its context has name and version", lib.Name != "" && lib.Version != "", true)
}
