package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/telemetry"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/wire"
)

// holdProduce keeps Kafka from taking records until release is called; held gets an element when it first does so.
func (e *edge) holdProduce(t *testing.T) (held <-chan struct{}, release func()) {
	t.Helper()
	came, gate := make(chan struct{}, 1), make(chan struct{})
	var once sync.Once
	release = func() { once.Do(func() { close(gate) }) }
	t.Cleanup(release)
	e.broker.Cluster().ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		e.broker.Cluster().KeepControl()
		select {
		case came <- struct{}{}:
		default:
		}
		select {
		case <-gate: // one request must not sleep twice, nor after another one: the broker's books on that are racy
		default:
			e.broker.Cluster().SleepControl(func() { <-gate })
		}
		return nil, nil, false
	})
	return came, release
}

// later does what do does, on its own.
func (e *edge) later(path, body string, headers ...string) <-chan answer {
	out := make(chan answer, 1)
	go func() {
		a, err := e.try(http.MethodPost, path, body, append([]string{"X-Write-Key", "dev-server"}, headers...)...)
		if err != nil {
			a.body = err.Error()
		}
		out <- a
	}()
	return out
}

func page(id string) string { return `{"type":"page","userId":"u","messageId":"` + id + `"}` }

func TestAnswersOnlyAfterKafkaHasAcknowledged(t *testing.T) {
	t.Parallel()
	e := setup(t)
	for _, c := range []struct{ path, body, want string }{
		{"/v1/batch", `{"batch":[` + page("m1") + `]}`, `{"success":true}`},
		{"/v1/batch", `{"batch":[{"type":"page"}]}`, `"accepted":0`}, // a dead letter is waited for alike
	} {
		held, release := e.holdProduce(t)
		got := e.later(c.path, c.body)
		<-held
		select {
		case a := <-got:
			t.Fatalf("answered %d %s while Kafka had nothing", a.status, a.body)
		case <-time.After(100 * time.Millisecond):
		}
		release()
		if a := <-got; a.status != 200 || !strings.Contains(a.body, c.want) {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
}

func TestKafkaAwayAnswers503AndLosesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	broker, kcfg := testkit.KafkaAt(t, "127.0.0.1:0", dir)
	e := setupAt(t, kcfg, func(c *Config) { c.Timeouts.AnswerTimeout = 200 * time.Millisecond; c.Spool.MaxBytes = 0 })
	until200 := func(id string) {
		t.Helper()
		testkit.Eventually(t, "event "+id+" should be taken", func() error {
			if a := e.post(t, "/v1/page", page(id)); a.status != 200 {
				return fmt.Errorf("%d %s", a.status, a.body)
			}
			return nil
		})
	}
	until200("before")
	addr := broker.Addr()
	broker.Close()
	for _, id := range []string{"during-1", "during-2"} {
		a := e.post(t, "/v1/page", page(id))
		if a.status != 503 || !strings.Contains(a.body, `"not_durable"`) || a.header.Get("Retry-After") != "5" {
			t.Fatalf("Kafka is away: %d %s %v", a.status, a.body, a.header)
		}
	}
	equal(t, "health", e.do(t, http.MethodGet, "/health", "").status, 503)
	equal(t, "readiness", e.health.Report(t.Context()).State, telemetry.StateNotReady)
	testkit.KafkaAt(t, addr, dir)
	for _, id := range []string{"during-1", "during-2", "after"} {
		until200(id)
	}
	testkit.Eventually(t, "what waited for Kafka should have arrived", func() error {
		if n := e.producer.unacked(); n > 0 || e.gate.held.Load() > 0 {
			return fmt.Errorf("%v records and %d bytes are held", n, e.gate.held.Load())
		}
		return nil
	})
	equal(t, "health", e.do(t, http.MethodGet, "/health", "").status, 200)
	cl := testkit.KafkaClient(t, e.kafka)
	log, err := kafka.DescribeLog(t.Context(), cl, e.kafka.Names().Events(), false)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, end := range log.End {
		n += int(end)
	}
	seen := map[string]bool{}
	for _, r := range e.events(t, n) {
		seen[strings.Fields(headerText(r))[4]] = true
	}
	equal(t, "ids", seen, map[string]bool{"message_id=before": true, "message_id=during-1": true, "message_id=during-2": true, "message_id=after": true})
}

func TestStartWithoutKafkaAndSpool(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	kcfg := kafka.DefaultConfig()
	kcfg.Brokers, kcfg.Topics.Partitions, kcfg.Topics.Replication = []string{addr}, 4, 1
	e := setupAt(t, kcfg, func(c *Config) { c.Timeouts.AnswerTimeout = 200 * time.Millisecond; c.Spool.MaxBytes = 0 })
	if a := e.post(t, "/v1/page", page("m")); a.status != 503 || !strings.Contains(a.body, "not_durable") {
		t.Errorf("%d %s", a.status, a.body)
	}
	equal(t, "health", e.do(t, http.MethodGet, "/health", "").status, 503)
	testkit.KafkaAt(t, addr, "")
	testkit.Eventually(t, "the event should be taken once Kafka is there", func() error {
		if a := e.post(t, "/v1/page", page("m")); a.status != 200 {
			return errors.New(a.body)
		}
		return nil
	})
}

func TestFirstRequestWaitsForTheTopics(t *testing.T) {
	t.Parallel()
	_, kcfg := testkit.Kafka(t)
	e := setupAt(t, kcfg)
	if a := e.post(t, "/v1/page", page("m")); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestMissingTopicAnswers503UntilSomebodyCreatesIt(t *testing.T) {
	t.Parallel()
	broker, kcfg := testkit.Kafka(t)
	kcfg.Topics.Create = false
	e := setupAt(t, kcfg, func(c *Config) { c.Timeouts.AnswerTimeout = 200 * time.Millisecond; c.Spool.MaxBytes = 0 })
	testkit.Eventually(t, "readiness should name the topic", func() error {
		if r := e.health.Report(t.Context()); !strings.Contains(r.String(), "topic millstream.events: is missing") {
			return errors.New(r.String())
		}
		return nil
	})
	equal(t, "status", e.post(t, "/v1/page", page("m")).status, 503)
	for _, topic := range []string{"millstream.events", "millstream.rejected"} {
		if err := broker.Cluster().CreateTopic(topic, 3, nil); err != nil {
			t.Fatal(err)
		}
	}
	testkit.Eventually(t, "the event should be taken without a restart", func() error {
		if a := e.post(t, "/v1/page", page("m")); a.status != 200 {
			return errors.New(a.body)
		}
		return nil
	})
}

func TestRefusedRecordIsRejectedAlone(t *testing.T) {
	t.Parallel()
	broker, kcfg := testkit.Kafka(t)
	small := "4000"
	if err := broker.Cluster().CreateTopic("millstream.events", 1, map[string]string{"max.message.bytes": small}); err != nil {
		t.Fatal(err)
	}
	e := setupAt(t, kcfg, func(c *Config) { c.Produce.Compression = "none"; c.Produce.Linger = 20 * time.Millisecond })
	testkit.Eventually(t, "topics", func() error {
		if e.producer.lanes.Load() == nil {
			return errors.New("none")
		}
		return nil
	})
	large := `{"type":"page","userId":"u","messageId":"large","x":"` + strings.Repeat("x", 5000) + `"}`
	a := e.post(t, "/v1/batch", `{"batch":[`+page("a")+`,`+large+`,`+page("b")+`]}`)
	if a.status != 200 || !strings.Contains(a.body, `"accepted":2,"rejected":[{"index":1,"messageId":"large","code":"kafka_refused"`) {
		t.Errorf("%d %s", a.status, a.body)
	}
	e.events(t, 2)
	dead := e.rejected(t, 1)[0]
	equal(t, "code", dead.Code, event.CodeKafkaRefused)
	equal(t, "original", string(dead.Original), large)
	equal(t, "accepted", e.metric(t, "events_accepted_total", "app", "page"), 2.0)
}

func TestLostAckProducesOnce(t *testing.T) {
	t.Parallel()
	e := setup(t)
	cut := false
	e.broker.Cluster().Control(func(r kmsg.Request) (kmsg.Response, error, bool) {
		if r.Key() == int16(kmsg.Produce) && !cut {
			cut = true
			return nil, errors.New("the connection breaks"), true
		}
		e.broker.Cluster().KeepControl()
		return nil, nil, false
	})
	equal(t, "status", e.post(t, "/v1/page", page("m")).status, 200)
	e.events(t, 1)
}

// Requests that time out leave records behind, which still point into pooled memory while other requests are built.
func TestTimedOutRequestsKeepTheirMemory(t *testing.T) {
	t.Parallel()
	e := setup(t, func(c *Config) { c.Timeouts.AnswerTimeout = 3 * time.Millisecond; c.Spool.MaxBytes = 0 })
	var asked atomic.Int64
	e.broker.Cluster().ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		e.broker.Cluster().KeepControl()
		slow := 2 * time.Millisecond // about as slow as requests are patient
		if asked.Add(1)%8 == 0 {
			slow = 20 * time.Millisecond // slower than any
		}
		<-time.After(slow)
		return nil, nil, false
	})
	var g errgroup.Group
	for worker := range 8 {
		g.Go(func() error {
			for i := range 40 {
				id := fmt.Sprintf("%d-%d", worker, i)
				filler := strings.Repeat(id, 10+13*worker*i)
				a, err := e.try(http.MethodPost, "/v1/batch",
					`{"batch":[{"type":"page","userId":"`+id+`","messageId":"`+id+`","x":"`+filler+`"},{"type":"pa\u0067e","userId":"\u0061`+id+`"},{"userId":"`+id+`"}]}`, "X-Write-Key", "dev-server")
				if err != nil || a.status != 200 && a.status != 503 {
					return fmt.Errorf("%d %s: %w", a.status, a.body, err)
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if e.metric(t, "requests_total", "/v1/batch", "503") == 0 {
		t.Error("no request has timed out")
	}
	testkit.Eventually(t, "all records should arrive", func() error {
		if n := e.producer.unacked(); n > 0 || e.gate.held.Load() != 0 {
			return fmt.Errorf("%v records, %d bytes", n, e.gate.held.Load())
		}
		return nil
	})
	for _, r := range e.events(t, 2*8*40) {
		var v struct{ UserID, MessageID, X string }
		if err := json.Unmarshal(r.Value, &v); err != nil {
			t.Fatalf("%s: %v", r.Value, err)
		}
		if h, err := wire.ParseEventHeaders(r.Headers); err != nil || h.MessageID != v.MessageID || string(r.Key) != "app/"+v.UserID {
			t.Errorf("key %s, headers %s: %v: %s", r.Key, headerText(r), err, r.Value)
		}
		if !strings.HasPrefix(v.UserID, "a") && (v.MessageID != v.UserID || strings.ReplaceAll(v.X, v.UserID, "") != "") {
			t.Errorf("mixed up: %s", r.Value)
		}
	}
	for _, r := range e.rejected(t, 8*40) {
		if r.Code != event.CodeMissingType || !strings.HasPrefix(string(r.Original), `{"userId":"`) {
			t.Errorf("%+v", r)
		}
	}
}

func TestH11Drain(t *testing.T) {
	t.Parallel()
	e := setup(t, func(c *Config) { c.Timeouts.DrainDelay = 5 * time.Second }) // a busy machine may need some of it to connect
	held, release := e.holdProduce(t)
	inFlight := e.later("/v1/page", page("in flight"))
	<-held
	e.stop()
	testkit.Eventually(t, "readiness should fail while requests are served", func() error {
		a, err := e.try(http.MethodGet, "/health", "")
		if err != nil {
			return err
		}
		if a.status != 503 || !strings.Contains(a.body, `"draining"`) || !a.closes {
			return fmt.Errorf("%d %s, closes: %v", a.status, a.body, a.closes)
		}
		return nil
	})
	equal(t, "readiness", e.health.Report(t.Context()).State, telemetry.StateNotReady)
	late := e.later("/v1/page", page("late"))
	testkit.Eventually(t, "the listener should close", func() error {
		c, err := net.Dial("tcp", e.Addr().String())
		if err == nil {
			c.Close()
			return errors.New("still open")
		}
		return nil
	})
	release()
	equal(t, "in flight", (<-inFlight).status, 200)
	equal(t, "late", (<-late).status, 200)
	if err := <-e.ended; err != nil {
		t.Errorf("run: %v", err)
	}
	e.ended <- nil
	e.events(t, 2)
}

func TestStopWithoutKafkaEndsInTime(t *testing.T) {
	t.Parallel()
	broker, kcfg := testkit.Kafka(t)
	e := setupAt(t, kcfg, func(c *Config) {
		c.Timeouts.AnswerTimeout, c.Timeouts.DrainTimeout = 50*time.Millisecond, 200*time.Millisecond
		c.Spool.MaxBytes = 0
	})
	testkit.Eventually(t, "topics", func() error {
		if e.producer.lanes.Load() == nil {
			return errors.New("none")
		}
		return nil
	})
	broker.Close()
	equal(t, "status", e.post(t, "/v1/page", page("m")).status, 503)
	e.stop()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	select {
	case err := <-e.ended:
		if err != nil {
			t.Errorf("run: %v", err)
		}
		e.ended <- nil
	case <-ctx.Done():
		t.Fatal("did not stop")
	}
}

func TestTakenPortIsNamed(t *testing.T) {
	t.Parallel()
	e := setup(t)
	cfg := testConfig()
	cfg.Listen = e.Addr().String()
	_, err := New(cfg, Deps{Kafka: e.kafka, Log: testkit.Log(t), Registry: prometheus.NewRegistry(), Health: telemetry.NewHealth()})
	if err == nil || !strings.Contains(err.Error(), cfg.Listen) || !strings.Contains(err.Error(), "ingest.listen") {
		t.Errorf("%v", err)
	}
}
