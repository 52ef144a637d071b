//go:build integration

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/millstream-data/millstream/internal/testkit"
)

// fault is what a proxy does to a POST instead of passing it on and back.
type fault struct {
	status     int           // answers this itself
	retryAfter int           // with that header, in seconds
	delay      time.Duration // keeps the edge's answer for so long
	cutBefore  bool          // hangs up before the edge has heard of it
	cutAfter   bool          // hangs up after the edge has answered
	always     bool          // the last fault of a script happens again and again
}

// exchange is a request that a proxy saw.
type exchange struct {
	testkit.Sent
	at     time.Time
	status int // what the edge answered; 0 if it was not asked
	answer []byte
}

// proxy stands between a client and the edge, writes down what passes, and misbehaves as it is told.
type proxy struct {
	tb       testing.TB
	server   *httptest.Server
	upstream string

	mu     sync.Mutex
	script []fault    // guarded by mu: one for each POST, then none
	seen   []exchange // guarded by mu
}

// newProxy returns a running proxy; with secure it speaks TLS with a certificate that nobody has signed.
func newProxy(tb testing.TB, upstream string, secure bool, script ...fault) *proxy {
	tb.Helper()
	p := &proxy{tb: tb, upstream: upstream, script: script}
	p.server = httptest.NewUnstartedServer(p)
	p.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // of handshakes that a browser breaks off
	if secure {
		p.server.StartTLS()
	} else {
		p.server.Start()
	}
	tb.Cleanup(p.server.Close)
	return p
}

// through passes requests on as they are: no redirect is followed and nothing is inflated.
var through = &http.Client{
	Timeout:       time.Minute,
	Transport:     &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 100},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client has gone
	}
	x := exchange{Sent: testkit.Sent{Method: r.Method, Path: r.RequestURI, Header: r.Header, Body: body}, at: time.Now()}
	f := p.next(r.Method)
	if f.status != 0 || f.cutBefore {
		p.saw(x)
		p.misbehave(w, f)
		return
	}
	// Not the client's context: who hangs up must not keep the edge from processing.
	header, err := p.ask(context.WithoutCancel(r.Context()), &x)
	p.saw(x)
	if err != nil {
		p.tb.Errorf("%s %s: %v", r.Method, r.RequestURI, err)
		return
	}
	if f.cutAfter {
		p.misbehave(w, f)
		return
	}
	if f.delay > 0 {
		select {
		case <-time.After(f.delay):
		case <-r.Context().Done():
			return
		}
	}
	maps.Copy(w.Header(), header)
	w.WriteHeader(x.status)
	_, _ = w.Write(x.answer) // the client may have gone
}

func (p *proxy) next(method string) fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	if method != http.MethodPost || len(p.script) == 0 {
		return fault{}
	}
	f := p.script[0]
	if !f.always {
		p.script = p.script[1:]
	}
	return f
}

// misbehave answers by itself, in the way in which the edge does, or not at all.
func (p *proxy) misbehave(w http.ResponseWriter, f fault) {
	if f.status == 0 {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			p.tb.Error(err)
			return
		}
		_ = conn.Close() // the point of it
		return
	}
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Access-Control-Expose-Headers", "Retry-After, X-RateLimit-Reset, X-Request-Id")
	w.Header().Set("Content-Type", "application/json")
	if f.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(f.retryAfter))
	}
	w.WriteHeader(f.status)
	_, _ = fmt.Fprintf(w, `{"success":false,"code":"scripted","message":"scripted","error":"scripted","requestId":"r"}`) // the client may have gone
}

// ask sends the request to the edge and keeps its answer in x.
func (p *proxy) ask(ctx context.Context, x *exchange) (http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, x.Method, p.upstream+x.Path, bytes.NewReader(x.Body))
	if err != nil {
		return nil, err
	}
	req.Header = x.Header.Clone()
	resp, err := through.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	x.status = resp.StatusCode
	x.answer, err = io.ReadAll(resp.Body)
	return resp.Header, err
}

func (p *proxy) saw(x exchange) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = append(p.seen, x)
}

// requests returns what was seen so far with one of the methods.
func (p *proxy) requests(methods ...string) []exchange {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []exchange
	for _, x := range p.seen {
		if slices.Contains(methods, x.Method) {
			out = append(out, x)
		}
	}
	return out
}

// stored counts the events that the edge has answered 200 for, each message id once.
func (p *proxy) stored() (int, error) {
	ids := map[string]bool{}
	for _, x := range p.requests(http.MethodPost) {
		if x.status != http.StatusOK {
			continue
		}
		events, err := x.Events()
		if err != nil {
			return 0, err
		}
		for _, e := range events {
			ids[e.MessageID()] = true
		}
	}
	return len(ids), nil
}

// await polls until ok says so, without failing a test: it is called on many goroutines.
func await(ctx context.Context, limit time.Duration, ok func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.New("it took too long")
		}
	}
	return nil
}
