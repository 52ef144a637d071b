package serve

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// keepView is how long a view stays when nobody has it on a screen.
const keepView = time.Minute

// touch tells the views on a metric that cells of it have changed.
func (h *hub) touch(metric string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, v := range h.views {
		if metric == "" || v.question.Metric == metric {
			v.mu.Lock()
			v.stale = true
			v.mu.Unlock()
		}
	}
}

// view returns the view of a canonical question, with its first answer in it. However many ask at once, it is
// computed once.
func (h *hub) view(ctx context.Context, q Question) (*view, error) {
	key := q.key()
	h.mu.Lock()
	v := h.views[key]
	if v == nil {
		if len(h.views) >= h.cfg.Limits.Views {
			h.mu.Unlock()
			return nil, fault(codeOverloaded, "", "the node has %d views, as many as it may", h.cfg.Limits.Views)
		}
		h.streams++
		n := strconv.FormatUint(h.streams, 36)
		v = newView(q, key, "s"+n, h.node+"."+n)
		h.views[key] = v
		go h.load(context.WithoutCancel(ctx), v)
	}
	v.mu.Lock()
	v.touched = h.now()
	v.mu.Unlock()
	h.mu.Unlock()
	select {
	case <-v.loaded:
		return v, v.err
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for view of %s: %w", q.Metric, ctx.Err())
	}
}

// load computes the first answer; it is waited for by everybody who holds the view.
func (h *hub) load(ctx context.Context, v *view) {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	defer close(v.loaded)
	select {
	case h.cold <- struct{}{}:
		defer func() { <-h.cold }()
	case <-ctx.Done():
		v.err = fault(codeOverloaded, "", "too many new questions wait for the metric store")
		h.remove(v)
		return
	}
	now := h.now()
	a, err := h.src.Answer(ctx, v.question)
	h.metrics.computations.WithLabelValues(reasonLoad).Inc()
	if err != nil {
		v.err = err
		h.remove(v)
		return
	}
	v.mu.Lock()
	v.computed = now
	v.mu.Unlock()
	v.take(a, now)
}

// loadTimeout bounds the wait for the store behind a question that is asked for the first time.
const loadTimeout = 10 * time.Second

func (h *hub) remove(v *view) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.views[v.key] == v {
		delete(h.views, v.key)
	}
}

// forget drops views that nobody has looked at for a while.
func (h *hub) forget(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	rows := 0
	for key, v := range h.views {
		v.mu.Lock()
		watched := 0
		for _, s := range v.subs {
			watched += len(s)
		}
		rows += len(v.table.rows)
		if watched == 0 && now.Sub(v.touched) > keepView {
			delete(h.views, key)
		}
		v.mu.Unlock()
	}
	h.metrics.viewRows.Set(float64(rows))
}

// replace moves the subscribers of views whose question no longer means what it did: the metric has another
// version, or is gone.
func (h *hub) replace(ctx context.Context) {
	h.mu.Lock()
	var all []*view
	for _, v := range h.views {
		all = append(all, v)
	}
	h.mu.Unlock()
	for _, v := range all {
		q, err := h.src.Resolve(v.question, nil)
		if err == nil && q.key() == v.key {
			continue
		}
		if err != nil {
			h.lose(v, err)
			continue
		}
		next, err := h.view(ctx, q)
		if err != nil {
			h.lose(v, err)
			continue
		}
		for _, s := range v.subscribers() {
			s.conn.move(s, v, next)
		}
		h.remove(v)
	}
}

func (v *view) subscribers() []*sub {
	v.mu.Lock()
	defer v.mu.Unlock()
	var out []*sub
	for _, subs := range v.subs {
		for s := range subs {
			out = append(out, s)
		}
	}
	return out
}

// add holds s under a cadence, unless its last id has gone meanwhile.
func (v *view) add(s *sub, every int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !s.wants(v) {
		return
	}
	delete(v.subs[s.place], s)
	s.place = every
	if v.subs[every] == nil {
		v.subs[every] = map[*sub]struct{}{}
	}
	v.subs[every][s] = struct{}{}
}

func (s *sub) wants(v *view) bool {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	return len(s.ids) > 0 && s.view == v
}

func (v *view) remove(s *sub, now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if s.wants(v) {
		return // subscribed anew meanwhile
	}
	delete(v.subs[s.place], s)
	v.touched = now
}
