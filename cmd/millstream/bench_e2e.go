package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/millstream-data/millstream/internal/bench"
)

// pathReport is what bench e2e writes with --json.
type pathReport struct {
	Hardware string         `json:"hardware"`
	Settings []pathSettings `json:"settings"`
}

// pathSettings is what one installation has shown.
type pathSettings struct {
	Name     string `json:"name"`            // dev, default or running
	CutAge   string `json:"batcher_cut_age"` // empty: not known, as it was running already
	Interval string `json:"loader_interval"`
	bench.PathResult
	Promised float64 `json:"promised_p99_ms,omitempty"` // accepted to warehouse
	Ratio    float64 `json:"ratio,omitempty"`           // of the p99 to what is promised; up to 1 keeps it
	PeakRSS  int64   `json:"peak_rss_bytes,omitempty"`  // of everything in one process
}

// promised is how long an event may take from its acknowledgement to the
// warehouse with some settings.
var promised = map[string]time.Duration{"dev": 15 * time.Second, "default": time.Minute}

// pathBench is one run of bench e2e:
//
//	measured events, one a request ─┐                                                ┌▶ query, every 250 ms
//	load in batches of 100 ─────────┴▶ millstream dev (child): all roles and servers ┴▶ wallboard's WebSocket
type pathBench struct {
	p       *program
	path    bench.Path
	load    float64 // events a second beside those measured
	scratch string
	report  pathReport
}

// benchPath measures the whole path, of installations of its own or of one that
// runs.
func (p *program) benchPath(ctx context.Context, args []string) error {
	f := p.newFlags("bench e2e", "[--settings dev,default] [--duration 2m] [--rate 100] [--load 2000] [--json FILE], or --running [--ingest URL …]")
	b := &pathBench{p: p, path: bench.Path{Metric: "orders"}}
	settings := f.set.String("settings", "dev,default", "`names`: dev measures millstream dev as it is, default gives it the intervals of production")
	running := f.set.Bool("running", false, "measure a millstream dev that runs already")
	f.set.StringVar(&b.path.Ingest, "ingest", "http://127.0.0.1:8080", "`URL` of ingest of what runs")
	f.set.StringVar(&b.path.WriteKey, "write-key", "dev-server", "write key")
	f.set.StringVar(&b.path.Source, "source", "app", "the write key's source")
	f.set.StringVar(&b.path.Serve, "serve", "http://127.0.0.1:8090", "`URL` of serve of what runs")
	f.set.StringVar(&b.path.Warehouse, "warehouse", "postgres://millstream:millstream@127.0.0.1:5439/millstream?sslmode=disable", "`DSN` of the warehouse of what runs")
	f.set.IntVar(&b.path.Rate, "rate", 100, "events a second that are measured")
	f.set.DurationVar(&b.path.Duration, "duration", 2*time.Minute, "how long to send")
	f.set.Float64Var(&b.load, "load", 2000, "events a second beside them, in batches of 100")
	out := f.set.String("json", "", "write the figures to this `file` too")
	if _, err := p.load(f, args, defaultConfig()); err != nil {
		return err
	}
	if b.path.Rate < 1 || b.path.Duration < time.Second || b.load < 0 {
		return errors.New("bench e2e: --rate must be at least 1, --duration at least 1s and --load not below 0")
	}
	names := strings.Split(*settings, ",")
	for _, name := range names {
		if _, ok := promised[name]; !ok {
			return fmt.Errorf("bench e2e: --settings %q: there are dev and default", name)
		}
	}
	if *running {
		names = []string{"running"}
	}
	b.report.Hardware = fmt.Sprintf("%s/%s, %d cores, shared by load generator, every role and embedded Kafka, S3 and Redshift", runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	if err := b.run(ctx, names); err != nil {
		return err
	}
	return writeJSON(*out, b.report)
}

func (b *pathBench) run(ctx context.Context, names []string) (err error) {
	if b.scratch, err = os.MkdirTemp("", "millstream-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.scratch) //nolint:errcheck // a temporary folder
	fmt.Fprintf(b.p.stdout, "%d events a second are measured and %.0f more sent, for %s\n", b.path.Rate, b.load, b.path.Duration)
	for _, name := range names {
		s := pathSettings{Name: name}
		if name == "running" {
			s.PathResult, err = b.measure(ctx, b.path)
		} else {
			err = b.own(ctx, &s)
		}
		if err != nil {
			return err
		}
		b.report.Settings = append(b.report.Settings, s)
		b.print(s)
	}
	return nil
}

// own starts an installation, measures it and stops it.
func (b *pathBench) own(ctx context.Context, s *pathSettings) error {
	cfg := devConfig()
	if s.Name == "default" {
		cfg.Batcher.Cut, cfg.Loader.Interval = defaultConfig().Batcher.Cut, defaultConfig().Loader.Interval
	}
	s.CutAge, s.Interval, s.Promised = cfg.Batcher.Cut.Age.String(), cfg.Loader.Interval.String(), float64(promised[s.Name].Milliseconds())
	addrs, err := freeAddrs(ctx, 5)
	if err != nil {
		return err
	}
	role, err := startRole(ctx, "dev", "--data-dir", filepath.Join(b.scratch, s.Name), "--ingest-listen", addrs[0], "--serve-listen", addrs[1],
		"--kafka-listen", addrs[2], "--s3-listen", addrs[3], "--redshift-listen", addrs[4], "--set", "batcher.cut.age="+s.CutAge,
		"--set", "batcher.cut.max_age="+cfg.Batcher.Cut.MaxAge.String(), "--set", "loader.interval="+s.Interval)
	if err != nil {
		return err
	}
	defer role.kill()
	if err := role.ready(ctx); err != nil {
		return err
	}
	path := b.path
	path.Ingest, path.Serve, path.WriteKey, path.Source = "http://"+addrs[0], "http://"+addrs[1], "dev-server", "app"
	path.Warehouse = "postgres://millstream:millstream@" + addrs[4] + "/millstream?sslmode=disable"
	if s.PathResult, err = b.measure(ctx, path); err != nil {
		return fmt.Errorf("%w: %s", err, role.said.Bytes())
	}
	s.Ratio = s.Warehouse.P99 / s.Promised
	s.PeakRSS = role.memory("VmHWM")
	_, err = role.stop()
	return err
}

// measure sends the load beside the events that are measured.
func (b *pathBench) measure(ctx context.Context, path bench.Path) (bench.PathResult, error) {
	if b.load == 0 {
		return path.Run(ctx, b.say)
	}
	beside, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	path.Begun = func() {
		go func() { // ends with its duration, or with the measurement
			_, err := bench.Load{URL: path.Ingest, WriteKey: path.WriteKey, Batch: 100, Connections: 4, Duration: path.Duration, Rate: b.load}.Run(beside)
			done <- err
		}()
	}
	r, err := path.Run(ctx, b.say)
	cancel()
	if err != nil {
		return r, err
	}
	r.Load = b.load
	if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
		return r, fmt.Errorf("load: %w", err)
	}
	return r, nil
}

func (b *pathBench) say(s string) { fmt.Fprintln(b.p.stderr, s) }

func (b *pathBench) print(s pathSettings) {
	fmt.Fprintf(b.p.stdout, "%s settings", s.Name)
	if s.CutAge != "" {
		fmt.Fprintf(b.p.stdout, " (batcher.cut.age %s, loader.interval %s)", s.CutAge, s.Interval)
	}
	fmt.Fprintf(b.p.stdout, "\n  accepted -> visible in the warehouse  %s\n  accepted -> frame on a WebSocket      %s\n", s.Warehouse, s.Frame)
	if s.Promised > 0 {
		fmt.Fprintf(b.p.stdout, "  ratio %.2f: p99 of %.1f s to the warehouse, %.0f s are promised; %d MB\n", s.Ratio, s.Warehouse.P99/1000, s.Promised/1000, s.PeakRSS>>20)
	}
}

// freeAddrs returns loopback addresses that nobody listens on at the moment.
func freeAddrs(ctx context.Context, n int) ([]string, error) {
	var out []string
	for range n {
		ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer ln.Close() //nolint:errcheck // all are held until the last is found, so that they differ
		out = append(out, "127.0.0.1:"+strconv.Itoa(ln.Addr().(*net.TCPAddr).Port))
	}
	return out, nil
}

// ready waits until the role says that it is.
func (r *roleProcess) ready(ctx context.Context) error {
	for late := time.Now().Add(time.Minute); ; {
		body, err := r.get(ctx, "/readyz")
		if err == nil {
			return body.Close()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.ended:
			return errors.Join(errors.New("it ended before it was ready"), r.err)
		case <-time.After(100 * time.Millisecond):
		}
		if time.Now().After(late) {
			return fmt.Errorf("not ready after a minute: %w: %s", err, r.said.Bytes())
		}
	}
}
