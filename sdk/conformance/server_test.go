package conformance

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// reply is what the scripted server does with one request.
type reply struct {
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"` // {other} is another host; {date+100} is a date, so many seconds from now
	Body    json.RawMessage   `json:"body"`
	Text    string            `json:"text"` // a body that is no JSON
	Delay   int               `json:"delay"`
	Cut     string            `json:"cut"` // before or after the body was read
	Silence bool              `json:"silence"`
	Away    int               `json:"away"` // after this answer nobody listens for so long
	Repeat  int               `json:"repeat"`
	When    *condition        `json:"when"` // rules only
}

// condition says which requests a rule is for.
type condition struct {
	MoreEvents int    `json:"moreEvents"` // than this
	Event      string `json:"event"`      // one of the batch is called so
}

// request is what arrived.
type request struct {
	method, path string
	header       http.Header
	raw, body    []byte // as it was on the wire, and inflated
	at, answered time.Time
	status       int // 0: cut, or never answered
	batch        batch
}

// batch is a decoded body.
type batch struct {
	WriteKey string            `json:"writeKey"`
	SentAt   string            `json:"sentAt"`
	Batch    []json.RawMessage `json:"batch"`
	events   []map[string]any
}

// server plays a run's script.
type server struct {
	url     string
	other   string // of the witness
	http    *http.Server
	witness *http.Server
	ended   chan struct{}

	mu       sync.Mutex
	listener net.Listener // guarded by mu, as all below
	script   []reply
	rules    []reply
	then     reply
	requests []*request
	stolen   []string // what the witness saw
	flying   int
	most     int // requests at once
}

// serve starts the server of a run and its witness; both end with the test.
func serve(t *testing.T, r run) *server {
	t.Helper()
	s := &server{rules: r.Rules, then: reply{Status: http.StatusOK}, ended: make(chan struct{})}
	for _, a := range r.Script {
		for range max(a.Repeat, 1) {
			s.script = append(s.script, a)
		}
	}
	if r.Then != nil {
		s.then = *r.Then
	}
	l, w := listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0")
	s.url, s.other = "http://"+l.Addr().String(), "http://"+w.Addr().String()
	s.http, s.witness = &http.Server{Handler: s}, &http.Server{Handler: http.HandlerFunc(s.steal)} //nolint:gosec // loopback, for a test
	go func() { _ = s.witness.Serve(w) }()
	s.listener = l
	go func() { _ = s.http.Serve(l) }()
	t.Cleanup(func() {
		close(s.ended)
		_ = s.http.Close()
		_ = s.witness.Close()
	})
	return s
}

func listen(t *testing.T, addr string) net.Listener {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// leaveFor gives the address up, so that connections are refused, and takes it again after the delay.
func (s *server) leaveFor(delay time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	addr := s.listener.Addr().String()
	s.http.SetKeepAlivesEnabled(false) // ends idle connections
	_ = s.listener.Close()
	time.AfterFunc(delay, func() {
		select {
		case <-s.ended:
			return
		default:
		}
		l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", addr)
		if err != nil {
			return // taken by another: the program sees no answer, and the case fails
		}
		s.mu.Lock()
		s.listener = l
		s.mu.Unlock()
		s.http.SetKeepAlivesEnabled(true)
		_ = s.http.Serve(l)
	})
}

func (s *server) steal(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.stolen = append(s.stolen, r.Method+" "+r.URL.Path)
	s.mu.Unlock()
	w.WriteHeader(http.StatusOK)
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	got := &request{method: r.Method, path: r.URL.RequestURI(), header: r.Header.Clone(), at: time.Now()}
	if r.Method == http.MethodOptions {
		s.note(got)
		s.allow(w.Header())
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if s.cutsNext() {
		s.note(got)
		s.take()
		hangUp(w)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client left: there is no request
	}
	got.raw = body
	if len(s.rules) > 0 {
		got.decode() // else when all is over: an SDK should not wait for that
	}
	a := s.decide(got)
	s.answer(w, r, got, a)
}

// answer is over for the count of requests at once before the client can know of it.
func (s *server) answer(w http.ResponseWriter, r *http.Request, got *request, a reply) {
	wait := time.Duration(a.Delay) * time.Millisecond
	if a.Silence {
		s.leave(got, 0)
		wait = time.Hour
	}
	if wait > 0 {
		select {
		case <-time.After(wait):
		case <-s.ended:
		case <-r.Context().Done(): // the client has left: nobody reads an answer
			if !a.Silence {
				s.leave(got, 0)
			}
			return
		}
	}
	switch {
	case a.Silence:
		hangUp(w)
		return
	case a.Cut != "":
		s.leave(got, 0)
		hangUp(w)
		return
	}
	h := w.Header()
	s.allow(h)
	for name, value := range a.Headers {
		h.Set(name, s.header(value))
	}
	text := []byte(a.Text)
	if a.Body != nil {
		text = a.Body
		h.Set("Content-Type", "application/json")
	} else if a.Text == "" && a.Status == http.StatusOK {
		text = []byte(`{"success":true}`)
		h.Set("Content-Type", "application/json")
	}
	if a.Away > 0 {
		s.leaveFor(time.Duration(a.Away) * time.Millisecond)
		h.Set("Connection", "close")
	}
	s.leave(got, a.Status)
	w.WriteHeader(a.Status)
	_, _ = w.Write(text)
}

// allow is what ingest answers scripts of other origins with.
func (s *server) allow(h http.Header) {
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Allow-Headers", "*, authorization")
	h.Set("Access-Control-Expose-Headers", "Retry-After, X-RateLimit-Reset, X-Request-Id")
}

func (s *server) header(value string) string {
	value = strings.ReplaceAll(value, "{other}", s.other)
	before, rest, found := strings.Cut(value, "{date+")
	if !found {
		return value
	}
	number, after, _ := strings.Cut(rest, "}")
	seconds, err := strconv.Atoi(number)
	if err != nil {
		panic("BUG: " + value)
	}
	return before + time.Now().Add(time.Duration(seconds)*time.Second).UTC().Format(http.TimeFormat) + after
}

// hangUp resets the connection.
func hangUp(w http.ResponseWriter) {
	h, ok := w.(http.Hijacker)
	if !ok {
		return
	}
	c, _, err := h.Hijack()
	if err != nil {
		return
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// cutsNext says whether the next request is to be cut before its body was read.
func (s *server) cutsNext() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.script) > 0 && s.script[0].Cut == "before"
}

func (s *server) take() reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.script) == 0 {
		return s.then
	}
	a := s.script[0]
	s.script = s.script[1:]
	return a
}

// add puts an answer behind the script.
func (s *server) add(a reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = append(s.script, a)
}

func (s *server) note(got *request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	got.answered = time.Now()
	s.requests = append(s.requests, got)
}

// decide notes the request and chooses the answer.
func (s *server) decide(got *request) reply {
	s.mu.Lock()
	s.requests = append(s.requests, got)
	s.flying++
	s.most = max(s.most, s.flying)
	s.mu.Unlock()
	for _, rule := range s.rules {
		if rule.When.fits(got) {
			return rule
		}
	}
	return s.take()
}

func (c *condition) fits(got *request) bool {
	if c.MoreEvents > 0 && len(got.batch.events) > c.MoreEvents {
		return true
	}
	for _, e := range got.batch.events {
		if c.Event != "" && e["event"] == c.Event {
			return true
		}
	}
	return false
}

func (s *server) leave(got *request, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flying--
	got.status, got.answered = status, time.Now()
}

// seen returns what has arrived, preflights apart.
func (s *server) seen() (requests []request, preflights int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.requests {
		if r.method == http.MethodOptions {
			preflights++
			continue
		}
		if r.batch.Batch == nil {
			r.decode()
		}
		requests = append(requests, *r)
	}
	return requests, preflights
}

// decode inflates and splits the body; what is no batch stays empty, and the checks say so.
func (r *request) decode() {
	r.body = r.raw
	if r.header.Get("Content-Encoding") == "gzip" {
		if inflated, err := inflate(r.raw); err == nil {
			r.body = inflated
		}
	}
	d := json.NewDecoder(bytes.NewReader(r.body))
	d.UseNumber()
	if d.Decode(&r.batch) != nil {
		return
	}
	for _, raw := range r.batch.Batch {
		e, _ := exact(raw)
		members, _ := e.(map[string]any)
		r.batch.events = append(r.batch.events, members)
	}
}

func inflate(b []byte) ([]byte, error) {
	zr, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("inflate: %w", err)
	}
	return io.ReadAll(zr)
}

// exact decodes JSON with numbers as they are written.
func exact(raw []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	err := d.Decode(&v)
	return v, err
}
