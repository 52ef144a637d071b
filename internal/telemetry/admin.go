package telemetry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/millstream-data/millstream/internal/config"
)

// AdminConfig holds the options of the admin server; start from DefaultAdminConfig.
type AdminConfig struct {
	Listen string `yaml:"listen" doc:"address of /metrics, /livez, /readyz and /debug/pprof; it asks for no password, so keep it private"`
}

// DefaultAdminConfig returns the values used in production.
func DefaultAdminConfig() AdminConfig { return AdminConfig{Listen: "127.0.0.1:8099"} }

// Validate returns every problem, joined, each led by its key path.
func (c AdminConfig) Validate() error { return config.ListenAddr("admin.listen", c.Listen) }

// stopTimeout is how long requests in flight may take after the stop.
const stopTimeout = 5 * time.Second

// Admin is the server for operators and their tools. Roles mount what they have to show by Handle.
type Admin struct {
	listener net.Listener
	health   *Health
	log      *slog.Logger
	mux      *http.ServeMux // may be added to while it serves

	mu       sync.Mutex // guards patterns
	patterns []string
}

// NewAdmin listens at once, so that Addr is known and a taken port is an error here; Run serves.
func NewAdmin(ctx context.Context, cfg AdminConfig, health *Health, metrics prometheus.Gatherer, log *slog.Logger) (*Admin, error) {
	ln, err := Listen(ctx, "admin.listen", cfg.Listen)
	if err != nil {
		return nil, err
	}
	a := &Admin{listener: ln, health: health, log: log, mux: http.NewServeMux()}
	a.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelError), EnableOpenMetrics: true,
	}))
	a.Handle("GET /livez", http.HandlerFunc(a.livez))
	a.Handle("GET /readyz", http.HandlerFunc(a.readyz))
	a.Handle("GET /debug/pprof/", http.HandlerFunc(pprof.Index))
	for name, h := range map[string]http.HandlerFunc{
		"cmdline": pprof.Cmdline, "profile": pprof.Profile, "symbol": pprof.Symbol, "trace": pprof.Trace,
	} {
		a.mux.Handle("GET /debug/pprof/"+name, h)
	}
	a.mux.HandleFunc("GET /{$}", a.index)
	return a, nil
}

// Handle mounts h under a pattern of http.ServeMux, such as "GET /rejections". It panics if the pattern is taken.
func (a *Admin) Handle(pattern string, h http.Handler) {
	a.mux.Handle(pattern, h)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.patterns = append(a.patterns, pattern)
}

// Addr is the address that is listened on, with its port if the configuration said 0.
func (a *Admin) Addr() string { return a.listener.Addr().String() }

// Run serves until ctx ends, lets requests in flight finish and returns nil.
func (a *Admin) Run(ctx context.Context) error {
	srv := &http.Server{
		Handler:           a.mux,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
		ErrorLog:          slog.NewLogLogger(a.log.Handler(), slog.LevelWarn),
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(a.listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve admin on %s: %w", a.Addr(), err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	err := srv.Shutdown(grace)
	if errors.Is(err, context.DeadlineExceeded) { // a profile or a tail: nobody waits for its end
		err = srv.Close()
	}
	if end := <-served; !errors.Is(end, http.ErrServerClosed) {
		err = errors.Join(err, end)
	}
	if err != nil {
		return fmt.Errorf("stop admin on %s: %w", a.Addr(), err)
	}
	return nil
}

// Close frees the address of an Admin that is never run.
func (a *Admin) Close() error {
	if err := a.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close admin: %w", err)
	}
	return nil
}

func (a *Admin) livez(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("alive\n"))
}

// readyz answers in JSON to those who ask for it, else in lines for people.
func (a *Admin) readyz(w http.ResponseWriter, r *http.Request) {
	report := a.health.Report(r.Context())
	body, kind := []byte(report.String()), "text/plain; charset=utf-8"
	if strings.Contains(r.Header.Get("Accept"), "application/json") || r.URL.Query().Get("format") == "json" {
		js, err := json.MarshalIndent(report, "", "  ")
		if err != nil {
			panic(fmt.Sprintf("BUG: encode health report: %v", err))
		}
		js = append(js, '\n')
		body, kind = js, "application/json"
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-store")
	if report.State == StateNotReady {
		w.Header().Set("Retry-After", "5")
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_, _ = w.Write(body)
}

func (a *Admin) index(w http.ResponseWriter, _ *http.Request) {
	a.mu.Lock()
	list := slices.Sorted(slices.Values(a.patterns))
	a.mu.Unlock()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = fmt.Fprintf(w, "Millstream, admin server\n\n%s\n", strings.Join(list, "\n"))
}
