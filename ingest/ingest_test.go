package ingest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/local"
	"github.com/millstream-data/millstream/internal/telemetry"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/wire"
)

// edge is a running Server with its Kafka.
type edge struct {
	*Server
	url    string
	broker *local.Kafka
	kafka  kafka.Config
	health *telemetry.Health
	reg    *prometheus.Registry
	stop   context.CancelFunc
	ended  chan error
}

// at is the clock of servers in tests.
var at = time.Date(2026, 3, 1, 10, 0, 1, 200e6, time.UTC)

func testConfig() Config {
	cfg := DefaultConfig()
	cfg.Listen = "127.0.0.1:0"
	cfg.Sources = DevSources()
	cfg.Timeouts.DrainDelay = 0
	cfg.Produce.Linger = 0
	// The race detector marks every byte of what is allocated: a table of ids, and lz4's blocks of 4 MiB a batch.
	cfg.Dedup.MaxIDs, cfg.Produce.Compression = 10_000, "none"
	return cfg
}

// setup starts a server and waits until it has found its topics.
func setup(t *testing.T, change ...func(*Config)) *edge {
	t.Helper()
	broker, kcfg := testkit.Kafka(t)
	e := setupAt(t, kcfg, change...)
	e.broker = broker
	e.untilDirect(t)
	return e
}

func setupAt(t *testing.T, kcfg kafka.Config, change ...func(*Config)) *edge {
	t.Helper()
	return setupFaulty(t, kcfg, func(*Server) {}, change...)
}

// setupFaulty is setupAt with a server that is changed before it runs.
func setupFaulty(t *testing.T, kcfg kafka.Config, fault func(*Server), change ...func(*Config)) *edge {
	t.Helper()
	cfg := testConfig()
	cfg.DataDir = t.TempDir()
	for _, f := range change {
		f(&cfg)
	}
	e := &edge{kafka: kcfg, health: telemetry.NewHealth(), reg: prometheus.NewRegistry(), ended: make(chan error, 1)}
	s, err := New(cfg, Deps{Kafka: kcfg, Log: testkit.Log(t), Registry: e.reg, Health: e.health, Now: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	fault(s)
	e.Server, e.url = s, "http://"+s.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	e.stop = cancel
	go func() { e.ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-e.ended; err != nil {
			t.Errorf("run: %v", err)
		}
		e.ended <- nil
	})
	return e
}

// answer is what a request got.
type answer struct {
	status int
	body   string
	header http.Header
	closes bool // the server ends the connection
}

func (e *edge) do(t *testing.T, method, path, body string, headers ...string) answer {
	t.Helper()
	a, err := e.try(method, path, body, headers...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (e *edge) try(method, path, body string, headers ...string) (answer, error) {
	req, err := http.NewRequest(method, e.url+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	transport := &http.Transport{DisableCompression: true}
	defer transport.CloseIdleConnections()
	client := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, string(raw), resp.Header, resp.Close}, err
}

// post sends body with the key of a server.
func (e *edge) post(t *testing.T, path, body string, headers ...string) answer {
	t.Helper()
	return e.do(t, http.MethodPost, path, body, append([]string{"X-Write-Key", "dev-server"}, headers...)...)
}

// consume returns the first n records of a topic, and fails if there are more.
func (e *edge) consume(t *testing.T, topic string, n int) []*kgo.Record {
	t.Helper()
	cl := testkit.KafkaClient(t, e.kafka)
	log, err := kafka.DescribeLog(t.Context(), cl, topic, false)
	if err != nil {
		t.Fatal(err)
	}
	total := int64(0)
	for p, end := range log.End {
		total += end - log.Start[p]
	}
	if int(total) != n {
		t.Fatalf("%s holds %d records, want %d", topic, total, n)
	}
	in := testkit.KafkaClient(t, e.kafka, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	var out []*kgo.Record
	for len(out) < n {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		fetches := in.PollFetches(ctx)
		cancel()
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		out = append(out, fetches.Records()...)
	}
	return out
}

func (e *edge) events(t *testing.T, n int) []*kgo.Record {
	t.Helper()
	return e.consume(t, e.kafka.Names().Events(), n)
}

func (e *edge) rejected(t *testing.T, n int) []wire.Rejected {
	t.Helper()
	var out []wire.Rejected
	for _, r := range e.consume(t, e.kafka.Names().Rejected(), n) {
		out = append(out, wire.ParseRejected(r.Headers, r.Value))
	}
	return out
}

// metric returns the counter or gauge millstream_ingest_<name> whose labels have these values, in the order of the
// labels' names.
func (e *edge) metric(t *testing.T, name string, values ...string) float64 {
	t.Helper()
	families, err := e.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "millstream_ingest_"+name {
			continue
		}
	next:
		for _, m := range f.GetMetric() {
			for i, l := range m.GetLabel() {
				if i >= len(values) || l.GetValue() != values[i] {
					continue next
				}
			}
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s %v", name, values)
	return 0
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func headerText(r *kgo.Record) string {
	var parts []string
	for _, h := range r.Headers {
		parts = append(parts, fmt.Sprintf("%s=%s", h.Key, h.Value))
	}
	return strings.Join(parts, " ")
}

const paid = `{"batch":[{"type":"track","userId":"u1","event":"Paid","messageId":"m1","timestamp":"2026-03-01T10:00:00Z","properties":{"id":9007199254740993,"p":1.0}}],` +
	`"sentAt":"2026-03-01T10:00:01Z","context":{"library":{"name":"analytics-go","version":"3.0.0"}}}`

func TestBatchBecomesTheRecordOfTheSpecification(t *testing.T) {
	t.Parallel()
	e := setup(t)
	equal(t, "answer", e.post(t, "/v1/batch", paid).body, `{"success":true}`)
	r := e.events(t, 1)[0]
	equal(t, "key", string(r.Key), "app/u1")
	equal(t, "headers", headerText(r), "v=1 source=app type=track event=Paid message_id=m1 received_at=1772359201200")
	equal(t, "value", string(r.Value), `{"receivedAt":"2026-03-01T10:00:01.200Z","timestamp":"2026-03-01T10:00:00.200Z","originalTimestamp":"2026-03-01T10:00:00Z","sentAt":"2026-03-01T10:00:01Z",`+
		`"context":{"library":{"name":"analytics-go","version":"3.0.0"}},"type":"track","userId":"u1","event":"Paid","messageId":"m1","properties":{"id":9007199254740993,"p":1.0}}`)
	equal(t, "timestamp", r.Timestamp.UTC(), at)
	if !json.Valid(r.Value) {
		t.Errorf("value is no JSON: %s", r.Value)
	}
}
