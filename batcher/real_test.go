//go:build integration && cgo

package batcher_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/dedup"
	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/objstore"
	"github.com/millstream-data/millstream/internal/testkit"
)

// need returns a variable that scripts/services.sh sets. A missing one is a
// failure: an integration test that skips proves nothing.
func need(tb testing.TB, name string) string {
	tb.Helper()
	v := os.Getenv(name)
	if v == "" {
		tb.Fatalf("%s is not set; run make integration, or scripts/services.sh go test -tags integration ./batcher", name)
	}
	return v
}

// realWorld is a world on Apache Kafka and a real S3 server, with 4 partitions.
func realWorld(t *testing.T) *world {
	t.Helper()
	name := fmt.Sprintf("matrix%d", time.Now().UnixNano())
	w := &world{t: t, kafka: kafka.DefaultConfig(), dedup: dedup.Config{Window: time.Hour, MaxRecords: 200}}
	w.kafka.Brokers, w.kafka.TopicPrefix = []string{need(t, "MILLSTREAM_TEST_KAFKA")}, name
	w.kafka.Topics.Partitions, w.kafka.Topics.Replication = 4, 1
	w.names = w.kafka.Names()
	cfg := objstore.DefaultConfig()
	cfg.Endpoint, cfg.PathStyle = need(t, "MILLSTREAM_TEST_S3"), true
	cfg.AccessKeyID, cfg.SecretAccessKey = need(t, "MILLSTREAM_TEST_S3_KEY"), config.Secret(need(t, "MILLSTREAM_TEST_S3_SECRET"))
	store, err := objstore.New(t.Context(), cfg, name, prometheus.NewRegistry())
	if err == nil {
		err = store.EnsureBucket(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	w.lake = &lake.Lake{Store: store, Paths: lake.Paths{Prefix: "millstream"}}
	w.client = testkit.KafkaClient(t, w.kafka, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err := kafka.EnsureTopics(t.Context(), w.kafka, w.client, w.kafka.EventsTopic(), w.kafka.RejectedTopic()); err != nil {
		t.Fatal(err)
	}
	return w
}

// process is a `millstream batcher` of the test's, with its own way to the store.
type process struct {
	w       *world
	binary  string
	conf    string
	admin   string
	trouble *trouble
	cmd     *exec.Cmd
	output  bytes.Buffer
}

// process prepares batcher number i; it is not started. Two of four are static
// members of the group.
func (w *world) process(binary string, i int) *process {
	w.t.Helper()
	ln, err := new(net.ListenConfig).Listen(w.t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	p := &process{w: w, binary: binary, admin: ln.Addr().String(), trouble: newTrouble(uint64(i), w.t.Error)}
	if err := ln.Close(); err != nil {
		w.t.Fatal(err)
	}
	store, err := url.Parse(need(w.t, "MILLSTREAM_TEST_S3"))
	if err != nil {
		w.t.Fatal(err)
	}
	to := &httputil.ReverseProxy{
		Rewrite:      func(r *httputil.ProxyRequest) { r.SetURL(store); r.Out.Host = r.In.Host }, // which is signed
		ErrorHandler: func(rw http.ResponseWriter, _ *http.Request, _ error) { rw.WriteHeader(http.StatusBadGateway) },
	}
	proxy := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !p.trouble.meddle(rw, r, to) {
			to.ServeHTTP(rw, r)
		}
	}))
	w.t.Cleanup(proxy.Close)
	instance := ""
	if i%2 == 0 {
		instance = fmt.Sprintf("batcher-%d", i)
	}
	dir := w.t.TempDir()
	p.conf = filepath.Join(dir, "millstream.yaml")
	text := fmt.Sprintf(`data_dir: %s/data
log: {level: warn}
admin: {listen: "%s"}
kafka: {brokers: ["%s"], topic_prefix: %s, topics: {partitions: 4, replication: 1}}
s3: {endpoint: %s, path_style: true, access_key_id: %s, secret_access_key: %s, timeout: 2s, max_attempts: 2}
lake: {bucket: %s}
dedup: {window: 1h, max_records: 200}
batcher: {group: %s, instance_id: "%s", cut: {age: 700ms, max_age: 2s}, session_timeout: 6s, rebalance_timeout: 10s, revoke_budget: 3s, drain_timeout: 10s}
`, dir, p.admin, w.kafka.Brokers[0], w.kafka.TopicPrefix, proxy.URL, need(w.t, "MILLSTREAM_TEST_S3_KEY"), need(w.t, "MILLSTREAM_TEST_S3_SECRET"),
		w.lake.Store.Bucket(), w.kafka.TopicPrefix, instance)
	if err := os.WriteFile(p.conf, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(p.kill)
	return p
}

func (p *process) start() {
	p.w.t.Helper()
	p.output.Reset()
	p.cmd = exec.Command(p.binary, "batcher", "--config", p.conf)
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	if err := p.cmd.Start(); err != nil {
		p.w.t.Fatal(err)
	}
}

func (p *process) signal(s syscall.Signal) {
	p.w.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.w.t.Errorf("signal %v: %v\n%s", s, err, p.output.String())
	}
}

// kill ends the process as kill -9 does.
func (p *process) kill() {
	if p.cmd != nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		p.cmd = nil
	}
}

// stop ends the process as an operator does.
func (p *process) stop() {
	p.w.t.Helper()
	p.signal(syscall.SIGTERM)
	if err := p.cmd.Wait(); err != nil {
		p.w.t.Errorf("after SIGTERM: %v\n%s", err, p.output.String())
	}
	p.cmd = nil
}

// commits counts what the process has committed since its start.
func (p *process) commits() (n float64, err error) {
	req, err := http.NewRequestWithContext(p.w.t.Context(), http.MethodGet, "http://"+p.admin+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		var v float64
		if text, ok := strings.CutPrefix(lines.Text(), "millstream_batcher_commits_total{"); ok {
			if _, err := fmt.Sscan(text[strings.LastIndexByte(text, ' ')+1:], &v); err != nil {
				return 0, err
			}
			n += v
		}
	}
	return n, nil
}

// untilCommits waits until each process has committed since now.
func untilCommits(t *testing.T, what string, all ...*process) {
	t.Helper()
	before := map[*process]float64{}
	for _, p := range all {
		before[p], _ = p.commits() // of one that is only coming up there are none yet
	}
	for _, p := range all {
		testkit.Eventually(t, what, func() error {
			n, err := p.commits()
			if err == nil && n <= before[p] {
				err = fmt.Errorf("%s: %v commits", p.conf, n)
			}
			return err
		})
	}
}

func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "millstream")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../cmd/millstream").CombinedOutput()
	if err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return binary
}

// verify runs `millstream verify --chain --deep` as an operator does.
func (p *process) verify() {
	p.w.t.Helper()
	ctx, cancel := context.WithTimeout(p.w.t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, p.binary, "verify", "--chain", "--deep", "--config", p.conf).CombinedOutput()
	if err != nil {
		p.w.t.Errorf("verify: %v\n%s", err, out)
	}
	if n := strings.Count(string(out), "\n"); n < 5 {
		p.w.t.Errorf("verify tells of %d chains:\n%s", n, out)
	}
}

// sameToAll compares what DuckDB, parquet-go and pyarrow read in every committed
// file; sound has compared one of them with the log.
func (w *world) sameToAll() (rows int) {
	w.t.Helper()
	var paths []string
	want := []map[string]any{}
	for _, files := range w.files("") {
		paths = append(paths, files...)
		want = append(want, w.sameToBoth(files)...)
	}
	cmd := exec.CommandContext(w.t.Context(), need(w.t, "MILLSTREAM_TEST_PYARROW"), "../scripts/lake/rows.py")
	cmd.Stdin, cmd.Stderr = strings.NewReader(strings.Join(paths, "\n")), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		w.t.Fatalf("pyarrow: %v", err)
	}
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	if len(lines) != len(want) {
		w.t.Fatalf("%d rows to pyarrow, %d to the others", len(lines), len(want))
	}
	for i, line := range lines {
		d := json.NewDecoder(bytes.NewReader(line))
		d.UseNumber()
		got := map[string]any{}
		if err := d.Decode(&got); err != nil {
			w.t.Fatal(err)
		}
		if diff := cmp.Diff(plain(want[i]), got); diff != "" {
			w.t.Errorf("row %d (-DuckDB +pyarrow):\n%s", i, diff)
		}
	}
	return len(want)
}

// plain is a row as rows.py prints it.
func plain(r map[string]any) map[string]any {
	out := maps.Clone(r)
	for name, v := range r {
		switch v := v.(type) {
		case time.Time:
			out[name] = json.Number(fmt.Sprint(v.UnixMicro()))
			if strings.HasPrefix(name, "due") {
				out[name] = json.Number(fmt.Sprint(v.Unix() / 86400))
			}
		case []byte:
			out[name] = base64.StdEncoding.EncodeToString(v)
		case int64, int32, int16:
			out[name] = json.Number(fmt.Sprint(v))
		case float64:
			out[name] = json.Number(fmt.Sprint(int64(math.Float64bits(v)))) //nolint:gosec // the same bits
		}
	}
	return out
}
