// Package dedup decides which records are duplicates: the first record of a
// message id by (partition, offset) wins, within a declared window.
package dedup

import (
	"errors"
	"time"

	"github.com/millstream-data/millstream/internal/config"
)

// Config is the one declaration of what a duplicate is; batcher, rollup and
// loader share it.
type Config struct {
	Window     time.Duration `yaml:"window" doc:"a record is a duplicate of one of its message id at most this much older, by the log's clock"`
	MaxRecords int64         `yaml:"max_records" doc:"and at most so many offsets before it"`
}

// DefaultConfig returns the values used in production.
func DefaultConfig() Config { return Config{Window: 24 * time.Hour, MaxRecords: 1_000_000} }

// maxRecords is the farthest that a window reaches: distances have 32 bits. A
// window that is full of so many takes 25 GB.
const maxRecords = 1_000_000_000

// Validate returns every problem, joined, each led by its key path.
func (c Config) Validate() error {
	return errors.Join(config.Positive("dedup.window", c.Window), config.Between("dedup.max_records", c.MaxRecords, 1, maxRecords))
}
