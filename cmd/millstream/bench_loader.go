package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/local/redshift"
	"github.com/millstream-data/millstream/internal/objstore"
	"github.com/millstream-data/millstream/internal/warehouse"
)

// loaderReport is what bench loader writes with --json.
type loaderReport struct {
	Hardware string        `json:"hardware"`
	Rows     int64         `json:"rows"`
	Tables   int           `json:"tables"`
	Files    int           `json:"files"`
	Bytes    int64         `json:"file_bytes"`
	Rounds   []loaderRound `json:"rounds,omitempty"`
	Ratio    float64       `json:"ratio,omitempty"` // the loader's seconds by the reference's, median
	Many     *loaderMany   `json:"many_tables,omitempty"`
}

// loaderRound is the lake loaded once, and the reference after it.
type loaderRound struct {
	Seconds   float64 `json:"seconds"` // from the start of the loader to the last row visible
	RowsPerS  float64 `json:"rows_per_s"`
	CPU       float64 `json:"loader_cpu_seconds"`
	PeakRSS   int64   `json:"loader_peak_rss_bytes"`
	Warehouse float64 `json:"warehouse_cpu_seconds"`
	Reference float64 `json:"reference_seconds"` // DuckDB alone, the same files into tables
	Ratio     float64 `json:"ratio"`
}

// loaderBench is one run of bench loader.
type loaderBench struct {
	p       *program
	cfg     Config
	values  []string // of the configuration, for the roles
	rows    int64
	tables  int
	rounds  int
	many    int
	manyFor time.Duration
	profile string
	scratch string // folder for files of this run
	report  loaderReport
}

// benchLoader measures the loader on a lake that waits for it:
//
//	this process ──files and commits──▶ store ──▶ millstream loader ──COPY──▶ local Redshift
//
// and DuckDB alone on the same files; then whether it keeps up with many tables
// that grow slowly.
func (p *program) benchLoader(ctx context.Context, args []string) error {
	f := p.newFlags("bench loader", "[--rows 5000000] [--tables 50] [--rounds 3] [--many 1000] [--many-for 5m] [--profile FILE] [--json FILE] [--set KEY=VALUE …]")
	b := loaderBench{p: p}
	f.set.Int64Var(&b.rows, "rows", 5_000_000, "rows of the lake")
	f.set.IntVar(&b.tables, "tables", 50, "tables that they belong to")
	f.set.IntVar(&b.rounds, "rounds", 3, "how often they are loaded into an empty warehouse; the ratio is the median. 0: not")
	f.set.IntVar(&b.many, "many", 1000, "tables that get 10 rows a minute each; 0: not")
	f.set.DurationVar(&b.manyFor, "many-for", 5*time.Minute, "how long they get them")
	f.set.StringVar(&b.profile, "profile", "", "write a CPU profile of the first round's loader to this `file`")
	out := f.set.String("json", "", "write the figures to this `file` too")
	cfg, err := p.load(f, args, defaultConfig())
	if err != nil {
		return err
	}
	if b.tables < 1 || b.rows < int64(b.tables)*benchParts {
		return fmt.Errorf("bench loader: --tables must be at least 1, and --rows at least %d for each", benchParts)
	}
	for _, v := range f.values {
		b.values = append(b.values, "--set", v.Key+"="+v.Value)
	}
	b.cfg = cfg
	b.report.Hardware = fmt.Sprintf("%s/%s, %d cores, shared by loader, local Redshift and store", runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	if b.scratch, err = os.MkdirTemp("", "millstream-bench-"); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(b.scratch) }() // a folder of nobody's
	if err := b.run(ctx); err != nil {
		return err
	}
	return writeJSON(*out, b.report)
}

// benchParts is how many partitions the topic of a benchLake has.
const benchParts = 4

func (b *loaderBench) run(ctx context.Context) error {
	store, err := startChild(ctx, "s3")
	if err != nil {
		return err
	}
	defer store.end()
	c := &b.cfg
	c.S3.Endpoint, c.S3.PathStyle, c.S3.AccessKeyID, c.S3.SecretAccessKey, c.Lake.Bucket = "http://"+store.addr, true, "millstream", "millstream", "bench"
	b.values = append(b.values, "--set", "s3.endpoint="+c.S3.Endpoint, "--set", "s3.path_style=true",
		"--set", "s3.access_key_id=millstream", "--set", "s3.secret_access_key=millstream", "--set", "lake.bucket=bench")
	if b.rounds > 0 {
		if err := b.backlog(ctx); err != nil {
			return err
		}
	}
	if b.many > 0 {
		return b.keepUp(ctx)
	}
	return nil
}

// newLake returns an empty lake.
func (b *loaderBench) newLake(ctx context.Context) (*lake.Lake, error) {
	store, err := objstore.New(ctx, b.cfg.S3, b.cfg.Lake.Bucket, prometheus.NewRegistry())
	if err != nil {
		return nil, err
	}
	if err := store.EnsureBucket(ctx); err != nil {
		return nil, err
	}
	return &lake.Lake{Store: store, Paths: lake.Paths{Prefix: "bench-" + event.ULID(time.Now())}}, nil
}

// backlog fills a lake and loads it in rounds.
func (b *loaderBench) backlog(ctx context.Context) error {
	l, err := b.newLake(ctx)
	if err != nil {
		return err
	}
	start := time.Now()
	files, err := b.fill(ctx, l)
	if err != nil {
		return err
	}
	fmt.Fprintf(b.p.stdout, "%d rows of %d tables in %d files, %d MB, written in %.0f s\n", b.report.Rows, b.report.Tables, b.report.Files, b.report.Bytes/1e6, time.Since(start).Seconds())
	fmt.Fprintf(b.p.stdout, "%-6s %9s %10s %8s %8s %8s %9s %6s\n", "round", "seconds", "rows/s", "CPU s", "RSS MB", "wh CPU s", "DuckDB s", "ratio")
	var ratios []float64
	for i := range b.rounds {
		r, err := b.round(ctx, l, i)
		if err != nil {
			return err
		}
		if r.Reference, err = b.reference(ctx, files); err != nil {
			return err
		}
		r.Ratio = r.Seconds / r.Reference
		ratios = append(ratios, r.Ratio)
		b.report.Rounds = append(b.report.Rounds, r)
		fmt.Fprintf(b.p.stdout, "%-6d %9.1f %10.0f %8.1f %8d %8.1f %9.1f %6.2f\n", i+1, r.Seconds, r.RowsPerS, r.CPU, r.PeakRSS>>20, r.Warehouse, r.Reference, r.Ratio)
	}
	b.report.Ratio = median(ratios)
	fmt.Fprintf(b.p.stdout, "ratio  %.2f of the time that DuckDB alone takes to read the same files into tables (median of %d)\n", b.report.Ratio, len(ratios))
	return nil
}

// fill writes the lake and returns the paths of copies of its files by table,
// for the reference.
func (b *loaderBench) fill(ctx context.Context, l *lake.Lake) (map[string][]string, error) {
	w := newBenchLake(l, b.scratch)
	parts := make([]benchPart, b.tables)
	for i := range parts {
		parts[i] = benchPart{table: fmt.Sprintf("bench.order_%03d", i), rows: b.rows / int64(b.tables) / benchParts}
	}
	files := map[string][]string{}
	b.report.Tables = b.tables
	for part := range int32(benchParts) {
		c, bytes, err := w.commit(ctx, part, parts)
		if err != nil {
			return nil, err
		}
		b.report.Files, b.report.Bytes = b.report.Files+len(c.Files), b.report.Bytes+bytes
		for _, f := range c.Files {
			b.report.Rows += f.Rows
			body, err := l.Store.Get(ctx, f.Key)
			if err != nil {
				return nil, err
			}
			path := filepath.Join(b.scratch, strconv.Itoa(len(files))+"-"+filepath.Base(f.Key))
			if err := os.WriteFile(path, body, 0o600); err != nil {
				return nil, err
			}
			files[f.Table] = append(files[f.Table], path)
		}
	}
	return files, nil
}

// reference has a process of its own read the files with DuckDB alone.
func (b *loaderBench) reference(ctx context.Context, files map[string][]string) (float64, error) {
	dir, err := os.MkdirTemp(b.scratch, "reference-")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // goes with the run's folder at the latest
	var list []string
	for table, paths := range files {
		list = append(list, table+"\t"+strings.Join(paths, "\t"))
	}
	slices.Sort(list)
	if err := os.WriteFile(filepath.Join(dir, "files"), []byte(strings.Join(list, "\n")), 0o600); err != nil {
		return 0, err
	}
	c, err := startChild(ctx, "duckdb", dir)
	if err != nil {
		return 0, err
	}
	defer c.end()
	return strconv.ParseFloat(c.addr, 64)
}

// serveDuckDB measures the reference and prints its seconds.
func (p *program) serveDuckDB(ctx context.Context, dir string) error {
	list, err := os.ReadFile(filepath.Join(dir, "files"))
	if err != nil {
		return err
	}
	files := map[string][]string{}
	for line := range strings.SplitSeq(string(list), "\n") {
		table, paths, _ := strings.Cut(line, "\t")
		files[table] = strings.Split(paths, "\t")
	}
	_, elapsed, err := redshift.MeasureReference(ctx, redshift.DefaultConfig(), dir, files)
	if err != nil {
		return err
	}
	fmt.Fprintln(p.stdout, elapsed.Seconds())
	return nil
}

// benchWarehouse is an empty local Redshift.
type benchWarehouse struct {
	*roleProcess
	cfg warehouse.Config
	dir string
}

func (b *loaderBench) startWarehouse(ctx context.Context) (*benchWarehouse, error) {
	dir, err := os.MkdirTemp(b.scratch, "redshift-")
	if err != nil {
		return nil, err
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := ln.Addr().String()
	if err := ln.Close(); err != nil {
		return nil, err
	}
	role, err := startRole(ctx, "local", append(slices.Clone(b.values), "--set", "local.redshift.listen="+addr, "--set", "local.redshift.dir="+filepath.Join(dir, "redshift"), "--data-dir", dir)...)
	if err != nil {
		return nil, err
	}
	w := &benchWarehouse{roleProcess: role, dir: dir, cfg: warehouse.DefaultConfig()}
	w.cfg.DSN, w.cfg.Password, w.cfg.SSLMode = "postgres://millstream@"+addr+"/millstream", "millstream", "disable"
	for start := time.Now(); ; {
		_, err := w.ask(ctx, "SELECT 1")
		if err == nil {
			return w, nil
		}
		select {
		case <-role.ended:
			return nil, errors.Join(errors.New("the local Redshift ended"), role.err)
		case <-time.After(50 * time.Millisecond):
		}
		if time.Since(start) > 30*time.Second {
			role.kill()
			return nil, fmt.Errorf("the local Redshift does not answer: %w", err)
		}
	}
}

// ask opens a session for one query.
func (w *benchWarehouse) ask(ctx context.Context, query string) ([][]string, error) {
	cl, err := warehouse.Open(w.cfg)
	if err != nil {
		return nil, err
	}
	conn, err := cl.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	res, err := conn.Exec(ctx, query)
	return res.Rows, err
}

// end kills it and removes what it had on disk.
func (w *benchWarehouse) end() {
	w.kill()
	_ = os.RemoveAll(w.dir) // goes with the run's folder at the latest
}

// startLoader runs millstream loader from a lake into a warehouse.
func (b *loaderBench) startLoader(ctx context.Context, l *lake.Lake, w *benchWarehouse) (*roleProcess, error) {
	return startRole(ctx, "loader", append(slices.Clone(b.values), "--set", "lake.prefix="+l.Paths.Prefix, "--set", "warehouse.dsn="+w.cfg.DSN,
		"--set", "warehouse.password=millstream", "--set", "warehouse.sslmode=disable", "--data-dir", b.scratch)...)
}

// round loads the lake into an empty warehouse.
func (b *loaderBench) round(ctx context.Context, l *lake.Lake, n int) (loaderRound, error) {
	var r loaderRound
	w, err := b.startWarehouse(ctx)
	if err != nil {
		return r, err
	}
	defer w.end()
	start := time.Now()
	role, err := b.startLoader(ctx, l, w)
	if err != nil {
		return r, err
	}
	defer role.kill()
	profiled := func() error { return nil }
	if b.profile != "" && n == 0 {
		profiled = profileRole(ctx, role, b.profile)
	}
	if err := b.loaded(ctx, role, w, b.report.Rows); err != nil {
		return r, err
	}
	r.Seconds, r.PeakRSS = time.Since(start).Seconds(), role.memory("VmHWM")
	if err := profiled(); err != nil {
		return r, err
	}
	r.RowsPerS = float64(b.report.Rows) / r.Seconds
	cpu, err := role.stop()
	if err != nil {
		return r, err
	}
	r.CPU = cpu.Seconds()
	cpu, err = w.stop()
	r.Warehouse = cpu.Seconds()
	return r, err
}

// loaded waits until the history has rows inserted.
func (b *loaderBench) loaded(ctx context.Context, role *roleProcess, w *benchWarehouse, rows int64) error {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for last, since := "", time.Now(); ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-role.ended:
			return errors.Join(errors.New("the loader ended before all was loaded"), role.err)
		case <-tick.C:
		}
		res, err := w.ask(ctx, "SELECT COALESCE(SUM(rows_inserted), 0) FROM millstream.loads")
		if err == nil && res[0][0] == strconv.FormatInt(rows, 10) {
			return nil
		}
		if err == nil && res[0][0] != last {
			last, since = res[0][0], time.Now()
		}
		if time.Since(since) > 5*time.Minute {
			return fmt.Errorf("nothing was loaded for five minutes, at %s of %d rows; the loader said: %s", last, rows, role.said.Bytes())
		}
	}
}
