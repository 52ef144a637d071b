package main

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/cdc"
)

var cdcSections = []section{"admin", "kafka", "cdc"}

// cdc runs the poller alone:
//
//	databases ◀─SELECT─ horizon ▶ pages ▶ overlap ──▶ one transaction ──▶ Kafka: changes.*, cdc.state.*
func (p *program) cdc(ctx context.Context, args []string) error {
	f := p.newFlags("cdc", "--config FILE [--set KEY=VALUE …]")
	return p.runRole(ctx, f, args, cdcSections, (*services).startCDC)
}

// startCDC starts nothing if no source is configured.
func (s *services) startCDC(ctx context.Context) error {
	if len(s.cfg.CDC.Sources) == 0 {
		s.log.Info("cdc has no sources, so it does not run")
		return nil
	}
	return s.stack.role(ctx, "cdc", func(_ context.Context, reg *prometheus.Registry) (runner, error) {
		role, err := cdc.New(s.cfg.CDC, s.cfg.Kafka, s.log.With("role", "cdc"), reg)
		if err == nil {
			s.health.Register("cdc", role.Health)
		}
		return role, err
	})
}
