package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/millstream-data/millstream/internal/bench"
)

// ingestReport is what bench ingest writes with --json.
type ingestReport struct {
	Hardware string         `json:"hardware"`
	Rounds   []ingestRound  `json:"rounds"`
	Ratios   []ingestRatio  `json:"ratios"` // medians over the rounds
	Paced    *pacedRound    `json:"at_70_percent_of_the_peak,omitempty"`
	Spooled  *bench.Result  `json:"kafka_stands_still,omitempty"`
	Soak     []memorySample `json:"soak,omitempty"`
}

type ingestRound struct {
	Batch     int          `json:"events_a_request"`
	Ingest    bench.Result `json:"ingest"`
	Reference bench.Result `json:"reference"`
}

// pacedRound has both servers at one rate, 0.7 of ingest's peak.
type pacedRound struct {
	Ingest    bench.Result  `json:"ingest"`
	Reference bench.Result  `json:"reference"`
	Soak      *bench.Result `json:"soak,omitempty"` // ingest for as long as its memory was watched
}

type ingestRatio struct {
	Batch int     `json:"events_a_request"`
	Rate  float64 `json:"events_per_s"`
	Ratio float64 `json:"ratio"`
	CPU   float64 `json:"cpu_ratio"` // the reference's server CPU an event by ingest's
}

// memorySample is what the server holds at some time of a soak.
type memorySample struct {
	Seconds int   `json:"seconds"`
	RSS     int64 `json:"rss_bytes"`
}

// ingestBench is one run of bench ingest.
type ingestBench struct {
	p           *program
	duration    time.Duration // of each measurement
	rounds      int
	connections int
	soak        time.Duration
	profiles    string
	runs        int // so far
	report      ingestReport
}

func (p *program) benchIngest(ctx context.Context, args []string) error {
	f := p.newFlags("bench ingest", "[--rounds 3] [--duration 10s] [--connections 32] [--soak 10m] [--profile DIR] [--json FILE]")
	b := ingestBench{p: p}
	f.set.DurationVar(&b.duration, "duration", 10*time.Second, "of each measurement")
	f.set.IntVar(&b.rounds, "rounds", 3, "how often reference and ingest take turns; the ratios are medians")
	f.set.IntVar(&b.connections, "connections", 32, "requests at a time")
	f.set.DurationVar(&b.soak, "soak", 0, "watch the memory for so long, at 70% of the peak; the broker fills up to 1 GB of disk a minute")
	f.set.StringVar(&b.profiles, "profile", "", "write CPU profiles of the servers to this `folder`")
	out := f.set.String("json", "", "write the figures to this `file` too")
	if _, err := p.load(f, args, defaultConfig()); err != nil {
		return err
	}
	if b.rounds < 1 || b.duration < time.Second || b.connections < 1 {
		return errors.New("bench ingest: --rounds and --connections must be at least 1 and --duration at least 1s")
	}
	b.report.Hardware = fmt.Sprintf("%s/%s, %d cores, shared by load generator, server and embedded Kafka", runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	if err := b.run(ctx); err != nil {
		return err
	}
	return writeJSON(*out, b.report)
}

func (b *ingestBench) run(ctx context.Context) error {
	fmt.Fprintf(b.p.stdout, "%-22s %-6s %10s %8s %8s %8s %8s %9s %8s\n", "server", "batch", "events/s", "MB/s", "p50 ms", "p99 ms", "us/event", "RSS MB", "spooled")
	for _, batch := range []int{100, 1} {
		if err := b.compare(ctx, batch); err != nil {
			return err
		}
	}
	if err := b.paced(ctx); err != nil {
		return err
	}
	return b.spooled(ctx)
}

// compare lets the reference and ingest take turns.
func (b *ingestBench) compare(ctx context.Context, batch int) error {
	var rates, ratios, cpus []float64
	for range b.rounds {
		round := ingestRound{Batch: batch}
		for name, dst := range map[string]*bench.Result{"bare": &round.Reference, "ingest": &round.Ingest} {
			var err error
			if *dst, err = b.measure(ctx, name, bench.Load{Batch: batch, WarmUp: 3 * time.Second}, nil); err != nil {
				return err
			}
			b.print(name, batch, *dst)
		}
		b.report.Rounds = append(b.report.Rounds, round)
		rates = append(rates, round.Ingest.EventsPerS)
		ratios = append(ratios, round.Ingest.EventsPerS/round.Reference.EventsPerS)
		cpus = append(cpus, round.Reference.CPUPerEvent/round.Ingest.CPUPerEvent)
	}
	r := ingestRatio{Batch: batch, Rate: median(rates), Ratio: median(ratios), CPU: median(cpus)}
	b.report.Ratios = append(b.report.Ratios, r)
	fmt.Fprintf(b.p.stdout, "ratio                  %-6d %10.2f of the reference; by the server's CPU %.2f (medians of %d)\n", batch, r.Ratio, r.CPU, b.rounds)
	return nil
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// paced measures latency at 70 % of what was the most: of both, and of ingest
// once more for as long as its memory is watched.
func (b *ingestBench) paced(ctx context.Context) error {
	load := bench.Load{Batch: 100, WarmUp: 3 * time.Second, Rate: 0.7 * b.report.Ratios[0].Rate}
	var (
		r   pacedRound
		err error
	)
	if r.Reference, err = b.measure(ctx, "bare", load, nil); err != nil {
		return err
	}
	b.print("bare at the same rate", 100, r.Reference)
	if r.Ingest, err = b.measure(ctx, "ingest", load, nil); err != nil {
		return err
	}
	b.print("ingest at 70%", 100, r.Ingest)
	b.report.Paced = &r
	if b.soak == 0 {
		return nil
	}
	load.Duration = b.soak
	soak, err := b.measure(ctx, "ingest", load, func(ctx context.Context, server, _ *child) { b.watchMemory(ctx, server) })
	if err != nil {
		return err
	}
	r.Soak = &soak
	b.print("ingest, soak", 100, soak)
	if n := len(b.report.Soak); n > 1 {
		fmt.Fprintf(b.p.stdout, "memory after %d s: %d MB, at the end: %d MB\n", b.report.Soak[0].Seconds, b.report.Soak[0].RSS>>20, b.report.Soak[n-1].RSS>>20)
	}
	return nil
}

func (b *ingestBench) watchMemory(ctx context.Context, server *child) {
	start, tick := time.Now(), time.NewTicker(max(b.soak/60, time.Second))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			b.report.Soak = append(b.report.Soak, memorySample{int(time.Since(start).Seconds()), server.memory("VmRSS")})
		}
	}
}

// spooled measures what goes to disk while Kafka stands still.
func (b *ingestBench) spooled(ctx context.Context) error {
	r, err := b.measure(ctx, "ingest", bench.Load{Batch: 100, WarmUp: 8 * time.Second}, func(_ context.Context, _, broker *child) {
		_ = broker.cmd.Process.Signal(syscall.SIGSTOP) // a broker that has ended does not answer either
	})
	if err != nil {
		return err
	}
	b.report.Spooled = &r
	b.print("ingest without Kafka", 100, r)
	fmt.Fprintf(b.p.stdout, "ratio                  100    %10.2f of the direct rate\n", r.EventsPerS/b.report.Ratios[0].Rate)
	return nil
}

func (b *ingestBench) print(server string, batch int, r bench.Result) {
	fmt.Fprintf(b.p.stdout, "%-22s %-6d %10.0f %8.1f %8.1f %8.1f %8.2f %9d %8d\n",
		server, batch, r.EventsPerS, r.BytesPerS/1e6, r.Latency.P50, r.Latency.P99, r.CPUPerEvent, r.PeakRSS>>20, r.Spooled)
}

// measure runs a load on one server with a broker of its own, each a child.
// beside, if there is one, runs beside the load, in which it may end early.
func (b *ingestBench) measure(ctx context.Context, server string, load bench.Load, beside func(ctx context.Context, server, broker *child)) (bench.Result, error) {
	broker, err := startChild(ctx, "kafka")
	if err != nil {
		return bench.Result{}, err
	}
	defer broker.end()
	b.runs++
	args := []string{server, broker.addr}
	if b.profiles != "" {
		args = append(args, filepath.Join(b.profiles, fmt.Sprintf("%s-%d-%d.pprof", server, load.Batch, b.runs)))
	}
	c, err := startChild(ctx, args...)
	if err != nil {
		return bench.Result{}, err
	}
	defer c.end()
	load.URL, load.WriteKey, load.Connections = "http://"+c.addr, "dev-server", b.connections
	if load.Duration == 0 {
		load.Duration = b.duration
	}
	sideCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	sides := make(chan struct{})
	go func() {
		defer close(sides)
		if beside != nil {
			beside(sideCtx, c, broker)
		}
	}()
	r, err := load.Run(ctx)
	cancel()
	<-sides
	if err != nil {
		return r, fmt.Errorf("%s: %w", server, err)
	}
	r.PeakRSS = c.memory("VmHWM")
	broker.wake()
	cpu, err := c.stop(&r.Spooled)
	total := float64(r.Events) * (load.WarmUp + load.Duration).Seconds() / load.Duration.Seconds() // the warm-up's events cost too
	r.CPUPerEvent = float64(cpu.Microseconds()) / total
	return r, err
}
