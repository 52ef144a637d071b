package main

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/batcher/loader"
	"github.com/millstream-data/millstream/internal/warehouse"
)

var loaderSections = []section{"admin", "s3", "lake", "dedup", "warehouse", "loader"}

// loader runs the loader alone:
//
//	S3: commits ──▶ what is due ▶ manifests ──COPY──▶ staging ──one transaction──▶ Redshift: tables and ledger
//
// Words after it are commands by hand: retry, skip, reload.
func (p *program) loader(ctx context.Context, args []string) error {
	if len(args) > 0 {
		if run, ok := loaderByHand()[args[0]]; ok {
			return run(p, ctx, args[1:])
		}
	}
	f := p.newFlags("loader", "--config FILE [--set KEY=VALUE …]")
	return p.runRole(ctx, f, args, loaderSections, (*services).startLoader)
}

func (s *services) startLoader(ctx context.Context) error {
	return s.stack.role(ctx, "loader", func(ctx context.Context, reg *prometheus.Registry) (runner, error) {
		l, err := s.lake(ctx, "loader", reg)
		if err != nil {
			return nil, err
		}
		w, err := warehouse.Open(s.cfg.Warehouse)
		if err != nil {
			return nil, err
		}
		return loader.New(s.cfg.Loader, loader.Deps{
			Warehouse: w, Lake: l, Dedup: s.cfg.Dedup, Log: s.log.With("role", "loader"), Registry: reg, Health: s.health,
		})
	})
}
