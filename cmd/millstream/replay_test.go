package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/wire"
)

func TestReplaySaysWhatItDid(t *testing.T) {
	t.Parallel()
	_, cfg := testkit.Kafka(t)
	cl := topics(t, cfg)
	letter := func(code event.Code, value string) wire.Rejected {
		return wire.Rejected{
			Stage: event.StageIngest, Code: code, Source: "app", ID: "019caa3f-8b50-7c31-9d7e-2b1f60c4a9e7", ReceivedAt: testTime, Index: 0, Route: "/v1/page", Original: []byte(value),
		}
	}
	produce(t, cl, refused(cfg, letter(event.CodeEventTooLarge, `{"userId":"u","messageId":"m-1"}`)),
		refused(cfg, letter(event.CodeMissingIdentity, `{"messageId":"m-2"}`)),
		refused(cfg, wire.Rejected{Stage: event.StageBatcher, Code: event.CodeBadJSON, Source: "app", Index: -1, Original: []byte(`x`)}))
	path := file(t, fmt.Sprintf("kafka: {brokers: [%q]}\ningest:\n  sources: {app: {keys: [{key: k, kind: server}]}}\n", cfg.Brokers[0]))
	const refusedAgain = "0-1 app missing_identity: refused again: missing_identity: neither userId nor anonymousId is set\n"
	for _, c := range []struct{ args, want string }{
		{"--dry-run", refusedAgain + "would replay 1 events of 1 dead letters\nrefused again: 1 missing_identity\nskipped: 1 another stage\n"},
		{"--id 0-1", refusedAgain + "replayed 0 events of 0 dead letters\nrefused again: 1 missing_identity\n"},
		{"--code event_too_large", "replayed 1 events of 1 dead letters\n"},
		{"--source shop", "replayed 0 events of 0 dead letters\n"},
		{"--until 2026-03-01T10:00:00Z", "replayed 0 events of 0 dead letters\n"},
	} {
		out, _, err := run(t, nil, append([]string{"replay", "--config", path}, strings.Fields(c.args)...)...)
		if err != nil {
			t.Fatalf("%s: %v", c.args, err)
		}
		equalText(t, out, c.want)
	}
	dl, err := kafka.DescribeLog(t.Context(), cl, cfg.Names().Events(), true)
	if err != nil {
		t.Fatal(err)
	}
	written := int64(0)
	for _, end := range dl.End {
		written += end
	}
	if written != 1 {
		t.Errorf("%d events were written", written)
	}
	if _, _, err := run(t, nil, "replay", "--config", path, "--since", "yesterday"); err == nil || !strings.Contains(err.Error(), "--since yesterday") {
		t.Errorf("got %v", err)
	}
}

func TestDefaultsOfDevHoldWhereItKeepsItsData(t *testing.T) {
	t.Chdir(t.TempDir())
	p := &program{}
	if len(p.nearby(nil).Ingest.Sources) > 0 {
		t.Error("there is no dev here")
	}
	if err := os.Mkdir(".millstream", 0o700); err != nil {
		t.Fatal(err)
	}
	if p.nearby(nil).Ingest.Sources["app"].Keys == nil {
		t.Error("dev's sources should hold")
	}
	l := listening{PID: os.Getpid(), Kafka: "127.0.0.1:19092", S3: "http://127.0.0.1:19000", Warehouse: "postgres://millstream@127.0.0.1:15439/millstream"}
	if err := l.tell(".millstream"); err != nil {
		t.Fatal(err)
	}
	if c := p.nearby(nil); c.Kafka.Brokers[0] != l.Kafka || c.S3.Endpoint != l.S3 || c.Warehouse.DSN != l.Warehouse {
		t.Errorf("dev listens on other ports: %v, %s, %s", c.Kafka.Brokers, c.S3.Endpoint, c.Warehouse.DSN)
	}
	l.PID = 1 << 30 // none has such a number
	if err := l.tell(".millstream"); err != nil {
		t.Fatal(err)
	}
	if c := p.nearby(nil); c.Kafka.Brokers[0] != devConfig().Kafka.Brokers[0] || c.Warehouse.DSN != devConfig().Warehouse.DSN {
		t.Errorf("dev was killed: %v, %s", c.Kafka.Brokers, c.Warehouse.DSN)
	}
	if len(p.nearby([]string{"--config=x.yaml"}).Ingest.Sources) > 0 {
		t.Error("a file that is named should hold")
	}
}
