package local_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/local"
	"github.com/millstream-data/millstream/internal/testkit"
)

func newRegistry() *prometheus.Registry { return prometheus.NewRegistry() }

const (
	brokerDir    = "MILLSTREAM_TEST_BROKER_DIR"
	brokerListen = "MILLSTREAM_TEST_BROKER_LISTEN"
)

// TestMain is also the broker that TestAcknowledgedRecordsSurviveKill kills.
func TestMain(m *testing.M) {
	dir := os.Getenv(brokerDir)
	if dir == "" {
		os.Exit(m.Run())
	}
	k, err := local.NewKafka(local.KafkaConfig{Listen: os.Getenv(brokerListen), Dir: dir}, slog.New(slog.DiscardHandler))
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	fmt.Println("listens", k.Addr())
	select {} // until killed
}

func TestAcknowledgedRecordsSurviveKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	acked := 0
	for round := range 5 {
		cmd, addr := startBroker(t, dir)
		cfg := kafka.DefaultConfig()
		cfg.Brokers, cfg.Topics.Replication = []string{addr}, 1
		cl := testkit.KafkaClient(t, cfg, kgo.RequiredAcks(kgo.AllISRAcks()), kgo.DisableIdempotentWrite())
		topic := kafka.Topic{Name: "t", Partitions: 1}
		if err := kafka.EnsureTopics(t.Context(), cfg, cl, topic); err != nil {
			t.Fatal(err)
		}
		log, err := kafka.DescribeLog(t.Context(), cl, "t", false)
		if err != nil {
			t.Fatal(err)
		}
		if got := int(log.End[0]); got < acked {
			t.Fatalf("round %d: %d records were acknowledged, %d are left", round, acked, got)
		}
		acked = int(log.End[0])
		for i := range 50 {
			if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Value: []byte(strconv.Itoa(i))}).FirstErr(); err != nil {
				t.Fatal(err)
			}
			acked++
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // killed: the error says so
		cl.Close()
	}
}

func startBroker(t *testing.T, dir string) (*exec.Cmd, string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), brokerDir+"="+dir, brokerListen+"=127.0.0.1:0")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var line bytes.Buffer
	for b := make([]byte, 1); !strings.HasSuffix(line.String(), "\n"); {
		if _, err := out.Read(b); err != nil {
			t.Fatalf("broker said %q: %v", line.String(), err)
		}
		line.Write(b)
	}
	addr, ok := strings.CutPrefix(strings.TrimSpace(line.String()), "listens ")
	if !ok {
		t.Fatalf("broker said %q", line.String())
	}
	return cmd, addr
}
