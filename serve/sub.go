package serve

import (
	"maps"
	"slices"
)

// sub is what one connection has of one view; several ids may share it, for their frames do. Its conn's mu guards it,
// but for place.
type sub struct {
	conn  *conn
	place int // cadence under which the view holds it; the view's mu guards it

	ids    []int64
	view   *view
	every  int
	state  have
	resume bool // state is the client's claim, not ours
	queued bool
}

// subscribe ties id to v; what the client has decides about the first frame.
func (c *conn) subscribe(id int64, v *view, every int, h have) {
	c.unsubscribe(id)
	c.mu.Lock()
	s := c.subOfLocked(v)
	if s == nil {
		s = &sub{conn: c, view: v, every: cadence(every)}
	}
	s.every = min(s.every, cadence(every))
	s.ids = append(s.ids, id)
	s.state, s.resume = h, true
	c.subs[id] = s
	c.announceLocked(s, id)
	every = s.every
	c.mu.Unlock()
	v.add(s, every)
}

func (c *conn) subOfLocked(v *view) *sub {
	for _, s := range c.subs {
		if s.view == v {
			return s
		}
	}
	return nil
}

// announceLocked sends subbed, and then the first frame.
func (c *conn) announceLocked(s *sub, id int64) {
	if len(c.control) >= maxControl {
		c.shutLocked(closeTooFast, "answers are not read")
		return
	}
	c.control = append(c.control, mustJSON(map[string]any{"op": "subbed", "id": id, "s": s.view.stream, "view": s.view.question}))
	if !s.queued {
		s.queued = true
		c.dirty = append(c.dirty, s)
	}
	c.wakeLocked()
}

func (c *conn) unsubscribe(id int64) {
	c.mu.Lock()
	s := c.subs[id]
	delete(c.subs, id)
	if s == nil {
		c.mu.Unlock()
		return
	}
	s.ids = slices.DeleteFunc(s.ids, func(other int64) bool { return other == id })
	last, v := len(s.ids) == 0, s.view
	c.mu.Unlock()
	if last {
		v.remove(s, c.hub.now())
	}
}

func (c *conn) unsubscribeAll() {
	c.mu.Lock()
	ids := slices.Collect(maps.Keys(c.subs))
	c.mu.Unlock()
	for _, id := range ids {
		c.unsubscribe(id)
	}
}

// move takes s from one view to the next, which the client learns as a new subbed and snap under the same id.
func (c *conn) move(s *sub, from, to *view) {
	c.mu.Lock()
	s.view, s.state, s.resume = to, have{}, true
	for _, id := range s.ids {
		c.announceLocked(s, id)
	}
	every := s.every
	c.mu.Unlock()
	from.remove(s, c.hub.now())
	to.add(s, every)
}

// drop ends a subscription and says why.
func (c *conn) drop(s *sub, f *faultError) {
	c.mu.Lock()
	ids := slices.Clone(s.ids)
	c.mu.Unlock()
	for _, id := range ids {
		c.unsubscribe(id)
		c.say(newErrFrame(id, f))
	}
}

func newErrFrame(id int64, f *faultError) errFrame {
	return errFrame{Op: "err", ID: id, Code: f.Code, Retry: f.retry(), Message: f.Message, Field: f.Field}
}

type errFrame struct {
	Op      string `json:"op"`
	ID      int64  `json:"id"`
	Code    code   `json:"code"`
	Retry   bool   `json:"retry"`
	Message string `json:"message"`
	Field   string `json:"field,omitempty"`
}
