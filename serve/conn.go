package serve

import (
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// Close codes of the protocol: 4000 to 4499 invite a retry, 4500 to 4999 do not.
const (
	closeDrain        = 4000
	closeHelloTimeout = 4001
	closeTokenExpired = 4002
	closeOverloaded   = 4003
	closeTooFast      = 4004
	closeBadFrame     = 4500
	closeUnauthorized = 4501
	closeVersion      = 4504
)

// maxControl bounds the answers that wait for a client which sends and does not read.
const maxControl = 256

// conn is one WebSocket. It has no queue of messages: each subscription knows what the client has, and the writer
// asks its view for the way from there to the present.
type conn struct {
	ws    *websocket.Conn
	hub   *hub
	shard *shard
	who   *principal // set by hello, before any subscription

	mu       sync.Mutex     // guards all below; taken after a view's
	subs     map[int64]*sub // by the client's id
	dirty    []*sub         // each stands here at most once
	control  [][]byte       // answers to what the client sent: bounded by maxControl
	tick     bool
	ping     bool
	pingAt   time.Time
	greeted  bool
	writing  bool // a writer has the connection, or it is queued for one
	closing  int  // close code to send once control is written
	reason   string
	dead     bool          // a write has failed: never written again
	finished chan struct{} // closed when the close frame is written, or the connection is dead
}

func newConn(ws *websocket.Conn, h *hub) *conn {
	return &conn{
		ws: ws, hub: h, shard: h.shards[h.next.Add(1)%uint64(len(h.shards))],
		subs: map[int64]*sub{}, finished: make(chan struct{}),
	}
}

// mark notes that s may have something to send.
func (c *conn) mark(s *sub) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.queued {
		if c.writing {
			c.hub.metrics.conflated.Inc()
		}
		return
	}
	if len(s.ids) == 0 {
		return
	}
	s.queued = true
	c.dirty = append(c.dirty, s)
	c.wakeLocked()
}

func (c *conn) wakeLocked() {
	if c.writing || c.dead {
		return
	}
	c.writing = true
	c.shard.wake(c)
}

// due marks the tick, and the ping when its time has come.
func (c *conn) due(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.greeted {
		return
	}
	c.tick = true
	if now.After(c.pingAt) {
		c.ping = true
		c.pingAt = now.Add(jitter(c.hub.cfg.Timeouts.Ping, 0.2))
	}
	c.wakeLocked()
}

func jitter(d time.Duration, by float64) time.Duration {
	return time.Duration(float64(d) * (1 - by + 2*by*rand.Float64()))
}

// say queues an answer. A client that lets too many pile up is too fast.
func (c *conn) say(v any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.control) >= maxControl {
		c.shutLocked(closeTooFast, "answers are not read")
		return
	}
	c.control = append(c.control, mustJSON(v))
	c.wakeLocked()
}

// shut has the connection closed with code once what waits is written.
func (c *conn) shut(code int, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shutLocked(code, reason)
}

func (c *conn) shutLocked(code int, reason string) {
	if c.closing != 0 {
		return
	}
	c.closing, c.reason = code, reason
	c.wakeLocked()
}

// job is one thing to write.
type job struct {
	text  []byte
	frame *frame
	sub   *sub
	ping  bool
	close int
}

// next takes the next thing to write, or gives the writer back.
func (c *conn) next() (job, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.dead:
	case len(c.control) > 0:
		j := job{text: c.control[0]}
		c.control = c.control[1:]
		return j, true
	case c.closing != 0:
		return job{close: c.closing, text: []byte(c.reason)}, true
	case c.ping:
		c.ping = false
		return job{ping: true}, true
	case c.tick:
		c.tick = false
		return job{frame: c.hub.lastTick()}, true
	case len(c.dirty) > 0:
		s := c.dirty[0]
		c.dirty[0] = nil
		c.dirty = c.dirty[1:]
		s.queued = false
		return job{sub: s}, true
	}
	c.writing = false
	if len(c.dirty) == 0 {
		c.dirty = nil
	}
	return job{}, false
}

// write sends until nothing is left. It runs only in the goroutine that holds the writing flag.
func (c *conn) write() {
	for {
		j, ok := c.next()
		if !ok {
			return
		}
		if err := c.send(j); err != nil {
			c.fail(err)
			return
		}
		if j.close != 0 {
			c.end()
			return
		}
	}
}

// send writes j. After an error nothing may be written again: the frame may have gone out by half.
func (c *conn) send(j job) error {
	now := time.Now()
	deadline := now.Add(c.hub.cfg.Timeouts.Write)
	switch {
	case j.close != 0:
		return c.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(j.close, string(j.text)), deadline)
	case j.ping:
		return c.ws.WriteControl(websocket.PingMessage, nil, deadline)
	case j.text != nil:
		c.ws.EnableWriteCompression(false)
		if err := c.ws.SetWriteDeadline(deadline); err != nil {
			return err
		}
		return c.ws.WriteMessage(websocket.TextMessage, j.text)
	}
	f := j.frame
	if j.sub != nil {
		if f = c.frameFor(j.sub); f == nil {
			return nil
		}
	}
	c.ws.EnableWriteCompression(c.hub.cfg.Compression.Enabled && len(f.data) >= int(c.hub.cfg.Compression.Min))
	if err := c.ws.SetWriteDeadline(deadline); err != nil {
		return err
	}
	if err := c.ws.WritePreparedMessage(f.msg); err != nil {
		return err
	}
	c.hub.metrics.wrote(f, now)
	return nil
}

// frameFor asks the view of s for the way to the present and notes that the client will have gone it. A write that
// fails ends the connection, so the note is never wrong for long.
func (c *conn) frameFor(s *sub) *frame {
	c.mu.Lock()
	if len(s.ids) == 0 {
		c.mu.Unlock()
		return nil
	}
	v, state, resume := s.view, s.state, s.resume
	c.mu.Unlock()
	f, hit := v.frame(state, resume)
	if f == nil {
		return nil
	}
	if hit {
		c.hub.metrics.cacheHits.Inc()
	}
	if resume && state != (have{}) {
		c.hub.metrics.resumes.WithLabelValues(resumeResult(f.kind)).Inc()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.view != v || len(s.ids) == 0 {
		return nil // the view was replaced meanwhile; the stream of the old one is over
	}
	s.state, s.resume = have{E: f.e, Q: f.q}, false
	return f
}

func resumeResult(k frameKind) string {
	switch k {
	case frameDelta:
		return "delta"
	case frameOK:
		return "ok"
	case frameSnap, frameTick, frameErr:
	}
	return "snap"
}

// fail ends a connection to which a write did not succeed.
func (c *conn) fail(err error) {
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		c.hub.metrics.stuck.Inc()
	}
	c.end()
	_ = c.ws.Close()
}

func (c *conn) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		return
	}
	c.dead = true
	c.dirty, c.control = nil, nil
	close(c.finished)
}
