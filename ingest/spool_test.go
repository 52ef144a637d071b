package ingest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millstream-data/millstream/internal/event"
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
		ctx, cancel := contextFor(t, 100*time.Millisecond)
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
	equal(t, "readiness", e.health.Report(t.Context()).State, telemetry.StateReady)
}

func TestDeadPartitionHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	e := setup(t, impatient, func(c *Config) { c.Timeouts.AckTimeout = 2 * time.Second }) // the living ones may be slow
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
	dead.Store(false)
	e.untilDirect(t)
	close(stop)
	want := wait()
	inOrder(t, e.arrived(t, int(sent.Load())), want)
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

// faulty is a file of a disk with a fault.
type faulty struct {
	*os.File
	write, sync *atomic.Pointer[error]
	failed      bool
}

func (f *faulty) Write(b []byte) (int, error) {
	if err := f.write.Load(); err != nil && len(b) > segmentHeader {
		n, _ := f.File.Write(b[:len(b)/2])
		return n, *err
	}
	return f.File.Write(b)
}

func (f *faulty) Sync() error {
	if f.failed {
		panic("BUG: a file whose sync has failed is synced again")
	}
	if err := f.sync.Load(); err != nil {
		f.failed = true
		return *err
	}
	return f.File.Sync()
}

func (f *faulty) fit(s *Server) {
	s.producer.spool.create = func(path string) (spoolFile, error) {
		file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		return &faulty{File: file, write: f.write, sync: f.sync}, err
	}
}

func TestFsyncFailureIsNotAcknowledged(t *testing.T) {
	t.Parallel()
	kcfg, addr := nobody(t)
	disk := faulty{write: &atomic.Pointer[error]{}, sync: &atomic.Pointer[error]{}}
	e := setupFaulty(t, kcfg, disk.fit, impatient)
	equal(t, "before", e.post(t, "/v1/page", numbered("u", 0)).status, 200)
	disk.sync.Store(&[]error{io.ErrUnexpectedEOF}[0])
	for range 2 {
		if a := e.post(t, "/v1/page", numbered("u", 1)); a.status != 503 || !strings.Contains(a.body, "not_durable") {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	equal(t, "failures", e.metric(t, "spool_errors_total", "fsync"), 2.0)
	disk.sync.Store(nil)
	equal(t, "after", e.post(t, "/v1/page", numbered("u", 1)).status, 200)
	disk.sync.Store(&[]error{io.ErrUnexpectedEOF}[0])
	for range 4 {
		equal(t, "broken", e.post(t, "/v1/page", numbered("u", 2)).status, 503)
	}
	equal(t, "failures", e.metric(t, "spool_errors_total", "fsync"), 5.0) // the fourth was not tried
	equal(t, "readiness", e.health.Report(t.Context()).State, telemetry.StateNotReady)
	equal(t, "health", e.do(t, http.MethodGet, "/health", "").status, 503)
	testkit.KafkaAt(t, addr, "")
	disk.sync.Store(nil)
	e.untilDirect(t)
	equal(t, "direct", e.post(t, "/v1/page", numbered("u", 2)).status, 200)
	inOrder(t, e.arrived(t, 3), map[string]int{"u": 3})
	_, corrupt, err := listSegments(spoolDir(e.cfg))
	if corrupt > 0 || err != nil {
		t.Errorf("%d corrupt segments: %v", corrupt, err)
	}
}

func TestSpoolDiskFull(t *testing.T) {
	t.Parallel()
	kcfg, addr := nobody(t)
	disk := faulty{write: &atomic.Pointer[error]{}, sync: &atomic.Pointer[error]{}}
	var free atomic.Int64
	free.Store(1 << 40)
	e := setupFaulty(t, kcfg, func(s *Server) {
		disk.fit(s)
		s.producer.spool.free = func() (int64, error) { return free.Load(), nil }
	}, impatient, func(c *Config) { c.Spool.MinFree = 1 << 20 })
	equal(t, "before", e.post(t, "/v1/page", numbered("u", 0)).status, 200)
	disk.write.Store(&[]error{syscall.ENOSPC}[0])
	if a := e.post(t, "/v1/page", numbered("u", 1)); a.status != 503 || !strings.Contains(a.body, `"spool_full"`) {
		t.Errorf("%d %s", a.status, a.body)
	}
	disk.write.Store(nil)
	equal(t, "room again", e.post(t, "/v1/page", numbered("u", 1)).status, 200)
	free.Store(1<<20 - 1)
	taken := 0
	testkit.Eventually(t, "the bound of the file system should hold", func() error {
		if a := e.post(t, "/v1/page", numbered("v", taken)); a.status != 503 || a.header.Get("Retry-After") != "30" {
			taken++
			return fmt.Errorf("%d %s", a.status, a.body)
		}
		return nil
	})
	equal(t, "readiness", e.health.Report(t.Context()).State, telemetry.StateNotReady)
	free.Store(1 << 40)
	testkit.Eventually(t, "room again", func() error {
		if a := e.post(t, "/v1/page", numbered("u", 2)); a.status != 200 {
			return errors.New(a.body)
		}
		return nil
	})
	testkit.KafkaAt(t, addr, "")
	e.untilDirect(t)
	inOrder(t, e.arrived(t, 3+taken), map[string]int{"u": 3, "v": taken})
}

func TestSpoolFullAnswers503(t *testing.T) {
	t.Parallel()
	kcfg, addr := nobody(t)
	e := setupAt(t, kcfg, impatient, func(c *Config) { c.Spool.MaxBytes = 2 << 10 })
	n := 0
	for ; ; n++ {
		a := e.post(t, "/v1/page", numbered("u", n))
		if a.status == 200 && n < 100 {
			continue
		}
		if a.status != 503 || !strings.Contains(a.body, `"spool_full"`) || a.header.Get("Retry-After") != "30" {
			t.Fatalf("%d %s %v", a.status, a.body, a.header)
		}
		break
	}
	if used := e.metric(t, "spool_bytes"); n == 0 || used > 2<<10 {
		t.Errorf("%d events, %v bytes", n, used)
	}
	equal(t, "readiness", e.health.Report(t.Context()).State, telemetry.StateNotReady)
	testkit.KafkaAt(t, addr, "")
	e.untilDirect(t)
	equal(t, "room", e.post(t, "/v1/page", numbered("u", n)).status, 200)
	inOrder(t, e.arrived(t, n+1), map[string]int{"u": n + 1})
}

// Records that fail are handed over again, in their order, also those behind them that did not fail.
func TestFailedRecordsAreHandedOverAgain(t *testing.T) {
	t.Parallel()
	e := setup(t, impatient)
	var denied atomic.Int64
	denied.Store(3)
	e.broker.Cluster().ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		e.broker.Cluster().KeepControl()
		if denied.Add(-1) < 0 {
			return nil, nil, false
		}
		return refuseAll(r, kerr.TopicAuthorizationFailed.Code), nil, true
	})
	for n := range 30 {
		equal(t, "status", e.post(t, "/v1/page", numbered("u", n)).status, 200)
	}
	e.untilDirect(t)
	inOrder(t, e.arrived(t, 30), map[string]int{"u": 30})
	if e.metric(t, "produce_errors_total", "TOPIC_AUTHORIZATION_FAILED") == 0 {
		t.Error("nothing failed")
	}
}

// refuseAll answers a request to produce with one code for all its partitions.
func refuseAll(r kmsg.Request, code int16) kmsg.Response {
	req, _ := r.(*kmsg.ProduceRequest)
	resp, _ := req.ResponseKind().(*kmsg.ProduceResponse)
	resp.Version = req.Version
	for _, topic := range req.Topics {
		out := kmsg.NewProduceResponseTopic()
		out.Topic, out.TopicID = topic.Topic, topic.TopicID
		for _, p := range topic.Partitions {
			part := kmsg.NewProduceResponseTopicPartition()
			part.Partition, part.ErrorCode = p.Partition, code
			out.Partitions = append(out.Partitions, part)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp
}

// A record that Kafka refuses for its content, after its sender has had a 200 for it, becomes a dead letter.
func TestSpooledRecordThatKafkaRefusesBecomesADeadLetter(t *testing.T) {
	t.Parallel()
	kcfg, addr := nobody(t)
	kcfg.Topics.Create = false
	e := setupAt(t, kcfg, impatient, func(c *Config) { c.Produce.Compression = "none" })
	large := `{"type":"page","userId":"u","messageId":"large","x":"` + strings.Repeat("x", 5000) + `"}`
	for n := range 5 {
		equal(t, "status", e.post(t, "/v1/page", numbered("u", n)).status, 200)
	}
	equal(t, "status", e.post(t, "/v1/page", large).status, 200)
	for n := 5; n < 10; n++ {
		equal(t, "status", e.post(t, "/v1/page", numbered("u", n)).status, 200)
	}
	broker, _ := testkit.KafkaAt(t, addr, "")
	small := "4000"
	for topic, conf := range map[string]map[string]string{"millstream.events": {"max.message.bytes": small}, "millstream.rejected": nil} {
		if err := broker.Cluster().CreateTopic(topic, 1, conf); err != nil {
			t.Fatal(err)
		}
	}
	e.untilDirect(t)
	inOrder(t, e.arrived(t, 10), map[string]int{"u": 10})
	dead := e.rejected(t, 1)[0]
	equal(t, "code", dead.Code, event.CodeKafkaRefused)
	equal(t, "message id", dead.MessageID, "large")
}
