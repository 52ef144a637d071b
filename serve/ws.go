package serve

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"
)

// subprotocol is what a client has to offer; gorilla would go on without one.
const subprotocol = "millstream.v1"

// closeWait is how long a connection that we close may take to answer.
const closeWait = 2 * time.Second

// request is any message of a client; members that it does not know are ignored.
type request struct {
	Op     string   `json:"op"`
	V      int      `json:"v"`
	Token  string   `json:"token"`
	Page   string   `json:"page"`
	ID     int64    `json:"id"`
	View   Question `json:"view"`
	Every  int      `json:"every"`
	Have   have     `json:"have"`
	Resync bool     `json:"resync"`
}

// upgrade turns a request into a connection, or answers why not.
func (s *Server) upgrade(w http.ResponseWriter, r *http.Request) {
	if !slices.Contains(websocket.Subprotocols(r), subprotocol) {
		s.refuse(w, fault(codeBadRequest, "Sec-WebSocket-Protocol", "offer the subprotocol %s", subprotocol))
		return
	}
	if f := s.hub.admit(clientAddr(r)); f != nil {
		s.metrics.connectionsTotal.WithLabelValues("ws", "refused").Inc()
		s.refuse(w, f)
		return
	}
	up := websocket.Upgrader{
		ReadBufferSize: 1024, WriteBufferPool: &s.writeBuffers, Subprotocols: []string{subprotocol},
		EnableCompression: s.cfg.Compression.Enabled, HandshakeTimeout: s.cfg.Timeouts.Read,
		CheckOrigin: func(*http.Request) bool { return true }, // checkOrigin has been asked before, for all routes
	}
	ws, err := up.Upgrade(w, r, nil)
	if err != nil {
		s.log.Debug("upgrade refused", "err", err)
		s.hub.leave(nil, clientAddr(r))
		return
	}
	if err := ws.SetCompressionLevel(s.cfg.Compression.Level); err != nil {
		panic("BUG: compression level: " + err.Error())
	}
	c := newConn(ws, s.hub)
	s.hub.enter(c)
	s.metrics.connectionsTotal.WithLabelValues("ws", "accepted").Inc()
	s.conns.Go(func() {
		defer s.hub.leave(c, clientAddr(r))
		c.read(s.auth, hasOrigin(r))
	})
}

// read is the connection's one reader. It ends at the first error, for reading on after one panics in the end.
func (c *conn) read(a *auth, hasOrigin bool) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c.ws.SetPongHandler(func(string) error { return c.alive() })
	rate := newBucket(c.hub.cfg.Limits.Messages, 5*c.hub.cfg.Limits.Messages)
	_ = c.ws.SetReadDeadline(time.Now().Add(c.hub.cfg.Timeouts.Hello))
	for {
		text, err := c.readFrame()
		if err != nil {
			c.lost(err)
			break
		}
		if !rate.take(time.Now()) {
			c.shut(closeTooFast, "too many messages")
			break
		}
		if c.who != nil {
			if err := c.alive(); err != nil {
				break
			}
		}
		if !c.handle(ctx, text, a, hasOrigin) {
			break
		}
	}
	c.unsubscribeAll()
	c.finish()
}

// alive gives the peer another while to be heard of.
func (c *conn) alive() error {
	c.mu.Lock()
	greeted := c.greeted
	c.mu.Unlock()
	if !greeted {
		return nil // a pong does not stretch the time for hello
	}
	return c.ws.SetReadDeadline(time.Now().Add(deadPeers * c.hub.cfg.Timeouts.Ping))
}

// deadPeers is how many pings a peer may leave unanswered.
const deadPeers = 3

var (
	errFrameTooLong = errors.New("frame too long")
	errFrameKind    = errors.New("not a text frame")
	errFrameText    = errors.New("not UTF-8")
)

// readFrame reads one message of at most limits.frame bytes after inflating: gorilla's own limit counts what is on
// the wire, and a bomb is small there.
func (c *conn) readFrame() ([]byte, error) {
	kind, r, err := c.ws.NextReader()
	if err != nil {
		return nil, err
	}
	if kind != websocket.TextMessage {
		return nil, errFrameKind
	}
	limit := int64(c.hub.cfg.Limits.Frame)
	text, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(text)) > limit {
		return nil, errFrameTooLong
	}
	if !utf8.Valid(text) {
		return nil, errFrameText
	}
	return text, nil
}

// lost turns the end of reading into a close code, where the peer can still be told.
func (c *conn) lost(err error) {
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, errFrameTooLong), errors.Is(err, errFrameKind), errors.Is(err, errFrameText):
		c.shut(closeBadFrame, err.Error())
	case errors.As(err, &timeout) && timeout.Timeout() && c.who == nil:
		c.shut(closeHelloTimeout, "no hello")
	default: // gone, or gorilla has answered a breach of its own protocol
		c.end()
	}
}

// finish waits until the writer has said goodbye, hears the peer out for a moment, and closes.
func (c *conn) finish() {
	wait := time.NewTimer(c.hub.cfg.Timeouts.Write)
	defer wait.Stop()
	select {
	case <-c.finished:
	case <-wait.C:
		c.end()
	}
	c.mu.Lock()
	code := c.closing
	c.mu.Unlock()
	if code != 0 {
		c.hear(closeWait)
	}
	_ = c.ws.Close()
	c.hub.metrics.closes.WithLabelValues(strconv.Itoa(max(code, websocket.CloseNormalClosure))).Inc()
}

// hear reads away what the peer had on its way: closing with unread bytes would reset the connection, and the close
// frame would be lost with it.
func (c *conn) hear(d time.Duration) {
	raw := c.ws.NetConn()
	_ = raw.SetReadDeadline(time.Now().Add(d))
	var buf [1024]byte
	for n := 0; n < 1<<20; {
		m, err := raw.Read(buf[:])
		n += m
		if err != nil || endsWithClose(buf[:m]) {
			return
		}
	}
}

// endsWithClose knows a masked close frame at the end of what was read by its length: all that matters is that a
// polite peer does not make us wait.
func endsWithClose(b []byte) bool {
	for i := max(0, len(b)-131); i+1 < len(b); i++ {
		if b[i] == 0x88 && b[i+1]&0x80 != 0 && i+6+int(b[i+1]&0x7f) == len(b) {
			return true
		}
	}
	return false
}

// handle does what a message asks for and says whether to read on.
func (c *conn) handle(ctx context.Context, text []byte, a *auth, hasOrigin bool) bool {
	var m request
	if err := json.Unmarshal(text, &m); err != nil {
		return c.bad(text, err)
	}
	if c.who == nil && m.Op != "hello" {
		c.shut(closeBadFrame, "the first frame must be hello")
		return false
	}
	switch m.Op {
	case "hello":
		return c.hello(m, a, hasOrigin)
	case "sub":
		c.sub(ctx, m)
	case "unsub":
		c.unsubscribe(m.ID)
	case "token":
		who, f := a.identify(m.Token, hasOrigin)
		if f != nil {
			c.shut(closeUnauthorized, f.Message)
			return false
		}
		_ = who // another token never widens what an open connection may see; it only has to be good
	}
	return true
}

// bad answers a sub that is JSON but no question; anything else ends the connection.
func (c *conn) bad(text []byte, err error) bool {
	var m struct {
		Op string `json:"op"`
		ID int64  `json:"id"`
	}
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) && json.Unmarshal(text, &m) == nil && m.Op == "sub" && c.who != nil {
		c.say(newErrFrame(m.ID, fault(codeBadRequest, "view", "the view does not have the form of a question: %s", cleanJSONError(err))))
		return true
	}
	c.shut(closeBadFrame, "not a message of "+subprotocol)
	return false
}

func cleanJSONError(err error) string { return strings.TrimPrefix(err.Error(), "json: ") }

func (c *conn) hello(m request, a *auth, hasOrigin bool) bool {
	if c.who != nil {
		c.shut(closeBadFrame, "hello twice")
		return false
	}
	if m.V != 1 {
		c.shut(closeVersion, "this server speaks version 1")
		return false
	}
	who, f := a.identify(m.Token, hasOrigin)
	if f != nil {
		c.hub.metrics.authFailures.WithLabelValues(string(f.Code)).Inc()
		c.shut(closeUnauthorized, f.Message)
		return false
	}
	c.who = who
	cfg := c.hub.cfg
	c.say(map[string]any{
		"op": "welcome", "v": 1, "node": c.hub.node, "now": c.hub.now().UnixMilli(), "tick": cfg.Tick.Milliseconds(), "page": c.hub.page,
		"limits": map[string]any{"subs": cfg.Limits.Subs, "frame": int64(cfg.Limits.Frame), "every": beatEvery.Milliseconds()},
	})
	c.mu.Lock()
	c.greeted, c.tick = true, true
	c.pingAt = c.hub.now().Add(jitter(cfg.Timeouts.Ping, 0.2))
	c.mu.Unlock()
	return c.alive() == nil
}

func (c *conn) sub(ctx context.Context, m request) {
	if m.Resync {
		c.hub.metrics.resyncs.Inc()
		m.Have = have{}
	}
	c.mu.Lock()
	_, again := c.subs[m.ID]
	full := len(c.subs) >= c.hub.cfg.Limits.Subs && !again
	c.mu.Unlock()
	if full {
		c.say(newErrFrame(m.ID, fault(codeTooManySubs, "", "a connection has at most %d subscriptions", c.hub.cfg.Limits.Subs)))
		return
	}
	v, err := c.hub.ask(ctx, m.View, c.who)
	if err != nil {
		c.say(newErrFrame(m.ID, asFault(err)))
		return
	}
	c.subscribe(m.ID, v, m.Every, m.Have)
}

// bucket is a token bucket: n a second, up to burst at once.
type bucket struct {
	rate, burst, left float64
	at                time.Time
}

func newBucket(rate, burst int) *bucket {
	return &bucket{rate: float64(rate), burst: float64(burst), left: float64(burst)}
}

func (b *bucket) take(now time.Time) bool {
	if !b.at.IsZero() {
		b.left = min(b.burst, b.left+now.Sub(b.at).Seconds()*b.rate)
	}
	b.at = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}
