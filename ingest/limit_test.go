package ingest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/millstream-data/millstream/internal/testkit"
)

// raw sends text as it is and returns the answer to it.
func (e *edge) raw(t *testing.T, text string) answer {
	t.Helper()
	return readAnswer(t, e.dial(t, text))
}

// dial opens a connection that ends with the test, and sends text.
func (e *edge) dial(t *testing.T, text string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", e.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(c, text)
	return c
}

func readAnswer(t *testing.T, c net.Conn) answer {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, string(b), resp.Header, resp.Close}
}

// ends waits until the server has closed c.
func ends(t *testing.T, what string, c net.Conn) {
	t.Helper()
	if _, err := io.Copy(io.Discard, c); err != nil && !strings.Contains(err.Error(), "reset by peer") {
		t.Errorf("%s: %v", what, err)
	}
}

func TestHeadersBeyondTheLimitAre431(t *testing.T) {
	t.Parallel()
	e := setup(t)
	with := func(n int) string {
		return "GET /health HTTP/1.1\r\nHost: x\r\nX-Long: " + strings.Repeat("x", n) + "\r\n\r\n"
	}
	equal(t, "15 KiB", e.raw(t, with(15<<10)).status, 200)
	equal(t, "17 KiB", e.raw(t, with(17<<10)).status, 431)
	equal(t, "health afterwards", e.do(t, http.MethodGet, "/health", "").status, 200)
}

func TestSlowHeadersAndIdleConnectionsAreClosed(t *testing.T) {
	t.Parallel()
	e := setup(t, func(c *Config) { c.Timeouts.Header, c.Timeouts.Idle = 200*time.Millisecond, 200*time.Millisecond })
	ends(t, "headers", e.dial(t, "POST /v1/page HTTP/1.1\r\nHost: x\r\nX-Slow: "))
	ends(t, "nothing", e.dial(t, ""))
	c := e.dial(t, "GET /robots.txt HTTP/1.1\r\nHost: x\r\n\r\n")
	equal(t, "answer", readAnswer(t, c).closes, false)
	ends(t, "idle", c)
}

func TestLargerContentLengthIsRefusedUnread(t *testing.T) {
	t.Parallel()
	e := setup(t)
	a := e.raw(t, "POST /v1/batch HTTP/1.1\r\nHost: x\r\nX-Write-Key: dev\r\nContent-Length: 4194305\r\n\r\n")
	if a.status != 413 || !strings.Contains(a.body, `"body_too_large"`) || !strings.Contains(a.body, "4MiB") || !a.closes {
		t.Errorf("%d %s, closes: %v", a.status, a.body, a.closes)
	}
	r := e.rejected(t, 1)[0]
	equal(t, "size", r.Size, 4<<20+1)
	equal(t, "bytes", len(r.Original), 0)
}

func TestChunkedBodyBeyondTheLimitIsRefused(t *testing.T) {
	t.Parallel()
	e := setup(t, func(c *Config) { c.Limits.Body = 64 << 10 })
	chunk := "10000\r\n" + strings.Repeat("x", 1<<16) + "\r\n"
	a := e.raw(t, "POST /v1/batch HTTP/1.1\r\nHost: x\r\nX-Write-Key: dev\r\nTransfer-Encoding: chunked\r\n\r\n"+chunk+chunk+"0\r\n\r\n")
	if a.status != 413 || !strings.Contains(a.body, `"body_too_large"`) {
		t.Errorf("%d %s", a.status, a.body)
	}
	equal(t, "what is kept", len(e.rejected(t, 1)[0].Original), 64<<10)
}

func TestEarlyAnswerClosesTheConnectionIfMuchIsOutstanding(t *testing.T) {
	t.Parallel()
	e := setup(t)
	head := func(n int) string {
		return fmt.Sprintf("POST /v1/batch HTTP/1.1\r\nHost: x\r\nX-Write-Key: nobody\r\nContent-Length: %d\r\n\r\n", n)
	}
	a := e.raw(t, head(300<<10)) // nothing of the body is sent: the answer does not wait for it
	equal(t, "status", a.status, 401)
	equal(t, "300 KiB: closes", a.closes, true)
	c := e.dial(t, head(200<<10)+strings.Repeat("x", 200<<10))
	a = readAnswer(t, c)
	equal(t, "status", a.status, 401)
	equal(t, "200 KiB: closes", a.closes, false)
	fmt.Fprint(c, "GET /robots.txt HTTP/1.1\r\nHost: x\r\n\r\n")
	equal(t, "next request on the same connection", readAnswer(t, c).status, 200)
}

func TestEarlyAnswerReachesAClientThatStillSends(t *testing.T) {
	t.Parallel()
	e := setup(t)
	for range 5 {
		c := e.dial(t, "POST /v1/batch HTTP/1.1\r\nHost: x\r\nX-Write-Key: nobody\r\nContent-Length: 4000000\r\n\r\n")
		sent := make(chan struct{})
		go func() { // ends when the server has closed, or has all
			defer close(sent)
			for range 4000 {
				if _, err := c.Write(make([]byte, 1000)); err != nil {
					return
				}
			}
		}()
		equal(t, "status", readAnswer(t, c).status, 401)
		c.Close()
		<-sent
	}
}

func TestConnectionsBeyondTheLimitWait(t *testing.T) {
	t.Parallel()
	e := setup(t, func(c *Config) { c.Limits.Connections = 2 })
	const ask = "GET /robots.txt HTTP/1.1\r\nHost: x\r\n\r\n"
	first, second := e.dial(t, ask), e.dial(t, ask)
	equal(t, "first", readAnswer(t, first).status, 200)
	equal(t, "second", readAnswer(t, second).status, 200)
	third := e.dial(t, ask) // the kernel takes it, with what it says
	if err := third.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := third.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Fatal("a third connection was served")
	}
	equal(t, "open", e.metric(t, "connections"), 2.0)
	first.Close()
	if err := third.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	equal(t, "third, when the first has gone", readAnswer(t, third).status, 200)
}

func TestEncodingsThatAreUnknownOrStackedAreRefused(t *testing.T) {
	t.Parallel()
	e := setup(t)
	for _, encoding := range []string{"br", "gzip, gzip", "gzip,deflate", "identity, gzip", "gzip\r\nContent-Encoding: gzip", "compress"} {
		body := page("m")
		a := e.raw(t, fmt.Sprintf("POST /v1/page HTTP/1.1\r\nHost: x\r\nX-Write-Key: dev\r\nContent-Encoding: %s\r\nContent-Length: %d\r\n\r\n%s", encoding, len(body), body))
		if a.status != 400 || !strings.Contains(a.body, `"bad_encoding"`) || !strings.Contains(a.body, "gzip, deflate or zstd") {
			t.Errorf("%q: %d %s", encoding, a.status, a.body)
		}
	}
	for i, encoding := range []string{"identity", ""} {
		equal(t, encoding, e.post(t, "/v1/page", page(fmt.Sprint(i)), "Content-Encoding", encoding).status, 200)
	}
	e.rejected(t, 6)
}

func TestConnectionsAreForgottenWhenTheyEnd(t *testing.T) {
	t.Parallel()
	e := setup(t)
	for range 3 {
		c := e.dial(t, "GET /robots.txt HTTP/1.1\r\nHost: x\r\n\r\n")
		equal(t, "answer", readAnswer(t, c).status, 200)
		c.Close()
	}
	testkit.Eventually(t, "no connection should be counted", func() error {
		if n := e.metric(t, "connections"); n != 0 {
			return fmt.Errorf("%v", n)
		}
		return nil
	})
}

func TestLimitsOfAnEventAreItsSources(t *testing.T) {
	t.Parallel()
	e := setup(t, func(c *Config) {
		c.Sources["small"] = Source{Enabled: true, Keys: []Key{{Key: "small", Kind: KindServer}}, Limits: SourceLimits{Event: 1000}}
		c.Sources["large"] = Source{Enabled: true, Keys: []Key{{Key: "large", Kind: KindServer}}, Limits: SourceLimits{Event: 400 << 10, EventSoft: 300 << 10}}
	})
	sized := func(n int) string {
		const around = len(`{"type":"page","userId":"u","x":""}`)
		return `{"type":"page","userId":"u","x":"` + strings.Repeat("x", n-around) + `"}`
	}
	for _, c := range []struct {
		key  string
		size int
		want string
	}{
		{"dev-server", 256 << 10, ""},
		{"dev-server", 256<<10 + 1, "the event has 262145 bytes, the limit is 262144"},
		{"small", 1000, ""},
		{"small", 1001, "the event has 1001 bytes, the limit is 1000"},
		{"large", 400 << 10, ""},
		{"large", 400<<10 + 1, "the event has 409601 bytes, the limit is 409600"},
	} {
		a := e.post(t, "/v1/page", sized(c.size), "X-Write-Key", c.key)
		if c.want == "" {
			equal(t, c.key, a.body, `{"success":true}`)
		} else if a.status != 400 || !strings.Contains(a.body, `"code":"event_too_large","message":"`+c.want) {
			t.Errorf("%s, %d bytes: %d %s", c.key, c.size, a.status, a.body)
		}
	}
	a := e.post(t, "/v1/batch", `{"context":{"x":"`+strings.Repeat("x", 100<<10)+`"},"batch":[`+sized(250<<10)+`]}`)
	if !strings.Contains(a.body, "the event has 256000 bytes, the context and integrations of its batch 102408; the limit for both is 311296") {
		t.Errorf("with the batch's context: %s", a.body)
	}
	e.events(t, 3)
}
