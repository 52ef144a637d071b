package millstream

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// request is what the server saw.
type request struct {
	at     time.Time
	header http.Header
	body   []byte
	SentAt string           `json:"sentAt"`
	Batch  []map[string]any `json:"batch"`
}

func (r request) ids() (ids []string) {
	for _, e := range r.Batch {
		ids = append(ids, e["messageId"].(string))
	}
	return ids
}

// reply answers request number n, from 0.
type reply func(w http.ResponseWriter, r request, n int)

// server answers as told and keeps the requests.
type server struct {
	*httptest.Server
	mu       sync.Mutex
	requests []request
	answer   reply
}

func status(codes ...int) reply {
	return func(w http.ResponseWriter, _ request, n int) {
		w.WriteHeader(codes[min(n, len(codes)-1)])
	}
}

func serve(t testing.TB, answer reply) *server {
	s := &server{answer: answer}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got := request{at: time.Now(), header: r.Header}
		body := io.Reader(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" {
			zipped, err := gzip.NewReader(r.Body)
			if err != nil {
				return
			}
			body = zipped
		}
		var err error
		if got.body, err = io.ReadAll(body); err != nil {
			return // the client's deadline came first
		}
		if err := json.Unmarshal(got.body, &got); err != nil {
			t.Errorf("body %q: %v", got.body, err)
		}
		s.mu.Lock()
		n := len(s.requests)
		s.requests = append(s.requests, got)
		answer := s.answer
		s.mu.Unlock()
		answer(w, got, n)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) seen() []request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]request(nil), s.requests...)
}

func (s *server) turn(answer reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

// ids returns the message ids of all requests in their order.
func (s *server) ids() (ids []string) {
	for _, r := range s.seen() {
		ids = append(ids, r.ids()...)
	}
	return ids
}

// fates keeps results.
type fates struct {
	mu  sync.Mutex
	all []Result
}

func (f *fates) add(rs []Result) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = append(f.all, rs...)
}

func (f *fates) get() []Result {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Result(nil), f.all...)
}

func (f *fates) count() map[string]int {
	out := map[string]int{}
	for _, r := range f.get() {
		out[strings.TrimSuffix(r.Fate.String()+" "+r.Code, " ")]++
	}
	return out
}

// open makes a client with short delays, which is closed at the end and must leave no goroutine and exact sums.
func open(t testing.TB, o Options) (*Client, *fates) {
	t.Helper()
	f := new(fates)
	before := own()
	if o.OnResult == nil {
		o.OnResult = f.add
	}
	if o.BackoffBase == 0 {
		o.BackoffBase, o.BackoffMax = 10*time.Millisecond, 20*time.Millisecond
	}
	if o.FlushInterval == 0 {
		o.FlushInterval = 20 * time.Millisecond
	}
	o.Logger = quiet()
	c, err := New("wk_1234", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		c.Close(ctx)
		sums(t, c)
		if before == 0 { // else another client lives, which may open a connection meanwhile
			eventually(t, "goroutines end", func() bool { return own() == 0 })
		}
	})
	return c, f
}

// own counts the goroutines that run this package's code and are no test's, or read or write its connections.
func own() (n int) {
	buf := make([]byte, 1<<20)
	for _, stack := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if strings.Contains(stack, "sdk/go.(*") && !strings.Contains(stack, "_test.go") || strings.Contains(stack, "http.(*persistConn)") {
			n++
		}
	}
	return n
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func sums(t testing.TB, c *Client) {
	t.Helper()
	s := c.Stats()
	if sum := s.Delivered + s.Rejected + s.Dropped + s.HandedOver + uint64(s.Queued+s.InFlight+s.Spooled); sum != s.Enqueued {
		t.Errorf("enqueued %d, accounted for %d: %+v", s.Enqueued, sum, s)
	}
	var reasons uint64
	for _, n := range s.DroppedByReason {
		reasons += n
	}
	if reasons != s.Dropped {
		t.Errorf("dropped %d, by reason %d: %+v", s.Dropped, reasons, s)
	}
}

// eventually polls, because what it asks for happens in another goroutine that nobody can wait for.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !is(); <-time.After(2 * time.Millisecond) {
		if time.Now().After(end) {
			buf := make([]byte, 1<<16)
			t.Fatalf("waited 10 s: %s\n%s", what, buf[:runtime.Stack(buf, true)])
		}
	}
}

func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func paid(id string) Track { return Track{MessageID: id, UserID: "u1", Event: "Paid"} }

func track(t testing.TB, c *Client, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if err := c.Track(paid(id)); err != nil {
			t.Fatal(err)
		}
	}
}
