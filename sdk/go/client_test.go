package millstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestOptionsThatAreWrongAreNamedAllAtOnce(t *testing.T) {
	_, err := New("wk", Options{FlushAt: -1, QueueBytes: -2, Overflow: 7, Middleware: []Middleware{nil}, Spool: Spool{MaxBytes: -1, Fsync: 9}, Consent: 5})
	for _, name := range []string{"Endpoint is empty", "FlushAt is -1", "QueueBytes is -2", "Overflow is 7", "Middleware[0] is nil", "Spool.MaxBytes is -1", "Spool.Fsync is 9", "Consent is 5"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v: want %q", err, name)
		}
	}
	for _, endpoint := range []string{"in.example.com", "ftp://in.example.com", "https://", "https://in.example.com?x=1", "http://[::1"} {
		if _, err := New("wk", Options{Endpoint: endpoint}); err == nil {
			t.Errorf("%q was accepted", endpoint)
		}
	}
	for _, key := range []string{"", "a b", "v1", "a:b", strings.Repeat("x", 129)} {
		if _, err := New(key, Options{Endpoint: "https://in.example.com"}); err == nil {
			t.Errorf("key %q was accepted", key)
		}
	}
	var invalid *InvalidError
	if _, err := New("wk", Options{Endpoint: "https://in.example.com", Context: Map{"f": func() {}}}); !errors.As(err, &invalid) || invalid.Field != "Options.Context.f" {
		t.Error(err)
	}
}

func TestLaterChangesOfTheCallersMapsHaveNoEffect(t *testing.T) {
	s := serve(t, status(200))
	c, f := open(t, Options{Endpoint: s.URL, FlushInterval: time.Hour, FlushAt: 2})
	inner := Map{"b": 1}
	m := Track{UserID: "u", Event: "e", Properties: Map{"a": inner}}
	_ = c.Track(m)
	inner["b"], m.Properties["c"] = 2, 3
	track(t, c, "m2")
	eventually(t, "two fates", func() bool { return len(f.get()) == 2 })
	if got := fmt.Sprint(s.seen()[0].Batch[0]["properties"]); got != "map[a:map[b:1]]" {
		t.Error(got)
	}
}

func TestFullQueueRefusesUntilSomethingLeaves(t *testing.T) {
	s := serve(t, status(503))
	c, f := open(t, Options{Endpoint: s.URL, QueueEvents: 3, FlushAt: 2, BatchEvents: 2, FlushInterval: time.Hour})
	track(t, c, "m1", "m2")
	eventually(t, "two in flight", func() bool { return c.Stats().InFlight == 2 })
	track(t, c, "m3")
	for range 5 {
		if err := c.Track(paid("m4")); !errors.Is(err, ErrQueueFull) {
			t.Fatal(err)
		}
	}
	sums(t, c)
	s.turn(status(200))
	if err := c.Flush(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "three fates", func() bool { return f.count()["delivered"] == 3 })
	track(t, c, "m4")
}

func TestSmallEventEntersWhereALargeOneDidNot(t *testing.T) {
	s := serve(t, status(503))
	c, _ := open(t, Options{Endpoint: s.URL, QueueBytes: 64 << 10})
	if err := c.Track(Track{UserID: "u", Event: "e", Properties: Map{"x": strings.Repeat("x", 100<<10)}}); !errors.Is(err, ErrQueueFull) {
		t.Fatal(err)
	}
	track(t, c, "m1")
}

func TestBlockWaitsForRoom(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, func(http.ResponseWriter, request, int) { <-release })
	c, f := open(t, Options{Endpoint: s.URL, QueueEvents: 1, FlushAt: 1, Overflow: Block, BlockTimeout: time.Minute})
	track(t, c, "m1")
	eventually(t, "a request", func() bool { return len(s.seen()) == 1 })
	entered := make(chan error)
	go func() { entered <- c.Track(paid("m2")) }()
	select {
	case err := <-entered:
		t.Fatalf("entered a full queue: %v", err)
	case <-time.After(20 * time.Millisecond): // that it waits can only be seen by waiting
	}
	close(release)
	if err := <-entered; err != nil {
		t.Fatal(err)
	}
	eventually(t, "two fates", func() bool { return f.count()["delivered"] == 2 })
}

func TestBlockEndsAtItsTimeoutAndAtClose(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, func(http.ResponseWriter, request, int) { <-release })
	defer close(release)
	c, _ := open(t, Options{Endpoint: s.URL, QueueEvents: 1, FlushAt: 1, Overflow: Block, BlockTimeout: 20 * time.Millisecond})
	track(t, c, "m1")
	if err := c.Track(paid("m2")); !errors.Is(err, ErrQueueFull) {
		t.Error(err)
	}
	d, _ := open(t, Options{Endpoint: s.URL, QueueEvents: 1, FlushAt: 1, Overflow: Block, BlockTimeout: time.Hour})
	track(t, d, "m1")
	blocked := make(chan error)
	go func() { blocked <- d.Track(paid("m2")) }()
	d.Close(within(t, 20*time.Millisecond))
	if err := <-blocked; !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

func TestMiddlewareSeesTheWholeEventAndNotTheCallersMaps(t *testing.T) {
	s := serve(t, status(200))
	var seen Event
	redact := func(e *Event) bool {
		seen = *e
		delete(e.Properties["user"].(Map), "email")
		e.Context["extra"] = true
		return e.Event != "Refused"
	}
	broken := func(e *Event) bool {
		if e.Event == "Broken" {
			panic("no redaction")
		}
		return true
	}
	c, f := open(t, Options{Endpoint: s.URL, Context: Map{"app": Map{"name": "shop"}}, Middleware: []Middleware{redact, broken}})
	mine := Map{"user": Map{"email": "a@example.com", "id": 7}, "list": []any{Map{"a": 1}}}
	if err := c.Track(Track{UserID: "u", Event: "Paid", Properties: mine}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Refused", "Broken"} {
		if err := c.Track(Track{UserID: "u", Event: name, Properties: mine}); !errors.Is(err, ErrMiddleware) {
			t.Errorf("%s: %v", name, err)
		}
	}
	eventually(t, "a fate", func() bool { return f.count()["delivered"] == 1 })
	if mine["user"].(Map)["email"] == nil {
		t.Error("the caller's map was changed")
	}
	if seen.MessageID == "" || seen.Timestamp.IsZero() || seen.Context["app"].(Map)["name"] != "shop" || seen.Context["library"] == nil {
		t.Errorf("middleware saw %+v", seen)
	}
	body := string(s.seen()[0].body)
	if strings.Contains(body, "example.com") || !strings.Contains(body, `"extra":true`) || !strings.Contains(body, `"app":{"name":"shop"}`) {
		t.Error(body)
	}
}

func TestConsentIsPendingThenGranted(t *testing.T) {
	s := serve(t, status(200))
	c, f := open(t, Options{Endpoint: s.URL, Consent: ConsentPending, FlushAt: 1})
	for i := range maxPending {
		track(t, c, fmt.Sprint("m", i))
	}
	if err := c.Track(paid("more")); !errors.Is(err, ErrQueueFull) {
		t.Error(err)
	}
	if len(s.seen()) > 0 {
		t.Error("sent without consent")
	}
	c.Consent(ConsentGranted, map[string]bool{"Analytics": true, "Advertising": false})
	eventually(t, "1000 fates", func() bool { return f.count()["delivered"] == maxPending })
	track(t, c, "m")
	eventually(t, "a fate", func() bool { return f.count()["delivered"] == maxPending+1 })
	all := s.seen()
	want := `"consent":{"categoryPreferences":{"Advertising":false,"Analytics":true}}`
	if body := string(all[len(all)-1].body); !strings.Contains(body, want) {
		t.Error(body)
	}
}

func TestWithdrawnConsentStopsRetriesUntilItIsBack(t *testing.T) {
	s := serve(t, status(503))
	c, f := open(t, Options{Endpoint: s.URL, FlushAt: 1, BackoffBase: time.Millisecond, BackoffMax: time.Millisecond})
	track(t, c, "m1")
	eventually(t, "a retry", func() bool { return len(s.seen()) > 2 })
	c.Consent(ConsentPending, nil)
	if _, err := c.Send(context.Background(), paid("m2")); !errors.Is(err, ErrConsent) {
		t.Error(err)
	}
	before := 0
	eventually(t, "no more requests", func() bool {
		n := len(s.seen())
		<-time.After(30 * time.Millisecond) // many backoffs
		before = n
		return len(s.seen()) == n
	})
	s.turn(status(200))
	c.Consent(ConsentGranted, nil)
	eventually(t, "a fate", func() bool { return f.count()["delivered"] == 1 })
	if n := len(s.seen()); n != before+1 {
		t.Errorf("%d requests, then %d", before, n)
	}
}

func TestConsentDeniedDropsWhatWaits(t *testing.T) {
	s := serve(t, status(503))
	c, f := open(t, Options{Endpoint: s.URL, FlushAt: 1, BatchEvents: 1, BackoffBase: time.Hour, BackoffMax: time.Hour})
	track(t, c, "m1", "m2", "m3")
	eventually(t, "a backoff", func() bool { return c.Stats().LastError != "" })
	c.Consent(ConsentDenied, nil)
	eventually(t, "three fates", func() bool { return f.count()["dropped consent"] == 3 })
	if err := c.Track(paid("m4")); !errors.Is(err, ErrConsent) {
		t.Error(err)
	}
	sums(t, c)
}

func TestCallbackThatPanicsOrBlocksHoldsUpNothing(t *testing.T) {
	s := serve(t, status(200))
	release := make(chan struct{})
	var once sync.Once
	c, _ := open(t, Options{Endpoint: s.URL, FlushAt: 1, OnResult: func([]Result) {
		once.Do(func() { <-release })
		panic("callback")
	}})
	for i := range 50 {
		track(t, c, fmt.Sprint("m", i))
	}
	eventually(t, "50 fates", func() bool { return c.Stats().Delivered == 50 })
	close(release)
	eventually(t, "panics", func() bool { return c.Stats().CallbackErrors > 0 })
}

func TestResultsBeyondTheBoundAreCounted(t *testing.T) {
	s := serve(t, status(200))
	release := make(chan struct{})
	c, _ := open(t, Options{Endpoint: s.URL, QueueEvents: 10, Overflow: Block, BlockTimeout: time.Minute, OnResult: func([]Result) { <-release }})
	for i := range 2000 {
		track(t, c, fmt.Sprint("m", i))
	}
	eventually(t, "2000 fates", func() bool { return c.Stats().Delivered == 2000 })
	if n := c.Stats().UntoldResults; n < 500 || n > 1500 {
		t.Errorf("%d untold", n)
	}
	close(release)
}

func TestManyGoroutinesLoseNothing(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ request, n int) {
		if n%4 == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	c, f := open(t, Options{Endpoint: s.URL, QueueEvents: 300, Overflow: Block, BlockTimeout: time.Minute})
	var wait sync.WaitGroup
	for g := range 8 {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for i := range 500 {
				track(t, c, fmt.Sprintf("%d %03d", g, i))
			}
		}()
	}
	for busy := true; busy; {
		sums(t, c)
		busy = c.Stats().Enqueued < 4000
		runtime.Gosched()
	}
	wait.Wait()
	if err := c.Flush(within(t, 30*time.Second)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "4000 fates", func() bool { return f.count()["delivered"] == 4000 })
	last := map[string]string{}
	for _, r := range f.get() {
		g, i, _ := strings.Cut(r.MessageID, " ")
		if i <= last[g] {
			t.Fatalf("goroutine %s: %s after %s", g, i, last[g])
		}
		last[g] = i
	}
}

// TestMemoryStaysWithinItsBoundWhileTheServerIsAway makes 100,000 calls, ten times what the queue holds.
func TestMemoryStaysWithinItsBoundWhileTheServerIsAway(t *testing.T) {
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	c := benchClient(t, Options{QueueBytes: 2 << 20, Transport: nowhere{}, BackoffBase: time.Millisecond, BackoffMax: time.Millisecond})
	refused := 0
	for i := range 100_000 {
		if err := c.Track(standard); errors.Is(err, ErrQueueFull) {
			refused++
		} else if err != nil {
			t.Fatal(err)
		}
		if i%1000 == 0 {
			if n := c.Stats().QueuedBytes; n > 2<<20 {
				t.Fatalf("%d bytes", n)
			}
		}
	}
	s := c.Stats()
	if grown := int64(heap()) - int64(before); grown > 2<<20+8<<20 {
		t.Errorf("the heap grew by %d", grown)
	}
	if s.Enqueued != 100_000 || s.DroppedByReason[ReasonQueueFull] != uint64(refused) || s.Queued+s.InFlight != 100_000-refused {
		t.Errorf("refused %d: %+v", refused, s)
	}
	sums(t, c)
	runtime.KeepAlive(c)
}

// nowhere is a network that is down.
type nowhere struct{}

func (nowhere) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New("no route") }

type broken struct{}

func (broken) RoundTrip(*http.Request) (*http.Response, error) { panic("broken") }

func TestNothingPanicsIntoTheApplication(t *testing.T) {
	c, f := open(t, Options{Endpoint: "http://in.invalid", Transport: broken{}, FlushAt: 1, MaxAge: 20 * time.Millisecond})
	var invalid *InvalidError
	for _, m := range []Message{nil, (*Track)(nil)} {
		if err := c.Enqueue(m); !errors.As(err, &invalid) {
			t.Error(err)
		}
		if _, err := c.Send(context.Background(), m); !errors.As(err, &invalid) {
			t.Error(err)
		}
	}
	track(t, c, "m1")
	eventually(t, "a fate", func() bool { return f.count()["dropped expired"] == 1 })
}

func TestIdleClientIsOneGoroutineWithoutATimer(t *testing.T) {
	s := serve(t, status(200))
	c, f := open(t, Options{Endpoint: s.URL})
	track(t, c, "m1")
	eventually(t, "a fate", func() bool { return len(f.get()) == 1 })
	c.own.CloseIdleConnections() // as the idle time-out does
	eventually(t, "one goroutine", func() bool { return own() == 1 })
	if in := c.due(); in >= 0 {
		t.Errorf("wakes up in %v", in)
	}
}

func TestSecondCloseWaitsForTheFirst(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, func(http.ResponseWriter, request, int) { <-release })
	c, _ := open(t, Options{Endpoint: s.URL, FlushAt: 1})
	track(t, c, "m1")
	first := make(chan error)
	go func() { first <- c.Close(within(t, 10*time.Second)) }()
	eventually(t, "closing", func() bool { return errors.Is(c.Track(paid("m2")), ErrClosed) })
	if err := c.Close(within(t, 10*time.Millisecond)); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	close(release)
	if err := <-first; err != nil {
		t.Error(err)
	}
	if err := c.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestEarlyAnswerDoesNotMixBodies(t *testing.T) {
	s := serve(t, status(200))
	early := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }) // unread
	ok := s.Config.Handler
	var n int
	var mu sync.Mutex
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		n++
		odd := n%2 == 1
		mu.Unlock()
		if odd {
			early(w, r)
			return
		}
		ok.ServeHTTP(w, r)
	})
	c, f := open(t, Options{Endpoint: s.URL, DisableGzip: true, BackoffBase: time.Millisecond, BackoffMax: time.Millisecond})
	pad := strings.Repeat("x", 10_000)
	for range 200 {
		_ = c.Track(Track{UserID: "u", Event: "e", Properties: Map{"pad": pad}})
	}
	eventually(t, "200 fates", func() bool { return f.count()["delivered"] == 200 })
}
