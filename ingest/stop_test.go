package ingest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
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
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/testkit"
)

func TestSecondSignalSkipsToTheFlush(t *testing.T) {
	t.Parallel()
	broker, kcfg := testkit.Kafka(t)
	hurry := make(chan struct{})
	e := setupFaulty(t, kcfg, func(s *Server) { s.hurry = hurry }, func(c *Config) {
		c.Timeouts.DrainDelay, c.Timeouts.AnswerTimeout, c.Timeouts.AckTimeout = time.Hour, 2*time.Hour, time.Hour
		c.Timeouts.DrainTimeout = time.Hour
	})
	e.broker = broker
	e.untilDirect(t)
	held, release := e.holdProduce(t)
	waits := e.later("/v1/page", page("waits"))
	<-held
	// Of another request only the half has come.
	conn, err := net.Dial("tcp", e.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body := page("comes")
	fmt.Fprintf(conn, "POST /v1/page HTTP/1.1\r\nHost: h\r\nX-Write-Key: dev-server\r\nContent-Length: %d\r\n\r\n%s", len(body), body[:10])
	testkit.Eventually(t, "two requests should be in flight", func() error {
		if n := e.metric(t, "inflight_requests"); n != 2 {
			return fmt.Errorf("%v are", n)
		}
		return nil
	})
	e.stop()
	testkit.Eventually(t, "it should drain", func() error {
		if a, err := e.try(http.MethodGet, "/health", ""); err != nil || !strings.Contains(a.body, `"draining"`) {
			return fmt.Errorf("%s: %w", a.body, err)
		}
		return nil
	})
	close(hurry)
	if a := <-waits; a.status != 503 || !strings.Contains(a.body, `"draining"`) || a.header.Get("Retry-After") == "" {
		t.Errorf("the one that waits: %d %s", a.status, a.body)
	}
	fmt.Fprint(conn, body[10:])
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || resp.StatusCode != 503 {
		t.Errorf("the one that comes: %v, %v", resp, err)
	} else {
		resp.Body.Close()
	}
	release()
	ctx, cancel := contextFor(t, time.Minute)
	defer cancel()
	select {
	case err := <-e.ended:
		if err != nil {
			t.Error(err)
		}
		e.ended <- nil
	case <-ctx.Done():
		t.Fatal("it does not end")
	}
	e.events(t, 1) // what the producer had was flushed
}

// lost returns the folder of a server that is gone and has left n events of user u in its spool.
func lost(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "spool"), 0o700); err != nil {
		t.Fatal(err)
	}
	b, _ := segmentOf(1, 0, n)
	write(t, filepath.Join(dir, "spool", segmentName(1)), b)
	return dir
}

func drainFolder(t *testing.T, ctx context.Context, dir string, kcfg kafka.Config) error {
	t.Helper()
	cfg := testConfig()
	cfg.DataDir, cfg.Listen, cfg.Spool.MaxBytes = dir, "127.0.0.1:1", 0 // nobody may listen there
	return Drain(ctx, cfg, Deps{Kafka: kcfg, Log: testkit.Log(t), Registry: prometheus.NewRegistry()})
}

func TestDrainEmptiesTheSpoolOfAnother(t *testing.T) {
	t.Parallel()
	broker, kcfg := testkit.Kafka(t)
	dir := lost(t, 50)
	if err := drainFolder(t, t.Context(), dir, kcfg); err != nil {
		t.Fatal(err)
	}
	e := &edge{broker: broker, kafka: kcfg}
	inOrder(t, e.arrived(t, 50), map[string]int{"u": 50})
	segs, _, err := listSegments(filepath.Join(dir, "spool"))
	if err != nil || len(segs) > 0 {
		t.Errorf("%d segments are left: %v", len(segs), err)
	}
	kcfg.Brokers = []string{"127.0.0.1:1"}
	if err := drainFolder(t, t.Context(), dir, kcfg); err != nil {
		t.Errorf("an empty spool needs no Kafka: %v", err)
	}
	if err := drainFolder(t, t.Context(), t.TempDir(), kcfg); err == nil || !strings.Contains(err.Error(), "ingest.data_dir: there is no spool") {
		t.Errorf("a folder without a spool: %v", err)
	}
}

func TestDrainWithoutKafkaSaysWhatIsLeft(t *testing.T) {
	t.Parallel()
	kcfg, addr := nobody(t)
	dir := lost(t, 5)
	ctx, cancel := contextFor(t, 700*time.Millisecond)
	defer cancel()
	err := drainFolder(t, ctx, dir, kcfg)
	if err == nil || !strings.Contains(err.Error(), "bytes in 1 segments are left, and stay there: Kafka was not reached yet") {
		t.Errorf("%v", err)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		t.Error("it tells of itself, not of Kafka")
	}
	broker, _ := testkit.KafkaAt(t, addr, "")
	if err := drainFolder(t, t.Context(), dir, kcfg); err != nil {
		t.Fatal(err)
	}
	e := &edge{broker: broker, kafka: kcfg}
	inOrder(t, e.arrived(t, 5), map[string]int{"u": 5})
}

// What the producer has and the spool has, too, is lost by no stop, whatever becomes of it in Kafka.
func TestStopWithKafkaAwayLeavesTheSpool(t *testing.T) {
	t.Parallel()
	brokerDir, dir := t.TempDir(), t.TempDir()
	broker, kcfg := testkit.KafkaAt(t, "127.0.0.1:0", brokerDir)
	config := func(c *Config) { impatient(c); c.DataDir = dir }
	want := map[string]int{"u": 0, "v": 0}
	addr := broker.Addr()
	for round := range 3 {
		e := setupAt(t, kcfg, config)
		if round == 0 {
			e.untilDirect(t) // later rounds begin without Kafka
		}
		for i := range 20 {
			for user := range want {
				equal(t, "status", e.post(t, "/v1/page", numbered(user, want[user])).status, 200)
				want[user]++
			}
			if i == 10 {
				broker.Close()
			}
		}
		e.stop()
		if err := <-e.ended; err != nil {
			t.Fatal(err)
		}
		e.ended <- nil
	}
	testkit.KafkaAt(t, addr, brokerDir)
	e := setupAt(t, kcfg, config)
	e.untilDirect(t)
	inOrder(t, e.arrived(t, 120), want)
}

// TestStopHasNoSessionToClose is about a broker that hangs: a session that nobody ends is one that a stop waits for.
func TestStopHasNoSessionToClose(t *testing.T) {
	t.Parallel()
	broker, kcfg := testkit.Kafka(t)
	epochs := make(chan int32, 1)
	broker.Cluster().ControlKey(int16(kmsg.Fetch), func(r kmsg.Request) (kmsg.Response, error, bool) {
		broker.Cluster().KeepControl()
		select {
		case epochs <- r.(*kmsg.FetchRequest).SessionEpoch:
		default:
		}
		return nil, nil, false
	})
	follows(t, setupAt(t, kcfg))
	equal(t, "epoch of a session, of which -1 is none", <-epochs, int32(-1))
}

// A balancer that obeys readiness sends nothing more once it has failed, and a client with connections that stay open
// sees no failure.
func TestH11DrainUnderLoad(t *testing.T) {
	t.Parallel()
	e := setup(t, func(c *Config) { c.Timeouts.DrainDelay = 3 * time.Second })
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
	defer client.CloseIdleConnections()
	var out atomic.Bool // of the balancer
	var acknowledged atomic.Int64
	var workers sync.WaitGroup
	for w := range 8 {
		workers.Go(func() {
			for n := 0; !out.Load(); n++ {
				body := fmt.Sprintf(`{"batch":[{"type":"page","userId":"u%d","messageId":"%d-%d"}]}`, w, w, n)
				r, _ := http.NewRequest(http.MethodPost, e.url+"/v1/batch", strings.NewReader(body)) // its URL is good
				r.SetBasicAuth("dev", "")
				a, err := client.Do(r)
				if err != nil {
					t.Errorf("worker %d, request %d: %v", w, n, err)
					return
				}
				_, _ = io.Copy(io.Discard, a.Body)
				_ = a.Body.Close()
				if a.StatusCode != http.StatusOK {
					t.Errorf("worker %d, request %d: %d", w, n, a.StatusCode)
				}
				acknowledged.Add(1)
			}
		})
	}
	until(t, &acknowledged, 100)
	e.stop()
	testkit.Eventually(t, "the balancer should see that it stops", func() error {
		if a, err := e.try(http.MethodGet, "/health", ""); err != nil || a.status != http.StatusServiceUnavailable {
			return fmt.Errorf("%d, %w", a.status, err)
		}
		return nil
	})
	until(t, &acknowledged, 50) // those that are on their way while it does not know yet
	out.Store(true)
	workers.Wait()
	if err := <-e.ended; err != nil {
		t.Errorf("run: %v", err)
	}
	e.ended <- nil
	e.events(t, int(acknowledged.Load()))
}
