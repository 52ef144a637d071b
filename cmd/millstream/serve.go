package main

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/serve"
)

var serveSections = []section{"admin", "kafka", "metric_store", "serve"}

// serve runs the wallboards' server alone:
//
//	metric store ──scan──▶ cells ▶ views ▶ hub ──WebSocket──▶ wallboards
//	Kafka: cells ─follow─▶   ▲        └────────HTTP─────────▶ queries
func (p *program) serve(ctx context.Context, args []string) error {
	f := p.newFlags("serve", "--config FILE [--set KEY=VALUE …]")
	f.key("listen", "serve.listen", "address of wallboards and query API")
	return p.runRole(ctx, f, args, serveSections, (*services).startServe)
}

func (s *services) startServe(ctx context.Context) error {
	store, err := s.metricStore(ctx)
	if err != nil {
		return err
	}
	return s.stack.role(ctx, "serve", func(_ context.Context, reg *prometheus.Registry) (runner, error) {
		return serve.New(s.cfg.Serve, serve.Deps{Kafka: s.cfg.Kafka, Store: store, Log: s.log.With("role", "serve"), Registry: reg, Health: s.health})
	})
}
