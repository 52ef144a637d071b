package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/local"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/wire"
)

// moody is a Kafka that comes and goes, over one folder and at one address.
type moody struct {
	tb   testing.TB
	dir  string
	addr string
	cfg  kafka.Config
	k    *local.Kafka
}

func newMoody(tb testing.TB) *moody {
	tb.Helper()
	m := &moody{tb: tb, dir: tb.TempDir(), addr: freeAddr(tb)}
	m.come()
	return m
}

func (m *moody) come()  { m.k, m.cfg = testkit.KafkaAt(m.tb, m.addr, m.dir) }
func (m *moody) leave() { m.k.Close() }

// ingestBefore returns `millstream ingest` in front of a Kafka; it is not started.
func ingestBefore(tb testing.TB, m *moody, more string) *system {
	tb.Helper()
	dir := tb.TempDir()
	ingest, admin := freeAddr(tb), freeAddr(tb)
	conf := filepath.Join(dir, "millstream.yaml")
	text := fmt.Sprintf(`data_dir: %s/data
log: {level: warn}
admin: {listen: "%s"}
kafka: {brokers: ["%s"], topics: {partitions: 4, replication: 1}}
ingest:
  listen: "%s"
  data_dir: %s/ingest
  sources: {app: {keys: [{key: dev, kind: server}]}}
`, dir, admin, m.addr, ingest, dir) + more
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	s := &system{tb: tb, dir: dir, args: []string{"ingest", "--config", conf}, ingest: "http://" + ingest, admin: "http://" + admin}
	tb.Cleanup(s.kill)
	return s
}

// gauge reads one of ingest's metrics without labels.
func (s *system) gauge(name string) (float64, error) {
	b, err := s.get(s.admin + "/metrics")
	if err != nil {
		return 0, err
	}
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			return strconv.ParseFloat(text, 64)
		}
	}
	return 0, fmt.Errorf("no metric %s", name)
}

// untilDirect waits until no lane is spooled and the spool is gone, and returns how long the first of them took.
func (s *system) untilDirect() time.Duration {
	s.tb.Helper()
	start := time.Now()
	wait := func(what, metric string, most float64) {
		s.eventually(what, 2*time.Minute, func() error {
			n, err := s.gauge(metric)
			if err == nil && n > most {
				err = fmt.Errorf("%s is %v", metric, n)
			}
			return err
		})
	}
	wait("all lanes are direct again", "millstream_ingest_lanes_spooled", 0)
	took := time.Since(start)
	wait("the spool is gone", "millstream_ingest_spool_segments", 0)
	return took
}

// crowd are people whose events are numbered. Each of its workers sends those of its own people in batches, repeats a
// batch until it is acknowledged, and only then goes on, as an SDK does.
type crowd struct {
	sys     *system
	workers int
	people  int           // of a worker
	each    int           // events in a batch
	every   time.Duration // a worker's pace; 0: as fast as it goes
	http    *http.Client

	mu    sync.Mutex
	acked map[string]int // guarded by mu: events 0..n-1 of a person are acknowledged
	total int
}

func newCrowd(sys *system, workers, people, each int, every time.Duration) *crowd {
	return &crowd{
		sys: sys, workers: workers, people: people, each: each, every: every, acked: map[string]int{},
		http: &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: workers}},
	}
}

func (c *crowd) run(stop <-chan struct{}) (wait func()) {
	var wg sync.WaitGroup
	for w := range c.workers {
		wg.Go(func() { c.work(w, stop) })
	}
	return wg.Wait
}

func (c *crowd) work(w int, stop <-chan struct{}) {
	sent := make([]int, c.people)
	due := time.Now()
	for turn := 0; ; turn += c.each {
		select {
		case <-stop:
			return
		default:
		}
		if c.every > 0 {
			due = due.Add(c.every)
			<-time.After(time.Until(due))
		}
		var body bytes.Buffer
		body.WriteString(`{"batch":[`)
		batch := map[int]int{}
		for i := range c.each {
			person := (turn + i) % c.people
			if i > 0 {
				body.WriteByte(',')
			}
			fmt.Fprintf(&body, `{"type":"track","event":"Page Turned","userId":"w%du%d","messageId":"w%du%d-%d","properties":{"text":"%s"}}`,
				w, person, w, person, sent[person]+batch[person], filler)
			batch[person]++
		}
		body.WriteString(`]}`)
		for !c.send(body.Bytes()) {
			<-time.After(20 * time.Millisecond)
		}
		c.mu.Lock()
		for person, n := range batch {
			sent[person] += n
			c.acked[fmt.Sprintf("w%du%d", w, person)] = sent[person]
		}
		c.total += c.each
		c.mu.Unlock()
	}
}

// filler makes events about as large as they are in production.
var filler = strings.Repeat("lorem ipsum ", 40)

func (c *crowd) send(body []byte) bool {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, c.sys.ingest+"/v1/batch", bytes.NewReader(body))
	if err != nil {
		c.sys.tb.Error(err)
		return true
	}
	req.SetBasicAuth("dev", "")
	resp, err := c.http.Do(req)
	if err != nil {
		return false // nobody is there, or the answer is lost
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	switch {
	case err != nil || resp.StatusCode == http.StatusServiceUnavailable:
		return false
	case resp.StatusCode != http.StatusOK:
		c.sys.tb.Errorf("a good batch was answered %d: %s", resp.StatusCode, answer)
	}
	return true
}

func (c *crowd) sent() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.total
}

// arrived checks that each person's acknowledged events are on the topic in their order, each where it stands first, and
// returns how many records are there more than once.
func (c *crowd) arrived(tb testing.TB, cfg kafka.Config) (twice int) {
	tb.Helper()
	cl := testkit.KafkaClient(tb, cfg, kgo.ConsumeTopics(cfg.Names().Events()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	log, err := kafka.DescribeLog(tb.Context(), cl, cfg.Names().Events(), false)
	if err != nil {
		tb.Fatal(err)
	}
	left := int64(0)
	for p, end := range log.End {
		left += end - log.Start[p]
	}
	next := map[string]int{}
	for left > 0 {
		ctx, cancel := context.WithTimeout(tb.Context(), time.Minute)
		fetches := cl.PollFetches(ctx)
		cancel()
		if err := fetches.Err(); err != nil {
			tb.Fatalf("%d records to come: %v", left, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			left--
			h, err := wire.ParseEventHeaders(r.Headers)
			if err != nil || !json.Valid(r.Value) {
				tb.Fatalf("record %d of partition %d: %v: %q", r.Offset, r.Partition, err, r.Value)
			}
			person, number, _ := strings.Cut(h.MessageID, "-")
			switch n, _ := strconv.Atoi(number); {
			case string(r.Key) != "app/"+person || !bytes.Contains(r.Value, []byte(`"`+h.MessageID+`"`)):
				tb.Errorf("mixed up: key %s, message id %s: %s", r.Key, h.MessageID, r.Value)
			case n < next[person]:
				twice++
			case n > next[person]:
				tb.Errorf("%s: event %d stands before event %d", person, n, next[person])
				next[person] = n + 1
			default:
				next[person]++
			}
		})
	}
	for person, n := range c.acked {
		if next[person] < n {
			tb.Errorf("%s: %d events were acknowledged, %d are there", person, n, next[person])
		}
	}
	return twice
}

// TestH03KillUnderLoad kills ingest at random moments while events come and Kafka comes and goes.
func TestH03KillUnderLoad(t *testing.T) {
	t.Parallel()
	kills := 4 * rounds(t, 1)
	broker := newMoody(t)
	sys := ingestBefore(t, broker, "  timeouts: {ack_timeout: 200ms, drain_delay: 0s}\n  spool: {segment: 64KiB, min_free: 1MiB}\n")
	sys.start()
	c := newCrowd(sys, 6, 10, 10, 0)
	stop, moods := make(chan struct{}), make(chan struct{})
	wait := c.run(stop)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-moods:
				return
			case <-time.After(200*time.Millisecond + rand.N(1500*time.Millisecond)):
			}
			broker.leave()
			<-time.After(200*time.Millisecond + rand.N(1500*time.Millisecond))
			broker.come()
		}
	})
	spooled := 0
	for range kills {
		<-time.After(30*time.Millisecond + rand.N(rand.N(3*time.Second)+time.Millisecond))
		if n, err := sys.gauge("millstream_ingest_spool_segments"); err == nil && n > 0 {
			spooled++
		}
		sys.kill()
		sys.start()
	}
	close(moods)
	wg.Wait()
	close(stop)
	wait()
	sys.untilDirect()
	sys.stop()
	twice := c.arrived(t, broker.cfg)
	t.Logf("%d kills, %d of them with a spool; %d events acknowledged, %d records came twice", kills, spooled, c.sent(), twice)
	if c.sent() == 0 {
		t.Error("nothing was acknowledged")
	}
}

// outage is how long Kafka is away; the long form is run by make integration.
func outage(tb testing.TB, short time.Duration) time.Duration {
	tb.Helper()
	text := os.Getenv("MILLSTREAM_TEST_OUTAGE")
	if text == "" {
		return short
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		tb.Fatalf("MILLSTREAM_TEST_OUTAGE: %v", err)
	}
	return d
}

// TestH04KafkaAwayAMinute takes Kafka away while 1,000 people send 5,000 events a second.
func TestH04KafkaAwayAMinute(t *testing.T) {
	t.Parallel()
	away := outage(t, 5*time.Second)
	broker := newMoody(t)
	sys := ingestBefore(t, broker, "  timeouts: {drain_delay: 0s}\n  spool: {min_free: 1MiB}\n")
	sys.start()
	c := newCrowd(sys, 10, 100, 50, 100*time.Millisecond)
	stop := make(chan struct{})
	wait := c.run(stop)
	sys.eventually("events are taken", time.Minute, func() error {
		if n := c.sent(); n < 5000 {
			return fmt.Errorf("%d were", n)
		}
		return nil
	})
	broker.leave()
	from, start := c.sent(), time.Now()
	<-time.After(away)
	during, took := c.sent()-from, time.Since(start)
	if n, err := sys.gauge("millstream_ingest_lanes_spooled"); err != nil || n == 0 {
		t.Errorf("%v lanes are spooled: %v", n, err)
	}
	broker.come()
	direct := sys.untilDirect()
	close(stop)
	wait()
	rss, err := sys.resident()
	if err != nil {
		t.Error(err)
	}
	sys.stop()
	twice := c.arrived(t, broker.cfg)
	t.Logf("%.0f events/s acknowledged in %s without Kafka, direct again %s after its return, at most %d MiB resident, %d records came twice",
		float64(during)/took.Seconds(), took.Round(time.Second), direct.Round(100*time.Millisecond), rss>>20, twice)
	if direct > 10*time.Second {
		t.Errorf("it took %s to be direct again", direct)
	}
	if rss > 512<<20 {
		t.Errorf("%d MiB were resident", rss>>20)
	}
	if during == 0 {
		t.Error("nothing was acknowledged without Kafka")
	}
	if twice > 0 {
		t.Errorf("an outage alone made %d duplicates", twice)
	}
}

// resident is the most memory that the process had.
func (s *system) resident() (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(b), "VmHWM:")
	kib, err := strconv.ParseInt(strings.Fields(after)[0], 10, 64)
	return kib << 10, err
}
