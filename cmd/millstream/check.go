package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/cdc"
	"github.com/millstream-data/millstream/ingest"
	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/metric"
	"github.com/millstream-data/millstream/internal/metric/driver"
	"github.com/millstream-data/millstream/internal/objstore"
	"github.com/millstream-data/millstream/internal/telemetry"
	"github.com/millstream-data/millstream/internal/warehouse"
	"github.com/millstream-data/millstream/serve"
)

// probe tries one thing that the configuration names. It returns what it saw,
// or an error that says how to mend what is wrong.
type probe struct {
	name string
	try  func(ctx context.Context) (string, error)
}

// check validates the configuration and tries everything that it names:
//
//	configuration ─▶ Kafka ─▶ sources ─▶ folders ─▶ topics for ingest ─▶ S3 ─▶ batcher's memory ─▶ Redshift ─▶ metric store ─▶ definitions ─▶ boards ─▶ each database
//
// With --plan it checks events by a tracking plan instead, with
// --probe-redshift what a cluster does where its documentation is silent.
func (p *program) check(ctx context.Context, args []string) error {
	if slices.ContainsFunc(args, isPlanFlag) {
		return p.checkPlan(args)
	}
	if slices.Contains(args, probeFlag) {
		return p.probeRedshift(ctx, args)
	}
	f := p.newFlags("check", "--config FILE [--set KEY=VALUE …], or check --plan FILE EVENTS.ndjson, or check --probe-redshift --config FILE")
	base := p.nearby(args)
	cfg, err := p.load(f, args, base, allSections()...)
	if err != nil {
		fmt.Fprintf(p.stdout, "configuration is wrong:\n%v\n", err)
		return errFindings
	}
	what := "ok    configuration"
	if base.DataDir != defaultConfig().DataDir {
		what += ": that of millstream dev in this folder; --config FILE checks another"
	}
	fmt.Fprintln(p.stdout, what)
	bad := 0
	for _, pr := range p.probes(cfg) {
		tryCtx, cancel := context.WithTimeout(ctx, 30*time.Second)
		saw, err := pr.try(tryCtx)
		cancel()
		if err != nil {
			bad++
			fmt.Fprintf(p.stdout, "WRONG %s: %v\n", pr.name, err)
			continue
		}
		fmt.Fprintf(p.stdout, "ok    %s: %s\n", pr.name, saw)
	}
	if bad > 0 {
		fmt.Fprintf(p.stdout, "%d of the above have to be mended\n", bad)
		return errFindings
	}
	return nil
}

func (p *program) probes(c Config) []probe {
	log := telemetry.NewLogger(p.stderr, telemetry.LogConfig{Level: "error", Format: "text"})
	out := []probe{
		{"kafka", func(ctx context.Context) (string, error) { return kafka.Check(ctx, c.Kafka, log) }},
		{"sources", func(context.Context) (string, error) { return ingest.CheckSources(c.Ingest) }},
		{"folders", func(context.Context) (string, error) {
			events, err := ingest.SourceNames(c.Ingest)
			if err != nil {
				return "", err
			}
			return lake.CheckFolders(events, c.CDC.Schemas())
		}},
		{"ingest", func(ctx context.Context) (string, error) { return ingest.CheckTopics(ctx, c.Ingest, c.Kafka, log) }},
		{"s3", func(ctx context.Context) (string, error) {
			cl, err := objstore.New(ctx, c.S3, c.Lake.Bucket, prometheus.NewRegistry())
			if err != nil {
				return "", err
			}
			return fmt.Sprintf("bucket %s takes conditional writes", c.Lake.Bucket), cl.Check(ctx, c.Lake.Prefix)
		}},
		{"batcher", func(context.Context) (string, error) {
			return c.Batcher.Memory.Sum(c.Kafka.Topics.Partitions), nil
		}},
		{"warehouse", func(ctx context.Context) (string, error) {
			w, err := warehouse.Open(c.Warehouse)
			if err != nil {
				return "", err
			}
			return "takes what the loader sends", w.Check(ctx)
		}},
		{"metric store", func(ctx context.Context) (string, error) {
			store, err := driver.Open(ctx, c.MetricStore)
			if err != nil {
				return "", err
			}
			defer store.Close() //nolint:errcheck // only tried
			return "answers", store.Ping(ctx)
		}},
		{"definitions", func(context.Context) (string, error) {
			set, err := metric.Load(c.Rollup.Definitions)
			if err != nil {
				return "", err
			}
			return fmt.Sprintf("%d metrics in %s", len(set.Metrics), c.Rollup.Definitions), nil
		}},
		{"boards", func(context.Context) (string, error) { return serve.CheckBoards(c.Serve.Boards) }},
	}
	if len(c.CDC.Sources) > 0 {
		out = append(out, probe{"cdc", func(ctx context.Context) (string, error) {
			var errs []error
			saw := []string{fmt.Sprintf("%d sources", len(c.CDC.Sources))}
			for _, f := range cdc.Check(ctx, c.CDC) {
				if f.Refused {
					errs = append(errs, errors.New(f.String()))
					continue
				}
				saw = append(saw, "warning: "+f.String())
			}
			return strings.Join(saw, "; "), errors.Join(errs...)
		}})
	}
	return out
}
