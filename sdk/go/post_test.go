package millstream

import (
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
		_, _ = io.WriteString(w, `{"rejected":[{"index":0,"messageId":"`+long[:255]+`","code":"id_too_long"},{"index":1,"messageId":"`+long[:255]+`","code":"bot"}]}`)
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
