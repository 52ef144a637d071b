package main

import (
	"context"
	"slices"
)

// all runs every role in one process against the configured services:
//
//	ingest ─▶ Kafka ─▶ batcher ─▶ S3 ─▶ loader ─▶ Redshift
//	cdc ────▶   └───▶ rollup ─▶ metric store ─▶ serve
func (p *program) all(ctx context.Context, args []string) error {
	f := p.newFlags("all", "--config FILE [--set KEY=VALUE …]")
	return p.runRole(ctx, f, args, allSections(), (*services).startRoles)
}

func allSections() []section {
	var out []section
	for _, more := range [][]section{ingestSections, cdcSections, batcherSections, loaderSections, rollupSections, serveSections} {
		for _, s := range more {
			if !slices.Contains(out, s) {
				out = append(out, s)
			}
		}
	}
	return out
}

// startRoles starts what is fed before what feeds it, so that a stop, which
// goes the other way, leaves nothing under way.
func (s *services) startRoles(ctx context.Context) error {
	for _, start := range []func(context.Context) error{s.startServe, s.startLoader, s.startRollup, s.startBatcher, s.startCDC, s.startIngest} {
		if err := start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// runRole loads the configuration, starts what start does and waits for the
// stop.
func (p *program) runRole(ctx context.Context, f *flags, args []string, sections []section, start func(*services, context.Context) error) error {
	cfg, err := p.load(f, args, defaultConfig(), sections...)
	if err != nil {
		return err
	}
	s, err := p.start(ctx, cfg)
	if err != nil {
		return err
	}
	return s.run(ctx, func(ctx context.Context) error {
		err := start(s, ctx)
		if err == nil {
			s.log.Info("started", "command", f.set.Name())
		}
		return err
	})
}
