package main

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/ingest"
)

var ingestSections = []section{"admin", "kafka", "ingest"}

// ingest runs the HTTP edge alone:
//
//	SDKs ──HTTP──▶ authenticate ▶ limit ▶ split ▶ validate ▶ stamp ──▶ Kafka: events, rejected
//	     ◀──200─── acknowledge ◀──────────────────────────────────── acks=all
func (p *program) ingest(ctx context.Context, args []string) error {
	f := p.newFlags("ingest", "--config FILE [--set KEY=VALUE …]")
	f.key("listen", "ingest.listen", "address of the HTTP edge")
	return p.runRole(ctx, f, args, ingestSections, (*services).startIngest)
}

func (s *services) startIngest(ctx context.Context) error {
	return s.stack.role(ctx, "ingest", func(_ context.Context, reg *prometheus.Registry) (runner, error) {
		return ingest.New(s.cfg.Ingest, ingest.Deps{
			Kafka: s.cfg.Kafka, Log: s.log.With("role", "ingest"), Registry: reg, Health: s.health, Admin: s.pages.handle,
		})
	})
}
