package ingest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/telemetry"
	"github.com/millstream-data/millstream/internal/testkit"
)

// nobody returns the configuration of a Kafka that is not there yet, and its address.
func nobody(t *testing.T) (kafka.Config, string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	kcfg := kafka.DefaultConfig()
	kcfg.Brokers, kcfg.Topics.Partitions, kcfg.Topics.Replication = []string{ln.Addr().String()}, 4, 1
	return kcfg, ln.Addr().String()
}

func numbered(user string, n int) string {
	return fmt.Sprintf(`{"type":"page","userId":"%s","messageId":"%s-%d","n":%d}`, user, user, n, n)
}

// impatient makes lanes spool soon.
func impatient(c *Config) { c.Timeouts.AckTimeout = 150 * time.Millisecond; c.Spool.MinFree = 0 }

func (e *edge) untilDirect(t *testing.T) {
	t.Helper()
	testkit.Eventually(t, "all lanes should be direct again", func() error {
		l := e.producer.lanes.Load()
		if l == nil {
			return errors.New("no topics")
		}
		if n := l.spooled(); n > 0 {
			return fmt.Errorf("%d lanes are spooled: %s", n, e.health.Report(t.Context()))
		}
		return nil
	})
}

// arrived returns for each user the numbers on the topic of events in their order, each where it stands first.
func (e *edge) arrived(t *testing.T, want int) map[string][]int {
	t.Helper()
	in := testkit.KafkaClient(t, e.kafka, kgo.ConsumeTopics(e.kafka.Names().Events()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	out, seen := map[string][]int{}, map[string]bool{}
	testkit.Eventually(t, fmt.Sprintf("%d events should arrive", want), func() error {
		ctx, cancel := contextFor(t, 2*time.Second) // a busy machine may need more than a moment for each fetch
		defer cancel()
		in.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			var v struct {
				UserID, MessageID string
				N                 int
			}
			if err := json.Unmarshal(r.Value, &v); err != nil {
				t.Fatal(err)
			}
			if !r.Timestamp.Equal(at) {
				t.Errorf("timestamp %s", r.Timestamp)
			}
			if !seen[v.MessageID] {
				seen[v.MessageID] = true
				out[v.UserID] = append(out[v.UserID], v.N)
			}
		})
		if len(seen) < want {
			return fmt.Errorf("%d have", len(seen))
		}
		return nil
	})
	return out
}

// load sends events of some users, one after the other each, until stop is closed. Each goes on until it has a 200.
func (e *edge) load(users int, stop <-chan struct{}) (wait func() map[string]int, sent *atomic.Int64) {
	var g sync.WaitGroup
	var mu sync.Mutex
	counts := map[string]int{}
	sent = &atomic.Int64{}
	for u := range users {
		g.Go(func() {
			user := fmt.Sprintf("user%d", u)
			for n := 0; ; {
				select {
				case <-stop:
					mu.Lock()
					counts[user] = n
					mu.Unlock()
					return
				default:
				}
				a, err := e.try(http.MethodPost, "/v1/page", numbered(user, n), "X-Write-Key", "dev-server")
				if err == nil && a.status == 200 {
					n++
					sent.Add(1)
				}
			}
		})
	}
	return func() map[string]int { g.Wait(); return counts }, sent
}

// inOrder checks that each user's numbers are all there, in order.
func inOrder(t *testing.T, got map[string][]int, want map[string]int) {
	t.Helper()
	for user := range maps.Keys(want) {
		for i, n := range got[user] {
			if i != n {
				t.Fatalf("%s: number %d stands at place %d of %v", user, n, i, got[user])
			}
		}
		if len(got[user]) < want[user] {
			t.Errorf("%s: %d events of %d", user, len(got[user]), want[user])
		}
	}
}

func until(t *testing.T, sent *atomic.Int64, more int64) {
	t.Helper()
	from := sent.Load()
	testkit.Eventually(t, fmt.Sprintf("%d more events should be taken", more), func() error {
		if n := sent.Load() - from; n < more {
			return fmt.Errorf("%d were", n)
		}
		return nil
	})
}

func TestKafkaAwayUnderLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	broker, kcfg := testkit.KafkaAt(t, "127.0.0.1:0", dir)
	e := setupAt(t, kcfg, impatient, func(c *Config) { c.Spool.Segment = 16 << 10 })
	e.untilDirect(t)
	stop := make(chan struct{})
	wait, sent := e.load(8, stop)
	for range 2 {
		until(t, sent, 100)
		addr := broker.Addr()
		broker.Close()
		until(t, sent, 300)
		equal(t, "health", e.do(t, http.MethodGet, "/health", "").body, `{"status":"degraded"}`)
		broker, _ = testkit.KafkaAt(t, addr, dir)
		e.untilDirect(t)
	}
	until(t, sent, 100)
	close(stop)
	want := wait()
	inOrder(t, e.arrived(t, int(sent.Load())), want)
	testkit.Eventually(t, "drained segments should be deleted", func() error {
		if n := e.metric(t, "spool_segments"); n > 0 {
			return fmt.Errorf("%v segments", n)
		}
		return nil
	})
	equal(t, "health", e.do(t, http.MethodGet, "/health", "").body, `{"status":"ready"}`)
	if e.metric(t, "spool_frames_total") == 0 || e.metric(t, "spool_drained_total") == 0 {
		t.Error("nothing was spooled")
	}
}

// What the producer holds since its lane spooled is held until Kafka is back. It must not take the room of requests.
func TestOutageLeavesRoomForRequests(t *testing.T) {
	t.Parallel()
	broker, kcfg := testkit.Kafka(t)
	e := setupAt(t, kcfg, impatient, func(c *Config) { c.Limits.Inflight = 1 << 20; c.Limits.Body, c.Limits.Inflated = 256<<10, 256<<10 })
	e.untilDirect(t)
	broker.Close()
	filler := strings.Repeat("x", 30<<10)
	for range 3 {
		var answers []<-chan answer
		for n := range 8 {
			answers = append(answers, e.later("/v1/page", fmt.Sprintf(`{"type":"page","userId":"u%d","x":"%s"}`, n, filler)))
		}
		for _, a := range answers {
			if a := <-a; a.status != 200 {
				t.Errorf("%d %s", a.status, a.body)
			}
		}
	}
	testkit.Eventually(t, "nothing should be held", func() error {
		if n := e.gate.held.Load(); n > 0 {
			return fmt.Errorf("%d bytes are", n)
		}
		return nil
	})
	if e.producer.unacked() == 0 {
		t.Error("the producer holds nothing")
	}
}

func TestStartWithoutKafka(t *testing.T) {
	t.Parallel()
	kcfg, addr := nobody(t)
	e := setupAt(t, kcfg, impatient)
	want := map[string]int{"a": 20, "b": 20}
	for n := range 20 {
		for _, user := range []string{"a", "b"} {
			if a := e.post(t, "/v1/page", numbered(user, n)); a.status != 200 {
				t.Fatalf("%d %s", a.status, a.body)
			}
		}
	}
	equal(t, "a dead letter", e.post(t, "/v1/batch", `{"batch":[1]}`).status, 200)
	equal(t, "readiness", e.health.Report(t.Context()).State, telemetry.StateDegraded)
	testkit.KafkaAt(t, addr, "")
	e.untilDirect(t)
	inOrder(t, e.arrived(t, 40), want)
	e.rejected(t, 1)
	equal(t, "an event", e.post(t, "/v1/page", numbered("a", 20)).status, 200)
	inOrder(t, e.arrived(t, 41), map[string]int{"a": 21})
	e.events(t, 41)
	equal(t, "readiness", e.health.Report(t.Context()).State, telemetry.StateReady)
}

// killPartition0 takes partition 0 of all topics from the producers until revive is called.
func (e *edge) killPartition0() (revive func()) {
	var dead atomic.Bool
	dead.Store(true)
	e.broker.Cluster().ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		e.broker.Cluster().KeepControl()
		req, _ := r.(*kmsg.ProduceRequest)
		for i := range req.Topics {
			var alive []kmsg.ProduceRequestTopicPartition
			for _, p := range req.Topics[i].Partitions {
				if p.Partition != 0 || !dead.Load() {
					alive = append(alive, p)
				}
			}
			req.Topics[i].Partitions = alive
		}
		return nil, nil, false
	})
	return func() { dead.Store(false) }
}

func TestDeadPartitionHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	e := setup(t, impatient, func(c *Config) { c.Timeouts.AckTimeout = 2 * time.Second }) // the living ones may be slow
	revive := e.killPartition0()
	stop := make(chan struct{})
	wait, sent := e.load(12, stop) // some of them live on partition 0
	testkit.Eventually(t, "one lane should spool", func() error {
		if n := e.producer.lanes.Load().spooled(); n != 1 {
			return fmt.Errorf("%d are spooled", n)
		}
		return nil
	})
	until(t, sent, 400)
	equal(t, "spooled lanes", e.metric(t, "lanes_spooled"), 1.0)
	equal(t, "lane 0", e.producer.lanes.Load().events[0].spooled.Load(), true)
	revive()
	e.untilDirect(t)
	close(stop)
	want := wait()
	inOrder(t, e.arrived(t, int(sent.Load())), want)
	e.events(t, int(sent.Load())) // an outage alone makes no duplicates
}

func TestSpoolRecovery(t *testing.T) {
	t.Parallel()
	kcfg, addr := nobody(t)
	dir := t.TempDir()
	config := func(c *Config) { impatient(c); c.DataDir = dir; c.Spool.Segment = 1 << 10; c.Timeouts.DrainTimeout = 0 }
	first := setupAt(t, kcfg, config)
	for n := range 40 {
		if a := first.post(t, "/v1/page", numbered("u", n)); a.status != 200 {
			t.Fatal(a.body)
		}
	}
	first.stop()
	if err := <-first.ended; err != nil {
		t.Fatal(err)
	}
	first.ended <- nil
	spool := filepath.Join(dir, "spool")
	segs, _, err := listSegments(spool)
	if err != nil || len(segs) < 4 {
		t.Fatalf("%d segments: %v", len(segs), err)
	}
	// A torn end, a flipped bit in the second segment, and half a file of positions.
	last := filepath.Join(spool, segmentName(segs[len(segs)-1].seq))
	b, err := os.ReadFile(last)
	if err != nil {
		t.Fatal(err)
	}
	write(t, last, append(b, b[segmentHeader:segmentHeader+50]...))
	damaged := filepath.Join(spool, segmentName(segs[1].seq))
	if b, err = os.ReadFile(damaged); err != nil {
		t.Fatal(err)
	}
	b[len(b)-20] ^= 4
	write(t, damaged, b)
	write(t, filepath.Join(spool, positionsFile), []byte(`{"v":1,"parti`))

	e := setupAt(t, kcfg, config)
	testkit.KafkaAt(t, addr, "")
	e.untilDirect(t)
	got := e.arrived(t, 39)["u"]
	equal(t, "events", len(got), 39) // all but the damaged one
	for i := range got[1:] {
		if got[i] >= got[i+1] {
			t.Errorf("out of order: %v", got)
		}
	}
	testkit.Eventually(t, "the damaged segment should be kept", func() error {
		_, err := os.Stat(damaged + ".corrupt")
		return err
	})
	if torn, err := os.ReadFile(last + ".torn"); err != nil || len(torn) != 50 {
		t.Errorf("%d bytes were torn: %v", len(torn), err)
	}
	equal(t, "torn", e.metric(t, "spool_errors_total", "torn"), 1.0)
	equal(t, "corrupt", e.metric(t, "spool_errors_total", "corrupt"), 1.0)
	if r := e.health.Report(t.Context()); r.State != telemetry.StateDegraded || !strings.Contains(r.String(), "corrupt") {
		t.Error(r)
	}
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestSpoolIsLocked(t *testing.T) {
	t.Parallel()
	e := setup(t)
	cfg := testConfig()
	cfg.DataDir = e.cfg.DataDir
	_, err := New(cfg, Deps{Kafka: e.kafka, Log: testkit.Log(t), Registry: prometheus.NewRegistry(), Health: telemetry.NewHealth()})
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("in use by process %d", os.Getpid())) || !strings.Contains(err.Error(), "ingest.data_dir") {
		t.Errorf("%v", err)
	}
}
