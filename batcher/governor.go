package batcher

import (
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// governor keeps what all chains hold together within the budgets. Chains tell
// it what they hold whenever that changes; it says whether anything may be
// taken in, and asks chains to give something back.
type governor struct {
	metrics *metrics
	full    atomic.Bool // nothing is fetched
	shut    atomic.Bool // and nothing is taken from inboxes
	// short is the estimated size at which ranges are cut, since the disk was full
	// for larger ones; 0: there is room.
	short atomic.Int64

	mu     sync.Mutex // guards what follows; before any inbox's
	budget held
	states map[*chain]state
	sum    held
	disk   bool      // the last verdict's
	spared time.Time // nothing is taken in before, since the disk was full
	eased  time.Time // when short was changed
	limit  int64     // the size at which ranges are cut otherwise
	now    func() time.Time
}

func newGovernor(c Config, m *metrics) *governor {
	b := held{chunks: int64(c.Memory.Chunks), groups: int64(c.Memory.RowGroups), disk: int64(c.Disk.Limit)}
	return &governor{metrics: m, budget: b, limit: int64(c.Cut.Bytes), states: map[*chain]state{}, now: time.Now}
}

// open says what the open range of a chain holds, and whether it waits for the
// range before it to be committed.
func (g *governor) open(c *chain, l load, waiting bool) {
	g.update(c, func(s *state) { s.open, s.waiting = l, waiting })
}

// cut says that a chain has sent its open range on its way, with what it holds.
func (g *governor) cut(c *chain, h held) {
	g.update(c, func(s *state) { *s = state{sealed: h} })
}

// sealed says what a chain's range holds that is being committed.
func (g *governor) sealed(c *chain, h held) { g.update(c, func(s *state) { s.sealed = h }) }

// forget takes a chain out that has ended.
func (g *governor) forget(c *chain) {
	g.update(c, func(s *state) { *s = state{} })
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.states, c)
}

func (g *governor) update(c *chain, change func(*state)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.states[c]
	g.sum = g.sum.minus(s.open.held).minus(s.sealed)
	change(&s)
	g.sum = g.sum.plus(s.open.held).plus(s.sealed)
	g.states[c] = s
	g.judge()
}

// judge applies the policy and hands out what it asks for. Most of the time
// there is nothing to ask: then it does not look at the chains.
func (g *governor) judge() {
	g.ease()
	was, shut := g.full.Load(), g.shut.Load()
	spared := g.now().Before(g.spared)
	if chunks, groups, disk := excess(g.sum, g.budget, was); !chunks && !groups && !disk && !spared && !was {
		return
	}
	chains, states := make([]*chain, 0, len(g.states)), make([]state, 0, len(g.states))
	for c, s := range g.states {
		var end cut
		if s.asked, end = c.in.orders(); end != cutNone {
			s.asked, s.waiting = reliefNone, true // it gives back what it has
		}
		chains, states = append(chains, c), append(states, s)
	}
	v := decide(states, g.budget, was)
	g.disk = v.disk || spared
	g.full.Store(v.full || spared)
	g.shut.Store(v.shut || spared)
	if v.relief != reliefNone {
		chains[v.chain].in.ask(v.relief)
	}
	if shut && !g.shut.Load() {
		for _, c := range chains {
			c.in.ring()
		}
	}
}

// pausedFor says whether nothing may be taken in, and because of what.
func (g *governor) pausedFor() (reason pauseReason, paused bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.judge() // what waits for a time to pass
	reason = pauseMemory
	if g.disk {
		reason = pauseDisk
	}
	return reason, g.full.Load()
}

// holds is what all chains hold together.
func (g *governor) holds() held {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.sum
}

// After the disk was full nothing is taken in for diskPause, in which other
// ranges are committed, and ranges are cut at half the size of the one that did
// not fit. That doubles every diskRest.
const (
	diskPause = 2 * time.Second
	diskRest  = time.Minute
	diskLeast = 64 << 10
)

// isDiskFull says whether err is the disk's, or a quota's, saying that it is full.
func isDiskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// diskFull notes that the disk had no room for a range of this estimated size,
// whatever the configuration says.
func (g *governor) diskFull(size int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s := g.short.Load(); s > 0 {
		size = min(size, s)
	}
	g.short.Store(max(size/2, diskLeast))
	g.eased = g.now()
	g.spared = g.eased.Add(diskPause)
	g.judge()
	for c := range g.states {
		c.in.ring()
	}
}

// ease lets ranges become larger again.
func (g *governor) ease() {
	size := g.short.Load()
	if size == 0 || g.now().Sub(g.eased) < diskRest {
		return
	}
	if size *= 2; size >= g.limit {
		size = 0
	}
	g.short.Store(size)
	g.eased = g.now()
}
