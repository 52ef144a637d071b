package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/ingest"
	"github.com/millstream-data/millstream/internal/bench"
	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/local"
	"github.com/millstream-data/millstream/internal/telemetry"
)

// bench measures on this hardware. What is measured runs in processes of its
// own, so that their CPU time can be told from the load generator's:
//
//	load generator (this process) ──HTTP──▶ ingest, then the bare reference ──▶ embedded Kafka
func (p *program) bench(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("bench what? there are: bench ingest, bench e2e")
	}
	switch args[0] {
	case "ingest":
		return p.benchIngest(ctx, args[1:])
	case "e2e":
		return p.benchPath(ctx, args[1:])
	case "child":
		return p.benchChild(ctx, args[1:])
	}
	return fmt.Errorf("bench %s: there are bench ingest and bench e2e", args[0])
}

// ingestReport is what bench ingest writes with --json.
type ingestReport struct {
	Hardware string       `json:"hardware"`
	Runs     []ingestRuns `json:"runs"`
}

type ingestRuns struct {
	Batch     int          `json:"events_a_request"`
	Ingest    bench.Result `json:"ingest"`
	Reference bench.Result `json:"reference"`
	Ratio     float64      `json:"ratio"`
	CPURatio  float64      `json:"cpu_ratio"` // the reference's server CPU an event by ingest's
}

func (p *program) benchIngest(ctx context.Context, args []string) error {
	f := p.newFlags("bench ingest", "[--duration 20s] [--connections 32] [--json FILE]")
	duration := f.set.Duration("duration", 20*time.Second, "of each run")
	connections := f.set.Int("connections", 32, "requests at a time")
	profiles := f.set.String("profile", "", "write CPU profiles of the servers to this `folder`")
	out := f.set.String("json", "", "write the figures to this `file` too")
	if _, err := p.load(f, args, defaultConfig()); err != nil {
		return err
	}
	report := ingestReport{Hardware: fmt.Sprintf("%s/%s, %d cores, shared by load generator, server and embedded Kafka", runtime.GOOS, runtime.GOARCH, runtime.NumCPU())}
	fmt.Fprintf(p.stdout, "%-10s %-10s %12s %10s %10s %10s %14s\n", "server", "batch", "events/s", "MB/s", "p50 ms", "p99 ms", "CPU us/event")
	for _, batch := range []int{100, 1} {
		runs := ingestRuns{Batch: batch}
		for _, server := range []string{"bare", "ingest"} {
			r, err := p.benchServer(ctx, server, *profiles, bench.Load{WriteKey: "dev-server", Batch: batch, Connections: *connections, Duration: *duration, WarmUp: 3 * time.Second})
			if err != nil {
				return fmt.Errorf("%s: %w", server, err)
			}
			fmt.Fprintf(p.stdout, "%-10s %-10d %12.0f %10.1f %10.1f %10.1f %14.2f\n", server, batch, r.EventsPerS, r.BytesPerS/1e6, r.Latency.P50, r.Latency.P99, r.CPUPerEvent)
			if server == "bare" {
				runs.Reference = r
			} else {
				runs.Ingest = r
			}
		}
		runs.Ratio = runs.Ingest.EventsPerS / runs.Reference.EventsPerS
		runs.CPURatio = runs.Reference.CPUPerEvent / runs.Ingest.CPUPerEvent
		fmt.Fprintf(p.stdout, "%-10s %-10d %12.2f of the reference; by the server's CPU %.2f\n", "ratio", batch, runs.Ratio, runs.CPURatio)
		report.Runs = append(report.Runs, runs)
	}
	return writeJSON(*out, report)
}

// benchServer measures one server on a broker of its own, each a child.
func (p *program) benchServer(ctx context.Context, server, profiles string, load bench.Load) (bench.Result, error) {
	broker, err := startChild(ctx, "kafka")
	if err != nil {
		return bench.Result{}, err
	}
	defer broker.stop()
	args := []string{server, broker.addr}
	if profiles != "" {
		args = append(args, filepath.Join(profiles, fmt.Sprintf("%s-%d.pprof", server, load.Batch)))
	}
	child, err := startChild(ctx, args...)
	if err != nil {
		return bench.Result{}, err
	}
	load.URL = "http://" + child.addr
	r, err := load.Run(ctx)
	cpu := child.stop()
	total := float64(r.Events) * (load.WarmUp + load.Duration).Seconds() / load.Duration.Seconds() // the warm-up's events cost too
	r.CPUPerEvent = float64(cpu.Microseconds()) / total
	return r, err
}

// child is a process of this binary that serves at addr until it is stopped.
type child struct {
	cmd  *exec.Cmd
	addr string
}

func startChild(ctx context.Context, args ...string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, append([]string{"bench", "child"}, args...)...)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("bench child %s: %w", args[0], err), cmd.Wait())
	}
	return &child{cmd, strings.TrimSpace(line)}, nil
}

// stop ends the child and returns the CPU time that it took.
func (c *child) stop() time.Duration {
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	_ = c.cmd.Wait()                          // how it ended says nothing of what was measured
	return c.cmd.ProcessState.UserTime() + c.cmd.ProcessState.SystemTime()
}

// benchChild serves one of bench ingest's servers, and prints its address.
func (p *program) benchChild(ctx context.Context, args []string) error {
	log := telemetry.NewLogger(p.stderr, telemetry.LogConfig{Level: "warn", Format: "text"})
	if len(args) == 1 && args[0] == "kafka" {
		k, err := local.NewKafka(local.KafkaConfig{Listen: "127.0.0.1:0"}, log)
		if err != nil {
			return err
		}
		defer k.Close()
		fmt.Fprintln(p.stdout, k.Addr())
		<-ctx.Done()
		return nil
	}
	if len(args) == 3 {
		stop, err := profileCPU(args[2])
		if err != nil {
			return err
		}
		defer stop()
		args = args[:2]
	}
	if len(args) != 2 {
		return errors.New("bench child: kafka, bare BROKER or ingest BROKER, and the file of a profile")
	}
	kc := kafka.DefaultConfig()
	kc.Brokers, kc.Topics.Partitions, kc.Topics.Replication = []string{args[1]}, 4, 1
	if args[0] == "ingest" {
		cfg := ingest.DefaultConfig()
		cfg.Listen, cfg.Sources, cfg.Timeouts.DrainDelay = "127.0.0.1:0", ingest.DevSources(), 0
		dir, err := os.MkdirTemp("", "millstream-bench-")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }() // a folder of nobody's
		cfg.DataDir = dir
		s, err := ingest.New(cfg, ingest.Deps{Kafka: kc, Log: log, Registry: prometheus.NewRegistry(), Health: telemetry.NewHealth()})
		if err != nil {
			return err
		}
		fmt.Fprintln(p.stdout, s.Addr())
		return s.Run(ctx)
	}
	return p.serveBare(ctx, kc)
}

// profileCPU profiles this process until the returned function is called.
func profileCPU(file string) (stop func(), err error) {
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close() // a profile that was cut does not open
	}, nil
}

func (p *program) serveBare(ctx context.Context, kc kafka.Config) error {
	log := telemetry.NewLogger(p.stderr, telemetry.LogConfig{Level: "warn", Format: "text"})
	cl, err := kafka.NewClient(kc, log)
	if err != nil {
		return err
	}
	if err := kafka.EnsureTopics(ctx, kc, cl, kc.EventsTopic()); err != nil {
		return err
	}
	cl.Close()
	h, stop, err := bench.Bare(kc, log)
	if err != nil {
		return err
	}
	defer stop()
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintln(p.stdout, ln.Addr())
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	context.AfterFunc(ctx, func() { _ = srv.Close() }) // nothing is in flight when the load has ended
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// benchPath measures the whole path of a running installation.
func (p *program) benchPath(ctx context.Context, args []string) error {
	f := p.newFlags("bench e2e", "[--duration 60s] [--rate 100] [--json FILE]   (beside a running millstream dev)")
	path := bench.Path{Metric: "orders"}
	f.set.StringVar(&path.Ingest, "ingest", "http://127.0.0.1:8080", "`URL` of ingest")
	f.set.StringVar(&path.WriteKey, "write-key", "dev-server", "write key")
	f.set.StringVar(&path.Source, "source", "app", "the write key's source")
	f.set.StringVar(&path.Serve, "serve", "http://127.0.0.1:8090", "`URL` of serve")
	f.set.StringVar(&path.Warehouse, "warehouse", "postgres://millstream:millstream@127.0.0.1:5439/millstream?sslmode=disable", "`DSN` of the warehouse")
	f.set.IntVar(&path.Rate, "rate", 100, "events a second")
	f.set.DurationVar(&path.Duration, "duration", time.Minute, "how long to send")
	out := f.set.String("json", "", "write the figures to this `file` too")
	if _, err := p.load(f, args, defaultConfig()); err != nil {
		return err
	}
	if path.Rate < 1 || path.Duration < time.Second {
		return errors.New("bench e2e: --rate must be at least 1 and --duration at least 1s")
	}
	r, err := path.Run(ctx, func(s string) { fmt.Fprintln(p.stderr, s) })
	if err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "%d events at %d/s\naccepted -> visible in the warehouse  %s\naccepted -> frame on a WebSocket      %s\n", r.Sent, r.Rate, r.Warehouse, r.Frame)
	return writeJSON(*out, r)
}

func writeJSON(file string, v any) error {
	if file == "" {
		return nil
	}
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil { //nolint:gosec // figures are no secret
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644) //nolint:gosec // figures are no secret
}
