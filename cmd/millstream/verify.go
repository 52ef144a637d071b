package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/millstream-data/millstream/internal/metric/driver"
	"github.com/millstream-data/millstream/internal/telemetry"
	"github.com/millstream-data/millstream/internal/verify"
	"github.com/millstream-data/millstream/internal/warehouse"
)

// verify compares what was accepted with what each sink holds:
//
//	metric store: cells ──┐
//	warehouse: tables, ledger ──▶ a line for each source and day ──▶ exit code 0 if every difference has a name
//	S3: commits ──────────┤
//	Kafka: what no commit has ┘
func (p *program) verify(ctx context.Context, args []string) error {
	f := p.newFlags("verify", "[--from DAY] [--to DAY] [--source S] [--rows] [--json] | --chain [--deep]  --config FILE [--set KEY=VALUE …]")
	from := f.set.String("from", "", "first `day`, UTC, such as 2026-11-21; without --to and --from: yesterday")
	to := f.set.String("to", "", "last `day`, UTC; without it: today")
	rows := f.set.Bool("rows", false, "compare rows, too: name those that are missing or too many")
	asJSON := f.set.Bool("json", false, "print the report as JSON")
	chain := f.set.Bool("chain", false, "check from S3 alone that chains of commits and compactions are whole")
	deep := f.set.Bool("deep", false, "as --chain, and read every data object: sums, columns, rows, and where they are from")
	var o verify.Options
	f.set.StringVar(&o.Source, "source", "", "only this `source`: a folder of the lake, a schema of the warehouse")
	f.set.DurationVar(&o.Wait, "wait", 90*time.Second, "how long commits may take to reach what metrics have counted")
	cfg, err := p.load(f, args, p.nearby(args), "s3", "lake")
	if err != nil {
		return undecided(err)
	}
	if *chain || *deep {
		return p.verifyChains(ctx, cfg, *deep)
	}
	if o.From, o.To, err = verify.ParseDays(*from, *to, time.Now()); err != nil {
		return undecided(err)
	}
	o.Rows = *rows
	report, err := p.compare(ctx, cfg, o)
	if err != nil {
		return undecided(err)
	}
	print := report.Text
	if *asJSON {
		print = report.JSON
	}
	if err := print(p.stdout); err != nil {
		return undecided(err)
	}
	if !report.Balanced {
		return errFindings
	}
	return nil
}

// undecided marks an error as one that leaves the question open.
func undecided(err error) error {
	if errors.Is(err, errUsage) {
		return err
	}
	return undecidedError{err}
}

// compare opens what the configuration names and compares it.
func (p *program) compare(ctx context.Context, cfg Config, o verify.Options) (*verify.Report, error) {
	if err := errors.Join(cfg.Warehouse.Validate(), cfg.Dedup.Validate(), cfg.MetricStore.Validate(), cfg.Kafka.Validate()); err != nil {
		return nil, err
	}
	l, err := openLake(ctx, cfg)
	if err != nil {
		return nil, err
	}
	w, err := warehouse.Open(cfg.Warehouse)
	if err != nil {
		return nil, err
	}
	d := verify.Deps{Lake: l, Warehouse: w, Window: cfg.Dedup.Window, Kafka: &cfg.Kafka, Dir: os.TempDir(), Log: telemetry.NewLogger(p.stderr, cfg.Log)}
	if file, ok := cfg.MetricStore.SQLiteFile(); ok {
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) { // opening it would make it
			return nil, fmt.Errorf("metric_store.dsn: there is no file %s", file)
		}
	}
	if cfg.MetricStore.DSN != "" {
		store, err := driver.Open(ctx, cfg.MetricStore)
		if err != nil {
			return nil, err
		}
		defer store.Close() //nolint:errcheck // it was only read
		d.Metrics = store
	}
	return verify.Run(ctx, o, d)
}
