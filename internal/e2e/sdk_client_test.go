//go:build integration

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/testkit"
)

// sdk is a client as it is published, and a way in which it sends.
type sdk struct {
	name   string // with its version
	driver string
	key    string
	mode   string // single or batch
	gzip   bool
	secure bool // it speaks HTTPS whatever it is told
}

func (s sdk) String() string {
	mode := s.mode
	if s.gzip {
		mode = "gzip-" + mode
	}
	return s.name + " " + mode
}

// sdks lists them with every mode of theirs.
func sdks() []sdk {
	return []sdk{
		{name: "analytics-node@3.1.0", driver: "node", key: "dev-server", mode: "single"},
		{name: "analytics-node@3.1.0", driver: "node", key: "dev-server", mode: "batch"},
		{name: "analytics-node@6.2.0", driver: "node", key: "dev-server", mode: "single"},
		{name: "analytics-node@6.2.0", driver: "node", key: "dev-server", mode: "batch"},
		{name: "analytics-next@1.84.3", driver: "browser", key: "dev", mode: "single"},
		{name: "analytics-next@1.84.3", driver: "browser", key: "dev", mode: "batch"},
		{name: "analytics-next@1.70.0", driver: "browser", key: "dev", mode: "single"},
		{name: "analytics-next@1.70.0", driver: "browser", key: "dev", mode: "batch", secure: true},
		{name: "analytics-python@2.3.5", driver: "python", key: "dev-server", mode: "single"},
		{name: "analytics-python@2.3.5", driver: "python", key: "dev-server", mode: "batch"},
		{name: "analytics-python@2.3.5", driver: "python", key: "dev-server", mode: "single", gzip: true},
		{name: "analytics-python@2.3.5", driver: "python", key: "dev-server", mode: "batch", gzip: true},
		{name: "analytics-go@3.3.0", driver: "go", key: "dev-server", mode: "single"},
		{name: "analytics-go@3.3.0", driver: "go", key: "dev-server", mode: "batch"},
	}
}

// run is what a driver is asked to do; scripts/sdks/README.md explains its members.
type run struct {
	ID        string            `json:"id"`
	SDK       string            `json:"sdk,omitempty"`
	Host      string            `json:"host,omitempty"`
	WriteKey  string            `json:"writeKey,omitempty"`
	Mode      string            `json:"mode,omitempty"`
	Gzip      bool              `json:"gzip,omitempty"`
	TimeoutMS int64             `json:"timeoutMs,omitempty"`
	Leave     bool              `json:"leave,omitempty"`
	Calls     []json.RawMessage `json:"calls,omitempty"`
	Requests  []pageRequest     `json:"requests,omitempty"`
}

// outcome is a driver's answer.
type outcome struct {
	ID        string
	Errors    []string
	Failed    string
	Strangers []string
	Answers   []pageAnswer
}

// drivers are the processes in which the clients run.
type drivers map[string]*driver

type driver struct {
	name string
	cmd  *exec.Cmd
	in   io.WriteCloser

	mu      sync.Mutex
	waiting map[string]chan outcome // guarded by mu; nil when the process has ended
}

// startDrivers runs the named ones; they end with the test, and must do so without an error.
func startDrivers(t *testing.T, names ...string) drivers {
	t.Helper()
	folder := filepath.Join(repository(t), "scripts/sdks")
	commands := map[string]func() []string{
		"node": func() []string { return []string{"node", filepath.Join(folder, "js/node.mjs")} },
		"browser": func() []string {
			return []string{"node", filepath.Join(folder, "js/browser.mjs"), need(t, "MILLSTREAM_TEST_CHROMIUM")}
		},
		"python": func() []string {
			return []string{need(t, "MILLSTREAM_TEST_PYTHON"), filepath.Join(folder, "python/driver.py")}
		},
		"go": func() []string { return []string{need(t, "MILLSTREAM_TEST_SEGMENT_GO")} },
	}
	out := drivers{}
	for _, name := range names {
		out[name] = startDriver(t, name, commands[name]())
	}
	return out
}

func startDriver(t *testing.T, name string, command []string) *driver {
	t.Helper()
	d := &driver{name: name, cmd: exec.Command(command[0], command[1:]...), waiting: map[string]chan outcome{}}
	d.cmd.Stderr = t.Output()
	d.cmd.Env = append(os.Environ(), "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1")
	var err error
	if d.in, err = d.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	answers, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		d.read(answers)
	}()
	t.Cleanup(func() {
		_ = d.in.Close() // it may have ended by itself
		select {
		case <-read:
		case <-time.After(20 * time.Second):
			t.Errorf("driver %s does not end with its input", name)
			_ = d.cmd.Process.Kill() // the same
			<-read
		}
		if err := d.cmd.Wait(); err != nil {
			t.Errorf("driver %s: %v", name, err)
		}
	})
	return d
}

func (d *driver) read(answers io.Reader) {
	lines := bufio.NewScanner(answers)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var o outcome
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			o.Failed = fmt.Sprintf("%v: %s", err, lines.Bytes())
		}
		d.mu.Lock()
		if ch := d.waiting[o.ID]; ch != nil {
			ch <- o
			delete(d.waiting, o.ID)
		}
		d.mu.Unlock()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, ch := range d.waiting {
		ch <- outcome{Failed: "the driver has ended"}
	}
	d.waiting = nil
}

// ask hands r to the driver and returns where its answer will come.
func (d *driver) ask(r run) (<-chan outcome, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.waiting == nil {
		return nil, fmt.Errorf("driver %s has ended", d.name)
	}
	ch := make(chan outcome, 1)
	d.waiting[r.ID] = ch
	return ch, json.NewEncoder(d.in).Encode(r)
}

func (d *driver) end(id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return json.NewEncoder(d.in).Encode(map[string]any{"id": id, "end": true})
}

// send lets s send calls through p. Of a page, done says when it may end; the others end by themselves.
func (ds drivers) send(ctx context.Context, s sdk, p *proxy, r run, done func() bool) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	r.SDK, r.Host, r.WriteKey, r.Mode, r.Gzip = s.name, p.server.URL, s.key, s.mode, s.gzip
	d := ds[s.driver]
	answer, err := d.ask(r)
	if err != nil {
		return outcome{}, err
	}
	if s.driver == "browser" {
		waited := await(ctx, 100*time.Second, func() bool { return len(answer) > 0 || done() })
		if err := errors.Join(waited, d.end(r.ID)); err != nil {
			return outcome{}, fmt.Errorf("%s: its page has seen %d requests: %w", s, len(p.requests(http.MethodPost)), err)
		}
	}
	select {
	case o := <-answer:
		if o.Failed != "" {
			return o, fmt.Errorf("%s: %s", s, o.Failed)
		}
		if len(o.Strangers) > 0 {
			return o, fmt.Errorf("%s: its page asked for %s", s, strings.Join(o.Strangers, ", "))
		}
		return o, nil
	case <-ctx.Done():
		return outcome{}, fmt.Errorf("%s: %w", s, ctx.Err())
	}
}

// edge is `millstream ingest` on Apache Kafka, with topics of its own.
type edge struct {
	*system
	kafka kafka.Config
}

// newEdge returns a running edge; set changes its configuration, such as ingest.timeouts.body=1s.
func newEdge(t *testing.T, set ...string) *edge {
	t.Helper()
	cfg := kafka.DefaultConfig()
	cfg.Brokers, cfg.TopicPrefix = []string{need(t, "MILLSTREAM_TEST_KAFKA")}, fmt.Sprintf("sdk%d", time.Now().UnixNano())
	e := &edge{kafka: cfg, system: newIngest(t, cfg, set...)}
	e.start()
	t.Cleanup(e.stop)
	return e
}

// newIngest returns `millstream ingest`; it is not started.
func newIngest(t *testing.T, cfg kafka.Config, set ...string) *system {
	t.Helper()
	dir := t.TempDir()
	listen, admin := freeAddr(t), freeAddr(t)
	text := fmt.Sprintf(`data_dir: %s/data
log: {level: warn}
admin: {listen: "%s"}
kafka:
  brokers: [%q]
  topic_prefix: %s
  topics: {partitions: 4, replication: 1}
ingest:
  listen: "%s"
  sources:
    app: {keys: [{key: dev, kind: browser}, {key: dev-server, kind: server}]}
    closed: {enabled: false, keys: [{key: closed, kind: browser}]}
    paced: {keys: [{key: paced, kind: server}, {key: paced-page, kind: browser}], rate: {events_per_second: 4, burst: 500ms}}
    stopped: {keys: [{key: stopped, kind: browser}], rate: {events_per_second: 0.01, burst: 1s}}
  timeouts: {drain_delay: 0s}
`, dir, admin, cfg.Brokers[0], cfg.TopicPrefix, listen)
	conf := filepath.Join(dir, "millstream.yaml")
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &system{tb: t, dir: dir, args: []string{"ingest", "--config", conf}, ingest: "http://" + listen, admin: "http://" + admin}
	for _, v := range set {
		s.args = append(s.args, "--set", v)
	}
	t.Cleanup(s.kill)
	return s
}

// records returns all events that are in Kafka, by message id, when the spool has nothing left to add: what comes
// before the edge has found its topics is spooled.
func (e *edge) records(t *testing.T) map[string][]*kgo.Record {
	t.Helper()
	e.eventually("the spool drains", time.Minute, func() error {
		health, err := e.get(e.ingest + "/health")
		if err == nil && !strings.Contains(string(health), "ready") {
			err = fmt.Errorf("%s", health)
		}
		return err
	})
	topic := e.kafka.Names().Events()
	log, err := kafka.DescribeLog(t.Context(), testkit.KafkaClient(t, e.kafka), topic, false)
	if err != nil {
		t.Fatal(err)
	}
	left := int64(0)
	for p, end := range log.End {
		left += end - log.Start[p]
	}
	in := testkit.KafkaClient(t, e.kafka, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out := map[string][]*kgo.Record{}
	for left > 0 {
		fetches := in.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		for _, r := range fetches.Records() {
			left--
			for _, h := range r.Headers {
				if h.Key == "message_id" {
					out[string(h.Value)] = append(out[string(h.Value)], r)
				}
			}
		}
	}
	return out
}
