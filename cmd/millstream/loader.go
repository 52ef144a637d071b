package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/batcher/loader"
	"github.com/millstream-data/millstream/batcher/loader/care"
	"github.com/millstream-data/millstream/internal/warehouse"
)

var loaderSections = []section{"admin", "s3", "lake", "dedup", "warehouse", "loader", "models"}

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
		if !strings.HasPrefix(args[0], "-") {
			return fmt.Errorf("loader: unknown %q; there are %s, and none of them, which loads", args[0], strings.Join(slices.Sorted(maps.Keys(loaderByHand())), ", "))
		}
	}
	f := p.newFlags("loader", "[reload|retry|skip …] --config FILE [--set KEY=VALUE …]")
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
		log := s.log.With("role", "loader")
		d := loader.Deps{Warehouse: w, Lake: l, Dedup: s.cfg.Dedup, Log: log, Registry: reg, Health: s.health}
		if s.cfg.Loader.Maintenance.Enabled {
			keeper, err := care.New(s.cfg.Loader.Maintenance, care.Deps{Warehouse: w, Lake: l, LedgerKeep: s.cfg.Loader.LedgerKeep, Log: log, Registry: reg})
			if err != nil {
				return nil, err
			}
			d.Beside = append(d.Beside, loader.Companion{Name: "maintenance", Run: func(ctx context.Context, t loader.Tenure) error { return keeper.Run(ctx, t) }})
		}
		d.Beside = append(d.Beside, s.keepModels(w, reg)...)
		return loader.New(s.cfg.Loader, d)
	})
}
