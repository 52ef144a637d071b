package main

import (
	"context"
	"math"
	"runtime/debug"

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
	return p.runRole(ctx, f, args, batcherSections, func(s *services, ctx context.Context) error {
		s.owns = limitBatcher(s.cfg.Batcher.Memory)
		return s.startBatcher(ctx)
	})
}

// limitBatcher returns what sets the soft limit of the heap for a number of partitions: that of GOMEMLIMIT if it is set.
// A process that runs other roles, too, is left alone, for they are not bounded like this one.
func limitBatcher(m batcher.MemoryConfig) func(partitions int) {
	if debug.SetMemoryLimit(-1) != math.MaxInt64 {
		return nil
	}
	set := func(partitions int) { debug.SetMemoryLimit(m.Limit(partitions)) }
	set(0)
	return set
}

func (s *services) startBatcher(ctx context.Context) error {
	return s.stack.role(ctx, "batcher", func(ctx context.Context, reg *prometheus.Registry) (runner, error) {
		l, err := s.lake(ctx, "batcher", reg)
		if err != nil {
			return nil, err
		}
		return batcher.New(s.cfg.Batcher, batcher.Deps{
			Kafka: s.cfg.Kafka, Lake: l, Dedup: s.cfg.Dedup, Version: telemetry.ReadBuild().Version, Log: s.log.With("role", "batcher"), Registry: reg, Health: s.health, Owns: s.owns,
		})
	})
}
