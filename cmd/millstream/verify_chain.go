package main

import (
	"context"
	"fmt"
	"os"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/batcher/compact"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/objstore"
)

// openLake returns the lake of the configuration, for commands that are no role.
func openLake(ctx context.Context, cfg Config) (*lake.Lake, error) {
	cl, err := objstore.New(ctx, cfg.S3, cfg.Lake.Bucket, prometheus.NewRegistry())
	if err != nil {
		return nil, err
	}
	return &lake.Lake{Store: cl, Paths: lake.Paths{Prefix: cfg.Lake.Prefix}}, nil
}

// verifyChains proves from S3 alone that the lake is whole:
//
//	S3: commits ─▶ continuity, arithmetic, files present ─▶ a line for each chain
//	    with deep: data objects ─▶ sums, footers, rows
//	    compactions ─▶ as many rows as they replace ─▶ a line for each table that has some
func (p *program) verifyChains(ctx context.Context, cfg Config, deep bool) error {
	l, err := openLake(ctx, cfg)
	if err != nil {
		return err
	}
	v := &lake.Verifier{Lake: l}
	if deep {
		n := &compact.Inspector{Store: l.Store, Dir: os.TempDir()}
		v.Deep, v.Lineage = n.Deep, n.Lineage
	}
	chains, err := l.Chains(ctx)
	if err != nil {
		return err
	}
	bad := 0
	for _, id := range chains {
		r, err := v.Chain(ctx, id)
		if err != nil {
			return err
		}
		bad += p.findings(r.Problems, "%s: offsets %d to %d, %d commits, %d files, %d rows, %d records",
			r.ID, r.First, r.Next, r.Commits, r.Files, r.Rows, r.Records)
	}
	tables, err := l.CompactedTables(ctx)
	if err != nil {
		return err
	}
	for _, t := range tables {
		r, err := v.Compactions(ctx, t[0], t[1])
		if err != nil {
			return err
		}
		bad += p.findings(r.Problems, "%s: %d compactions of %d files into %d, %d rows", r.Table, r.Compactions, r.Replaced, r.Files, r.Rows)
	}
	if bad > 0 {
		return errFindings
	}
	return nil
}

// findings prints a line and the problems below it, and returns their number.
func (p *program) findings(problems []string, format string, args ...any) int {
	fmt.Fprintf(p.stdout, format+", %d problems\n", append(args, len(problems))...)
	for _, problem := range problems {
		fmt.Fprintf(p.stdout, "  %s\n", problem)
	}
	return len(problems)
}
