package serve

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/metric"
	"github.com/millstream-data/millstream/internal/telemetry"
)

// Deps are what a Server is given; all of it stays the caller's.
type Deps struct {
	Kafka    kafka.Config
	Store    metric.Store
	Log      *slog.Logger
	Registry prometheus.Registerer
	Health   *telemetry.Health
}

// Server answers questions and keeps wallboards in step.
type Server struct {
	cfg      Config
	log      *slog.Logger
	metrics  *metrics
	listener net.Listener
	engine   *engine
	hub      *hub
	follower *follower
	boards   *boards
	auth     *auth
	pages    *pages
	http     *http.Server

	writeBuffers sync.Pool // of gorilla: a buffer is held only while something is written
	conns        sync.WaitGroup
}

// New validates cfg, binds its address and reads the boards. It asks neither Kafka nor the store for anything: that is
// Run's, and both may be away.
func New(cfg Config, d Deps) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	ln, err := telemetry.Listen(context.Background(), "serve.listen", cfg.Listen)
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, log: d.Log, listener: ln, metrics: newMetrics(d.Registry)}
	if s.pages, err = newPages(); err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	node := "n" + strings.ToLower(rand.Text()[:6])
	s.engine = newEngine(d.Store, cfg.Limits.Rows, d.Log, s.metrics)
	s.hub = newHub(cfg, s.engine, node, s.pages.hash, d.Log, s.metrics)
	s.boards = newBoards(cfg.Boards, s.engine, d.Log, s.metrics)
	s.auth = newAuth(cfg, s.boards.questions)
	s.follower = &follower{
		engine: s.engine, kafka: d.Kafka, log: d.Log, metrics: s.metrics, heal: cfg.HealEvery,
		changed: s.hub.touch, known: map[string]*held{}, reason: "not started",
		flipped: func(ctx context.Context) { s.boards.check(); s.hub.replace(ctx) },
	}
	s.boards.read()
	s.http = &http.Server{
		Handler: s.routes(), ReadHeaderTimeout: cfg.Timeouts.Header, ReadTimeout: cfg.Timeouts.Read, IdleTimeout: cfg.Timeouts.Idle,
		MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(d.Log.Handler(), slog.LevelDebug),
	}
	if d.Health != nil {
		d.Health.Register("serve", s.check)
	}
	return s, nil
}

// Addr is the address that is listened on, with its port if the configuration said 0.
func (s *Server) Addr() string { return s.listener.Addr().String() }

func (s *Server) check(context.Context) telemetry.Check {
	ready, reason := s.follower.state()
	wm, src := s.engine.Fresh()
	switch {
	case !ready:
		return telemetry.NotReady("no numbers yet: %s", reason)
	case src == srcStore:
		return telemetry.Degraded("kafka does not answer; cells are read from the metric store every %s", pollEvery)
	case wm == 0:
		return telemetry.Ready("listening on %s; nothing has been counted yet", s.Addr())
	}
	return telemetry.Ready("listening on %s; data as of %s", s.Addr(), time.UnixMilli(wm).UTC().Format(time.RFC3339))
}

// Run serves until ctx ends, lets clients leave within drain_timeout and returns nil.
func (s *Server) Run(ctx context.Context) error {
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	wg.Go(func() { s.follower.Run(work) })
	wg.Go(func() { s.hub.Run(work) })
	wg.Go(func() { s.boards.watch(work) })
	served := make(chan error, 1)
	wg.Go(func() { served <- s.http.Serve(s.listener) })
	select {
	case err := <-served:
		return fmt.Errorf("serve on %s: %w", s.Addr(), err)
	case <-ctx.Done():
	}
	s.drain(work)
	return nil
}

// drain fails /health at once, so that balancers look elsewhere, then stops listening, then sends clients away.
func (s *Server) drain(ctx context.Context) {
	s.hub.setDraining()
	if s.hub.anyone() {
		wait := time.NewTimer(s.cfg.Timeouts.DrainDelay)
		<-wait.C
	}
	_ = s.listener.Close()
	leave, cancel := context.WithTimeout(ctx, s.cfg.Timeouts.DrainTimeout)
	defer cancel()
	s.hub.drain(leave)
	finish, cancel := context.WithTimeout(ctx, closeWait)
	defer cancel()
	if err := s.http.Shutdown(finish); err != nil {
		_ = s.http.Close()
	}
	s.conns.Wait()
}

// Close frees the address of a Server that is never run.
func (s *Server) Close() error {
	if err := s.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close serve: %w", err)
	}
	return nil
}
