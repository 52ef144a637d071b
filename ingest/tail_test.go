package ingest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/internal/testkit"
)

// watcher reads a tail line by line.
type watcher struct {
	*bufio.Reader
	resp *http.Response
}

// watch opens a tail and reads its first line, after which it misses nothing.
func watch(t *testing.T, client *http.Client, url, key string) watcher {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Write-Key", key)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	w := watcher{bufio.NewReader(resp.Body), resp}
	if resp.StatusCode == http.StatusOK {
		equal(t, "first line", w.line(t), `{"heartbeat":"2026-03-01T10:00:01.200Z"}`)
	}
	return w
}

func (w watcher) line(t *testing.T) string {
	t.Helper()
	line, err := w.ReadString('\n')
	if err != nil {
		t.Fatalf("%v after %q", err, line)
	}
	return strings.TrimSuffix(line, "\n")
}

func (e *edge) watch(t *testing.T, key, query string) watcher {
	t.Helper()
	return watch(t, http.DefaultClient, e.url+"/v1/tail"+query, key)
}

const stamped = `"receivedAt":"2026-03-01T10:00:01.200Z","timestamp":"2026-03-01T10:00:01.200Z","originalTimestamp":"2026-03-01T10:00:01.200Z",`

func TestTailShowsWhatComesIn(t *testing.T) {
	t.Parallel()
	e := setup(t)
	all, page, paid, user, rejected := e.watch(t, "dev-server", ""), e.watch(t, "dev-server", "?type=page"), e.watch(t, "dev-server", "?event=Paid"),
		e.watch(t, "dev-server", "?user_id=u2"), e.watch(t, "dev-server", "?rejected=1&writeKey=dev-server")
	equal(t, "readers", e.metric(t, "tail_readers"), 5.0)
	e.post(t, "/v1/batch", `{"batch":[{"type":"page","userId":"u1","messageId":"m-1",`+"\n"+` "name":"Home"},{"type":"track","event":"Paid","messageId":"m-2"},`+
		`{"type":"track","event":"Paid","userId":"u2","messageId":"m-3"},{"type":"page","userId":"u1","messageId":"m-1"}]}`, "X-Request-Id", "r-1")
	e.post(t, "/v1/page", `{"userId":"u3","messageId":"m-4"}`)
	const (
		first  = `{"source":"app","accepted":{` + stamped + `"type":"page","userId":"u1","messageId":"m-1","name":"Home"}}`
		second = `{"source":"app","rejected":{"at":"2026-03-01T10:00:01.200Z","source":"app","stage":"ingest","code":"missing_identity",` +
			`"message":"neither userId nor anonymousId is set","messageId":"m-2","type":"track","event":"Paid","requestId":"r-1","index":1,"key":"6b941275","size":49,` +
			`"excerpt":"{\"type\":\"track\",\"event\":\"Paid\",\"messageId\":\"m-2\"}"}}`
		third  = `{"source":"app","accepted":{` + stamped + `"type":"track","event":"Paid","userId":"u2","messageId":"m-3"}}`
		fourth = `{"source":"app","accepted":{` + stamped + `"type":"page","userId":"u3","messageId":"m-4"}}`
	)
	for name, c := range map[string]struct {
		w    watcher
		want []string
	}{
		"all": {all, []string{first, second, third, fourth}}, "pages": {page, []string{first, fourth}}, "payments": {paid, []string{second, third}},
		"u2": {user, []string{third}}, "rejected": {rejected, []string{second}},
	} {
		for _, want := range c.want {
			equal(t, name, c.w.line(t), want)
		}
	}
	_ = all.resp.Body.Close()
	testkit.Eventually(t, "who leaves is no reader any more", func() error {
		if n := e.metric(t, "tail_readers"); n != 4 {
			return fmt.Errorf("%v readers", n)
		}
		return nil
	})
}

func TestTailIsOfOneSourceOnly(t *testing.T) {
	t.Parallel()
	e := setup(t, twoSources)
	shop := e.watch(t, "shop-server", "")
	mux := http.NewServeMux()
	e.mount(mux.Handle)
	admin := httptest.NewServer(mux)
	t.Cleanup(admin.Close)
	t.Cleanup(e.tails.close)
	operator, ofApp := watch(t, http.DefaultClient, admin.URL+"/tail", ""), watch(t, http.DefaultClient, admin.URL+"/tail?source=app", "")
	e.post(t, "/v1/page", `{"userId":"u1","messageId":"m-1"}`)
	e.post(t, "/v1/page", `{"messageId":"m-2"}`)
	e.do(t, http.MethodPost, "/v1/page", `{"userId":"u1","messageId":"m-3"}`, "X-Write-Key", "shop-server")
	e.post(t, "/v1/page", `{"userId":"u1","messageId":"m-4"}`)
	for name, c := range map[string]struct {
		w    watcher
		want []string
	}{"shop": {shop, []string{"m-3"}}, "operator": {operator, []string{"m-1", "m-2", "m-3", "m-4"}}, "operator's app": {ofApp, []string{"m-1", "m-2", "m-4"}}} {
		for _, want := range c.want {
			if line := c.w.line(t); !strings.Contains(line, `"messageId":"`+want+`"`) {
				t.Errorf("%s: got %s, want %s", name, line, want)
			}
		}
	}
	for query, want := range map[string]int{"": http.StatusForbidden, "?source=shop": http.StatusForbidden} {
		equal(t, "a browser's key", e.do(t, http.MethodGet, "/v1/tail"+query, "", "X-Write-Key", "dev").status, want)
	}
	for _, query := range []string{"?source=shop", "?type=jump", "?rejected=maybe", "?user=u1", "?event=%zz"} {
		a := e.do(t, http.MethodGet, "/v1/tail"+query, "", "X-Write-Key", "dev-server")
		equal(t, query, a.status, http.StatusBadRequest)
	}
	equal(t, "no key", e.do(t, http.MethodGet, "/v1/tail", "").status, http.StatusUnauthorized)
}

func TestOneTailTooManyIsRefused(t *testing.T) {
	t.Parallel()
	e := setup(t)
	for range 32 {
		e.watch(t, "dev-server", "")
	}
	a := e.do(t, http.MethodGet, "/v1/tail", "", "X-Write-Key", "dev-server")
	equal(t, "status", a.status, http.StatusServiceUnavailable)
	equal(t, "retry", a.header.Get("Retry-After"), "1")
	if !strings.Contains(a.body, `"code":"overloaded"`) {
		t.Errorf("got %s", a.body)
	}
}

// stuck is a reader that takes nothing until it is freed, and then what its reader does.
type stuck struct {
	http.ResponseWriter
	freed chan error
	out   *io.PipeWriter
}

func (s *stuck) Flush() {}

func (s *stuck) Write(b []byte) (int, error) {
	if err := <-s.freed; err != nil {
		return 0, err
	}
	return s.out.Write(b)
}

func TestSlowTailDropsAndHoldsNothing(t *testing.T) {
	t.Parallel()
	e := setup(t)
	tail := func() (w *stuck, in *bufio.Reader, ended chan *refusal) {
		r, out := io.Pipe()
		w, ended = &stuck{httptest.NewRecorder(), make(chan error), out}, make(chan *refusal, 1)
		go func() {
			ended <- e.serveTail(w, httptest.NewRequest(http.MethodGet, "/v1/tail", nil), "")
			_ = out.Close()
		}()
		return w, bufio.NewReader(r), ended
	}
	w, in, ended := tail()
	testkit.Eventually(t, "it should watch", func() error {
		if e.metric(t, "tail_readers") != 1 {
			return errors.New("it does not")
		}
		return nil
	})
	batch := strings.Repeat(`,{"type":"page","userId":"u1"}`, 300)
	equal(t, "nobody waits for it", e.post(t, "/v1/batch", `{"batch":[`+batch[1:]+`]}`).body, `{"success":true}`)
	equal(t, "dropped", e.metric(t, "tail_dropped_total"), 44.0)
	close(w.freed)
	lines := 0
	for ; ; lines++ {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(line, `{"dropped"`) {
			equal(t, "after the lines", line, "{\"dropped\":44}\n")
			break
		}
	}
	equal(t, "lines and a heartbeat", lines, 257)
	e.post(t, "/v1/page", `{"userId":"u1","messageId":"m-1"}`)
	if line, err := in.ReadString('\n'); err != nil || !strings.Contains(line, "m-1") {
		t.Errorf("it should go on: %s, %v", line, err)
	}
	w, _, gone := tail()
	w.freed <- os.ErrDeadlineExceeded
	<-gone
	equal(t, "who takes nothing is let go", e.metric(t, "tail_readers"), 1.0)
	e.tails.close()
	_, _ = io.Copy(io.Discard, in)
	<-ended
}

func TestTailIsBoundedInBytes(t *testing.T) {
	t.Parallel()
	tl := newTails(Tail{Readers: 1, Buffer: 1000}, prometheus.NewRegistry())
	r, ref := tl.open(TailFilter{})
	if ref != nil {
		t.Fatal(ref)
	}
	for range 12 {
		r.offer(func() []byte { return make([]byte, 300<<10) })
	}
	lines, missed := r.take()
	equal(t, "lines and missed", []int{len(lines), missed}, []int{7, 5})
	tl.leave(r)
	tl.leave(r)
	equal(t, "nobody watches", len(tl.watching()), 0)
}

func TestTailBeats(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &Server{now: time.Now, tails: newTails(Tail{Readers: 1, Buffer: 1}, prometheus.NewRegistry())}
		w := httptest.NewRecorder()
		ended := make(chan *refusal, 1)
		go func() { ended <- s.serveTail(w, httptest.NewRequest(http.MethodGet, "/v1/tail", nil), "") }()
		time.Sleep(tailBeat*2 + time.Second) //nolint:forbidigo // of the bubble's clock
		synctest.Wait()
		equal(t, "lines", w.Body.String(), `{"heartbeat":"2000-01-01T00:00:00.000Z"}`+"\n"+`{"heartbeat":"2000-01-01T00:00:15.000Z"}`+"\n"+`{"heartbeat":"2000-01-01T00:00:30.000Z"}`+"\n")
		s.tails.close()
		if ref := <-ended; ref != nil {
			t.Error(ref)
		}
		if _, ref := s.tails.open(TailFilter{}); ref == nil || ref.code != codeDraining {
			t.Errorf("a tail of a process that stops: got %+v", ref)
		}
	})
}

func TestTailEndsWithItsKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &Server{now: time.Now, tails: newTails(Tail{Readers: 1, Buffer: 1}, prometheus.NewRegistry())}
		snap, err := newSnapshot(DefaultConfig(), DevSources(), newFiles(""))
		if err != nil {
			t.Fatal(err)
		}
		s.sources.Store(snap)
		r := httptest.NewRequest(http.MethodGet, "/v1/tail", nil)
		r.Header.Set("X-Write-Key", "dev-server")
		ended := make(chan *refusal, 1)
		go func() { ended <- s.serveTail(httptest.NewRecorder(), r, "app") }()
		time.Sleep(tailBeat + time.Second) //nolint:forbidigo // of the bubble's clock
		synctest.Wait()
		equal(t, "readers", len(s.tails.watching()), 1)
		s.sources.Store(&snapshot{})
		time.Sleep(tailBeat) //nolint:forbidigo // of the bubble's clock
		synctest.Wait()
		equal(t, "readers once the key was taken out", len(s.tails.watching()), 0)
		s.tails.close()
		if ref := <-ended; ref != nil {
			t.Error(ref)
		}
	})
}

func TestTailOutlivesTheTimeoutsOfRequests(t *testing.T) {
	t.Parallel()
	e := setup(t)
	for _, http2 := range []bool{false, true} {
		srv := httptest.NewUnstartedServer(e.Server)
		srv.EnableHTTP2, srv.Config.ReadTimeout, srv.Config.WriteTimeout = http2, time.Second, time.Second // the handshake has them too
		srv.StartTLS()
		t.Cleanup(srv.Close)
		t.Cleanup(e.tails.close)
		w, start := watch(t, srv.Client(), srv.URL+"/v1/tail", "dev-server"), time.Now()
		for i := 0; time.Since(start) < 1500*time.Millisecond; i++ {
			id := fmt.Sprintf("m-%t-%d", http2, i)
			e.post(t, "/v1/page", `{"userId":"u","messageId":"`+id+`"}`)
			if line := w.line(t); !strings.Contains(line, `"`+id+`"`) {
				t.Fatalf("%s: got %s", w.resp.Proto, line)
			}
		}
	}
}

func TestTailOverHTTP2(t *testing.T) {
	t.Parallel()
	e := setup(t)
	srv := httptest.NewUnstartedServer(e.Server)
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	t.Cleanup(e.tails.close)
	w := watch(t, srv.Client(), srv.URL+"/v1/tail", "dev-server")
	equal(t, "protocol", w.resp.Proto, "HTTP/2.0")
	e.post(t, "/v1/page", `{"userId":"u","messageId":"m-1"}`)
	equal(t, "line", w.line(t), `{"source":"app","accepted":{`+stamped+`"type":"page","userId":"u","messageId":"m-1"}}`)
}

func TestTailsEndWhenTheProcessStops(t *testing.T) {
	t.Parallel()
	e := setup(t, func(c *Config) { c.Timeouts.DrainTimeout = time.Hour })
	w := e.watch(t, "dev-server", "")
	e.stop()
	rest, err := io.ReadAll(w)
	equal(t, "rest", string(rest), "")
	equal(t, "it ends as an answer does", err, nil)
}
