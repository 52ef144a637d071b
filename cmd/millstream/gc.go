package main

import (
	"context"
	"fmt"
	"time"

	"github.com/millstream-data/millstream/internal/lake"
)

// gc finds data objects that no reader can need, and removes them with --delete:
//
//	S3: commits ─▶ positions, names ─▶ objects that nobody names, or that were replaced ─▶ a line for each, sums
func (p *program) gc(ctx context.Context, args []string) error {
	f := p.newFlags("gc", "[--delete] --config FILE [--set KEY=VALUE …]")
	g := lake.GC{Now: time.Now()}
	f.set.BoolVar(&g.Delete, "delete", false, "remove what is found; without it nothing is changed")
	cfg, err := p.load(f, args, p.nearby(args), "s3", "lake", "batcher")
	if err != nil {
		return err
	}
	if g.Lake, err = openLake(ctx, cfg); err != nil {
		return err
	}
	g.Keep, g.RespectLoader = cfg.Batcher.GC.Keep, cfg.Batcher.GC.RespectLoader
	verb := "would remove"
	if g.Delete {
		verb = "removed"
	}
	r, err := g.Run(ctx, func(x lake.Garbage) {
		fmt.Fprintf(p.stdout, "%s %s %s, %d bytes: %s\n", verb, x.Kind, x.Key, x.Bytes, x.Why)
	})
	for _, k := range lake.GarbageKinds() {
		fmt.Fprintf(p.stdout, "%s: %s %d objects of %d bytes, %d have to wait\n", k, verb, r.Objects[k], r.Bytes[k], r.Later[k])
	}
	if r.Unknown > 0 {
		fmt.Fprintf(p.stdout, "%d keys are none of a data object and were left alone\n", r.Unknown)
	}
	for _, problem := range r.Problems {
		fmt.Fprintf(p.stdout, "  %s\n", problem)
	}
	if err == nil && len(r.Problems) > 0 {
		return errFindings
	}
	return err
}
