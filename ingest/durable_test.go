package ingest

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/telemetry"
	"github.com/millstream-data/millstream/internal/testkit"
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
		e.broker.Cluster().SleepControl(func() { <-gate })
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
	e := setupAt(t, kcfg, func(c *Config) { c.Timeouts.AnswerTimeout = 200 * time.Millisecond })
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

func TestStartWithoutKafka(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	kcfg := kafka.DefaultConfig()
	kcfg.Brokers, kcfg.Topics.Partitions, kcfg.Topics.Replication = []string{addr}, 4, 1
	e := setupAt(t, kcfg)
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

func TestMissingTopicAnswers503UntilSomebodyCreatesIt(t *testing.T) {
	t.Parallel()
	broker, kcfg := testkit.Kafka(t)
	kcfg.Topics.Create = false
	e := setupAt(t, kcfg)
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

func TestBodiesAreInflated(t *testing.T) {
	t.Parallel()
	e := setup(t)
	pack := map[string]func(io.Writer) io.WriteCloser{
		"gzip":    func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
		"deflate": func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) },
		"Deflate": func(w io.Writer) io.WriteCloser { z, _ := flate.NewWriter(w, 5); return z },
		"zstd":    func(w io.Writer) io.WriteCloser { z, _ := zstd.NewWriter(w); return z },
	}
	for round := range 2 { // the second one with pooled readers
		for enc, open := range pack {
			var b bytes.Buffer
			w := open(&b)
			fmt.Fprint(w, "\ufeff", `{"batch":[`, page(enc+strconv.Itoa(round)), `]}`)
			w.Close()
			if a := e.post(t, "/v1/batch", b.String(), "Content-Encoding", enc, "Content-Type", "text/plain"); a.status != 200 {
				t.Errorf("%s: %d %s", enc, a.status, a.body)
			}
		}
	}
	e.events(t, 8)
}

func TestBombsAreBoundedWhileInflating(t *testing.T) {
	t.Parallel()
	// More than 24 MiB would be overload, and another answer.
	e := setup(t, func(c *Config) { c.Limits.Inflight = 24 * config.MiB })
	bomb := map[string]func(io.Writer) io.WriteCloser{
		"gzip": func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
		"zstd": func(w io.Writer) io.WriteCloser { z, _ := zstd.NewWriter(w); return z },
	}
	for enc, open := range bomb {
		var b bytes.Buffer
		w := open(&b)
		for range 512 {
			w.Write(make([]byte, 1<<20))
		}
		w.Close()
		if a := e.post(t, "/v1/batch", b.String(), "Content-Encoding", enc); a.status != 413 || !strings.Contains(a.body, "body_too_large") {
			t.Errorf("%s: %d %s", enc, a.status, a.body)
		}
	}
	testkit.Eventually(t, "nothing should be held", func() error {
		if n := e.gate.held.Load(); n != 0 {
			return fmt.Errorf("%d bytes", n)
		}
		return nil
	})
}

func TestOverloadIsAnsweredAtOnceAndPasses(t *testing.T) {
	t.Parallel()
	e := setup(t, func(c *Config) {
		c.Limits.Body, c.Limits.Inflated, c.Limits.Inflight = 32*config.KiB, 32*config.KiB, 64*config.KiB
	})
	held, release := e.holdProduce(t)
	first := e.later("/v1/page", `{"userId":"u","x":"`+strings.Repeat("x", 20_000)+`"}`)
	<-held
	testkit.Eventually(t, "a second large request should find no room", func() error {
		a := e.post(t, "/v1/page", `{"userId":"u","x":"`+strings.Repeat("x", 20_000)+`"}`)
		if a.status != 503 || !strings.Contains(a.body, `"overloaded"`) || a.header.Get("Retry-After") != "1" {
			return fmt.Errorf("%d %s", a.status, a.body)
		}
		return nil
	})
	release()
	equal(t, "first", (<-first).status, 200)
	testkit.Eventually(t, "there should be room again", func() error {
		if a := e.post(t, "/v1/page", page("m")); a.status != 200 || e.gate.held.Load() != 0 {
			return fmt.Errorf("%d %s, %d bytes held", a.status, a.body, e.gate.held.Load())
		}
		return nil
	})
}

func TestSlowBodyIsAnswered408(t *testing.T) {
	t.Parallel()
	e := setup(t, func(c *Config) { c.Timeouts.Header, c.Timeouts.Body = 100*time.Millisecond, 100*time.Millisecond })
	c, err := net.Dial("tcp", e.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "POST /v1/page HTTP/1.1\r\nHost: x\r\nX-Write-Key: dev\r\nContent-Length: 100\r\n\r\n{\"userId\":")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != 408 || !strings.Contains(string(body), `"body_timeout"`) {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	equal(t, "dead letter", string(e.rejected(t, 1)[0].Original), `{"userId":`)
}

func TestClientGone(t *testing.T) {
	t.Parallel()
	e := setup(t)
	send := func(text string) {
		c, err := net.Dial("tcp", e.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(c, text)
		c.Close()
	}
	body := page("whole")
	send("POST /v1/page HTTP/1.1\r\nHost: x\r\nX-Write-Key: dev\r\nContent-Length: 100\r\n\r\n{\"userId\":")
	send(fmt.Sprintf("POST /v1/page HTTP/1.1\r\nHost: x\r\nX-Write-Key: dev\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
	testkit.Eventually(t, "both requests should have ended, one event accepted", func() error {
		if n := e.metric(t, "events_accepted_total", "app", "page"); n != 1 {
			return fmt.Errorf("%v accepted", n)
		}
		return nil
	})
	e.events(t, 1)
	e.rejected(t, 0)
}

func TestH11Drain(t *testing.T) {
	t.Parallel()
	e := setup(t, func(c *Config) { c.Timeouts.DrainDelay = 2 * time.Second })
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
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
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
