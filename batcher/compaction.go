package batcher

import (
	"context"
	"path/filepath"
	"time"

	"github.com/millstream-data/millstream/batcher/compact"
	"github.com/millstream-data/millstream/internal/lake"
)

const (
	compactEvery = 10 * time.Minute
	compactBack  = 48 * time.Hour // millstream compact does what is older
)

// CompactOptions returns what c says of compactions; files are written to dir.
func (c Config) CompactOptions(dir string) compact.Options {
	return compact.Options{
		Grace: c.Compaction.Grace, MinFiles: c.Compaction.MinFiles, Small: int64(c.Compaction.Small), MaxBytes: int64(c.File.MaxBytes),
		Parquet: c.parquet(), Dir: dir,
	}
}

// compact rewrites small files of hours that are over while this batcher owns
// partition 0 of the topic of events. Ownership only spares work: two that
// compact at once do no harm.
func (b *Batcher) compact(ctx context.Context) {
	first := lake.ChainID{Topic: b.env.topics.Events()}
	c := compact.New(b.env.cfg.CompactOptions(filepath.Join(b.env.cfg.Disk.Dir, "compact")), compact.Deps{
		Lake: b.env.lake, Log: b.env.log, Compacted: b.env.metrics.compacted, Orphans: b.env.metrics.orphans,
	})
	for wait := time.Second; pause(ctx, wait); {
		if wait = time.Second; b.chain(first) == nil {
			continue
		}
		now := time.Now()
		err := c.Round(ctx, compact.Scope{Since: now.Add(-compactBack)}, now, func(r compact.Result) {
			b.env.log.Info("compacted", "hour", r.Hour.String(), "generation", r.Generation, "replaced", r.Replaced, "files", r.Files, "rows", r.Rows)
		})
		if err != nil && ctx.Err() == nil {
			b.env.log.Warn("compaction left hours for the next round", "err", err)
		}
		wait = compactEvery
	}
}
