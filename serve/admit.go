package serve

import (
	"context"
	"net"
	"net/http"
	"time"
)

// gate counts the connections of a node and of each address; the hub's mu guards it.
type gate struct {
	total  int
	byAddr map[string]int
	rate   *bucket
}

func clientAddr(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// admit counts a new connection, or says why there may be none. Each nil needs one leave.
func (h *hub) admit(addr string) *faultError {
	h.mu.Lock()
	defer h.mu.Unlock()
	lim := h.cfg.Limits
	switch {
	case h.draining:
		return fault(codeDraining, "", "the node is stopping; another one answers")
	case h.gate.total >= lim.Connections:
		return fault(codeOverloaded, "", "the node has %d connections, as many as it may", lim.Connections)
	case h.gate.byAddr[addr] >= lim.PerAddress:
		return fault(codeOverloaded, "", "your address has %d connections, as many as it may", lim.PerAddress)
	case !h.gate.rate.take(h.now()):
		return fault(codeOverloaded, "", "too many new connections at once")
	}
	h.gate.total++
	h.gate.byAddr[addr]++
	return nil
}

func (h *hub) enter(c *conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conns[c] = struct{}{}
	h.metrics.connections.Inc()
	if h.draining {
		c.bye(h.cfg)
	}
}

func (h *hub) leave(c *conn, addr string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.gate.total--
	if h.gate.byAddr[addr]--; h.gate.byAddr[addr] <= 0 {
		delete(h.gate.byAddr, addr)
	}
	if c != nil {
		delete(h.conns, c)
		h.metrics.connections.Dec()
	}
}

// ask returns the view of what who may see of q.
func (h *hub) ask(ctx context.Context, q Question, who *principal) (*view, error) {
	q, err := h.src.Resolve(q, nil)
	if err != nil {
		return nil, err
	}
	if err := who.mayAsk(q); err != nil {
		return nil, err
	}
	if len(who.locks) > 0 {
		if q, err = h.src.Resolve(q, who.locks); err != nil {
			return nil, err
		}
	}
	return h.view(ctx, q)
}

// byeWindow is the time within which clients spread their reconnects when a node stops.
const byeWindow = 15 * time.Second

func (c *conn) bye(cfg Config) {
	c.say(map[string]any{"op": "bye", "code": "drain", "retry_ms": []int64{0, min(byeWindow, cfg.Timeouts.DrainTimeout).Milliseconds()}})
}

// drain tells all clients to go elsewhere, waits until they have, and closes those that have not when ctx ends.
func (h *hub) drain(ctx context.Context) {
	h.setDraining()
	h.each(func(c *conn) { c.bye(h.cfg) })
	gone := time.NewTicker(20 * time.Millisecond)
	defer gone.Stop()
	for {
		h.mu.Lock()
		left := len(h.conns)
		h.mu.Unlock()
		if left == 0 {
			return
		}
		select {
		case <-gone.C:
		case <-ctx.Done():
			h.each(func(c *conn) { c.shut(closeDrain, "drain") })
			return
		}
	}
}

func (h *hub) setDraining() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.draining = true
}

// anyone says whether a client is connected: without one there is nobody to wait for.
func (h *hub) anyone() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.conns) > 0
}

// isDraining says whether the node has begun to stop.
func (h *hub) isDraining() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.draining
}
