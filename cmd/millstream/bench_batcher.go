package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/internal/bench"
	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/objstore"
	"github.com/millstream-data/millstream/internal/parquetout"
	"github.com/millstream-data/millstream/internal/telemetry"
)

// batcherReport is what bench batcher writes with --json.
type batcherReport struct {
	Hardware string          `json:"hardware"`
	Events   int64           `json:"events"`
	Bytes    int64           `json:"bytes"`
	Rounds   []batcherRound  `json:"rounds"`
	Ratio    float64         `json:"ratio"`     // rows a second, medians
	CPURatio float64         `json:"cpu_ratio"` // the reference's CPU a row by the batcher's
	Rebuild  *batcherRebuild `json:"window_rebuild,omitempty"`
	Paced    *batcherPaced   `json:"at_50_percent_of_the_peak,omitempty"`
}

// batcherRound is the backlog drained once, and the reference after it.
type batcherRound struct {
	Seconds    float64        `json:"seconds"` // from the start of the process to its end
	EventsPerS float64        `json:"events_per_s"`
	RowsPerS   float64        `json:"rows_per_s"`
	MBPerS     float64        `json:"mb_per_s"` // of events
	CPU        float64        `json:"cpu_seconds"`
	CPUPerRow  float64        `json:"cpu_us_per_row"`
	PeakRSS    int64          `json:"peak_rss_bytes"`
	RSS        []memorySample `json:"rss"`
	Rows       int64          `json:"rows"`
	Files      int            `json:"files"`
	Bytes      int64          `json:"file_bytes"`
	Commits    int            `json:"commits"`
	Reference  batcherArrow   `json:"reference"`
}

// batcherArrow is Arrow writing the same columns from memory on one core.
type batcherArrow struct {
	RowsPerS  float64 `json:"rows_per_s"`
	CPUPerRow float64 `json:"cpu_us_per_row"`
}

// batcherRebuild is the duplicate windows read again after a restart.
type batcherRebuild struct {
	Records     float64 `json:"records"`
	Seconds     float64 `json:"seconds"` // partitions are rebuilt side by side
	RecordsPerS float64 `json:"records_per_s"`
}

// batcherPaced is the time from Kafka's acknowledgement to the visible commit.
type batcherPaced struct {
	EventsPerS float64       `json:"events_per_s"`
	CutAge     string        `json:"cut_age"`
	Latency    bench.Summary `json:"latency"`
	PeakRSS    int64         `json:"peak_rss_bytes"`
}

// batcherBench is one run of bench batcher.
type batcherBench struct {
	p        *program
	cfg      Config
	values   []string // of the configuration, for the role
	events   int64
	rounds   int
	paced    time.Duration
	arrow    time.Duration
	profile  string
	scratch  string // folder for files of this run
	embedded bool   // the store is ours
	report   batcherReport
}

// benchBatcher measures the batcher on a backlog:
//
//	this process ──events──▶ embedded Kafka ──▶ millstream batcher ──▶ store
//
// and Arrow alone on the files that came out.
func (p *program) benchBatcher(ctx context.Context, args []string) error {
	f := p.newFlags("bench batcher", "[--events 2000000] [--rounds 3] [--paced 60s] [--profile FILE] [--json FILE] [--config FILE with another store]")
	b := batcherBench{p: p}
	f.set.Int64Var(&b.events, "events", 2_000_000, "size of the backlog")
	f.set.IntVar(&b.rounds, "rounds", 3, "how often it is drained; the ratios are medians")
	f.set.DurationVar(&b.paced, "paced", time.Minute, "how long the latency is watched at half the peak; 0: not")
	f.set.DurationVar(&b.arrow, "reference", 8*time.Second, "how long Arrow alone writes")
	f.set.StringVar(&b.profile, "profile", "", "write a CPU profile of the first drain to this `file`")
	out := f.set.String("json", "", "write the figures to this `file` too")
	cfg := defaultConfig()
	cfg.Kafka.Topics.Partitions, cfg.Kafka.Topics.Replication = 4, 1
	cfg, err := p.load(f, args, cfg)
	if err != nil {
		return err
	}
	if b.events < 1000 || b.rounds < 1 {
		return errors.New("bench batcher: --events must be at least 1000 and --rounds at least 1")
	}
	if f.file != "" {
		b.values = append(b.values, "--config", f.file)
	}
	for _, v := range f.values {
		b.values = append(b.values, "--set", v.Key+"="+v.Value)
	}
	b.cfg = cfg
	b.report.Hardware = fmt.Sprintf("%s/%s, %d cores, shared by batcher, embedded Kafka and store", runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	if b.scratch, err = os.MkdirTemp("", "millstream-bench-"); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(b.scratch) }() // a folder of nobody's
	if err := b.run(ctx); err != nil {
		return err
	}
	return writeJSON(*out, b.report)
}

func (b *batcherBench) run(ctx context.Context) error {
	broker, err := startChild(ctx, "kafka")
	if err != nil {
		return err
	}
	defer broker.end()
	b.cfg.Kafka.Brokers = []string{broker.addr}
	if b.cfg.Lake.Bucket == "" {
		store, err := startChild(ctx, "s3")
		if err != nil {
			return err
		}
		defer store.end()
		b.useEmbedded(store.addr)
	}
	backlog := b.backlog()
	start := time.Now()
	if b.report.Bytes, err = backlog.Fill(ctx, b.events); err != nil {
		return err
	}
	b.report.Events = b.events
	fmt.Fprintf(b.p.stdout, "backlog of %d events, %d MB, filled in %.0f s\n", b.events, b.report.Bytes/1e6, time.Since(start).Seconds())
	fmt.Fprintf(b.p.stdout, "%-8s %10s %10s %8s %8s %8s %8s %8s %12s %8s\n", "round", "events/s", "rows/s", "MB/s", "us/row", "RSS MB", "files", "MB", "arrow rows/s", "us/row")
	for i := range b.rounds {
		if err := b.round(ctx, i, i == b.rounds-1); err != nil {
			return err
		}
	}
	b.summarise()
	return nil
}

func (b *batcherBench) backlog() bench.Backlog {
	log := telemetry.NewLogger(b.p.stderr, telemetry.LogConfig{Level: "error", Format: "text"})
	return bench.Backlog{Kafka: b.cfg.Kafka, Log: log, Seed: 1}
}

// useEmbedded points this process and the role at the embedded store.
func (b *batcherBench) useEmbedded(addr string) {
	b.embedded = true
	c := &b.cfg
	c.S3.Endpoint, c.S3.PathStyle, c.S3.AccessKeyID, c.S3.SecretAccessKey, c.Lake.Bucket = "http://"+addr, true, "millstream", "millstream", "bench"
	b.values = append(b.values, "--set", "s3.endpoint="+c.S3.Endpoint, "--set", "s3.path_style=true",
		"--set", "s3.access_key_id=millstream", "--set", "s3.secret_access_key=millstream", "--set", "lake.bucket=bench")
}

// round drains the backlog into a lake of its own. After the last one the
// windows are rebuilt and the latency is watched on the same lake.
func (b *batcherBench) round(ctx context.Context, n int, last bool) error {
	l, err := b.newLake(ctx)
	if err != nil {
		return err
	}
	start := time.Now()
	role, err := b.start(ctx, l)
	if err != nil {
		return err
	}
	defer role.kill()
	profiled := func() error { return nil }
	if b.profile != "" && n == 0 {
		profiled = profileRole(ctx, role, b.profile)
	}
	round, err := b.drain(ctx, role, start)
	if err := errors.Join(err, profiled()); err != nil {
		return err
	}
	files, err := b.tally(ctx, l, &round)
	if err != nil {
		return err
	}
	round.CPUPerRow = round.CPU * 1e6 / float64(round.Rows)
	if round.Reference, err = b.reference(ctx, l, files); err != nil {
		return err
	}
	b.report.Rounds = append(b.report.Rounds, round)
	fmt.Fprintf(b.p.stdout, "%-8d %10.0f %10.0f %8.1f %8.2f %8d %8d %8d %12.0f %8.2f\n", n+1, round.EventsPerS, round.RowsPerS, round.MBPerS,
		round.CPUPerRow, round.PeakRSS>>20, round.Files, round.Bytes/1e6, round.Reference.RowsPerS, round.Reference.CPUPerRow)
	if !last || b.paced == 0 {
		return nil
	}
	return b.watch(ctx, l)
}

// newLake returns an empty lake.
func (b *batcherBench) newLake(ctx context.Context) (*lake.Lake, error) {
	store, err := objstore.New(ctx, b.cfg.S3, b.cfg.Lake.Bucket, prometheus.NewRegistry())
	if err != nil {
		return nil, err
	}
	if b.embedded {
		if err := store.EnsureBucket(ctx); err != nil {
			return nil, err
		}
	}
	return &lake.Lake{Store: store, Paths: lake.Paths{Prefix: "bench-" + event.ULID(time.Now())}}, nil
}

// drain waits until the role has read the backlog and stops it, so that what is
// open is committed at once: no time passes in which it has nothing to do.
func (b *batcherBench) drain(ctx context.Context, role *roleProcess, start time.Time) (batcherRound, error) {
	var (
		r    batcherRound
		tick = time.NewTicker(200 * time.Millisecond)
	)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return r, ctx.Err()
		case <-role.ended:
			return r, errors.Join(errors.New("the batcher ended before its backlog"), role.err)
		case <-tick.C:
		}
		if n%10 == 0 {
			r.RSS = append(r.RSS, memorySample{int(time.Since(start).Seconds()), role.memory("VmRSS")})
		}
		read, err := role.metric(ctx, "millstream_batcher_records_total")
		if err != nil && time.Since(start) > 30*time.Second { // it listens soon after its start
			return r, err
		}
		if int64(read) >= b.events {
			break
		}
	}
	r.PeakRSS = role.memory("VmHWM")
	cpu, err := role.stop()
	r.Seconds, r.CPU = time.Since(start).Seconds(), cpu.Seconds()
	r.EventsPerS = float64(b.events) / r.Seconds
	r.MBPerS = float64(b.report.Bytes) / 1e6 / r.Seconds
	return r, err
}

// tally reads what was committed and returns the data files.
func (b *batcherBench) tally(ctx context.Context, l *lake.Lake, r *batcherRound) ([]lake.File, error) {
	var files []lake.File
	for p := range int32(b.cfg.Kafka.Topics.Partitions) { //nolint:gosec // a handful
		commits, err := l.Since(ctx, lake.ChainID{Topic: b.cfg.Kafka.Names().Events(), Partition: p}, 0, 0)
		if err != nil {
			return nil, err
		}
		r.Commits += len(commits)
		for _, c := range commits {
			files = append(files, c.Files...)
		}
	}
	for _, f := range files {
		r.Rows, r.Bytes = r.Rows+f.Rows, r.Bytes+f.Bytes
	}
	if r.Rows != 2*b.events { // each event has a row in tracks and one in its own table
		return nil, fmt.Errorf("%d rows were committed of %d events, not two of each", r.Rows, b.events)
	}
	r.Files = len(files)
	r.RowsPerS = float64(r.Rows) / r.Seconds
	return files, nil
}

// reference has a process of its own write the largest files of each table
// again.
func (b *batcherBench) reference(ctx context.Context, l *lake.Lake, files []lake.File) (batcherArrow, error) {
	dir, err := os.MkdirTemp(b.scratch, "reference-")
	if err != nil {
		return batcherArrow{}, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // goes with the run's folder at the latest
	largest := map[string]lake.File{}
	for _, f := range files {
		if f.Rows > largest[f.Table].Rows {
			largest[f.Table] = f
		}
	}
	for _, f := range largest {
		body, err := l.Store.Get(ctx, f.Key)
		if err != nil {
			return batcherArrow{}, err
		}
		if err := os.WriteFile(filepath.Join(dir, f.Table+".parquet"), body, 0o600); err != nil {
			return batcherArrow{}, err
		}
	}
	c, err := startChild(ctx, "arrow", dir, b.arrow.String())
	if err != nil {
		return batcherArrow{}, err
	}
	defer c.end()
	var out batcherArrow
	if _, err := fmt.Sscan(strings.ReplaceAll(c.addr, ",", " "), &out.RowsPerS, &out.CPUPerRow); err != nil {
		return out, fmt.Errorf("reference said %q: %w", c.addr, err)
	}
	return out, nil
}

// serveArrow measures the reference and prints rows a second and CPU a row.
func (p *program) serveArrow(ctx context.Context, dir string, d time.Duration) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.parquet"))
	if err != nil {
		return err
	}
	if _, err := parquetout.MeasureReference(ctx, dir, files, d/8); err != nil { // warm
		return err
	}
	before := processCPU()
	r, err := parquetout.MeasureReference(ctx, dir, files, d)
	if err != nil {
		return err
	}
	cpu := processCPU() - before
	fmt.Fprintf(p.stdout, "%f,%f\n", float64(r.Rows)/r.Elapsed.Seconds(), float64(cpu.Microseconds())/float64(r.Rows))
	return nil
}

func (b *batcherBench) summarise() {
	var ratios, cpus []float64
	for _, r := range b.report.Rounds {
		ratios = append(ratios, r.RowsPerS/r.Reference.RowsPerS)
		cpus = append(cpus, r.Reference.CPUPerRow/r.CPUPerRow)
	}
	b.report.Ratio, b.report.CPURatio = median(ratios), median(cpus)
	fmt.Fprintf(b.p.stdout, "ratio    %.2f of the rows/s of Arrow alone on one core; by CPU %.2f (medians of %d)\n", b.report.Ratio, b.report.CPURatio, len(ratios))
	if r := b.report.Rebuild; r != nil {
		fmt.Fprintf(b.p.stdout, "windows  %.0f records read again in %.1f s: %.0f/s\n", r.Records, r.Seconds, r.RecordsPerS)
	}
	if r := b.report.Paced; r != nil {
		fmt.Fprintf(b.p.stdout, "at %.0f events/s, cut.age %s: acknowledged -> in a visible commit %s; %d MB resident at most\n", r.EventsPerS, r.CutAge, r.Latency, r.PeakRSS>>20)
	}
}
