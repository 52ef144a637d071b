package main

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/batcher"
	"github.com/millstream-data/millstream/internal/telemetry"
)

var batcherSections = []section{"admin", "kafka", "s3", "lake", "dedup", "batcher"}

// batcher runs the writer of the lake alone:
//
//	Kafka ──▶ duplicates out ▶ columns ▶ Parquet ──▶ S3: data objects, then the commit that names them
func (p *program) batcher(ctx context.Context, args []string) error {
	f := p.newFlags("batcher", "--config FILE [--set KEY=VALUE …]")
	return p.runRole(ctx, f, args, batcherSections, (*services).startBatcher)
}

func (s *services) startBatcher(ctx context.Context) error {
	return s.stack.role(ctx, "batcher", func(ctx context.Context, reg *prometheus.Registry) (runner, error) {
		l, err := s.lake(ctx, "batcher", reg)
		if err != nil {
			return nil, err
		}
		return batcher.New(s.cfg.Batcher, batcher.Deps{
			Kafka: s.cfg.Kafka, Lake: l, Dedup: s.cfg.Dedup, Version: telemetry.ReadBuild().Version, Log: s.log.With("role", "batcher"), Registry: reg, Health: s.health,
		})
	})
}
