package ingest

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/telemetry"
	"github.com/millstream-data/millstream/internal/testkit"
)

func contextFor(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(t.Context(), d)
}

// TestSpoolChild is the process that TestKillAtEveryStep kills.
func TestSpoolChild(t *testing.T) {
	step := os.Getenv("MILLSTREAM_TEST_STEP")
	if step == "" {
		t.Skip("runs as a child")
	}
	kcfg := kafka.DefaultConfig()
	kcfg.Brokers, kcfg.Topics.Partitions, kcfg.Topics.Replication = []string{os.Getenv("MILLSTREAM_TEST_KAFKA")}, 4, 1
	cfg := testConfig()
	cfg.DataDir = os.Getenv("MILLSTREAM_TEST_DIR")
	impatient(&cfg)
	cfg.Spool.Segment = 4 << 10
	s, err := New(cfg, Deps{Kafka: kcfg, Log: testkit.Log(t), Registry: prometheus.NewRegistry(), Health: telemetry.NewHealth(), Now: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	var times atomic.Int64
	s.producer.spool.step = func(name string) {
		// Writes die after some have succeeded; positions when something has been drained.
		if name != step || strings.HasPrefix(step, "position") && s.producer.lastAck.Load() == 0 {
			return
		}
		if times.Add(1) > 20 || strings.HasPrefix(step, "position") {
			self, _ := os.FindProcess(os.Getpid())
			_ = self.Kill()
			select {}
		}
	}
	fmt.Printf("listens %s\n", s.Addr())
	_ = s.Run(context.Background())
}

func TestKillAtEveryStep(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"before write", "written", "synced", "answered", "position written", "position renamed"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			kcfg, addr := nobody(t)
			dir := t.TempDir()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSpoolChild$")
			cmd.Env = append(os.Environ(), "MILLSTREAM_TEST_STEP="+step, "MILLSTREAM_TEST_DIR="+dir, "MILLSTREAM_TEST_KAFKA="+addr)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(out).ReadString('\n')
			child := &edge{url: "http://" + strings.TrimSpace(strings.TrimPrefix(line, "listens "))}
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			acked, users, want := 0, oneOnPartition0(), map[string]int{}
			for ; acked < 100; acked++ {
				user := users[acked%2 == 0]
				want[user] = acked / 2
				a, err := child.try(http.MethodPost, "/v1/page", numbered(user, acked/2), "X-Write-Key", "dev-server")
				if err != nil || a.status != 200 {
					break
				}
				want[user]++
			}
			revive := func() {}
			switch {
			case step == "answered":
				_ = cmd.Process.Kill()
			case strings.HasPrefix(step, "position"):
				child.broker, _ = testkit.KafkaAt(t, addr, "") // it drains what it can, and dies over its positions
				revive = child.killPartition0()
			}
			_ = cmd.Wait() // killed
			revive()
			if acked < 20 {
				t.Fatalf("%d events were acknowledged", acked)
			}
			if !strings.HasPrefix(step, "position") {
				testkit.KafkaAt(t, addr, "")
			}
			e := setupAt(t, kcfg, impatient, func(c *Config) { c.DataDir = dir })
			e.untilDirect(t)
			inOrder(t, e.arrived(t, acked), want)
		})
	}
}
