package millstream

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Client sends events of one write key. Its methods may be called by any number of goroutines.
type Client struct {
	key   string
	opts  Options
	start time.Time
	ids   idClock
	base  atomic.Pointer[platform]
	gate  atomic.Uint32   // what refuses events before they are encoded; written under mu
	life  context.Context //nolint:containedctx // what Send's own ctx is joined with
	end   context.CancelFunc
	own   *http.Transport // nil if Options has one
	warn  limiter
	tell  teller
	spool *spool // or nil

	wake   chan struct{}  // one token for the sender
	work   sync.WaitGroup // the sender, the spool's writer and Sends
	closed chan struct{}

	mu          sync.Mutex
	q           queue
	consent     ConsentState
	closing     bool
	accepted    uint64 // events that entered q, ever
	popped      uint64 // events that left q, ever
	flushTo     uint64 // what a flush waits for: due up to here
	hurry       bool   // the next backoff is cut short
	flight      int    // events in memory that have left q and have no fate
	flightBytes int
	batchFirst  uint64        // the sequence of the oldest event of flight that was queued, or none
	abandoned   int           // events dropped as closed that a call had accepted
	changed     chan struct{} // closed at the next change of the above, if somebody waits
	stats       Stats
	lost        map[string]uint64 // Stats.DroppedByReason
}

const none = ^uint64(0)

// Bits of Client.gate.
const (
	gateClosed = 1 << iota
	gateDenied
	gateFull // by DropNewest, and too little is left for it to be worth encoding another event
)

// New makes a client and starts its goroutine, or two with a spool. It does not wait for the network or the disk: a
// spool that does not work is told by the log and [Stats]. End it with [Client.Close].
func New(writeKey string, o Options) (*Client, error) {
	if err := validKey(writeKey); err != nil {
		return nil, err
	}
	if err := o.Validate(); err != nil {
		return nil, err
	}
	c := &Client{
		key: writeKey, opts: o.filled(), start: time.Now(), consent: o.Consent, batchFirst: none,
		wake: make(chan struct{}, 1), closed: make(chan struct{}), lost: map[string]uint64{},
	}
	if err := c.rebase(nil); err != nil {
		return nil, err
	}
	if c.opts.Transport == nil {
		c.own = newTransport()
		c.opts.Transport = c.own
	}
	c.warn.log = c.opts.Logger
	c.tell = teller{call: c.opts.OnResult, bound: max(c.opts.QueueEvents, 1000)}
	c.setGate()
	c.launch()
	return c, nil
}

// launch starts the goroutines; Close waits for them.
func (c *Client) launch() {
	c.life, c.end = context.WithCancel(context.Background())
	sender := make(chan struct{})
	c.work.Add(1)
	if c.opts.Spool.Dir != "" {
		c.spool = newSpool(c, c.opts.Spool, c.opts.hooks)
		c.work.Add(1)
		go func() {
			defer c.work.Done()
			c.spool.run(c.life, sender)
		}()
	}
	go func() {
		defer c.work.Done()
		defer close(sender)
		c.run(c.life)
	}()
}

// Track says what somebody did. It never waits for the network. It returns [ErrQueueFull], [ErrTooLarge], [ErrClosed]
// or an [*InvalidError] if the event is refused, or another error of this package; what becomes of an accepted event
// is told by Options.OnResult. With Overflow Block it waits for room, with FsyncAlways for the disk.
func (c *Client) Track(m Track) error {
	e := m.event()
	return c.enqueue(&e)
}

// Identify says who somebody is; otherwise as [Client.Track].
func (c *Client) Identify(m Identify) error {
	e := m.event()
	return c.enqueue(&e)
}

// Page says which page somebody saw; otherwise as [Client.Track].
func (c *Client) Page(m Page) error {
	e := m.event()
	return c.enqueue(&e)
}

// Screen says which screen somebody saw; otherwise as [Client.Track].
func (c *Client) Screen(m Screen) error {
	e := m.event()
	return c.enqueue(&e)
}

// Group says which group somebody belongs to; otherwise as [Client.Track].
func (c *Client) Group(m Group) error {
	e := m.event()
	return c.enqueue(&e)
}

// Alias joins two ids; otherwise as [Client.Track].
func (c *Client) Alias(m Alias) error {
	e := m.event()
	return c.enqueue(&e)
}

// Enqueue takes any message; otherwise as [Client.Track].
func (c *Client) Enqueue(m Message) error {
	e := eventOf(m)
	return c.enqueue(&e)
}

func (c *Client) enqueue(e *Event) error {
	err := c.shut()
	if err == nil {
		n := newEncoder()
		now := time.Now()
		if err = c.encode(n, e, now); err == nil {
			err = c.push(n, now.Sub(c.start))
		}
		n.free()
	}
	if err != nil {
		c.mu.Lock()
		c.stats.Enqueued++
		c.count(Dropped, reasonOf(err), 1)
		c.mu.Unlock()
	}
	return err
}

// shut refuses what need not be encoded for it.
func (c *Client) shut() error {
	gate := c.gate.Load()
	switch {
	case gate == 0:
		return nil
	case gate&gateClosed != 0:
		return ErrClosed
	case gate&gateDenied != 0:
		return ErrConsent
	}
	return ErrQueueFull
}

// encode runs middleware and makes the event's bytes.
func (c *Client) encode(n *encoder, e *Event, now time.Time) error {
	if c.opts.Now != nil {
		now = c.opts.Now()
	}
	if e.MessageID == "" && c.opts.NewID != nil {
		e.MessageID = c.opts.NewID()
	}
	base := c.base.Load()
	if len(c.opts.Middleware) > 0 {
		seen := c.filter(*e, base, now)
		if seen == nil {
			return ErrMiddleware
		}
		e, base = seen, nil
	}
	if invalid := e.check(); invalid != nil {
		return invalid
	}
	return n.event(e, now, &c.ids, base)
}

// filter runs middleware on a copy of e and returns it, or nil if one refused it.
func (c *Client) filter(e Event, base *platform, now time.Time) (seen *Event) {
	defer func() {
		if recover() != nil {
			seen = nil
		}
	}()
	context := cloneMap(base.plain)
	for k, v := range e.Context {
		context[k] = cloneValue(v, 1)
	}
	e.Context = context
	e.Properties, e.Traits, e.Integrations = cloneMap(e.Properties), cloneMap(e.Traits), cloneMap(e.Integrations)
	if e.MessageID == "" {
		e.MessageID = string(c.ids.append(nil, now.UnixMilli()))
	}
	if e.Timestamp.IsZero() {
		e.Timestamp = now
	}
	for _, m := range c.opts.Middleware {
		if !m(&e) {
			return nil
		}
	}
	return &e
}

// age is the client's clock: time since New, whatever the wall clock does.
func (c *Client) age() time.Duration { return time.Since(c.start) }

// push puts the encoded event into the queue, or says why not.
func (c *Client) push(n *encoder, at time.Duration) error {
	size := len(n.buf)
	c.mu.Lock()
	err := c.admit(size)
	if err == ErrQueueFull && c.opts.Overflow == Block { //nolint:errorlint // never wrapped
		err = c.block(size)
	}
	if err != nil {
		c.mu.Unlock()
		return err
	}
	c.q.push(n.buf, item{at: at, size: size})
	c.accepted++
	c.stats.Enqueued++
	c.stats.Coerced += uint64(n.coerced)
	seq, hold := c.accepted, c.spool != nil && c.opts.Spool.Fsync == FsyncAlways && c.consent == ConsentGranted
	stage := c.spool != nil && c.spool.crossed(size)
	full := c.q.bytes >= c.opts.BatchBytes && c.q.bytes-size < c.opts.BatchBytes
	notify := full || c.q.n == 1 || c.q.n == c.opts.FlushAt
	c.mu.Unlock()
	if notify {
		c.signal()
	}
	if stage {
		c.spool.signal()
	}
	if hold {
		c.spool.hold(seq)
	}
	return nil
}

// admit says whether an event of size may enter. c.mu is held.
func (c *Client) admit(size int) error {
	switch {
	case c.closing:
		return ErrClosed
	case c.consent == ConsentDenied:
		return ErrConsent
	}
	if c.spool != nil && !c.spool.admits(size) {
		return ErrSpoolFull
	}
	events, room := c.opts.QueueEvents, c.opts.QueueBytes-c.q.bytes-c.flightBytes
	if c.consent == ConsentPending {
		events = min(events, maxPending)
	}
	if c.q.n+c.flight < events && size <= room {
		return nil
	}
	if c.opts.Overflow == DropNewest && (c.q.n+c.flight >= events || room < 4<<10) {
		c.gate.Store(c.gate.Load() | gateFull) // until something leaves
	}
	return ErrQueueFull
}

// block waits for room up to BlockTimeout. c.mu is held, but not while it waits.
func (c *Client) block(size int) error {
	timer := time.NewTimer(c.opts.BlockTimeout)
	defer timer.Stop()
	for {
		changed := c.change()
		c.mu.Unlock()
		var late bool
		select {
		case <-changed:
		case <-timer.C:
			late = true
		}
		c.mu.Lock()
		if err := c.admit(size); err != ErrQueueFull || late { //nolint:errorlint // never wrapped
			return err
		}
	}
}

// change returns a channel that closes at the next change. c.mu is held.
func (c *Client) change() <-chan struct{} {
	if c.changed == nil {
		c.changed = make(chan struct{})
	}
	return c.changed
}

// notify wakes who waits for a change, and lets calls in again. c.mu is held.
func (c *Client) notify() {
	c.setGate()
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}

// setGate lifts gateFull and sets the others as they are. c.mu is held, or c is new.
func (c *Client) setGate() {
	var gate uint32
	if c.closing {
		gate |= gateClosed
	}
	if c.consent == ConsentDenied {
		gate |= gateDenied
	}
	c.gate.Store(gate)
}

// signal wakes the sender, or lets it look once more before it sleeps.
func (c *Client) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// count books n fates. c.mu is held.
func (c *Client) count(f Fate, reason string, n int) {
	if n == 0 {
		return
	}
	switch f {
	case Delivered:
		c.stats.Delivered += uint64(n)
	case Rejected:
		c.stats.Rejected += uint64(n)
	case Dropped:
		c.stats.Dropped += uint64(n)
		c.lost[reason] += uint64(n)
	}
}

// Stats returns the numbers of this moment.
func (c *Client) Stats() Stats {
	c.mu.Lock()
	s := c.stats
	s.Queued, s.InFlight = c.q.n, c.flight
	s.QueuedBytes = c.q.bytes + c.flightBytes
	s.DroppedByReason = make(map[string]uint64, len(c.lost))
	for reason, n := range c.lost {
		s.DroppedByReason[reason] = n
	}
	c.mu.Unlock()
	s.CallbackErrors, s.UntoldResults = c.tell.failures()
	return s
}
