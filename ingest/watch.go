package ingest

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/millstream-data/millstream/internal/event"
)

const (
	tailBeat  = 15 * time.Second // a line at least so often
	tailWrite = 10 * time.Second // how long a reader may take no byte
)

// serveTail streams what this process accepts and rejects of source, or, if that is empty, of the one that is asked
// for, until the reader leaves or takes nothing, its key ends, or the process stops.
func (s *Server) serveTail(w http.ResponseWriter, r *http.Request, source string) *refusal {
	want, ref := parseTail(r.URL.RawQuery, source)
	if ref != nil {
		return ref
	}
	h := w.Header()
	h["Content-Type"] = []string{"application/x-ndjson"}
	h["Cache-Control"] = headerNoStore
	h["X-Accel-Buffering"] = []string{"no"} // nginx would gather lines
	if r.Method == http.MethodHead {
		w.WriteHeader(http.StatusOK)
		return nil
	}
	reader, ref := s.tails.open(want)
	if ref != nil {
		return ref
	}
	defer s.tails.leave(reader)
	out := &tailWriter{w: w, rc: http.NewResponseController(w)}
	defer out.rc.SetWriteDeadline(time.Time{}) //nolint:errcheck // the connection is gone, or serves on
	beat := time.NewTicker(tailBeat)
	defer beat.Stop()
	out.heartbeat(s.now())
	for out.flush() == nil {
		select {
		case <-reader.wake:
			lines, missed := reader.take()
			for _, l := range lines {
				out.buf = append(out.buf, l...)
			}
			if missed > 0 {
				out.buf = append(strconv.AppendInt(append(out.buf, `{"dropped":`...), int64(missed), 10), "}\n"...)
			}
		case <-beat.C:
			if source != "" && !s.stillHolds(r, source) {
				return nil
			}
			out.heartbeat(s.now())
		case <-s.tails.closed:
			return nil
		case <-r.Context().Done():
			return nil
		}
	}
	return nil
}

// stillHolds says whether the key of r may watch source now: one that was taken out must not go on for as long as its
// connection.
func (s *Server) stillHolds(r *http.Request, source string) bool {
	holds, ref := s.keyHolder(r)
	return ref == nil && holds == source
}

// tailWriter writes lines, and does not wait for long for who does not read them.
type tailWriter struct {
	w   http.ResponseWriter
	rc  *http.ResponseController
	buf []byte
}

func (t *tailWriter) heartbeat(now time.Time) {
	t.buf = append(event.AppendTime(append(t.buf, `{"heartbeat":"`...), now), "\"}\n"...)
}

func (t *tailWriter) flush() error {
	if err := t.rc.SetWriteDeadline(time.Now().Add(tailWrite)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := t.w.Write(t.buf); err != nil {
		return err
	}
	if t.buf = t.buf[:0]; cap(t.buf) > 1<<20 {
		t.buf = nil
	}
	return t.rc.Flush()
}

// parseTail reads the parameters of a tail. A source that is given cannot be asked for again.
func parseTail(raw, source string) (TailFilter, *refusal) {
	want := TailFilter{Source: source}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return want, refuse(codeBadParameter, "the query cannot be read: "+err.Error())
	}
	for name, list := range values {
		value, ok := list[len(list)-1], true
		if value == "" {
			continue
		}
		switch name {
		case "type":
			if want.Type, ok = event.ParseType(value); !ok {
				return want, refuse(codeBadParameter, "type must be track, identify, page, screen, group or alias")
			}
		case "event":
			want.Event = value
		case "user_id":
			want.User = value
		case "rejected":
			if want.Rejected, err = strconv.ParseBool(value); err != nil {
				return want, refuse(codeBadParameter, "rejected must be 1 or 0")
			}
		case "source":
			if ok = source == ""; ok {
				want.Source = value
			}
		case "writeKey", "writekey":
		default:
			ok = false
		}
		if !ok {
			return want, refuse(codeBadParameter, "there is no parameter "+strconv.Quote(name)+"; there are type, event, user_id and rejected")
		}
	}
	return want, nil
}
