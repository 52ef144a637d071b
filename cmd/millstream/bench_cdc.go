package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// cdcReport is what bench cdc writes with --json.
type cdcReport struct {
	Hardware  string    `json:"hardware"`
	Server    string    `json:"server"`
	Rows      int64     `json:"rows"`
	Reference string    `json:"reference"` // what the loads are compared with
	RefSecs   float64   `json:"reference_seconds"`
	Loads     []cdcLoad `json:"loads"`
	Count     float64   `json:"count_seconds"`     // SELECT count(*) of the same table
	EmptyPoll float64   `json:"empty_poll_ms"`     // time at the origin of a poll that finds nothing
	Frame     float64   `json:"select_1_ms"`       // a SELECT 1 in a transaction, for comparison
	PollCPU   float64   `json:"polls_cpu_seconds"` // of the role, per 100 polls
}

// cdcLoad is the table loaded once, from the start of the role to the last row
// committed in Kafka.
type cdcLoad struct {
	Connections int     `json:"connections"`
	Seconds     float64 `json:"seconds"`
	RowsPerS    float64 `json:"rows_per_s"`
	CPU         float64 `json:"cpu_seconds"`
	PeakRSS     int64   `json:"peak_rss_bytes"`
	Ratio       float64 `json:"ratio"` // of the rates: 1 is as fast as the reference
}

// cdcBench is one run of bench cdc.
type cdcBench struct {
	p       *program
	origin  benchOrigin
	dsn     string
	rows    int64
	profile string
	scratch string
	report  cdcReport
}

// benchOrigin makes the table of a benchmark and reads it by itself.
type benchOrigin interface {
	// create makes and fills the table, and returns its name for the configuration.
	create(ctx context.Context, rows int64) (table string, err error)
	// stream reads the table's columns in the fastest way of the server.
	stream(ctx context.Context) (how string, err error)
	// ask runs a statement and throws its rows away.
	ask(ctx context.Context, sql string) error
	server(ctx context.Context) string
	// drop removes what create made.
	drop() error
}

// benchCDC measures capture on a database that it may write to:
//
//	database ──COPY or a streamed SELECT──▶ nothing
//	database ──pages──▶ millstream cdc ──▶ embedded Kafka
func (p *program) benchCDC(ctx context.Context, args []string) error {
	f := p.newFlags("bench cdc", "--dsn DSN [--rows 1000000] [--profile FILE] [--json FILE]")
	b := cdcBench{p: p}
	f.set.StringVar(&b.dsn, "dsn", "", "database in which a table may be made and dropped: `postgres://…, mysql://… or mariadb://…`")
	f.set.Int64Var(&b.rows, "rows", 1_000_000, "rows of the table, of 10 columns and about 200 bytes")
	f.set.StringVar(&b.profile, "profile", "", "write a CPU profile of the load on one connection to this `file`")
	out := f.set.String("json", "", "write the figures to this `file` too")
	if _, err := p.load(f, args, defaultConfig()); err != nil {
		return err
	}
	if b.dsn == "" || b.rows < 1000 {
		return errors.New("bench cdc: --dsn names the database, and --rows must be at least 1000")
	}
	var err error
	if b.origin, err = openBenchOrigin(ctx, b.dsn); err != nil {
		return err
	}
	if b.scratch, err = os.MkdirTemp("", "millstream-bench-"); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(b.scratch) }() // a folder of nobody's
	b.report.Hardware = fmt.Sprintf("%s/%s, %d cores, shared by database, cdc and Kafka", runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	err = b.run(ctx)
	if err := errors.Join(err, b.origin.drop()); err != nil {
		return err
	}
	return writeJSON(*out, b.report)
}

func (b *cdcBench) run(ctx context.Context) error {
	r := &b.report
	r.Rows, r.Server = b.rows, b.origin.server(ctx)
	table, err := b.origin.create(ctx, b.rows)
	if err != nil {
		return err
	}
	best, err := fastest(3, func() (err error) { r.Reference, err = b.origin.stream(ctx); return err })
	if err != nil {
		return err
	}
	r.RefSecs = best.Seconds()
	if best, err = fastest(3, func() error { return b.origin.ask(ctx, "SELECT count(*) FROM "+table) }); err != nil {
		return err
	}
	r.Count = best.Seconds()
	fmt.Fprintf(b.p.stdout, "%s, %d rows; %s in %.2f s (%.0f rows/s), count(*) in %.2f s\n", r.Server, r.Rows, r.Reference, r.RefSecs, float64(r.Rows)/r.RefSecs, r.Count)
	fmt.Fprintf(b.p.stdout, "%-12s %9s %10s %8s %8s %6s\n", "connections", "seconds", "rows/s", "CPU s", "RSS MB", "ratio")
	for n := 1; n <= 2; n++ {
		l, err := b.load(ctx, table, n)
		if err != nil {
			return err
		}
		r.Loads = append(r.Loads, l)
		fmt.Fprintf(b.p.stdout, "%-12d %9.2f %10.0f %8.1f %8d %6.2f\n", n, l.Seconds, l.RowsPerS, l.CPU, l.PeakRSS>>20, l.Ratio)
	}
	if best, err = fastest(200, func() error { return b.origin.ask(ctx, "SELECT 1") }); err != nil {
		return err
	}
	r.Frame = best.Seconds() * 1000
	fmt.Fprintf(b.p.stdout, "empty poll   %.2f ms at the origin (SELECT 1 alone: %.2f ms); %.2f s of CPU for 100 polls\n", r.EmptyPoll, r.Frame, r.PollCPU)
	return nil
}

// fastest is the shortest of n runs.
func fastest(n int, f func() error) (time.Duration, error) {
	best := time.Duration(1<<63 - 1)
	for range n {
		start := time.Now()
		if err := f(); err != nil {
			return 0, err
		}
		best = min(best, time.Since(start))
	}
	return best, nil
}

// load runs the role against an empty Kafka until the table is loaded; on one
// connection it stays until it has polled a hundred times for nothing.
func (b *cdcBench) load(ctx context.Context, table string, connections int) (cdcLoad, error) {
	l := cdcLoad{Connections: connections}
	broker, err := startChild(ctx, "kafka")
	if err != nil {
		return l, err
	}
	defer broker.end()
	file := filepath.Join(b.scratch, fmt.Sprintf("bench-%d.yml", connections))
	text := fmt.Sprintf(benchCDCConfig, b.scratch, broker.addr, schemeOf(b.dsn), connections, table, max(connections, 1))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return l, err
	}
	start := time.Now()
	role, err := startRole(ctx, "cdc", "--config", file, "--set", "cdc.sources.bench.dsn="+b.dsn)
	if err != nil {
		return l, err
	}
	defer role.kill()
	if b.profile != "" && connections == 1 {
		go func() { _ = role.profile(ctx, b.profile, 10*time.Second) }() // the figures do not depend on it
	}
	if err := b.await(ctx, role, "millstream_cdc_records_total", float64(b.rows)); err != nil {
		return l, err
	}
	l.Seconds = time.Since(start).Seconds()
	l.PeakRSS = role.memory("VmHWM")
	l.CPU = cpuOf(&role.child)
	if connections == 1 {
		if err := b.polls(ctx, role); err != nil {
			return l, err
		}
	}
	if _, err := role.stop(); err != nil {
		return l, err
	}
	l.RowsPerS = float64(b.rows) / l.Seconds
	l.Ratio = l.RowsPerS / (float64(b.rows) / b.report.RefSecs)
	return l, nil
}

// polls measures a hundred polls that find nothing.
func (b *cdcBench) polls(ctx context.Context, role *roleProcess) error {
	const n = 100
	pages, err := role.metric(ctx, "millstream_cdc_page_seconds_count")
	if err != nil {
		return err
	}
	took, err := role.metric(ctx, "millstream_cdc_page_seconds_sum")
	if err != nil {
		return err
	}
	cpu := cpuOf(&role.child)
	if err := b.await(ctx, role, "millstream_cdc_page_seconds_count", pages+n); err != nil {
		return err
	}
	pagesNow, err := role.metric(ctx, "millstream_cdc_page_seconds_count")
	if err != nil {
		return err
	}
	tookNow, err := role.metric(ctx, "millstream_cdc_page_seconds_sum")
	if err != nil {
		return err
	}
	b.report.EmptyPoll = (tookNow - took) / (pagesNow - pages) * 1000
	b.report.PollCPU = (cpuOf(&role.child) - cpu) * n / (pagesNow - pages)
	return nil
}

// await polls a counter of the role until it has reached a value.
func (b *cdcBench) await(ctx context.Context, role *roleProcess, metric string, want float64) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	begun := time.Now()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-role.ended:
			return errors.Join(errors.New("cdc ended before it was done"), role.err)
		case <-tick.C:
		}
		got, err := role.metric(ctx, metric)
		if err == nil && got >= want {
			return nil
		}
		if time.Since(begun) > 30*time.Minute {
			return fmt.Errorf("%s stands at %.0f of %.0f after 30 minutes: %s", metric, got, want, role.said.Bytes())
		}
	}
}

const benchCDCConfig = `data_dir: %s
kafka: {brokers: [%s], topics: {replication: 1}}
cdc:
  sources:
    bench:
      kind: %s
      connections: {max: %d, reserved: 0}
      tables:
        %s:
          strategies: [{kind: incremental, timestamp: updated_at, every: 50ms}]
          clock: {set_by: database}
          load: {parallel: %d}
`
