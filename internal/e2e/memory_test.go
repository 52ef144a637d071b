//go:build integration

package e2e

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millstream-data/millstream/internal/local"
	"github.com/millstream-data/millstream/internal/testkit"
)

// maxResident is what docs/ingest.md promises of a process with default limits.
const maxResident = 512 << 20

// abused is `millstream ingest` in a process of its own, and its Kafka, which is in the test's.
type abused struct {
	*system
	broker *local.Kafka
	addr   string
	most   int64 // resident bytes at the worst moment of the attack
}

// TestH10Memory abuses a server with default limits in every way that costs memory. It stays below what is promised,
// answers somebody else meanwhile, or refuses at once because its bound is reached, and is as before when it is over.
func TestH10Memory(t *testing.T) {
	raiseFiles(t)
	for _, c := range []struct {
		name   string
		attack func(t *testing.T, a *abused)
		full   bool // the bound of in-flight bytes is reached: others are refused meanwhile
		set    []string
	}{
		{name: "bombs", attack: bombs, full: true},
		{name: "slow bodies", attack: func(t *testing.T, a *abused) { a.slowBodies(t, 3<<10) }},
		{name: "slow large bodies", attack: func(t *testing.T, a *abused) { a.slowBodies(t, 200<<10) }, full: true},
		{name: "slow headers", attack: slowHeaders},
		{name: "idle connections", attack: idleConnections},
		{name: "idle connections after large batches", attack: func(t *testing.T, a *abused) {
			a.flood(t, 32, 2*time.Second, plain(wide(9000, `{"type":"page","userId":"u"}`)))
			idleConnections(t, a)
		}, full: true},
		{name: "slow bodies after large batches", attack: func(t *testing.T, a *abused) {
			for range 3 {
				a.flood(t, 32, time.Second, plain(wide(2000, `{"type":"page","userId":"u","context":{"a":1,"b":2,"c":3}}`)))
				a.slowBodies(t, 2<<10)
			}
		}, full: true},
		{name: "deep and wide JSON", attack: deepAndWide, full: true},
		{name: "large bodies at full rate", attack: largeBodies, full: true},
		{name: "stalled Kafka", attack: stalledKafka},
		{name: "stalled Kafka without a spool", attack: stalledKafka, full: true, set: []string{"ingest.spool.max_bytes=0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAbused(t, c.set...)
			over := a.watch(t, c.full)
			c.attack(t, a)
			over()
			t.Logf("resident at most %d MiB", a.most>>20)
			if a.most >= maxResident {
				t.Errorf("resident memory was %d MiB, promised are %d", a.most>>20, maxResident>>20)
			}
		})
	}
}

func newAbused(t *testing.T, set ...string) *abused {
	t.Helper()
	broker, _ := testkit.Kafka(t)
	ingest, admin := freeAddr(t), freeAddr(t)
	a := &abused{broker: broker, addr: ingest, system: &system{tb: t, ingest: "http://" + ingest, admin: "http://" + admin}}
	a.args = []string{"ingest", "--data-dir", t.TempDir(), "--log-level", "error"}
	for _, s := range append([]string{
		"ingest.listen=" + ingest, "admin.listen=" + admin, "kafka.brokers=[" + broker.Addr() + "]",
		"kafka.topics.partitions=4", "kafka.topics.replication=1", "ingest.timeouts.drain_delay=0s",
		"ingest.sources={app: {keys: [{key: dev, kind: browser}, {key: other, kind: server}]}}",
	}, set...) {
		a.args = append(a.args, "--set", s)
	}
	t.Cleanup(a.kill)
	a.start()
	return a
}

// watch begins to look at memory, and sends something healthy all the time. The returned function ends that and checks
// that the server is as before.
func (a *abused) watch(t *testing.T, full bool) (over func()) {
	t.Helper()
	a.file(t, "clear_refs", "5") // the highest resident size begins anew
	stop, ended := make(chan struct{}), make(chan map[string]int, 1)
	go func() {
		seen, tick := map[string]int{}, time.NewTicker(100*time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				ended <- seen
				return
			case <-tick.C:
			}
			seen[a.healthy()]++
		}
	}()
	return func() {
		close(stop)
		seen := <-ended
		t.Logf("others got %v", seen)
		for what := range seen {
			if what != "200" && (!full || what != "503") {
				t.Errorf("somebody else got %s: %v", what, seen)
			}
		}
		if !full && seen["200"] == 0 {
			t.Errorf("nobody else was answered: %v", seen)
		}
		a.eventually("it is as before", 30*time.Second, func() error {
			if got := a.healthy(); got != "200" {
				return errors.New(got)
			}
			b, err := a.get(a.admin + "/metrics")
			if err == nil && !strings.Contains(string(b), "\nmillstream_ingest_inflight_bytes 0\n") {
				_, rest, _ := strings.Cut(string(b), "\nmillstream_ingest_inflight_bytes ")
				held, _, _ := strings.Cut(rest, "\n")
				err = fmt.Errorf("it holds %s bytes", held)
			}
			return err
		})
		a.most = a.peak(t)
	}
}

// healthy sends one event with another key and returns the status, or what went wrong.
func (a *abused) healthy() string {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, a.ingest+"/v1/track", strings.NewReader(`{"userId":"u","event":"Healthy"}`))
	if err != nil {
		return err.Error()
	}
	req.SetBasicAuth("other", "")
	resp, err := client.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return strconv.Itoa(resp.StatusCode)
}

func (a *abused) file(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/%s", a.cmd.Process.Pid, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// peak is the highest resident size since watch.
func (a *abused) peak(t *testing.T) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	var kb int64
	if _, err := fmt.Sscanf(rest, "%d kB", &kb); err != nil {
		t.Fatalf("VmHWM: %v in %s", err, b)
	}
	return kb << 10
}

// raiseFiles allows the test, and the processes that it starts, 10,000 connections and some.
func raiseFiles(t *testing.T) {
	t.Helper()
	var lim syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil {
		t.Fatal(err)
	}
	if lim.Cur < 12_000 {
		lim.Cur = lim.Max
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil || lim.Cur < 12_000 {
			t.Fatalf("12,000 open files are needed, the limit is %d: raise it with ulimit -n (%v)", lim.Cur, err)
		}
	}
}

// payload is a body and how it is packed.
type payload struct {
	body     []byte
	encoding string
}

func plain(body []byte) payload { return payload{body: body} }

func zipped(t *testing.T, body []byte) payload {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return payload{b.Bytes(), "gzip"}
}

// windowed is body in zstd with a window of 8 MiB, whatever its size.
func windowed(t *testing.T, body []byte) payload {
	t.Helper()
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b, zstd.WithWindowSize(8<<20), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	for len(body) > 0 { // an encoder that saw the end coming would announce a smaller one
		n := min(len(body), 1<<16)
		if _, err := w.Write(body[:n]); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		body = body[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return payload{b.Bytes(), "zstd"}
}

// wide is a batch of n times the same event.
func wide(n int, event string) []byte {
	return []byte(`{"batch":[` + strings.TrimSuffix(strings.Repeat(event+",", n), ",") + `]}`)
}

// noise is n bytes of text that hardly compresses.
func noise(n int) string {
	const digits = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range b {
		b[i] = digits[r.IntN(len(digits))]
	}
	return string(b)
}

// flood sends the payloads in turn from many connections at once, as fast as they are answered.
func (a *abused) flood(t *testing.T, workers int, d time.Duration, what ...payload) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	tr := &http.Transport{MaxIdleConnsPerHost: workers, DisableCompression: true}
	defer tr.CloseIdleConnections()
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[string]int{}
	for w := range workers {
		wg.Go(func() {
			for i := w; ctx.Err() == nil; i++ {
				p := what[i%len(what)]
				req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.ingest+"/v1/batch", bytes.NewReader(p.body))
				if err != nil {
					t.Error(err)
					return
				}
				req.SetBasicAuth("dev", "")
				if p.encoding != "" {
					req.Header.Set("Content-Encoding", p.encoding)
				}
				got := "cut off" // an early answer closes the connection while the body is on its way
				if resp, err := tr.RoundTrip(req); err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
					got = strconv.Itoa(resp.StatusCode)
				}
				if ctx.Err() == nil {
					mu.Lock()
					seen[got]++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	t.Logf("the flood got %v", seen)
	if seen["200"]+seen["413"]+seen["503"] == 0 {
		t.Errorf("the flood was not answered: %v", seen)
	}
}

func bombs(t *testing.T, a *abused) {
	text := `{"batch":[{"type":"page","userId":"u","x":"` + strings.Repeat("x", 15<<20) + `"}]}`
	a.flood(t, 64, 4*time.Second,
		zipped(t, make([]byte, 256<<20)), zipped(t, []byte(text)), zipped(t, wide(10_000, `{"type":"page","userId":"u"}`)),
		windowed(t, make([]byte, 64<<20)), windowed(t, []byte(text)), windowed(t, wide(100, `{"type":"page","userId":"u"}`)))
}

// connect opens n connections and has each do f; it returns when all have.
func (a *abused) connect(t *testing.T, n int, f func(c net.Conn) error) (conns []net.Conn) {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for {
				mu.Lock()
				if n == 0 {
					mu.Unlock()
					return
				}
				n--
				mu.Unlock()
				c, err := new(net.Dialer).DialContext(t.Context(), "tcp", a.addr)
				if err != nil {
					t.Error(err)
					return
				}
				if err := f(c); err != nil {
					t.Error(err)
				}
				mu.Lock()
				conns = append(conns, c)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	t.Cleanup(func() { hangUp(conns) })
	return conns
}

func hangUp(conns []net.Conn) {
	for _, c := range conns {
		_ = c.Close() // the server may have done so
	}
}

// trickle sends a byte on each connection every 100 ms.
func trickle(conns []net.Conn, b byte, d time.Duration) {
	end, tick := time.NewTimer(d), time.NewTicker(100*time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-end.C:
			return
		case <-tick.C:
		}
		for _, c := range conns {
			_, _ = c.Write([]byte{b}) // the server may have closed it
		}
	}
}

// slowBodies announces 4 MiB a thousand times, sends some of it at once and the rest a byte at a time.
func (a *abused) slowBodies(t *testing.T, first int) {
	head := "POST /v1/batch HTTP/1.1\r\nHost: x\r\nX-Write-Key: dev\r\nContent-Length: 4194304\r\n\r\n" +
		`{"batch":[{"type":"page","userId":"` + strings.Repeat("u", first)
	conns := a.connect(t, 1000, func(c net.Conn) error {
		_, _ = io.WriteString(c, head) // refused ones are closed meanwhile
		return nil
	})
	trickle(conns, 'u', 3*time.Second)
	hangUp(conns)
}

func slowHeaders(t *testing.T, a *abused) {
	head := "POST /v1/batch HTTP/1.1\r\nHost: x\r\nX-Write-Key: dev\r\nX-Long: " + strings.Repeat("x", 15<<10)
	conns := a.connect(t, 9900, func(c net.Conn) error {
		_, _ = io.WriteString(c, head) // the slowest are closed while others connect
		return nil
	})
	trickle(conns, 'x', 2*time.Second)
	hangUp(conns)
}

func idleConnections(t *testing.T, a *abused) {
	body := `{"userId":"u","event":"Before it sleeps"}`
	conns := a.connect(t, 9900, func(c net.Conn) error {
		fmt.Fprintf(c, "POST /v1/track HTTP/1.1\r\nHost: x\r\nX-Write-Key: dev\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		got := make([]byte, 12)
		if _, err := io.ReadFull(c, got); err != nil || string(got) != "HTTP/1.1 200" && string(got) != "HTTP/1.1 503" {
			return fmt.Errorf("%s: %w", got, err)
		}
		return nil
	})
	<-time.NewTimer(2 * time.Second).C // they sleep, and others are served
	b, err := a.get(a.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "\nmillstream_ingest_connections ")
	open, _, _ := strings.Cut(rest, "\n")
	if n, _ := strconv.ParseFloat(open, 64); n < 9900 {
		t.Errorf("%s connections are open", open)
	}
	hangUp(conns)
}

func deepAndWide(t *testing.T, a *abused) {
	member := func(i int) string { return `"` + strconv.Itoa(i) + `":0` }
	var many strings.Builder
	many.WriteString(member(0))
	for i := 1; many.Len() < 250<<10; i++ {
		many.WriteString("," + member(i))
	}
	a.flood(t, 32, 6*time.Second,
		plain(bytes.Repeat([]byte(`[`), 4<<20)),
		plain([]byte(`{"batch":[`+strings.Repeat(`{"x":`, 800_000))),
		plain(wide(10_000, `0`)),
		plain(wide(10_000, `{}`)),
		plain(wide(10_000, `{"type":"page","userId":"u"}`)),
		plain(wide(10_000, `{"type":"track","userId":"u","event":"`+noise(300)+`"}`)),
		plain(wide(16, `{"type":"page","userId":"u","properties":{`+many.String()+`}}`)),
		plain(wide(16, `{"type":"page","userId":"u","context":{`+many.String()+`}}`)),
		plain([]byte(`{"context":{`+many.String()+`},`+string(wide(10_000, `{"type":"page","userId":"u"}`)[1:]))),
		plain([]byte(`{"context":{"x":"`+noise(7000)+`"},`+string(wide(10_000, `{"type":"wander","userId":"u"}`)[1:]))),
	)
}

func largeBodies(t *testing.T, a *abused) {
	a.flood(t, 64, 6*time.Second,
		plain(wide(20, `{"type":"page","userId":"u","x":"`+noise(200<<10)+`"}`)),
		plain(wide(5000, `{"type":"page","userId":"u","x":"`+noise(700)+`"}`)))
}

// stalledKafka stops taking records, in the middle of traffic, for longer than a request waits.
func stalledKafka(t *testing.T, a *abused) {
	gate := make(chan struct{})
	a.broker.Cluster().ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		a.broker.Cluster().KeepControl()
		select {
		case <-gate:
		default:
			a.broker.Cluster().SleepControl(func() { <-gate })
		}
		return nil, nil, false
	})
	var once sync.Once
	release := func() { once.Do(func() { close(gate) }) }
	t.Cleanup(release)
	a.flood(t, 64, 10*time.Second, plain(wide(1000, `{"type":"page","userId":"u","x":"`+noise(700)+`"}`)), plain(wide(1, `{"type":"page","userId":"u"}`)))
	release()
}
