package millstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestSixCallsArriveInOneRequest(t *testing.T) {
	s := serve(t, status(200))
	c, f := open(t, Options{Endpoint: s.URL + "/edge/", FlushAt: 6, FlushInterval: time.Hour, Context: Map{"app": "shop"}})
	for _, m := range []Message{
		Identify{UserID: "u", Traits: Map{"plan": "pro"}},
		Track{UserID: "u", Event: "Paid", Properties: Map{"total": 12.5}},
		Page{UserID: "u", Name: "Home", Category: "Shop"},
		Screen{AnonymousID: "a", Name: "Start"},
		Group{UserID: "u", GroupID: "g", Traits: Map{"seats": 3}},
		Alias{UserID: "u", PreviousID: "a"},
	} {
		if err := c.Enqueue(m); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "six fates", func() bool { return len(f.get()) == 6 })
	r := s.seen()[0]
	var types []string
	for _, e := range r.Batch {
		types = append(types, e["type"].(string))
		if app := e["context"].(map[string]any)["app"]; app != "shop" {
			t.Errorf("context.app of %v is %v", e["type"], app)
		}
		if !uuidV7.MatchString(e["messageId"].(string)) {
			t.Errorf("messageId %v", e["messageId"])
		}
	}
	if want := "identify track page screen group alias"; strings.Join(types, " ") != want {
		t.Errorf("types %v", types)
	}
	key, _, _ := (&http.Request{Header: r.header}).BasicAuth()
	if key != "wk_1234" || r.header.Get("User-Agent") != "millstream-go/"+Version || r.header.Get("Content-Type") != "application/json" {
		t.Errorf("headers %v", r.header)
	}
	if r.header.Get("X-Retry-Count") != "" || r.header.Get("Content-Encoding") != "gzip" {
		t.Errorf("headers %v", r.header)
	}
}

func TestCallWithoutWhatItNeedsIsInvalid(t *testing.T) {
	s := serve(t, status(200))
	c, _ := open(t, Options{Endpoint: s.URL})
	for field, m := range map[string]Message{
		"userId":     Track{Event: "e"},
		"event":      Track{UserID: "u"},
		"groupId":    Group{UserID: "u"},
		"previousId": Alias{UserID: "u"},
		"timestamp":  Identify{UserID: "u", Timestamp: time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		var invalid *InvalidError
		if err := c.Enqueue(m); !errors.As(err, &invalid) || invalid.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	if n := c.Stats().DroppedByReason[ReasonInvalid]; n != 5 {
		t.Errorf("%d dropped as invalid", n)
	}
}

// TestEachAnswerHasItsFate is the table of the retry matrix: what 3 answers in a row (the last for ever) come to.
func TestEachAnswerHasItsFate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		codes    []int
		fate     string
		requests int
	}{
		{[]int{200}, "delivered", 1},
		{[]int{204}, "delivered", 1},
		{[]int{500, 500, 200}, "delivered", 3},
		{[]int{408, 425, 507, 520, 301, 302, 200}, "delivered", 7},
		{[]int{429, 502, 503, 504, 429, 502, 503, 504, 429, 502, 503, 504, 200}, "delivered", 13},
		{[]int{503, 500}, "dropped max_attempts", 11},
		{[]int{307}, "dropped max_attempts", 10},
		{[]int{400}, "dropped http_400", 1},
		{[]int{401}, "dropped http_401", 1},
		{[]int{403}, "dropped http_403", 1},
		{[]int{404}, "dropped http_404", 1},
		{[]int{405}, "dropped http_405", 1},
		{[]int{413}, "dropped http_413", 1},
		{[]int{415}, "dropped http_415", 1},
		{[]int{422}, "dropped http_422", 1},
		{[]int{501}, "dropped http_501", 1},
		{[]int{505}, "dropped http_505", 1},
		{[]int{500, 404}, "dropped http_404", 2},
	} {
		t.Run(fmt.Sprint(c.codes), func(t *testing.T) {
			t.Parallel()
			s := serve(t, status(c.codes...))
			client, f := open(t, Options{Endpoint: s.URL, FlushAt: 1, BackoffBase: time.Millisecond, BackoffMax: 2 * time.Millisecond})
			track(t, client, "m1")
			eventually(t, "a fate", func() bool { return len(f.get()) == 1 })
			if got := f.count(); got[c.fate] != 1 {
				t.Errorf("fates %v; want %s", got, c.fate)
			}
			if r := f.get()[0]; r.Attempts != c.requests || len(s.seen()) != c.requests {
				t.Errorf("%d attempts, %d requests; want %d", r.Attempts, len(s.seen()), c.requests)
			}
			for i, r := range s.seen() {
				want := ""
				if i > 0 {
					want = fmt.Sprint(i)
				}
				if got := r.header.Get("X-Retry-Count"); got != want {
					t.Errorf("request %d has X-Retry-Count %q", i, got)
				}
			}
		})
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	other := serve(t, status(200))
	s := serve(t, func(w http.ResponseWriter, _ request, n int) {
		if n == 0 {
			w.Header().Set("Location", other.URL+"/v1/batch")
			w.WriteHeader(http.StatusPermanentRedirect)
		}
	})
	c, f := open(t, Options{Endpoint: s.URL, FlushAt: 1})
	track(t, c, "m1")
	eventually(t, "a fate", func() bool { return f.count()["delivered"] == 1 })
	if len(other.seen()) != 0 || len(s.seen()) != 2 {
		t.Errorf("%d requests, %d elsewhere", len(s.seen()), len(other.seen()))
	}
}

func TestRejectedEventsAreFoundByIndexAndID(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ request, _ int) {
		_, _ = io.WriteString(w, `{"success":true,"accepted":2,"rejected":[
			{"index":1,"messageId":"m2","code":"bot","message":"a bot"},
			{"index":2,"messageId":"other","code":"bot","message":"not this one"},
			{"index":3,"code":"invalid_json"},{"index":9,"code":"x"}]}`)
	})
	c, f := open(t, Options{Endpoint: s.URL, FlushAt: 4, FlushInterval: time.Hour})
	track(t, c, "m1", "m2", "m3", "m4")
	eventually(t, "four fates", func() bool { return len(f.get()) == 4 })
	want := []Result{{"m1", Delivered, "", "", 1}, {"m2", Rejected, "bot", "a bot", 1}, {"m3", Delivered, "", "", 1}, {"m4", Rejected, "invalid_json", "", 1}}
	if got := f.get(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}

func TestRejectedEventWithALongIDIsFound(t *testing.T) {
	long := strings.Repeat("m", 300)
	s := serve(t, func(w http.ResponseWriter, _ request, _ int) {
		_, _ = io.WriteString(w, `{"rejected":[{"index":0,"messageId":"sha256-9f86d081","code":"id_too_long"},{"index":1,"messageId":"sha256-9f86d081","code":"bot"}]}`)
	})
	c, f := open(t, Options{Endpoint: s.URL, FlushAt: 2})
	track(t, c, long, "short")
	eventually(t, "two fates", func() bool { return len(f.get()) == 2 })
	if got := f.get(); got[0].Code != "id_too_long" || got[0].MessageID != long || got[1].Fate != Delivered {
		t.Errorf("%+v", got)
	}
}

// TestDeadConnectionIsNotUsedAgain freezes the first connection once it has carried a request, as a firewall does that
// forgets it: nothing comes back, not even a reset.
func TestDeadConnectionIsNotUsedAgain(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	var frozen atomic.Bool
	relay := freezing(t, s.Listener.Addr().String(), &frozen)
	transport := newTransport()
	transport.TLSClientConfig = s.Client().Transport.(*http.Transport).TLSClientConfig
	c, f := open(t, Options{Endpoint: "https://" + relay, Transport: transport, FlushAt: 1, Timeout: 200 * time.Millisecond})
	t.Cleanup(transport.CloseIdleConnections)
	track(t, c, "m1")
	eventually(t, "a fate", func() bool { return f.count()["delivered"] == 1 })
	frozen.Store(true)
	track(t, c, "m2")
	eventually(t, "another fate", func() bool { return f.count()["delivered"] == 2 })
}

// freezing relays connections to address; while frozen, what comes on the first one is swallowed.
func freezing(t *testing.T, address string, frozen *atomic.Bool) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	pipe := func(to, from net.Conn, first bool) {
		buf := make([]byte, 4096)
		for {
			n, err := from.Read(buf)
			if err != nil {
				to.Close()
				return
			}
			if !first || !frozen.Load() {
				_, _ = to.Write(buf[:n])
			}
		}
	}
	go func() {
		for n := 0; ; n++ {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", address)
			if err != nil {
				return
			}
			go pipe(out, in, n == 0)
			go pipe(in, out, n == 0)
		}
	}()
	return l.Addr().String()
}

func TestAnswerCutBeforeAndAfterReadingIsRetried(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ request, n int) {
		if n < 2 {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				conn.Close()
			}
		}
	})
	c, f := open(t, Options{Endpoint: s.URL, FlushAt: 1})
	track(t, c, "m1")
	eventually(t, "a fate", func() bool { return f.count()["delivered"] == 1 })
	if c.Stats().LastError == "" || c.Stats().Retries != 2 {
		t.Errorf("%+v", c.Stats())
	}
}

func TestSilentServerTimesOutAndIsRetried(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, func(_ http.ResponseWriter, _ request, n int) {
		if n == 0 {
			<-release
		}
	})
	defer close(release)
	c, f := open(t, Options{Endpoint: s.URL, FlushAt: 1, Timeout: 50 * time.Millisecond})
	track(t, c, "m1")
	eventually(t, "a fate", func() bool { return f.count()["delivered"] == 1 })
}

func Test413HalvesUntilItPassesInOrder(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r request, _ int) {
		if len(r.Batch) > 2 || r.Batch[0]["messageId"] == "m5" {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		}
	})
	c, f := open(t, Options{Endpoint: s.URL, FlushAt: 8, FlushInterval: time.Hour})
	track(t, c, "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8")
	eventually(t, "eight fates", func() bool { return len(f.get()) == 8 })
	var order []string
	for _, r := range f.get() {
		order = append(order, r.MessageID+" "+r.Fate.String()+r.Code)
	}
	want := "m1 delivered m2 delivered m3 delivered m4 delivered m5 droppedhttp_413 m6 delivered m7 delivered m8 delivered"
	if strings.Join(order, " ") != want {
		t.Errorf("got %v", order)
	}
}

func TestOneBatchIsInFlightAndTheNextGrows(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, _ request, n int) {
		if n == 0 {
			<-release
		}
	})
	c, f := open(t, Options{Endpoint: s.URL, FlushAt: 2, BatchEvents: 5, FlushInterval: time.Hour})
	track(t, c, "m1", "m2")
	eventually(t, "a request", func() bool { return len(s.seen()) == 1 })
	track(t, c, "m3", "m4", "m5", "m6", "m7", "m8", "m9")
	if st := c.Stats(); st.InFlight != 2 || st.Queued != 7 {
		t.Errorf("%+v", st)
	}
	close(release)
	eventually(t, "nine fates", func() bool { return len(f.get()) == 9 })
	if got := fmt.Sprint(s.ids()); got != "[m1 m2 m3 m4 m5 m6 m7 m8 m9]" || len(s.seen()) != 3 {
		t.Errorf("%d requests: %s", len(s.seen()), got)
	}
}

func TestBatchStaysWithinItsBytes(t *testing.T) {
	s := serve(t, status(200))
	c, f := open(t, Options{Endpoint: s.URL, BatchBytes: 1000, FlushAt: 100, FlushInterval: time.Hour})
	large := strings.Repeat("x", 2000)
	for i := range 20 {
		properties := Map{"i": i}
		if i == 7 {
			properties["large"] = large
		}
		if err := c.Track(Track{UserID: "u", Event: "e", Properties: properties}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Flush(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "20 fates", func() bool { return len(f.get()) == 20 })
	for _, r := range s.seen() {
		if len(r.body) > 1000 && len(r.Batch) > 1 {
			t.Errorf("%d events in %d bytes", len(r.Batch), len(r.body))
		}
	}
}

func TestRetryHasTheSameEventsAndANewSentAt(t *testing.T) {
	s := serve(t, status(500, 200))
	c, f := open(t, Options{Endpoint: s.URL, FlushAt: 2})
	track(t, c, "m1", "m2")
	eventually(t, "two fates", func() bool { return len(f.get()) == 2 })
	a, b := s.seen()[0], s.seen()[1]
	if !reflect.DeepEqual(a.Batch, b.Batch) || a.SentAt >= b.SentAt {
		t.Errorf("first %s, then %s", a.body, b.body)
	}
}

func TestRetryAfterIsTheLeastDelay(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ request, n int) {
		if n == 0 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	c, f := open(t, Options{Endpoint: s.URL, FlushAt: 1})
	track(t, c, "m1")
	eventually(t, "a request", func() bool { return len(s.seen()) == 1 })
	if err := c.Flush(within(t, 50*time.Millisecond)); err == nil {
		t.Error("flush cut a Retry-After short")
	}
	eventually(t, "a fate", func() bool { return len(f.get()) == 1 })
	if d := s.seen()[1].at.Sub(s.seen()[0].at); d < time.Second {
		t.Errorf("came back after %v", d)
	}
}

func TestRetryAfterIsReadAsSecondsOrDateUpTo300s(t *testing.T) {
	now := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "x": 0, "-1": 0, "0": 0, "1": time.Second, " 2 ": 2 * time.Second, "9999": 300 * time.Second, "1e99": 300 * time.Second, "NaN": 0,
		"Sun, 01 Mar 2026 10:00:07 GMT": 7 * time.Second, "Sun, 01 Mar 2026 09:00:00 GMT": 0, "Sun, 01 Mar 2027 09:00:00 GMT": 300 * time.Second,
	} {
		if got := retryAfter(text, now); got < want || got > want+want/10 {
			t.Errorf("%q: %v; want %v and up to a tenth", text, got, want)
		}
	}
}

func TestBackoffIsSpreadWithinItsBounds(t *testing.T) {
	for tries := 1; tries <= 40; tries++ {
		least, most := spread(func(int64) int64 { return 0 }, 500*time.Millisecond, time.Minute, tries), spread(func(n int64) int64 { return n - 1 }, 500*time.Millisecond, time.Minute, tries)
		if want := min(time.Minute, 500*time.Millisecond<<min(tries, 20)); least != 100*time.Millisecond || most != want {
			t.Errorf("after %d tries: %v to %v; want 100ms to %v", tries, least, most, want)
		}
	}
}

func TestOldEventsExpireWhileTheServerIsAway(t *testing.T) {
	s := serve(t, status(503))
	c, f := open(t, Options{Endpoint: s.URL, FlushAt: 1, MaxAge: 100 * time.Millisecond})
	track(t, c, "m1", "m2")
	eventually(t, "two fates", func() bool { return f.count()["dropped expired"] == 2 })
	s.turn(status(200))
	track(t, c, "m3")
	eventually(t, "a fate", func() bool { return f.count()["delivered"] == 1 })
}

func TestPoisonEventDoesNotHoldUpTheNext(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r request, _ int) {
		if r.Batch[0]["messageId"] == "poison" {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	c, f := open(t, Options{Endpoint: s.URL, FlushAt: 1, BatchEvents: 1, BackoffBase: time.Millisecond, BackoffMax: time.Millisecond})
	track(t, c, "poison", "m2")
	eventually(t, "two fates", func() bool { return len(f.get()) == 2 })
	if got := f.count(); got["dropped max_attempts"] != 1 || got["delivered"] != 1 {
		t.Errorf("%v", got)
	}
}

func TestFlushCutsOneBackoffShort(t *testing.T) {
	s := serve(t, status(503, 200))
	c, f := open(t, Options{Endpoint: s.URL, FlushAt: 1, BackoffBase: 10 * time.Hour, BackoffMax: 10 * time.Hour})
	track(t, c, "m1")
	eventually(t, "a backoff", func() bool { return c.Stats().LastError != "" })
	if err := c.Flush(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a fate", func() bool { return f.count()["delivered"] == 1 })
}

func TestFlushTellsWhatIsLeftAtItsDeadline(t *testing.T) {
	s := serve(t, status(503))
	c, _ := open(t, Options{Endpoint: s.URL, FlushAt: 1})
	track(t, c, "m1", "m2")
	var left *UndeliveredError
	if err := c.Flush(within(t, 30*time.Millisecond)); !errors.As(err, &left) || left.Queued != 2 {
		t.Errorf("%v", err)
	}
}

func TestFlushDoesNotWaitForTheRestOfItsBatch(t *testing.T) {
	first, rest := make(chan struct{}), make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, r request, n int) {
		switch {
		case n == 0:
			<-first
		case len(r.Batch) > 2:
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		case r.Batch[0]["messageId"] == "m3":
			<-rest
		}
	})
	c, _ := open(t, Options{Endpoint: s.URL, FlushAt: 1})
	track(t, c, "m0")
	eventually(t, "a request", func() bool { return len(s.seen()) == 1 })
	track(t, c, "m1", "m2")
	flushed := make(chan error)
	go func() { flushed <- c.Flush(within(t, 5*time.Second)) }()
	eventually(t, "a flush", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.flushTo == 3
	})
	track(t, c, "m3", "m4")
	close(first)
	if err := <-flushed; err != nil {
		t.Error(err)
	}
	close(rest)
}

func TestFlushDoesNotWaitForLaterEvents(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, func(_ http.ResponseWriter, r request, _ int) {
		if r.Batch[0]["messageId"] == "late" {
			<-release
		}
	})
	c, _ := open(t, Options{Endpoint: s.URL, BatchEvents: 1, FlushAt: 1})
	track(t, c, "m1")
	flushed := make(chan error)
	go func() { flushed <- c.Flush(within(t, 5*time.Second)) }()
	if err := <-flushed; err != nil {
		t.Error(err)
	}
	track(t, c, "late")
	close(release)
}

func TestCloseDrainsThenRefuses(t *testing.T) {
	s := serve(t, status(200))
	c, f := open(t, Options{Endpoint: s.URL, FlushInterval: time.Hour})
	track(t, c, "m1")
	if err := c.Close(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	if f.count()["delivered"] != 1 {
		t.Errorf("%v", f.count())
	}
	if err := c.Track(paid("m2")); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if err := c.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if _, err := c.Send(context.Background(), paid("m3")); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

func TestCloseTellsEachLossAtItsDeadline(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, func(http.ResponseWriter, request, int) { <-release })
	defer close(release)
	c, f := open(t, Options{Endpoint: s.URL, FlushAt: 1, BatchEvents: 1})
	track(t, c, "m1", "m2", "m3")
	eventually(t, "a request", func() bool { return len(s.seen()) == 1 })
	var left *UndeliveredError
	if err := c.Close(within(t, 30*time.Millisecond)); !errors.As(err, &left) || left.Queued != 3 {
		t.Errorf("%v", err)
	}
	if f.count()["dropped closed"] != 3 {
		t.Errorf("told when Close returned: %v", f.count())
	}
}

func TestSendWaitsForItsFate(t *testing.T) {
	s := serve(t, status(503, 200))
	c, _ := open(t, Options{Endpoint: s.URL})
	r, err := c.Send(within(t, 5*time.Second), paid("m1"))
	if err != nil || r.Fate != Delivered || r.MessageID != "m1" || r.Attempts != 2 {
		t.Errorf("%+v, %v", r, err)
	}
	s.turn(func(w http.ResponseWriter, _ request, _ int) {
		_, _ = io.WriteString(w, `{"rejected":[{"index":0,"messageId":"m2","code":"bot"}]}`)
	})
	var fate *FateError
	if r, err := c.Send(within(t, 5*time.Second), paid("m2")); !errors.As(err, &fate) || r.Fate != Rejected || r.Code != "bot" {
		t.Errorf("%+v, %v", r, err)
	}
	s.turn(status(503))
	if r, err := c.Send(within(t, 50*time.Millisecond), paid("m3")); err == nil || r.Fate != Dropped || r.Code != ReasonExpired {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := c.Send(context.Background(), Track{}); err == nil || r.Code != ReasonInvalid {
		t.Errorf("%+v, %v", r, err)
	}
}
