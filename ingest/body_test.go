package ingest

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/testkit"
)

func TestBodiesAreInflated(t *testing.T) {
	t.Parallel()
	e := setup(t)
	pack := map[string]func(io.Writer) io.WriteCloser{
		"gzip":    func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
		"deflate": func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) },
		"Deflate": func(w io.Writer) io.WriteCloser { z, _ := flate.NewWriter(w, 5); return z },
		"zstd":    func(w io.Writer) io.WriteCloser { z, _ := zstd.NewWriter(w); return z },
	}
	for round := range 2 { // the second one with pooled readers
		for enc, open := range pack {
			var b bytes.Buffer
			w := open(&b)
			fmt.Fprint(w, "\ufeff", `{"batch":[`, page(enc+strconv.Itoa(round)), `]}`)
			w.Close()
			if a := e.post(t, "/v1/batch", b.String(), "Content-Encoding", enc, "Content-Type", "text/plain"); a.status != 200 {
				t.Errorf("%s: %d %s", enc, a.status, a.body)
			}
		}
	}
	e.events(t, 8)
}

func TestBombsAreBoundedWhileInflating(t *testing.T) {
	t.Parallel()
	// More than 24 MiB would be overload, and another answer.
	e := setup(t, func(c *Config) { c.Limits.Inflight = 24 * config.MiB })
	bomb := map[string]func(io.Writer) io.WriteCloser{
		"gzip": func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
		"zstd": func(w io.Writer) io.WriteCloser { z, _ := zstd.NewWriter(w); return z },
	}
	for enc, open := range bomb {
		var b bytes.Buffer
		w := open(&b)
		for range 64 {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				t.Fatal(err)
			}
		}
		w.Close()
		if a := e.post(t, "/v1/batch", b.String(), "Content-Encoding", enc); a.status != 413 || !strings.Contains(a.body, "body_too_large") {
			t.Errorf("%s: %d %s", enc, a.status, a.body)
		}
	}
	testkit.Eventually(t, "nothing should be held", func() error {
		if n := e.gate.held.Load(); n != 0 {
			return fmt.Errorf("%d bytes", n)
		}
		return nil
	})
}

func TestOverloadIsAnsweredAtOnceAndPasses(t *testing.T) {
	t.Parallel()
	e := setup(t, func(c *Config) {
		c.Limits.Body, c.Limits.Inflated, c.Limits.Inflight = 32*config.KiB, 32*config.KiB, 64*config.KiB
	})
	held, release := e.holdProduce(t)
	first := e.later("/v1/page", `{"userId":"u","x":"`+strings.Repeat("x", 20_000)+`"}`)
	<-held
	testkit.Eventually(t, "a second large request should find no room", func() error {
		a := e.post(t, "/v1/page", `{"userId":"u","x":"`+strings.Repeat("x", 20_000)+`"}`)
		if a.status != 503 || !strings.Contains(a.body, `"overloaded"`) || a.header.Get("Retry-After") != "1" {
			return fmt.Errorf("%d %s", a.status, a.body)
		}
		return nil
	})
	release()
	equal(t, "first", (<-first).status, 200)
	testkit.Eventually(t, "there should be room again", func() error {
		if a := e.post(t, "/v1/page", page("m")); a.status != 200 || e.gate.held.Load() != 0 {
			return fmt.Errorf("%d %s, %d bytes held", a.status, a.body, e.gate.held.Load())
		}
		return nil
	})
}

func TestSlowBodyIsAnswered408(t *testing.T) {
	t.Parallel()
	// Header bounds both; a busy machine needs some of it to send the first line.
	e := setup(t, func(c *Config) { c.Timeouts.Header, c.Timeouts.Body = 2*time.Second, 100*time.Millisecond })
	c, err := net.Dial("tcp", e.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "POST /v1/page HTTP/1.1\r\nHost: x\r\nX-Write-Key: dev\r\nContent-Length: 100\r\n\r\n{\"userId\":")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != 408 || !strings.Contains(string(body), `"body_timeout"`) {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	equal(t, "dead letter", string(e.rejected(t, 1)[0].Original), `{"userId":`)
}

func TestChunksThatNobodyCanReadAreAnswered400(t *testing.T) {
	t.Parallel()
	e := setup(t)
	const head = "POST /v1/page HTTP/1.1\r\nHost: x\r\nX-Write-Key: dev\r\nTransfer-Encoding: chunked\r\n\r\n"
	bad := []string{
		"12x\r\n{\"userId\":\"u\"}\r\n0\r\n\r\n",                   // no length
		"3\r\n{\"userId\":\"u\"}\r\n0\r\n\r\n",                     // more than its length
		"fffffffffffffffff\r\n{",                                   // a length that no number holds
		strings.Repeat("1", 5000) + "\r\n{",                        // a line without an end
		"e\r\n{\"userId\":\"u\"}\r\n0\r\nno trailer: \x00\r\n\r\n", // a trailer that is none
	}
	for _, body := range bad {
		c, err := net.Dial("tcp", e.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(c, head+body)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatalf("%.40q: %v", body, err)
		}
		got, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		c.Close()
		if resp.StatusCode != 400 || !strings.Contains(string(got), `"code":"bad_encoding","message":"the body is not in chunks`) {
			t.Errorf("%.40q: %d %s", body, resp.StatusCode, got)
		}
	}
	for _, r := range e.rejected(t, len(bad)) {
		equal(t, "code", string(r.Code), codeBadEncoding)
	}
	c, err := net.Dial("tcp", e.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(c, head+"5\r\n{\"u")
	c.Close() // has gone, which is no fault of its chunks
	testkit.Eventually(t, "no request should be left", func() error {
		if n := e.metric(t, "inflight_requests"); n != 0 {
			return fmt.Errorf("%v are", n)
		}
		return nil
	})
	e.rejected(t, len(bad))
}

func TestClientGone(t *testing.T) {
	t.Parallel()
	e := setup(t)
	send := func(text string) {
		c, err := net.Dial("tcp", e.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(c, text)
		c.Close()
	}
	body := page("whole")
	send("POST /v1/page HTTP/1.1\r\nHost: x\r\nX-Write-Key: dev\r\nContent-Length: 100\r\n\r\n{\"userId\":")
	send(fmt.Sprintf("POST /v1/page HTTP/1.1\r\nHost: x\r\nX-Write-Key: dev\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
	testkit.Eventually(t, "both requests should have ended, one event accepted", func() error {
		if n := e.metric(t, "events_accepted_total", "app", "page"); n != 1 {
			return fmt.Errorf("%v accepted", n)
		}
		return nil
	})
	e.events(t, 1)
	e.rejected(t, 0)
}
