package ingest

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/testkit"
)

// handClock is a clock that the test moves.
type handClock struct{ now atomic.Int64 }

func (c *handClock) add(d time.Duration) { c.now.Add(int64(d)) }

// pages is a batch of n page calls.
func pages(n int, more string) string {
	return `{"batch":[` + strings.TrimSuffix(strings.Repeat(`{"type":"page","userId":"u"},`, n), ",") + more + `]}`
}

// setupLimited starts a server whose source app may send at this rate, and whose wall clock runs backwards.
func setupLimited(t *testing.T, rate Rate) (*edge, *handClock) {
	t.Helper()
	_, kcfg := testkit.Kafka(t)
	clock := &handClock{}
	var back atomic.Int64
	e := setupFaulty(t, kcfg, func(s *Server) {
		s.clock = func() time.Duration { return time.Duration(clock.now.Load()) }
		s.now = func() time.Time { return at.Add(-time.Duration(back.Add(1)) * time.Hour) }
	}, func(c *Config) {
		app := c.Sources["app"]
		app.Rate = rate
		c.Sources["app"] = app
	})
	return e, clock
}

func TestH16Rate(t *testing.T) {
	t.Parallel()
	e, clock := setupLimited(t, Rate{Events: 10, Bytes: 10_000, Burst: 2 * time.Second})
	send := func(body string, want int) answer {
		t.Helper()
		a := e.do(t, http.MethodPost, "/v1/batch", body, "X-Write-Key", "dev")
		if a.status != want {
			t.Fatalf("%d %s, want %d", a.status, a.body, want)
		}
		return a
	}
	// retry waits as long as it was told, and shows that a second less would have been too little.
	retry := func(a answer, want time.Duration) {
		t.Helper()
		wait, err := strconv.Atoi(a.header.Get("Retry-After"))
		if err != nil || time.Duration(wait)*time.Second != want || a.header.Get("X-RateLimit-Reset") != a.header.Get("Retry-After") {
			t.Errorf("Retry-After %q, X-RateLimit-Reset %q, want %v", a.header.Get("Retry-After"), a.header.Get("X-RateLimit-Reset"), want)
		}
		clock.add(want - time.Second)
		send(pages(1, ""), http.StatusTooManyRequests)
		clock.add(time.Second)
	}
	send(pages(19, ""), 200)
	send(pages(50, `,{"type":"nothing"}`), 200) // one token was left: no batch is split or impossible
	a := send(pages(1, ""), http.StatusTooManyRequests)
	if !strings.Contains(a.body, `"code":"rate_limited"`) {
		t.Errorf("got %s", a.body)
	}
	retry(a, 6*time.Second) // 70 of 20 are taken, the refused event among them; 50 are back after 5 s, and none is there then
	send(pages(1, ""), 200)
	clock.add(time.Hour) // fills up, and no further
	send(pages(21, ""), 200)
	retry(send(pages(1, ""), http.StatusTooManyRequests), time.Second)
	send(pages(1, ""), 200)

	clock.add(time.Hour)
	large := `{"batch":[{"type":"page","userId":"u","properties":{"x":"` + strings.Repeat("x", 39_940) + `"}}]}`
	send(large, 200)
	retry(send(pages(1, ""), http.StatusTooManyRequests), 3*time.Second)
	send(pages(1, ""), 200)

	clock.add(time.Hour)
	send(`{"batch":[{]}`, 400) // counts as one
	send(pages(20, ""), 200)
	send(pages(1, ""), http.StatusTooManyRequests)
	equal(t, "limited by events", e.metric(t, "limited_total", "events", "app"), 5.0)
	equal(t, "limited by bytes", e.metric(t, "limited_total", "bytes", "app"), 2.0)
	equal(t, "the other key", e.post(t, "/v1/batch", pages(1, "")).status, 200)
	e.untilDirect(t)
	e.rejected(t, 2) // none of a refused request
}

func TestRateIsAskedBeforeTheBody(t *testing.T) {
	t.Parallel()
	e, _ := setupLimited(t, Rate{Events: 0.001, Burst: time.Second})
	equal(t, "first", e.do(t, http.MethodPost, "/v1/batch", pages(3, ""), "X-Write-Key", "dev").status, 200)
	a := e.do(t, http.MethodPost, "/v1/page", `{"userId":"u","writeKey":"dev"}`)
	equal(t, "key in the body", a.status, http.StatusTooManyRequests)
	equal(t, "no longer than five minutes", a.header.Get("Retry-After"), "300")
	equal(t, "pixel", e.do(t, http.MethodGet, "/v1/pixel/page?userId=u&writeKey=dev", "").status, http.StatusTooManyRequests)

	conn, err := net.Dial("tcp", e.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /v1/page HTTP/1.1\r\nHost: h\r\nX-Write-Key: dev\r\nContent-Length: 1000000\r\n\r\n") // and no body
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	equal(t, "key in a header", resp.StatusCode, http.StatusTooManyRequests)
}

func TestRateSurvivesReloads(t *testing.T) {
	t.Parallel()
	_, kcfg := testkit.Kafka(t)
	file := sourcesAt(filepath.Join(t.TempDir(), "sources.yaml"))
	text := func(perSecond int, key string) string {
		return keyed("limited", key) + fmt.Sprintf("    rate: {events_per_second: %d, burst: 1s}\n", perSecond)
	}
	file.save(t, text(1, "k1"))
	clock := &handClock{}
	e := setupFaulty(t, kcfg, func(s *Server) {
		s.lookEvery = 5 * time.Millisecond
		s.clock = func() time.Duration { return time.Duration(clock.now.Load()) }
	}, func(c *Config) { c.Sources, c.SourcesFile = nil, string(file) })
	send := func(key string) answer {
		return e.do(t, http.MethodPost, "/v1/batch", pages(101, ""), "X-Write-Key", key)
	}
	equal(t, "first", send("limited").status, 200)
	equal(t, "in debt", send("limited").header.Get("Retry-After"), "101")
	file.save(t, text(1, "k2"))
	e.until(t, "k2", `"success":true`)
	equal(t, "after a reload", send("limited").header.Get("Retry-After"), "101")
	file.save(t, text(10, "k3"))
	e.until(t, "k3", `"success":true`)
	equal(t, "at ten times the rate", send("limited").header.Get("Retry-After"), "10")
	equal(t, "used keys stay known", send("k3").status, 200)
}

func TestBucketsBearAnything(t *testing.T) {
	t.Parallel()
	var b bucket
	for range 100 {
		b.take(time.Second, 1e300, 1e-300)
	}
	if w := b.wait(time.Second, time.Second); w != maxDebt-time.Second+1 {
		t.Errorf("wait %v", w)
	}
	var wg sync.WaitGroup
	var shared bucket
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				shared.take(time.Second, 1, 1000)
			}
		})
	}
	wg.Wait()
	equal(t, "what many took at once", time.Duration(shared.full.Load()), 9*time.Second)
	b.rescale(time.Second, 1e-300, 1e300)
	if w := b.wait(time.Second, time.Second); w != 0 {
		t.Errorf("wait %v", w)
	}
	b = bucket{}
	b.take(0, 5, 0)
	if b.full.Load() != 0 {
		t.Error("an unlimited bucket was charged")
	}
}

func TestRateConfigurationNamesItsProblems(t *testing.T) {
	t.Parallel()
	c := testConfig()
	app := c.Sources["app"]
	app.Rate = Rate{Events: -1, Bytes: config.KiB}
	c.Sources["app"] = app
	err := c.Validate()
	for _, want := range []string{"ingest.sources.app.rate.events_per_second: must be >= 0", "ingest.sources.app.rate.burst: must be between"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
}
