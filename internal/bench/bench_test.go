package bench

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/testkit"
)

func TestPercentilesAreNearestRanks(t *testing.T) {
	t.Parallel()
	var l Latencies
	for i := 100; i >= 1; i-- {
		l = append(l, time.Duration(i)*time.Millisecond)
	}
	for p, want := range map[float64]time.Duration{50: 50, 90: 90, 99: 99, 100: 100, 0: 1} {
		if got := l.Percentile(p); got != want*time.Millisecond {
			t.Errorf("p%v: want %d ms, got %s", p, want, got)
		}
	}
	if got := (Latencies{}).Percentile(50); got != 0 {
		t.Errorf("of nothing: %s", got)
	}
}

func TestPayloadIsJSONOfAboutSevenHundredBytesAnEvent(t *testing.T) {
	t.Parallel()
	p := newPayload(1, 100)
	seen := map[string]bool{}
	for range 3 {
		body := p.next()
		var batch struct{ Batch []struct{ MessageID string } }
		if err := json.Unmarshal(body, &batch); err != nil {
			t.Fatal(err)
		}
		for _, e := range batch.Batch {
			if seen[e.MessageID] {
				t.Fatalf("message id %s comes twice", e.MessageID)
			}
			seen[e.MessageID] = true
		}
		if size := len(body) / 100; size < 650 || size > 850 {
			t.Errorf("an event has %d bytes", size)
		}
	}
	if len(seen) != 300 {
		t.Errorf("want 300 events, got %d", len(seen))
	}
}

func TestLoadOnTheBareReferenceCountsWhatIsInKafka(t *testing.T) {
	t.Parallel()
	_, cfg := testkit.Kafka(t)
	cl := testkit.KafkaClient(t, cfg)
	if err := kafka.EnsureTopics(t.Context(), cfg, cl, cfg.EventsTopic()); err != nil {
		t.Fatal(err)
	}
	h, stop, err := Bare(cfg, testkit.Log(t))
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	srv := httptest.NewServer(h)
	defer srv.Close()
	got, err := Load{URL: srv.URL, Batch: 10, Connections: 3, Duration: 300 * time.Millisecond}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	log, err := kafka.DescribeLog(t.Context(), cl, cfg.Names().Events(), false)
	if err != nil {
		t.Fatal(err)
	}
	var stored int64
	for _, end := range log.End {
		stored += end
	}
	if got.Events == 0 || stored < got.Events || int64(got.Latency.Count) != got.Requests {
		t.Fatalf("measured %+v, stored %d", got, stored)
	}
}

func TestARefusalIsNoResult(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusTooManyRequests) }))
	defer srv.Close()
	if _, err := (Load{URL: srv.URL, Batch: 1, Connections: 1, Duration: time.Second}).Run(t.Context()); err == nil {
		t.Fatal("want an error")
	}
}

func TestALoadAtARateWaitsForWhatIsLate(t *testing.T) {
	t.Parallel()
	first := make(chan struct{}, 1)
	first <- struct{}{}
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-first:
			time.Sleep(200 * time.Millisecond) //nolint:forbidigo // a stall is what is tested
		default:
		}
	}))
	defer srv.Close()
	got, err := Load{URL: srv.URL, Batch: 10, Connections: 1, Duration: 500 * time.Millisecond, Rate: 1000}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// A request is due every 10 ms. Those of the stall were late, too, though each was answered at once when it was sent.
	if got.Requests > 51 || got.Latency.P90 < 50 {
		t.Errorf("%d requests, %s", got.Requests, got.Latency)
	}
}
