package ingest

import (
	"errors"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// ServeHTTP answers every request, whatever it is, with a status of the table in answer.go, never with a redirect.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	h, id := w.Header(), s.requestID(r)
	cors(h)
	h["X-Request-Id"] = []string{id}
	if s.draining.Load() {
		h["Connection"] = headerClose
	}
	rt := s.router.find(r.URL.Path)
	s.metrics.active.Inc()
	status := http.StatusInternalServerError
	defer func() {
		if p := recover(); p != nil {
			if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(p)
			}
			s.metrics.panics.WithLabelValues("request").Inc()
			s.log.Error("survived a bug over a request", "panic", p, "request_id", id, "stack", string(debug.Stack()))
			s.answerRefusal(w, refuse(codeInternal, "this server has a bug; repeat the request"), id)
		}
		s.metrics.active.Dec()
		s.metrics.requests.WithLabelValues(rt.name, strconv.Itoa(status)).Inc()
		s.metrics.duration.WithLabelValues(rt.name).Observe(time.Since(start).Seconds())
	}()
	status = s.serve(w, r, rt, id)
}

// serve leads a request to its route and returns the status that was answered.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, rt route, id string) int {
	switch {
	case r.Method == http.MethodOptions:
		preflight(w, r)
		return http.StatusNoContent
	case rt.kind == routeOther:
		return s.answerRefusal(w, refuse(codeUnknownRoute, "there is nothing at this path; events go to /v1/track, /v1/batch and their like"), id)
	case !rt.takes(r.Method):
		w.Header()["Allow"] = []string{rt.allow()}
		return s.answerRefusal(w, refuse(codeMethod, "this path takes "+rt.allow()), id)
	}
	switch rt.kind {
	case routeEvent, routeBatch, routeImport:
		rq := s.newRequest(id, rt)
		defer rq.leave()
		return s.answerEvents(w, rq, rq.collect(r))
	case routePixel:
		if r.Method == http.MethodHead { // a look, and no visit
			return answerGIF(w, http.StatusOK)
		}
		rq := s.newRequest(id, rt)
		defer rq.leave()
		return s.servePixel(w, r, rq)
	case routeMetrics:
		w.WriteHeader(http.StatusNoContent) // net/http discards the body
		return http.StatusNoContent
	case routeSettings, routeBundle:
		rec := &statusWriter{ResponseWriter: w}
		serve := s.serveSettings
		if rt.kind == routeBundle {
			serve = s.serveBundle
		}
		if ref := serve(rec, r, rt.key); ref != nil {
			return s.answerRefusal(w, ref, id)
		}
		return rec.status
	case routeRejections, routeRejection, routeTail:
		rec := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		if ref := s.serveAsked(rec, r, rt); ref != nil {
			return s.answerRefusal(w, ref, id)
		}
		return rec.status
	case routeRobots:
		w.Header()["Content-Type"] = []string{"text/plain; charset=utf-8"}
		_, _ = w.Write([]byte("User-agent: *\nDisallow: /\n")) // the client has gone
		return http.StatusOK
	case routeHealth, routeOther:
	}
	return s.answerHealth(w, r, id)
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

// Unwrap is for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// answerEvents answers a request with events. On a single route the event's refusal is the request's: no SDK loses
// anything by it, and a person with curl sees what is wrong.
func (s *Server) answerEvents(w http.ResponseWriter, rq *request, ref *refusal) int {
	if ref == nil && rq.kind == routeEvent && len(rq.refused) > 0 {
		ref = refuse(string(rq.refused[0].code), rq.refused[0].message)
	}
	switch {
	case ref != nil:
		return s.answerRefusal(w, ref, rq.id)
	case len(rq.refused) == 0 && (rq.repeats == 0 || rq.kind == routeEvent):
		writeJSON(w, http.StatusOK, bodySuccess)
	default:
		writeJSON(w, http.StatusOK, appendResult(nil, len(rq.idx.events)-len(rq.refused)-rq.repeats, rq.repeats, rq.refused))
	}
	return http.StatusOK
}

func (s *Server) answerRefusal(w http.ResponseWriter, ref *refusal, id string) int {
	s.note(ref)
	setRetryAfter(w.Header(), ref)
	writeJSON(w, ref.status(), ref.append(nil, id))
	return ref.status()
}

func setRetryAfter(h http.Header, ref *refusal) {
	if after := ref.retryAfter(); after > 0 {
		seconds := []string{strconv.Itoa(int((after + time.Second - 1) / time.Second))}
		h["Retry-After"] = seconds
		if ref.status() == http.StatusTooManyRequests {
			h["X-Ratelimit-Reset"] = seconds // analytics-next reads a span from it, and in seconds, where others write a time
		}
	}
}

// note counts refused keys, and logs one a second at most: strangers decide how many there are. The line is about the
// last of them; a key that no source has is shown by its fingerprint, too, for its holder can compute that.
func (s *Server) note(ref *refusal) {
	switch ref.status() {
	case http.StatusUnauthorized, http.StatusForbidden:
		s.metrics.unauthorized.WithLabelValues(ref.code).Inc()
		if n, ok := s.warned.due(time.Now()); ok {
			s.log.Warn("requests refused for their write key", "code", ref.code, "key", ref.key, "source", ref.source, "since_last", n)
		}
	}
}

// requestID is the client's, if it is harmless, else a new one.
func (s *Server) requestID(r *http.Request) string {
	id := r.Header.Get("X-Request-Id")
	if id == "" || len(id) > 64 {
		return s.ids.UUIDv7(s.now())
	}
	for i := range len(id) {
		if c := id[i]; !isAlnum(c) && c != '.' && c != '_' && c != '-' {
			return s.ids.UUIDv7(s.now())
		}
	}
	return id
}

// preflight lets every page send: which sites may is decided by the key, and a preflight carries none.
func preflight(w http.ResponseWriter, r *http.Request) {
	allow := "authorization, content-type, content-encoding, x-retry-count, x-write-key, x-request-id"
	n := 0
	for name := range strings.SplitSeq(r.Header.Get("Access-Control-Request-Headers"), ",") {
		name = strings.ToLower(strings.TrimSpace(name))
		if name == "" || n == 32 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			continue
		}
		n++
		if !strings.Contains(", "+allow+",", ", "+name+",") {
			allow += ", " + name
		}
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", "GET, POST, OPTIONS")
	h.Set("Access-Control-Allow-Headers", allow)
	h.Set("Access-Control-Max-Age", "86400")
	w.WriteHeader(http.StatusNoContent)
}

// warning lets one line a second through and counts the others.
type warning struct {
	mu      sync.Mutex // guards last
	last    time.Time
	skipped atomic.Int64
}

func (w *warning) due(now time.Time) (since int64, ok bool) {
	n := w.skipped.Add(1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if now.Sub(w.last) < time.Second {
		return 0, false
	}
	w.last = now
	w.skipped.Add(-n)
	return n, true
}
