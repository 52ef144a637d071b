package loader

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/millstream-data/millstream/internal/dedup"
	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/telemetry"
	"github.com/millstream-data/millstream/internal/warehouse"
)

// Deps are what a loader works with; they stay the caller's to close.
type Deps struct {
	Warehouse *warehouse.Client
	Lake      *lake.Lake
	Dedup     dedup.Config
	Log       *slog.Logger
	Registry  prometheus.Registerer
	Health    *telemetry.Health // nil: nobody asks
	Beside    []Companion
}

// Companion is work that the loader with the lease does beside its waves, such
// as maintenance. It returns nil when ctx ends, which the loss of the lease does
// too. After an error it is begun again, with a growing pause.
type Companion struct {
	Name string
	Run  func(ctx context.Context, t Tenure) error
}

// Tenure is one holding of the lease.
type Tenure struct {
	gate  *warehouse.Gate
	fence int64
}

// Gated runs do in a transaction on c behind the gate, as warehouse.Gate says;
// warehouse.ErrLeaseTaken says that the tenure has ended.
func (t Tenure) Gated(ctx context.Context, c *warehouse.Conn, do func() error) error {
	return t.gate.Do(ctx, c, t.fence, do)
}

// Loader brings the lake's commits into the warehouse.
type Loader struct {
	cfg       Config
	warehouse *warehouse.Client
	lake      *lake.Lake
	window    time.Duration // of duplicates
	timeout   time.Duration // of statements
	holder    string
	log       *slog.Logger
	metrics   *metrics
	said      atomic.Pointer[telemetry.Check]

	gate         warehouse.Gate // no lock is taken under it
	beside       []Companion
	patience     patience
	fresh        freshness
	blockedAfter time.Duration
	swapTimeout  time.Duration
	swapPause    time.Duration
	due          atomic.Bool // a complete poll may wait to be carried out
}

// New validates cfg and registers metrics and the check named loader.
func New(cfg Config, d Deps) (*Loader, error) {
	if err := errors.Join(cfg.Validate(), d.Dedup.Validate()); err != nil {
		return nil, err
	}
	holder := cfg.Lease.Holder
	if holder == "" {
		host, _ := os.Hostname() // a name for people; the rest makes it unique
		holder = host + "/" + rand.Text()[:8]
	}
	l := &Loader{
		cfg: cfg, warehouse: d.Warehouse, lake: d.Lake, window: d.Dedup.Window, timeout: d.Warehouse.Config().StatementTimeout,
		holder: holder, log: d.Log, metrics: newMetrics(d.Registry), beside: d.Beside,
		blockedAfter: blockedAfter,
	}
	l.gate.Timeout, l.gate.Statement, l.gate.Waited = cfg.GateTimeout, l.timeout, l.metrics.gated
	l.swapTimeout, l.swapPause = swapTimeout, swapPause
	l.due.Store(true) // an earlier process may have left one
	l.say(telemetry.NotReady("The loader has not reached the warehouse yet."))
	if d.Health != nil {
		d.Health.Register("loader", func(context.Context) telemetry.Check { return *l.said.Load() })
	}
	return l, nil
}

func (l *Loader) say(c telemetry.Check) { l.said.Store(&c) }

// Run loads until ctx ends, ends the running transactions within DrainTimeout,
// lets the lease go and returns nil. It waits while another loader has the
// lease, and goes on by itself after every failure of warehouse and lake.
func (l *Loader) Run(ctx context.Context) error {
	work, cancel := kafka.DrainContext(ctx, l.cfg.DrainTimeout)
	defer cancel()
	wait := backoff{min: 200 * time.Millisecond, max: 30 * time.Second}
	for ctx.Err() == nil {
		worked, err := l.lead(ctx, work)
		if err == nil {
			continue
		}
		if worked {
			wait.reset()
		}
		if ctx.Err() == nil {
			l.log.Warn("loader starts anew", "err", err)
			l.say(telemetry.NotReady("The loader cannot work: %v", err))
		}
		wait.sleep(ctx)
	}
	return nil
}

// lead takes the lease and runs waves until ctx ends or the lease is lost.
// worked says that the lease was held.
func (l *Loader) lead(ctx, work context.Context) (worked bool, err error) {
	conn, err := l.warehouse.Connect(work)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	if err := conn.EnsureLedger(work); err != nil {
		return false, err
	}
	fence, err := l.takeLease(ctx, work, conn)
	if err != nil || ctx.Err() != nil {
		return false, err
	}
	l.log.Info("lease taken", "holder", l.holder, "fence", fence)
	l.metrics.leaseHeld.Set(1)
	defer l.metrics.leaseHeld.Set(0)

	group, held := errgroup.WithContext(work) // ends when the lease is lost
	done := make(chan struct{})
	group.Go(func() error { return l.renew(held, fence, done) })
	beside, stop := context.WithCancel(held)
	for _, c := range l.beside {
		group.Go(func() error { l.accompany(beside, c, Tenure{&l.gate, fence}); return nil })
	}
	group.Go(func() error {
		defer close(done)
		defer stop()
		l.due.Store(true) // another loader may have left one
		w := &waves{Loader: l, conn: conn, fence: fence, seen: catalogue{lake: l.lake}}
		return w.run(ctx, held)
	})
	err = group.Wait()
	if errors.Is(err, warehouse.ErrLeaseTaken) {
		l.metrics.leaseLost.Inc()
		return true, err
	}
	l.release(work, fence)
	return true, err
}

// accompany runs c until ctx ends.
func (l *Loader) accompany(ctx context.Context, c Companion, t Tenure) {
	wait := backoff{min: time.Second, max: 5 * time.Minute}
	for ctx.Err() == nil {
		if err := c.Run(ctx, t); err != nil && ctx.Err() == nil {
			l.log.Warn("companion begins anew", "companion", c.Name, "err", err)
		}
		wait.sleep(ctx)
	}
}

// release lets the next loader begin at once; if that fails it begins after ttl.
func (l *Loader) release(ctx context.Context, fence int64) {
	conn, err := l.warehouse.Connect(ctx)
	if err == nil {
		err = conn.ReleaseLease(ctx, fence)
		conn.Close()
	}
	if err != nil && !errors.Is(err, warehouse.ErrLeaseTaken) {
		l.log.Warn("lease not released", "err", err)
	}
}

// takeLease waits for the lease.
func (l *Loader) takeLease(ctx, work context.Context, conn *warehouse.Conn) (int64, error) {
	for {
		fence, err := conn.TakeLease(work, l.holder, l.cfg.Lease.TTL)
		if err == nil || !errors.Is(err, warehouse.ErrLeaseTaken) {
			return fence, err
		}
		l.say(telemetry.Ready("Another loader works; this one waits for its lease to end (%v).", err))
		if !pause(ctx, min(l.cfg.Lease.Renew, l.cfg.Lease.TTL/4)) {
			return 0, nil
		}
	}
}

// renew extends the lease on a session of its own until done is closed. It
// returns an error when the lease is lost, or has not been extended for ttl:
// what would be written after that is refused at the fence anyway.
func (l *Loader) renew(ctx context.Context, fence int64, done <-chan struct{}) error {
	var conn *warehouse.Conn
	defer func() {
		if conn != nil {
			conn.Close()
		}
	}()
	tick := time.NewTicker(l.cfg.Lease.Renew)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		err := l.renewOnce(ctx, &conn, fence)
		switch {
		case err == nil:
			last = time.Now()
		case errors.Is(err, warehouse.ErrLeaseTaken), time.Since(last) > l.cfg.Lease.TTL:
			return err
		default:
			l.log.Warn("lease not extended", "err", err)
		}
	}
}

func (l *Loader) renewOnce(ctx context.Context, conn **warehouse.Conn, fence int64) error {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Lease.TTL/2)
	defer cancel()
	if *conn == nil || (*conn).Closed() {
		fresh, err := l.warehouse.Connect(ctx)
		if err != nil {
			return err
		}
		*conn = fresh
	}
	return (*conn).RenewLease(ctx, fence, l.cfg.Lease.TTL)
}

// pause waits for d and says whether ctx still runs.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// backoff waits longer each time, with jitter.
type backoff struct {
	min, max time.Duration
	next     time.Duration
}

func (b *backoff) reset() { b.next = 0 }

func (b *backoff) sleep(ctx context.Context) {
	b.next = min(max(2*b.next, b.min), b.max)
	pause(ctx, jitter(b.next))
}
