package millstream

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// sink answers without a network, so that a benchmark measures the SDK.
type sink struct{}

func (sink) RoundTrip(r *http.Request) (*http.Response, error) {
	_, err := io.Copy(io.Discard, r.Body)
	return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(`{"success":true}`)), Request: r}, err
}

// standard is the event of the specification: five scalar properties, about 300 bytes.
var standard = Track{
	UserID: "user-184467", Event: "Order Completed",
	Properties: Map{"order_id": "50314b8e9bcf", "total": 27.5, "currency": "EUR", "items": 3, "first": true},
}

func benchClient(b testing.TB, o Options) *Client {
	o.Endpoint, o.Logger = "http://sink.invalid", quiet()
	if o.Transport == nil {
		o.Transport = sink{}
	}
	c, err := New("wk", o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		c.Close(ctx)
	})
	return c
}

// sleepy never sends by itself: what it measures is calls alone.
var sleepy = Options{QueueEvents: 2 * benchFill, FlushAt: 2 * benchFill, FlushInterval: time.Hour}

// benchFill is after how many calls a benchmark empties the queue, with the clock stopped.
const benchFill = 1000

func empty(b *testing.B, c *Client) {
	b.StopTimer()
	c.mu.Lock()
	c.discard(ReasonConsent)
	c.mu.Unlock()
	b.StartTimer()
}

func BenchmarkTrack(b *testing.B) {
	c := benchClient(b, sleepy)
	b.ReportAllocs()
	b.ResetTimer()
	for i := 1; i <= b.N; i++ {
		if err := c.Track(standard); err != nil {
			b.Fatal(err)
		}
		if i%benchFill == 0 {
			empty(b, c)
		}
	}
}

// BenchmarkTrackBuilt includes what the application does to have a map at all.
func BenchmarkTrackBuilt(b *testing.B) {
	c := benchClient(b, sleepy)
	b.ReportAllocs()
	b.ResetTimer()
	for i := 1; i <= b.N; i++ {
		err := c.Track(Track{
			UserID: "user-184467", Event: "Order Completed",
			Properties: Map{"order_id": "50314b8e9bcf", "total": 27.5, "currency": "EUR", "items": 3, "first": true},
		})
		if err != nil {
			b.Fatal(err)
		}
		if i%benchFill == 0 {
			empty(b, c)
		}
	}
}

// BenchmarkTrack8Goroutines reports the time of a call divided by the cores: eight wait for two.
func BenchmarkTrack8Goroutines(b *testing.B) {
	c := benchClient(b, Options{QueueEvents: b.N + 1, QueueBytes: 400 * (b.N + 1), FlushAt: b.N + 1, BatchBytes: 1 << 30, FlushInterval: time.Hour})
	b.ReportAllocs()
	b.SetParallelism(8 / runtime.GOMAXPROCS(0))
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := c.Track(standard); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkTrackWhileSending shares the cores with the sender, whose requests cost what joining and gzip cost.
func BenchmarkTrackWhileSending(b *testing.B) {
	c := benchClient(b, Options{Overflow: Block, BlockTimeout: time.Minute})
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		if err := c.Track(standard); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	if err := c.Flush(context.Background()); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkTrackWithSpool is BenchmarkTrackWhileSending with every event on disk in between.
func BenchmarkTrackWithSpool(b *testing.B) {
	c := benchClient(b, Options{Overflow: Block, BlockTimeout: time.Minute, Spool: Spool{Dir: b.TempDir(), MaxBytes: 1 << 40}})
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		if err := c.Track(standard); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
	_ = c.Flush(context.Background())
	for c.Stats().Delivered < uint64(b.N) {
		<-time.After(time.Millisecond)
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkTrackAtARate and its sibling with a spool call at 20,000 events/s, so that the cores are not the bound, and
// report the time within the calls.
func BenchmarkTrackAtARate(b *testing.B) { atARate(b, Options{}) }

func BenchmarkTrackAtARateWithSpool(b *testing.B) {
	atARate(b, Options{Spool: Spool{Dir: b.TempDir(), MaxBytes: 1 << 40}})
}

func atARate(b *testing.B, o Options) {
	c := benchClient(b, o)
	var within time.Duration
	begun := time.Now()
	b.ResetTimer()
	for i := 0; i < b.N; i += 20 {
		<-time.After(time.Until(begun.Add(time.Duration(i) * 50 * time.Microsecond)))
		at := time.Now()
		for range 20 {
			if err := c.Track(standard); err != nil {
				b.Fatal(err)
			}
		}
		within += time.Since(at)
	}
	b.ReportMetric(float64(within.Nanoseconds())/float64(b.N), "ns/call")
}

func BenchmarkTrackIntoAFullQueue(b *testing.B) {
	c := benchClient(b, Options{QueueEvents: 1, Consent: ConsentPending})
	_ = c.Track(standard)
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		if err := c.Track(standard); !errors.Is(err, ErrQueueFull) {
			b.Fatal(err)
		}
	}
}

// BenchmarkEndToEnd sends to the server at MILLSTREAM_ENDPOINT with the key MILLSTREAM_WRITE_KEY until it has everything.
func BenchmarkEndToEnd(b *testing.B) {
	endpoint := os.Getenv("MILLSTREAM_ENDPOINT")
	if endpoint == "" {
		b.Skip("set MILLSTREAM_ENDPOINT and MILLSTREAM_WRITE_KEY to measure a server")
	}
	c, err := New(os.Getenv("MILLSTREAM_WRITE_KEY"), Options{Endpoint: endpoint, Overflow: Block, BlockTimeout: time.Minute})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		if err := c.Track(standard); err != nil {
			b.Fatal(err)
		}
	}
	if err := c.Close(context.Background()); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	if s := c.Stats(); s.Delivered != s.Enqueued {
		b.Fatalf("not all delivered: %+v", s)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

func TestTrackAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector empties pools at random")
	}
	c := benchClient(t, Options{QueueEvents: 1 << 20, QueueBytes: 1 << 30, FlushAt: 1 << 20, BatchBytes: 1 << 30, FlushInterval: time.Hour})
	for range 1<<16 + 10 { // so that the queue does not grow below
		_ = c.Track(standard)
	}
	if n := testing.AllocsPerRun(1000, func() { _ = c.Track(standard) }); n > 0 {
		t.Errorf("%v allocations a call", n)
	}
	full := benchClient(t, Options{QueueEvents: 1, Consent: ConsentPending})
	_ = full.Track(standard)
	if n := testing.AllocsPerRun(1000, func() { _ = full.Track(standard) }); n > 0 {
		t.Errorf("%v allocations a refused call", n)
	}
}
