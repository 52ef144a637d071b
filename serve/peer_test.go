package serve

import (
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// peer is a client on a real socket.
type peer struct {
	t       testing.TB
	ws      *websocket.Conn
	tables  map[string]*client // by stream
	streams map[int64]string   // by id
	last    message
}

func connect(t testing.TB, s *Server) *peer {
	t.Helper()
	ws, _, err := dial(t, s, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ws.Close() })
	p := &peer{t: t, ws: ws, tables: map[string]*client{}, streams: map[int64]string{}}
	p.send(map[string]any{"op": "hello", "v": 1})
	p.until("welcome", func(m message) bool { return m.Op == "welcome" })
	return p
}

func (p *peer) send(v any) {
	p.t.Helper()
	if err := p.ws.WriteJSON(v); err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) sub(id int64, q, extra map[string]any) {
	p.t.Helper()
	m := map[string]any{"op": "sub", "id": id, "view": q}
	maps.Copy(m, extra)
	p.send(m)
}

// read takes the next frame; a delta that does not fit fails the test.
func (p *peer) read() (message, error) {
	p.t.Helper()
	_ = p.ws.SetReadDeadline(time.Now().Add(time.Minute))
	_, data, err := p.ws.ReadMessage()
	if err != nil {
		return message{}, err
	}
	m := decodeFrame(p.t, data)
	switch m.Op {
	case "subbed":
		p.streams[m.ID] = m.S
		if p.tables[m.S] == nil {
			p.tables[m.S] = &client{}
		}
	case "snap", "d", "ok":
		if c := p.tables[m.S]; c == nil {
			p.t.Errorf("frame of unknown stream: %s", data)
		} else if !c.take(m) {
			p.t.Errorf("delta does not fit: %s on %+v", data, c.have)
		}
	}
	p.last = m
	return m, nil
}

// until reads until ok says so.
func (p *peer) until(what string, ok func(message) bool) message {
	p.t.Helper()
	for {
		m, err := p.read()
		if err != nil {
			p.t.Fatalf("wait for %s: %v", what, err)
		}
		if ok(m) {
			return m
		}
	}
}

// value reads until the only value of the only row of id's view is want.
func (p *peer) value(id int64, want string) {
	p.t.Helper()
	p.until(want, func(message) bool { return p.first(id) == want })
}

func (p *peer) first(id int64) string {
	c := p.tables[p.streams[id]]
	if c == nil || len(c.rows["[]"]) == 0 || c.rows["[]"][0] == nil {
		return ""
	}
	return *c.rows["[]"][0]
}

// closeCode reads to the end and returns the code.
func (p *peer) closeCode() int {
	p.t.Helper()
	for {
		_, err := p.read()
		if ce, ok := errors.AsType[*websocket.CloseError](err); ok {
			return ce.Code
		}
		if err != nil {
			p.t.Fatalf("ended without a close frame: %v", err)
		}
	}
}
