package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Load is a run of requests against an ingest server: as fast as it answers, or at a rate.
type Load struct {
	URL         string // of the server
	WriteKey    string
	Batch       int // events a request; 1 uses /v1/track
	Connections int
	Duration    time.Duration
	WarmUp      time.Duration // not counted
	Rate        float64       // events a second; 0: as fast as it answers
}

// Result is what a load measured.
type Result struct {
	Events      int64   `json:"events"`
	Requests    int64   `json:"requests"`
	Seconds     float64 `json:"seconds"`
	EventsPerS  float64 `json:"events_per_s"`
	BytesPerS   float64 `json:"bytes_per_s"`
	Latency     Summary `json:"latency"`
	CPUPerEvent float64 `json:"server_cpu_us_per_event,omitempty"`
	PeakRSS     int64   `json:"server_peak_rss_bytes,omitempty"`
	Spooled     int64   `json:"spooled_events,omitempty"` // of all that were sent, the warm-up's too
}

// Run sends until the duration is over. Any answer but 200 is an error: a
// server that refuses is not fast.
func (l Load) Run(ctx context.Context) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, l.WarmUp+l.Duration+30*time.Second)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{MaxIdleConns: l.Connections, MaxIdleConnsPerHost: l.Connections, DisableCompression: true}}
	defer client.CloseIdleConnections()
	start := time.Now()
	begin := start.Add(l.WarmUp)
	end := begin.Add(l.Duration)
	var (
		mu  sync.Mutex // guards what follows
		out Result
		all Latencies
		bad error
		wg  sync.WaitGroup
	)
	for i := range l.Connections {
		wg.Go(func() {
			w := worker{load: l, client: client, payload: newPayload(i, l.Batch), begin: begin, end: end}
			if l.Rate > 0 {
				w.every = time.Duration(float64(l.Batch*l.Connections) / l.Rate * float64(time.Second))
				w.due = start.Add(w.every * time.Duration(i) / time.Duration(l.Connections))
			}
			err := w.run(ctx)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, w.latencies...)
			out.Requests += int64(len(w.latencies))
			out.BytesPerS += float64(w.bytes)
			if err != nil && bad == nil {
				bad = err
				cancel()
			}
		})
	}
	wg.Wait()
	out.Events = out.Requests * int64(l.Batch)
	out.Seconds = l.Duration.Seconds()
	out.EventsPerS = float64(out.Events) / out.Seconds
	out.BytesPerS /= out.Seconds
	out.Latency = all.Summarise()
	return out, bad
}

type worker struct {
	load       Load
	client     *http.Client
	payload    *payload
	begin, end time.Time
	every      time.Duration // at a rate: from one request to the next
	due        time.Time     // of the next one
	latencies  Latencies
	bytes      int64
}

func (w *worker) run(ctx context.Context) error {
	path := "/v1/batch"
	if w.load.Batch == 1 {
		path = "/v1/track"
	}
	for {
		start := w.wait()
		if start.After(w.end) {
			return nil
		}
		body := w.payload.next()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.load.URL+path, bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.SetBasicAuth(w.load.WriteKey, "")
		req.Header.Set("Content-Type", "application/json")
		resp, err := w.client.Do(req)
		if err != nil {
			return err
		}
		answer, err := io.ReadAll(resp.Body)
		if closed := resp.Body.Close(); err == nil {
			err = closed
		}
		if err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("post %s: status %d: %s", path, resp.StatusCode, answer)
		}
		if done := time.Now(); start.After(w.begin) && !done.After(w.end) {
			w.latencies = append(w.latencies, done.Sub(start))
			w.bytes += int64(len(body))
		}
	}
}

// wait returns when the next request begins. At a rate that is when it is due, even if the last answer came later: who
// sends at that time waits for both.
func (w *worker) wait() time.Time {
	if w.every == 0 {
		return time.Now()
	}
	due := w.due
	w.due = due.Add(w.every)
	time.Sleep(time.Until(due)) //nolint:forbidigo // a load at a rate
	return due
}

// payload makes request bodies whose events differ in message id and user, of
// about 700 bytes each.
type payload struct {
	worker, batch int
	n             int
	buf           []byte
}

func newPayload(worker, batch int) *payload { return &payload{worker: worker, batch: batch} }

func (p *payload) next() []byte {
	p.buf = p.buf[:0]
	if p.batch > 1 {
		p.buf = append(p.buf, `{"batch":[`...)
	}
	for i := range p.batch {
		if i > 0 {
			p.buf = append(p.buf, ',')
		}
		p.event()
	}
	if p.batch > 1 {
		p.buf = append(p.buf, `],"sentAt":"2026-03-01T10:00:01.000Z"}`...)
	}
	return p.buf
}

func (p *payload) event() {
	p.n++
	p.buf = append(p.buf, `{"type":"track","messageId":"bench-`...)
	p.buf = strconv.AppendInt(p.buf, int64(p.worker), 10)
	p.buf = append(p.buf, '-')
	p.buf = strconv.AppendInt(p.buf, time.Now().UnixNano(), 36)
	p.buf = append(p.buf, '-')
	p.buf = strconv.AppendInt(p.buf, int64(p.n), 10)
	p.buf = append(p.buf, `","userId":"user-`...)
	p.buf = strconv.AppendInt(p.buf, int64(p.n*7919%100_000), 10)
	p.buf = append(p.buf, eventRest...)
}

// eventRest has the members that an SDK sends: context, and properties of the
// kinds that columns are made of.
const eventRest = `","anonymousId":"9b1d6f0e-9c1e-4b8e-a7c4-2f0d5e8b1c33","event":"Product Viewed","timestamp":"2026-03-01T10:00:00.000Z",` +
	`"context":{"library":{"name":"analytics-node","version":"3.1.0"},"locale":"de-DE","timezone":"Europe/Berlin",` +
	`"page":{"path":"/bread/rye","title":"Rye sourdough","url":"https://shop.example.com/bread/rye"},` +
	`"userAgent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"},` +
	`"properties":{"product_id":"SKU-101","name":"Rye sourdough","category":"bread","price":5.9,"quantity":2,"currency":"EUR","in_stock":true,` +
	`"position":3,"list":"search","query":"rye","coupon":null,"tags":["organic","new"]},"integrations":{}}`
