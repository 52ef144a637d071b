package ingest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/millstream-data/millstream/internal/event"
)

// letterView is a dead letter as it is shown.
type letterView struct {
	ID        string      `json:"id,omitempty"` // none: it is no record of the topic
	At        string      `json:"at"`
	Source    string      `json:"source"`
	Stage     event.Stage `json:"stage"`
	Code      event.Code  `json:"code"`
	Message   string      `json:"message"`
	MessageID string      `json:"messageId,omitempty"`
	Type      string      `json:"type,omitempty"`
	Event     string      `json:"event,omitempty"`
	Table     string      `json:"table,omitempty"`
	Column    string      `json:"column,omitempty"`
	RecordKey string      `json:"recordKey,omitempty"`
	RequestID string      `json:"requestId,omitempty"`
	Index     *int        `json:"index,omitempty"`
	Key       string      `json:"key,omitempty"` // fingerprint
	Size      int         `json:"size"`
	Truncated bool        `json:"truncated,omitempty"`
	Redacted  bool        `json:"redacted,omitempty"`
	Excerpt   string      `json:"excerpt"`
}

func (l *letter) view() letterView {
	r := &l.r
	v := letterView{
		ID: l.id(), At: event.FormatTime(l.at), Source: r.Source, Stage: r.Stage, Code: r.Code, Message: r.Message, MessageID: r.MessageID,
		Type: r.Type, Event: l.event, Table: r.Table, Column: r.Column, RecordKey: r.RecordKey, RequestID: r.RequestID, Key: r.Key,
		Size: r.Size, Truncated: r.Truncated, Redacted: r.Redacted, Excerpt: l.excerpt,
	}
	if r.Index >= 0 {
		v.Index = &r.Index
	}
	return v
}

// letterPage is the answer to a question.
type letterPage struct {
	Rejections []letterView `json:"rejections"`
	Next       *string      `json:"next"`     // cursor of the next page; null: there is none
	Complete   bool         `json:"complete"` // nothing that was asked for is missing
}

// letterWhole is a dead letter with all that the topic has of it.
type letterWhole struct {
	letterView
	Headers     map[string]string `json:"headers"`
	Value       *string           `json:"value,omitempty"`
	ValueBase64 []byte            `json:"valueBase64,omitempty"` // instead, if it is no UTF-8
}

// Codes of answers to those who ask.
const (
	codeServerKeyRequired = "server_key_required"
	codeBadParameter      = "bad_parameter"
	codeUnknownRejection  = "unknown_rejection"
	codeKafkaAway         = "kafka_away"
)

// Bounds of a page of dead letters.
const (
	pageDefault = 100
	pageMost    = 1000
)

// keyHolder returns the source about which the holder of the request's key may ask.
func (s *Server) keyHolder(r *http.Request) (string, *refusal) {
	key, _ := headerKey(r)
	a, ref := s.admit(r, s.sources.Load(), key, false)
	switch {
	case ref != nil:
		return "", ref
	case a.kind != KindServer:
		ref = refuse(codeServerKeyRequired, "this needs a server's key: a browser's is public")
		ref.key, ref.source = a.fingerprint, a.source.name
		return "", ref
	}
	return a.source.name, nil
}

// serveAsked answers what the holder of a server's key may know of its own source.
func (s *Server) serveAsked(w http.ResponseWriter, r *http.Request, rt route) *refusal {
	source, ref := s.keyHolder(r)
	if ref != nil {
		return ref
	}
	switch rt.kind { //nolint:exhaustive // no others are asked
	case routeTail:
		return s.serveTail(w, r, source)
	case routeRejection:
		return s.serveRejection(w, r, source, rt.key)
	}
	return s.serveRejections(w, r, source)
}

// mountAsked shows operators the same of all sources.
func (s *Server) mountAsked(show func(pattern string, h http.Handler)) {
	handle := func(pattern string, serve func(w http.ResponseWriter, r *http.Request) *refusal) {
		show(pattern, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if ref := serve(w, r); ref != nil {
				s.answerRefusal(w, ref, s.requestID(r))
			}
		}))
	}
	handle("GET /rejections", func(w http.ResponseWriter, r *http.Request) *refusal { return s.serveRejections(w, r, "") })
	handle("GET /tail", func(w http.ResponseWriter, r *http.Request) *refusal { return s.serveTail(w, r, "") })
	handle("GET /rejections/{id}", func(w http.ResponseWriter, r *http.Request) *refusal {
		return s.serveRejection(w, r, "", r.PathValue("id"))
	})
}

// serveRejections lists dead letters of source, or, if it is empty, of the source that is asked for.
func (s *Server) serveRejections(w http.ResponseWriter, r *http.Request, source string) *refusal {
	q, ref := parseQuestion(r.URL.RawQuery, source, s.now(), s.cfg.Rejections.History)
	if ref != nil {
		return ref
	}
	if q.dryRun {
		writeJSON(w, http.StatusOK, encodeJSON(s.dryRuns.page(&q)))
		return nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), lookLimit)
	defer cancel()
	caughtUp := s.letters.catchUp(ctx)
	list, more, known := s.letters.find(&q)
	page := letterPage{Rejections: make([]letterView, 0, len(list)), Complete: caughtUp && known}
	for _, l := range list {
		page.Rejections = append(page.Rejections, l.view())
	}
	if more {
		page.Next = new(cursorOf(list[len(list)-1].place))
	}
	writeJSON(w, http.StatusOK, encodeJSON(page))
	return nil
}

// serveRejection shows a dead letter with its bytes, which Kafka has. Of a source that is not the asker's there is none.
func (s *Server) serveRejection(w http.ResponseWriter, r *http.Request, source, id string) *refusal {
	unknown := refuse(codeUnknownRejection, "there is no dead letter of this id, or no more")
	partition, offset, ok := parseLetterID(id)
	if !ok {
		return unknown
	}
	select {
	case s.letters.reading <- struct{}{}:
		defer func() { <-s.letters.reading }()
	default:
		return refuse(codeOverloaded, "too many dead letters are being read; repeat the request")
	}
	ctx, cancel := context.WithTimeout(r.Context(), lookLimit)
	defer cancel()
	rec, err := s.letters.fetch(ctx, partition, offset)
	switch {
	case errors.Is(err, errNoLetter):
		return unknown
	case err != nil:
		s.log.Warn("a dead letter could not be read", "id", id, "err", err)
		return refuse(codeKafkaAway, "Kafka does not answer; repeat the request")
	}
	l := newLetter(rec, new(index), s.cfg.Limits.Depth)
	if source != "" && (l.r.Source != source || l.r.Table != "") {
		return unknown
	}
	out := letterWhole{letterView: l.view(), Headers: map[string]string{}}
	for _, h := range rec.Headers {
		out.Headers[h.Key] = string(h.Value)
	}
	if utf8.Valid(rec.Value) {
		out.Value = new(string(rec.Value))
	} else {
		out.ValueBase64 = rec.Value
	}
	writeJSON(w, http.StatusOK, encodeJSON(out))
	return nil
}

// parseQuestion reads the parameters of a request. A source that is given cannot be asked for again. Without a since
// the answer goes back by history.
func parseQuestion(raw, source string, now time.Time, history time.Duration) (question, *refusal) {
	q := question{source: source, rows: source == "", since: now.Add(-history), limit: pageDefault}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return q, refuse(codeBadParameter, "the query cannot be read: "+err.Error())
	}
	for name, list := range values {
		value, ok := list[len(list)-1], true
		if value == "" {
			continue
		}
		switch name {
		case "since", "until":
			at := &q.since
			if name == "until" {
				at = &q.until
			}
			if *at, ok = parseMoment(value, now); !ok {
				return q, refuse(codeBadParameter, name+" must be a time such as 2026-03-01T10:00:00Z, or how long ago, such as 90m")
			}
		case "limit":
			if q.limit, err = strconv.Atoi(value); err != nil || q.limit < 1 || q.limit > pageMost {
				return q, refuse(codeBadParameter, fmt.Sprintf("limit must be a number from 1 to %d", pageMost))
			}
		case "cursor":
			if q.before, ok = parseCursor(value); !ok {
				return q, refuse(codeBadParameter, "cursor must be the next of an answer before")
			}
		case "code":
			q.code = event.Code(value)
		case "message_id":
			q.messageID = value
		case "event":
			q.event = value
		case "source":
			if ok = source == ""; ok {
				q.source = value
			}
		case "dry_run":
			q.dryRun, ok = value == "1", value == "1" || value == "0"
			if !ok {
				return q, refuse(codeBadParameter, "dry_run must be 1 or 0")
			}
		case "writeKey", "writekey":
		default:
			ok = false
		}
		if !ok {
			return q, refuse(codeBadParameter, "there is no parameter "+strconv.Quote(name)+"; there are since, until, code, message_id, event, dry_run, limit and cursor")
		}
	}
	return q, nil
}

// parseMoment reads a time, or how long ago it was.
func parseMoment(text string, now time.Time) (time.Time, bool) {
	if t, ok := parseDate([]byte(text)); ok {
		return t, true
	}
	if t, ok := parseEpoch([]byte(text), false); ok {
		return t, true
	}
	ago, err := time.ParseDuration(text)
	return now.Add(-ago), err == nil && ago >= 0
}

// cursorOf names the place after which the next page begins.
func cursorOf(p place) string { return strconv.FormatInt(p.at.UnixMilli(), 10) + "-" + p.id() }

func parseCursor(text string) (*place, bool) {
	ms, id, _ := strings.Cut(text, "-")
	at, err := strconv.ParseInt(ms, 10, 64)
	partition, offset, ok := parseLetterID(id)
	return &place{time.UnixMilli(at).UTC(), partition, offset}, ok && err == nil
}

// encodeJSON writes v as people expect to read it, without HTML's escapes.
func encodeJSON(v any) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic("BUG: encode answer: " + err.Error())
	}
	return buf.Bytes()
}
