package conformance

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/ingest"
	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/telemetry"
	"github.com/millstream-data/millstream/internal/testkit"
)

// realEvents is how many events the case sends.
const realEvents = 10_000

// realIngest sends through an ingest that is killed twice and started again, and that has enough of the key now and then.
func realIngest(t *testing.T, c *testCase, sdk, dir string) {
	_, kcfg := testkit.Kafka(t)
	e := &edge{t: t, kafka: kcfg, dir: filepath.Join(dir, "ingest"), front: listen(t, "127.0.0.1:0"), conns: map[net.Conn]bool{}}
	e.start()
	var wg sync.WaitGroup
	wg.Go(e.accept)
	t.Cleanup(func() {
		_ = e.front.Close()
		e.kill()
		wg.Wait()
	})
	ctx, cancel := context.WithCancel(t.Context())
	wg.Go(func() {
		for _, n := range []int64{2000, 5000} { // in the middle, whatever the machine's pace
			if e.reached(ctx, n) {
				e.kill()
				<-time.After(500 * time.Millisecond) // long enough for the program to come and find nobody
				e.start()
			}
		}
	})
	r := c.Runs[0]
	in, err := r.Input.prepared("http://"+e.front.Addr().String(), dir)
	if err != nil {
		t.Fatal(err)
	}
	out, err := built.run(t.Context(), sdk, in)
	cancel()
	if err != nil {
		t.Fatal(err)
	}
	judge(t, &outcome{sdk: sdk, c: c, run: r, in: in, out: out, dir: dir})
	e.compare()
}

// edge is an ingest behind a front that can cut what is open, as the end of a process does.
type edge struct {
	t     *testing.T
	kafka kafka.Config
	dir   string
	front net.Listener

	mu    sync.Mutex
	conns map[net.Conn]bool // guarded by mu, as all below
	to    string            // address of the ingest; empty while it is dead
	stop  func()
	kills int
}

func (e *edge) start() {
	cfg := ingest.DefaultConfig()
	cfg.Listen, cfg.DataDir = "127.0.0.1:0", e.dir
	cfg.Sources = ingest.DevSources()
	app := cfg.Sources["app"]
	app.Rate.Events, app.Rate.Burst = 8000, 500*time.Millisecond
	cfg.Sources["app"] = app
	cfg.Timeouts.DrainDelay, cfg.Produce.Linger = 0, 0
	cfg.Dedup.MaxIDs, cfg.Produce.Compression = 10_000, "none"
	s, err := ingest.New(cfg, ingest.Deps{Kafka: e.kafka, Log: testkit.Log(e.t), Registry: prometheus.NewRegistry(), Health: telemetry.NewHealth()})
	if err != nil {
		e.t.Error(err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.to = s.Addr().String()
	e.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			e.t.Errorf("run: %v", err)
		}
	}
}

// kill cuts every connection before the ingest may answer; what it had taken may be in Kafka or not.
func (e *edge) kill() {
	e.mu.Lock()
	stop := e.stop
	e.to, e.stop = "", nil
	e.kills++
	for c := range e.conns {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = c.Close()
	}
	e.mu.Unlock()
	if stop != nil {
		stop()
	}
}

func (e *edge) accept() {
	for {
		c, err := e.front.Accept()
		if err != nil {
			return
		}
		go e.carry(c)
	}
}

// carry joins a client's connection and one to the ingest until either ends.
func (e *edge) carry(c net.Conn) {
	defer func() { _ = c.Close() }()
	e.mu.Lock()
	to := e.to
	e.mu.Unlock()
	if to == "" {
		return
	}
	up, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", to)
	if err != nil {
		return
	}
	defer func() { _ = up.Close() }()
	e.mu.Lock()
	if e.to != to {
		e.mu.Unlock()
		return
	}
	e.conns[c] = true
	e.mu.Unlock()
	go func() {
		_, _ = io.Copy(c, up)
		_ = c.Close()
	}()
	_, _ = io.Copy(up, c)
	e.mu.Lock()
	delete(e.conns, c)
	e.mu.Unlock()
}

// reached waits until Kafka has n events, and says whether it came to that before ctx ended.
func (e *edge) reached(ctx context.Context, n int64) bool {
	cl := testkit.KafkaClient(e.t, e.kafka)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
		if e.stored(ctx, cl) >= n {
			return true
		}
	}
}

// stored is how many records the topic of events has.
func (e *edge) stored(ctx context.Context, cl *kgo.Client) int64 {
	log, err := kafka.DescribeLog(ctx, cl, e.kafka.Names().Events(), false)
	if err != nil {
		return 0 // the topic is not there yet, or ctx has ended
	}
	total := int64(0)
	for p, end := range log.End {
		total += end - log.Start[p]
	}
	return total
}

// compare wants every event in Kafka, each user's in the order of the calls once repetitions are left out.
func (e *edge) compare() {
	t := e.t
	e.mu.Lock()
	kills := e.kills
	e.mu.Unlock()
	if kills != 2 {
		t.Errorf("the ingest was killed %d times, want 2: the run says nothing about that", kills)
	}
	want := e.stored(t.Context(), testkit.KafkaClient(t, e.kafka))
	in := testkit.KafkaClient(t, e.kafka, kgo.ConsumeTopics(e.kafka.Names().Events()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	seen, last := map[string]bool{}, map[string]int{}
	for read := int64(0); read < want; {
		fetches := in.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		for _, r := range fetches.Records() {
			read++
			var ev struct {
				MessageID, UserID string
				Properties        struct{ N int }
			}
			if err := json.Unmarshal(r.Value, &ev); err != nil {
				t.Fatal(err)
			}
			if seen[ev.MessageID] {
				continue
			}
			seen[ev.MessageID] = true
			if ev.Properties.N <= last[ev.UserID] {
				t.Errorf("%s: event %d comes after %d", ev.UserID, ev.Properties.N, last[ev.UserID])
			}
			last[ev.UserID] = ev.Properties.N
		}
	}
	if len(seen) != realEvents {
		t.Errorf("%d events are in Kafka, want %d", len(seen), realEvents)
	}
}
