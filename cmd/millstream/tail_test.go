package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/wire"
)

// running is a command that goes on until the test ends.
type running struct{ out, errs *bufio.Reader }

func start(t *testing.T, args ...string) running {
	t.Helper()
	outR, outW := io.Pipe()
	errR, errW := io.Pipe()
	p := &program{stdout: outW, stderr: errW}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.run(ctx, args) }()
	t.Cleanup(func() {
		cancel()
		_ = outR.Close()
		_ = errR.Close()
		if err := <-ended; err != nil {
			t.Errorf("%v: %v", args, err)
		}
	})
	return running{bufio.NewReader(outR), bufio.NewReader(errR)}
}

func next(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	line, err := r.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(line, "\n")
}

var testTime = time.Date(2026, 3, 1, 10, 0, 1, 200e6, time.UTC)

// topics makes the topics of events and dead letters.
func topics(t *testing.T, cfg kafka.Config) *kgo.Client {
	t.Helper()
	cl := testkit.KafkaClient(t, cfg)
	if err := kafka.EnsureTopics(t.Context(), cfg, cl, cfg.EventsTopic(), cfg.RejectedTopic()); err != nil {
		t.Fatal(err)
	}
	return cl
}

func produce(t *testing.T, cl *kgo.Client, list ...*kgo.Record) {
	t.Helper()
	if err := cl.ProduceSync(t.Context(), list...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func paid(cfg kafka.Config, source, user, id string) *kgo.Record {
	h := wire.EventHeader{Source: source, Type: event.Track, Event: "Paid", MessageID: id, ReceivedAt: testTime}
	value := fmt.Sprintf(`{"type":"track","event":"Paid","userId":%q,"messageId":%q,"properties":{"total":12.5,"evil":"`+"\u202e\u009b"+`"}}`, user, id)
	return &kgo.Record{
		Topic: cfg.Names().Events(), Key: wire.EventKey(nil, source, user), Value: []byte(value), Timestamp: testTime,
		Headers: wire.AppendEventHeaders[kgo.RecordHeader](nil, h),
	}
}

func refused(cfg kafka.Config, r wire.Rejected) *kgo.Record {
	value, _ := r.Value()
	return &kgo.Record{
		Topic: cfg.Names().Rejected(), Key: []byte(r.Source), Value: value, Timestamp: testTime, Headers: wire.AppendRejectedHeaders[kgo.RecordHeader](nil, r),
	}
}

func TestTailShowsEventsAndRefusals(t *testing.T) {
	t.Parallel()
	_, cfg := testkit.Kafka(t)
	cl := topics(t, cfg)
	brokers := "--brokers=" + cfg.Brokers[0]
	people, lines, shop := start(t, "tail", brokers), start(t, "tail", brokers, "--json", "--rejected"), start(t, "tail", brokers, "--json", "--source", "shop", "--user", "u2")
	for _, r := range []running{people, lines, shop} {
		equalText(t, next(t, r.errs), "watching millstream.events and millstream.rejected")
	}
	produce(t, cl, paid(cfg, "app", "u1", "m-1"))
	equalText(t, next(t, people.out), `10:00:01.200 app        track     Paid u1 m-1 {"total":12.5,"evil":"��"}`)
	produce(t, cl, refused(cfg, wire.Rejected{
		Stage: event.StageIngest, Code: event.CodeMissingIdentity, Message: "neither userId nor anonymousId is set", Source: "app", MessageID: "m-2", Index: 0,
		Original: []byte(`{"event":"x` + "\x1b[31m" + `"}`),
	}))
	equalText(t, next(t, people.out), `10:00:01.200 app        REFUSED   ingest missing_identity: neither userId nor anonymousId is set m-2 {"event":"x�[31m"}`)
	equalText(t, next(t, lines.out), `{"source":"app","rejected":{"id":"0-0","at":"2026-03-01T10:00:01.200Z","source":"app","stage":"ingest","code":"missing_identity",`+
		`"message":"neither userId nor anonymousId is set","messageId":"m-2","index":0,"size":18,"excerpt":"{\"event\":\"x\u001b[31m\"}"}}`)
	produce(t, cl, paid(cfg, "shop", "u1", "m-3"))
	produce(t, cl, paid(cfg, "shop", "u2", "m-4"))
	if line := next(t, shop.out); !strings.HasPrefix(line, `{"source":"shop","accepted":{"type":"track","event":"Paid","userId":"u2","messageId":"m-4"`) {
		t.Errorf("got %s", line)
	}
	since := start(t, "tail", brokers, "--since", time.Since(testTime.Add(-time.Hour)).String(), "--type", "track", "--source", "app")
	equalText(t, next(t, since.errs), "watching millstream.events and millstream.rejected")
	if line := next(t, since.out); !strings.Contains(line, " m-1 ") {
		t.Errorf("got %s", line)
	}
}

func equalText(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestTailWaitsForKafka(t *testing.T) {
	t.Parallel()
	broker, _ := testkit.KafkaAt(t, "127.0.0.1:0", "")
	addr := broker.Addr()
	broker.Close()
	r := start(t, "tail", "--brokers", addr)
	if line := next(t, r.errs); !strings.Contains(line, addr) || !strings.Contains(line, "waiting for it") {
		t.Errorf("got %s", line)
	}
	_, cfg := testkit.KafkaAt(t, addr, "")
	cl := topics(t, cfg)
	for line := ""; !strings.HasPrefix(line, "Kafka answers again"); line = next(t, r.errs) {
		t.Log(line)
	}
	produce(t, cl, paid(cfg, "app", "u1", "m-1"))
	if line := next(t, r.out); !strings.Contains(line, " m-1 ") {
		t.Errorf("got %s", line)
	}
}

func TestTailRefusesWhatIsNoType(t *testing.T) {
	t.Parallel()
	if _, _, err := run(t, nil, "tail", "--type", "jump"); err == nil || !strings.Contains(err.Error(), "--type jump") {
		t.Errorf("got %v", err)
	}
}
