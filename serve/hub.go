package serve

import (
	"context"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// beatEvery is the clock of all cadences: each of them is a multiple of it.
const beatEvery = 250 * time.Millisecond

// clockEvery is how often views are computed because time itself moves them.
const clockEvery = 15 * time.Second

// cadences are the steps to which a subscription's every is rounded up.
var cadences = [...]int{250, 500, 1000, 2000, 5000, 15000, 60000}

func cadence(every int) int {
	for _, c := range cadences {
		if every <= c {
			return c
		}
	}
	return cadences[len(cadences)-1]
}

// source answers questions and knows how fresh the answers are.
type source interface {
	// Resolve checks q and returns its canonical form.
	Resolve(q Question, locks map[string]Filter) (Question, error)
	// Answer computes a canonical question; it may read the store, and then takes as long as that.
	Answer(ctx context.Context, q Question) (answer, error)
	// Fresh returns the watermark in unix ms, 0 if there is none, and where cells come from at present.
	Fresh() (wm int64, src string)
}

// hub keeps the views, computes them on the beat and tells the connections.
type hub struct {
	cfg     Config
	src     source
	node    string
	log     *slog.Logger
	metrics *metrics
	now     func() time.Time
	page    string // hash of the assets that are served

	cold   chan struct{} // slots of computations that may read the store
	shards []*shard
	next   atomic.Uint64 // shard of the next connection

	mu       sync.Mutex // guards all below; taken before a view's
	views    map[string]*view
	streams  uint64
	pending  map[int]map[*view]struct{} // by cadence: changed since its last beat
	conns    map[*conn]struct{}
	gate     gate
	draining bool
	tick     *frame
}

func newHub(cfg Config, src source, node, page string, log *slog.Logger, m *metrics) *hub {
	h := &hub{
		cfg: cfg, src: src, node: node, page: page, log: log, metrics: m, now: time.Now,
		cold:  make(chan struct{}, cfg.Limits.Cold),
		views: map[string]*view{}, pending: map[int]map[*view]struct{}{}, conns: map[*conn]struct{}{},
		gate: gate{byAddr: map[string]int{}, rate: newBucket(cfg.Limits.ConnectRate, cfg.Limits.ConnectBurst)},
	}
	for range runtime.GOMAXPROCS(0) {
		h.shards = append(h.shards, &shard{limit: writersPerShard})
	}
	for _, c := range cadences {
		h.pending[c] = map[*view]struct{}{}
	}
	h.makeTick(h.now())
	return h
}

// Run beats until ctx ends.
func (h *hub) Run(ctx context.Context) {
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
		}
		h.beat(ctx, n)
	}
}

// beat computes what is stale, hands it to the cadences whose turn it is, and every so often ticks.
func (h *hub) beat(ctx context.Context, n int) {
	now := h.now()
	h.refresh(ctx, now)
	ms := int(beatEvery / time.Millisecond)
	for _, c := range cadences {
		if n%(c/ms) == 0 {
			h.fanOut(c)
		}
	}
	if steps := max(1, int(h.cfg.Tick/beatEvery)); n%steps == 0 {
		h.makeTick(now)
		h.each(func(c *conn) { c.due(now) })
	}
	if n%int(time.Minute/beatEvery) == 0 {
		h.forget(now)
	}
}

// refresh computes the views whose cells or clock have moved, as many at once as there are processors.
func (h *hub) refresh(ctx context.Context, now time.Time) {
	h.mu.Lock()
	var due []*view
	for _, v := range h.views {
		if v.due(now) {
			due = append(due, v)
		}
	}
	h.mu.Unlock()
	var wg sync.WaitGroup
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	for _, v := range due {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			h.compute(ctx, v, now)
		})
	}
	wg.Wait()
}

func (v *view) due(now time.Time) bool {
	select {
	case <-v.loaded:
	default:
		return false
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.err == nil && (v.stale || now.Sub(v.computed) >= clockEvery)
}

func (h *hub) compute(ctx context.Context, v *view, now time.Time) {
	v.mu.Lock()
	reason := reasonClock
	if v.stale {
		reason = reasonChange
	}
	v.stale, v.computed = false, now
	v.mu.Unlock()
	start := time.Now()
	a, err := h.src.Answer(ctx, v.question)
	h.metrics.computations.WithLabelValues(reason).Inc()
	h.metrics.viewSeconds.Observe(time.Since(start).Seconds())
	if err != nil {
		h.lose(v, err)
		return
	}
	if v.take(a, now) {
		h.changed(v)
	}
}

// lose keeps the old answer while the trouble may pass; a question that has no answer any more is told so.
func (h *hub) lose(v *view, err error) {
	f := asFault(err)
	if f.retry() {
		h.log.Debug("view not computed", "metric", v.question.Metric, "err", err)
		return
	}
	h.mu.Lock()
	delete(h.views, v.key)
	h.mu.Unlock()
	for _, s := range v.subscribers() {
		s.conn.drop(s, f)
	}
}

func (h *hub) changed(v *view) {
	h.mu.Lock()
	defer h.mu.Unlock()
	v.mu.Lock()
	defer v.mu.Unlock()
	for c, subs := range v.subs {
		if len(subs) > 0 {
			h.pending[c][v] = struct{}{}
		}
	}
}

// fanOut marks the subscriptions of cadence c whose view has changed since the last time.
func (h *hub) fanOut(c int) {
	h.mu.Lock()
	views := h.pending[c]
	if len(views) > 0 {
		h.pending[c] = map[*view]struct{}{}
	}
	h.mu.Unlock()
	for v := range views {
		v.mu.Lock()
		for s := range v.subs[c] {
			s.conn.mark(s)
		}
		v.mu.Unlock()
	}
}

// makeTick encodes the heartbeat that all connections share until the next one.
func (h *hub) makeTick(now time.Time) {
	wm, src := h.src.Fresh()
	tick := map[string]any{"op": "tick", "now": now.UnixMilli(), "wm": nil, "lag": nil, "src": src}
	if wm > 0 {
		tick["wm"], tick["lag"] = wm, max(0, now.UnixMilli()-wm)
	}
	f := newFrame(frameTick, "", 0, mustJSON(tick))
	h.mu.Lock()
	h.tick = f
	h.mu.Unlock()
}

func (h *hub) lastTick() *frame {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.tick
}

func (h *hub) each(f func(*conn)) {
	h.mu.Lock()
	conns := make([]*conn, 0, len(h.conns))
	for c := range h.conns {
		conns = append(conns, c)
	}
	h.mu.Unlock()
	for _, c := range conns {
		f(c)
	}
}
