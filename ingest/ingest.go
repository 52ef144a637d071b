package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/telemetry"
)

// Deps are what a Server works with.
type Deps struct {
	Kafka    kafka.Config
	Log      *slog.Logger
	Registry prometheus.Registerer
	Health   *telemetry.Health // gains the check "ingest"
	Now      func() time.Time  // of receivedAt; nil: time.Now

	// Admin shows operators what the role knows, under a pattern of http.ServeMux and instead of what a Server before
	// this one showed there; nil: nowhere.
	Admin func(pattern string, h http.Handler)

	// Hangup has the sources read again, for each signal in it; nil: they are only watched.
	Hangup <-chan os.Signal

	// Hurry is closed when a stop should not wait for requests any longer; nil: never.
	Hurry <-chan struct{}
}

// Server is the HTTP edge. It listens from New on and answers from Run on.
type Server struct {
	cfg       Config
	log       *slog.Logger
	metrics   *metrics
	now       func() time.Time
	ids       event.IDs
	router    *router
	bundle    bundle
	proxies   []netip.Prefix
	sources   atomic.Pointer[snapshot]
	sight     sight                // of the sources' files; of New, then of watchSources
	clock     func() time.Duration // of rates; never steps
	lookEvery time.Duration        // at those files
	hangup    <-chan os.Signal
	hurry     <-chan struct{}
	producer  *producer
	listener  net.Listener

	certificate *certificate // nil: plain HTTP

	gate      gate
	recent    *recent
	buffers   buffers
	inflaters inflaters
	requests  sync.Pool
	draining  atomic.Bool
	letters   *follower
	dryRuns   dryRuns
	tails     *tails
	warned    warning
}

// New validates cfg, binds its address and registers metrics and health check. Kafka need not be there.
func New(cfg Config, deps Deps) (*Server, error) {
	if err := errors.Join(cfg.Validate(), deps.Kafka.Validate()); err != nil {
		return nil, err
	}
	s := &Server{
		cfg: cfg, log: deps.Log, now: deps.Now, router: newRouter(cfg.PathPrefix), bundle: newBundle(script),
		gate: gate{limit: int64(cfg.Limits.Inflight)}, recent: newRecent(cfg.Dedup), inflaters: newInflaters(),
		clock: steady(), lookEvery: 2 * time.Second, hangup: deps.Hangup, hurry: deps.Hurry,
	}
	snap, read, err := s.firstSources()
	if err != nil {
		return nil, err
	}
	if s.now == nil {
		s.now = time.Now
	}
	for _, p := range cfg.TrustedProxies {
		s.proxies = append(s.proxies, netip.MustParsePrefix(p)) // validated
	}
	s.letters = newFollower(cfg, deps.Kafka, deps.Log, s.now)
	s.sources.Store(snap)
	if s.certificate, err = newCertificate(cfg.TLS, deps.Log); err != nil {
		return nil, err
	}
	// What can fail comes before the metrics, which can be registered only once.
	ln, err := telemetry.Listen(context.Background(), "ingest.listen", cfg.Listen)
	if err != nil {
		return nil, err
	}
	if s.producer, err = newProducer(deps.Kafka, cfg, cfg.topicNeeds(snap, deps.Kafka.Names()), deps.Log); err != nil {
		_ = ln.Close() // nobody has connected yet
		return nil, err
	}
	s.metrics = newMetrics(deps.Registry,
		func() float64 { return float64(s.gate.held.Load()) }, s.producer.unacked, s.recent.size,
		func() float64 { return float64(s.producer.lastAck.Load()) / 1e9 })
	s.producer.busy = func() bool { return s.gate.held.Load() > s.gate.limit/2 }
	s.producer.measure(s.metrics, deps.Registry, &s.ids, int64(cfg.Spool.MaxBytes))
	registerAsked(deps.Registry, s.letters)
	s.tails = newTails(cfg.Tail, deps.Registry)
	for _, name := range snap.names {
		s.metrics.zero(name)
	}
	s.watchable(deps.Registry, read)
	s.listener = limitListener(ln, cfg.Limits.Connections, s.metrics.connections)
	deps.Health.Register("ingest", s.Check)
	if deps.Admin != nil {
		s.mount(deps.Admin)
	}
	return s, nil
}

// steady returns a clock that no change of the wall clock moves.
func steady() func() time.Duration {
	start := time.Now()
	return func() time.Duration { return time.Since(start) }
}

// Addr is the address that New has bound.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Run serves until ctx ends. Then readiness fails and requests are served for drain_delay more, so that load balancers
// let go; the listener closes, requests in flight end within drain_timeout, and the producer flushes. It returns nil
// after a stop, even if Kafka is away: what it has not acknowledged was not acknowledged to anybody.
func (s *Server) Run(ctx context.Context) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx)) // outlives ctx by the drain
	defer cancel()
	defer s.producer.close()
	srv := s.httpServer()
	g, gctx := errgroup.WithContext(work)
	g.Go(func() error {
		s.producer.watch(gctx)
		return nil
	})
	g.Go(func() error {
		s.watchSources(gctx)
		return nil
	})
	g.Go(func() error {
		s.letters.run(gctx)
		return nil
	})
	if s.certificate != nil {
		g.Go(func() error {
			s.certificate.watch(gctx)
			return nil
		})
	}
	drains, stopDrains := context.WithCancel(gctx)
	defer stopDrains()
	if s.producer.spool != nil {
		s.producer.goSpool(gctx, drains, g)
	}
	g.Go(func() error {
		if err := s.accept(srv); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve %s: %w", s.Addr(), err)
		}
		return nil
	})
	g.Go(func() error {
		defer cancel()
		select {
		case <-ctx.Done():
			s.drain(work, srv, stopDrains)
		case <-gctx.Done():
		}
		return nil
	})
	s.log.Info("ingest listens", "addr", s.Addr().String())
	return g.Wait()
}
