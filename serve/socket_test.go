package serve

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/millstream-data/millstream/internal/testkit"
)

var today = map[string]any{"metric": "orders", "tz": "UTC"}

func TestChangeReachesEveryScreen(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	s := r.server(nil)
	a, b := connect(t, s), connect(t, s)
	a.sub(1, today, nil)
	b.sub(9, today, nil)
	a.value(1, "0")
	b.value(9, "0")
	r.add(0, "orders", time.Now(), 0, "pro")
	r.add(1, "orders", time.Now(), 0, "free")
	r.publish(r.commit(time.Now()))
	a.value(1, "2")
	b.value(9, "2")
	if hits := metricValue(s.metrics.cacheHits); hits < 1 {
		t.Error("two screens with one question did not share a frame")
	}
}

func TestResumeCostsNoSnapshot(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	s := r.server(nil)
	a := connect(t, s)
	a.sub(1, today, nil)
	a.value(1, "0")
	kept := a.tables[a.streams[1]]
	_ = a.ws.Close()
	unchanged := connect(t, s)
	unchanged.sub(1, today, map[string]any{"have": kept.have})
	unchanged.until("ok", func(m message) bool { return m.Op == "ok" })
	r.add(0, "orders", time.Now(), 0, "pro")
	r.publish(r.commit(time.Now()))
	c := connect(t, s)
	c.sub(1, today, nil)
	c.value(1, "1")
	changed := connect(t, s)
	changed.tables[a.streams[1]] = kept
	changed.sub(1, today, map[string]any{"have": kept.have})
	changed.until("d", func(m message) bool { return m.Op == "d" })
	if got := changed.first(1); got != "1" {
		t.Errorf("after the delta the value is %q, want 1", got)
	}
	elsewhere := connect(t, r.server(nil))
	elsewhere.sub(1, today, map[string]any{"have": c.tables[c.streams[1]].have})
	elsewhere.until("ok", func(m message) bool { return m.Op == "ok" })
}

// TestOneViewTwiceOnOneConnection: frames carry no id, so a second delta would not fit any more.
func TestOneViewTwiceOnOneConnection(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	s := r.server(nil)
	p := connect(t, s)
	p.sub(1, today, nil)
	p.sub(2, today, nil)
	p.until("subbed 2", func(m message) bool { return m.Op == "subbed" && m.ID == 2 })
	for n := 1; n <= 3; n++ {
		r.add(0, "orders", time.Now(), 0, "pro")
		r.publish(r.commit(time.Now()))
		p.value(2, fmt.Sprint(n))
	}
	p.send(map[string]any{"op": "unsub", "id": 1})
	r.add(0, "orders", time.Now(), 0, "pro")
	r.publish(r.commit(time.Now()))
	p.value(2, "4")
}

func TestSubprotocolRequired(t *testing.T) {
	t.Parallel()
	s := newRig(t, 1).server(nil)
	d := websocket.Dialer{}
	_, res, err := d.DialContext(t.Context(), "ws://"+s.Addr()+"/v1/ws", nil)
	if err == nil {
		t.Fatal("the handshake succeeded without a subprotocol")
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusBadRequest {
		t.Errorf("got %d, want 400", res.StatusCode)
	}
}

func TestHostileFrames(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	patient := r.server(func(c *Config) { c.Timeouts.Hello = time.Minute })
	hasty := r.server(func(c *Config) { c.Timeouts.Hello = 300 * time.Millisecond })
	hello := `{"op":"hello","v":1}`
	for name, c := range map[string]struct {
		kind  int
		texts []string
		code  int
	}{
		"no JSON":               {websocket.TextMessage, []string{"{"}, closeBadFrame},
		"array":                 {websocket.TextMessage, []string{hello, "[]"}, closeBadFrame},
		"binary":                {websocket.BinaryMessage, []string{hello}, closeBadFrame},
		"not UTF-8":             {websocket.TextMessage, []string{"{\"op\":\"hello\",\"v\":1,\"token\":\"\xff\"}"}, closeBadFrame},
		"sub before hello":      {websocket.TextMessage, []string{`{"op":"sub","id":1,"view":{"metric":"orders"}}`}, closeBadFrame},
		"hello twice":           {websocket.TextMessage, []string{hello, hello}, closeBadFrame},
		"64 KiB token":          {websocket.TextMessage, []string{`{"op":"hello","v":1,"token":"` + strings.Repeat("x", 64<<10) + `"}`}, closeBadFrame},
		"other version":         {websocket.TextMessage, []string{`{"op":"hello","v":2}`}, closeVersion},
		"nothing":               {websocket.TextMessage, nil, closeHelloTimeout},
		"flood":                 {websocket.TextMessage, append([]string{hello}, repeat(`{"op":"what"}`, 300)...), closeTooFast},
		"deep nesting":          {websocket.TextMessage, []string{strings.Repeat("[", 8000)}, closeBadFrame},
		"id that is no number":  {websocket.TextMessage, []string{hello, `{"op":"unsub","id":"x"}`}, closeBadFrame},
		"id beyond its numbers": {websocket.TextMessage, []string{hello, `{"op":"unsub","id":1e40}`}, closeBadFrame},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := patient // a frame that comes late is judged for what it is
			if c.code == closeHelloTimeout {
				s = hasty
			}
			ws, _, err := dial(t, s, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = ws.Close() }()
			for _, text := range c.texts {
				if err := ws.WriteMessage(c.kind, []byte(text)); err != nil {
					break // cut in the middle of a flood
				}
			}
			p := &peer{t: t, ws: ws, tables: map[string]*client{}, streams: map[int64]string{}}
			if got := p.closeCode(); got != c.code {
				t.Errorf("closed with %d, want %d", got, c.code)
			}
		})
	}
}

func repeat(s string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = s
	}
	return out
}

func TestBadQuestionEndsNothingElse(t *testing.T) {
	t.Parallel()
	s := newRig(t, 1).server(func(c *Config) { c.Limits.Subs = 2 })
	p := connect(t, s)
	for i, c := range []struct {
		view any
		code code
	}{
		{map[string]any{"metric": "nope"}, codeUnknownMetric},
		{map[string]any{"metric": "orders", "by": []string{"contry"}}, codeUnknownDimension},
		{map[string]any{"metric": "orders", "range": "soon"}, codeBadRange},
		{map[string]any{"metric": "orders", "tz": "Mars/Base"}, codeBadZone},
		{map[string]any{"metric": "orders", "limit": 501}, codeBadRequest},
		{map[string]any{"metric": 7}, codeBadRequest},
		{map[string]any{"metric": "orders", "range": "40d", "grain": "15m"}, codeTooManyRows},
	} {
		p.send(map[string]any{"op": "sub", "id": i + 1, "view": c.view})
		m := p.until("err", func(m message) bool { return m.Op == "err" })
		if m.Code != c.code || m.ID != int64(i+1) {
			t.Errorf("%v: got %s for %d, want %s", c.view, m.Code, m.ID, c.code)
		}
	}
	for id := range int64(3) {
		p.sub(100+id, map[string]any{"metric": "orders", "tz": "UTC", "limit": 1 + id}, nil)
	}
	if m := p.until("err", func(m message) bool { return m.Op == "err" }); m.Code != codeTooManySubs {
		t.Errorf("got %s, want too_many_subs", m.Code)
	}
}

// TestDeflateBomb sends 16 MiB of spaces in a few KiB: what counts is the size after inflating.
func TestDeflateBomb(t *testing.T) {
	t.Parallel()
	s := newRig(t, 1).server(nil)
	var z bytes.Buffer
	w, _ := flate.NewWriter(&z, 9)
	_, _ = w.Write(bytes.Repeat([]byte(" "), 16<<20))
	_ = w.Flush()
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	fmt.Fprintf(conn, "GET /v1/ws HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Protocol: millstream.v1\r\nSec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n\r\n", s.Addr())
	head := make([]byte, 4096)
	n, err := conn.Read(head)
	if err != nil || !bytes.Contains(head[:n], []byte("101")) || !bytes.Contains(head[:n], []byte("permessage-deflate")) {
		t.Fatalf("handshake: %v %s", err, head[:n])
	}
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	payload := bytes.TrimSuffix(z.Bytes(), []byte{0, 0, 0xff, 0xff})
	frame := []byte{0xc1, 0x80 | 127} // final, compressed text; masked, 64-bit length
	frame = binary.BigEndian.AppendUint64(frame, uint64(len(payload)))
	frame = append(append(frame, 0, 0, 0, 0), payload...)
	if _, err := conn.Write(frame); err != nil {
		t.Fatal(err)
	}
	n, err = conn.Read(head)
	if err != nil || n < 4 || head[0] != 0x88 {
		t.Fatalf("want a close frame, got %x, %v", head[:n], err)
	}
	if code := binary.BigEndian.Uint16(head[2:]); code != closeBadFrame {
		t.Errorf("closed with %d, want %d", code, closeBadFrame)
	}
}

// TestSlowClient: while one client does not read, others get every change; when it reads again it is brought to the
// present by one delta and not by the past.
func TestSlowClient(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	s := r.server(nil)
	q, err := s.engine.Resolve(Question{Metric: "orders", TZ: "UTC", By: []string{"plan"}, Grain: grain15m, Limit: 500}, nil)
	if err != nil {
		t.Fatal(err)
	}
	v, err := s.hub.view(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	have1, _ := v.frame(have{}, true)
	at := have{E: have1.e, Q: have1.q}
	fast := connect(t, s)
	fast.sub(1, today, nil)
	for n := 1; n <= 5; n++ {
		r.add(0, "orders", time.Now(), 0, "pro")
		r.publish(r.commit(time.Now()))
		fast.value(1, fmt.Sprint(n))
	}
	testkit.Eventually(t, "the view is computed", func() error {
		if f, _ := v.frame(at, false); f == nil || !bytes.Contains(f.data, []byte(`"5"`)) {
			return errors.New("not yet")
		}
		return nil
	})
	f, _ := v.frame(at, false)
	m := decodeFrame(t, f.data)
	if m.Op != "d" || m.P != at.Q || len(m.Set) != 1 || m.Q < at.Q+2 {
		t.Errorf("five changes came as %s, want one delta with one row over several q", f.data)
	}
}

// TestStuckClient: a client that reads nothing is cut after the write timeout; its neighbour notices nothing.
func TestStuckClient(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.add(0, "orders", time.Now(), 0, strings.Repeat("x", 1<<20)) // no socket holds many of these
	r.commit(time.Now())
	s := r.server(func(c *Config) {
		c.Timeouts.Write = 2 * time.Second // the neighbour's writes must not be cut on a busy machine
		c.Compression.Enabled = false
		c.Limits.Messages = 1_000_000
	})
	stuck, good := connect(t, s), connect(t, s)
	if err := stuck.ws.NetConn().(*net.TCPConn).SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	good.sub(1, today, nil)
	good.value(1, "1")
	testkit.Eventually(t, "the stuck client is cut", func() error {
		// Each sub without have is answered by a snapshot, which fills the socket.
		for id := range int64(20) {
			_ = stuck.ws.WriteJSON(map[string]any{"op": "sub", "id": id, "view": map[string]any{"metric": "orders", "tz": "UTC", "by": []string{"plan"}}})
		}
		if metricValue(s.metrics.stuck) == 0 {
			return errors.New("still there")
		}
		return nil
	})
	r.add(0, "orders", time.Now(), 0, "pro")
	r.publish(r.commit(time.Now()))
	good.value(1, "2")
}

// TestDrainMovesClients: clients are told when to come back, and none is cut while it still has time.
func TestDrainMovesClients(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	s := r.server(func(c *Config) { c.Timeouts.DrainTimeout = 20 * time.Second })
	p, lazy := connect(t, s), connect(t, s)
	p.sub(1, today, nil)
	p.value(1, "0")
	ended := make(chan struct{})
	go func() { defer close(ended); r.stop(s) }()
	bye := p.until("bye", func(m message) bool { return m.Op == "bye" })
	if len(bye.RetryMS) != 2 || bye.RetryMS[1] <= 0 {
		t.Errorf("bye has the window %v", bye.RetryMS)
	}
	if _, err := net.DialTimeout("tcp", s.Addr(), time.Second); err == nil {
		t.Error("the address is still listened on")
	}
	_ = p.ws.Close()
	lazy.until("bye", func(m message) bool { return m.Op == "bye" })
	_ = lazy.ws.Close()
	<-ended
	if n := metricValue(s.metrics.connections); n != 0 {
		t.Errorf("%v connections are left", n)
	}
}

func TestDrainEndsThoseWhoStay(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	s := r.server(func(c *Config) { c.Timeouts.DrainTimeout = 100 * time.Millisecond })
	p := connect(t, s)
	go r.stop(s)
	if code := p.closeCode(); code != closeDrain {
		t.Errorf("closed with %d, want %d", code, closeDrain)
	}
}

// TestVersionFlipOnBoard: another meaning of the metric is another view, under the same id of the client.
func TestVersionFlipOnBoard(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	s := r.server(nil)
	r.add(0, "orders", time.Now(), 0, "pro")
	r.publish(r.commit(time.Now()))
	p := connect(t, s)
	p.sub(1, today, nil)
	p.sub(2, map[string]any{"metric": "revenue", "tz": "UTC"}, nil)
	p.value(1, "1")
	p.until("revenue", func(message) bool { return p.first(2) == "0.00" })
	old := p.streams[1]
	r.define(strings.Replace(strings.Replace(definitions, "count: Order Completed", "count: Order Paid", 1),
		"  aov:", "  # aov:", 1))
	r.publish(r.setRecord())
	m := p.until("subbed", func(m message) bool { return m.Op == "subbed" && m.ID == 1 })
	if m.View.Version != 2 || m.S == old {
		t.Errorf("got version %d on stream %s, want 2 on another than %s", m.View.Version, m.S, old)
	}
	p.value(1, "0")
	r.define("version: 1\nmetrics:\n  other: {count: x}\n")
	r.publish(r.setRecord())
	p.until("err", func(m message) bool { return m.Op == "err" && m.Code == codeUnknownMetric })
}
