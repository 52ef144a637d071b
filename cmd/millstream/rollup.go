package main

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/rollup"
)

var rollupSections = []section{"admin", "kafka", "dedup", "metric_store", "rollup"}

// rollup runs the keeper of metrics alone:
//
//	Kafka ──▶ duplicates out ▶ deltas ▶ flush ──cells and position──▶ metric store
//	                                      └────────changed cells────▶ Kafka: cells
func (p *program) rollup(ctx context.Context, args []string) error {
	f := p.newFlags("rollup", "--config FILE [--set KEY=VALUE …]")
	return p.runRole(ctx, f, args, rollupSections, (*services).startRollup)
}

func (s *services) startRollup(ctx context.Context) error {
	store, err := s.metricStore(ctx)
	if err != nil {
		return err
	}
	return s.stack.role(ctx, "rollup", func(_ context.Context, reg *prometheus.Registry) (runner, error) {
		return rollup.New(s.cfg.Rollup, rollup.Deps{
			Kafka: s.cfg.Kafka, Store: store, Dedup: s.cfg.Dedup, Log: s.log.With("role", "rollup"), Registry: reg, Health: s.health,
		})
	})
}
