package rollup

import (
	"errors"
	"time"

	"github.com/millstream-data/millstream/internal/config"
)

// Config holds the options of the rollup role; start from DefaultConfig.
type Config struct {
	Definitions      string        `yaml:"definitions" doc:"folder or file of metric definitions, watched every 5s"`
	Group            string        `yaml:"group" doc:"consumer group that shares the partitions out"`
	InstanceID       string        `yaml:"instance_id" doc:"static member of the group; empty: a new member with each start"`
	Flush            Flush         `yaml:"flush" doc:"when what was counted goes to the store"`
	Memory           Memory        `yaml:"memory" doc:"bounds of what is held"`
	Clock            Clock         `yaml:"clock" doc:"which times of events are believed"`
	Publish          Publish       `yaml:"publish" doc:"how changed cells are told to readers"`
	RevokeBudget     time.Duration `yaml:"revoke_budget" doc:"time to flush a partition that goes to another worker; after it the other one counts again"`
	RebalanceTimeout time.Duration `yaml:"rebalance_timeout" doc:"how long the group waits for a worker in a rebalance"`
	SessionTimeout   time.Duration `yaml:"session_timeout" doc:"after so long without a heartbeat a worker's partitions go to others"`
	DrainTimeout     time.Duration `yaml:"drain_timeout" doc:"time to flush and publish after a stop; 0 leaves it to be counted again"`
}

// Flush says when a partition is flushed.
type Flush struct {
	Interval    time.Duration `yaml:"interval" doc:"at most so often"`
	MaxInterval time.Duration `yaml:"max_interval" doc:"at least so often; between the two it is three times as long as the last flush took"`
	Cells       int           `yaml:"cells" doc:"and when so many cells have changed"`
}

// Memory bounds what a worker holds.
type Memory struct {
	Fetch  config.Bytes `yaml:"fetch" doc:"records fetched and not yet counted; full: fetching pauses"`
	Deltas config.Bytes `yaml:"deltas" doc:"counted and not yet flushed, of all partitions; full: flush now"`
	Cells  config.Bytes `yaml:"cells" doc:"cells kept so that they need not be read again, of all partitions"`
}

// Clock says which times of events are believed.
type Clock struct {
	Future time.Duration `yaml:"future" doc:"an event later than this after its receipt counts when it was received"`
}

// Publish says how changed cells are told to readers.
type Publish struct {
	Large      config.Bytes  `yaml:"large" doc:"states above this size are told less often"`
	LargeEvery time.Duration `yaml:"large_every" doc:"namely at most so often"`
}

// DefaultConfig returns the values used in production.
func DefaultConfig() Config {
	return Config{
		Definitions:      "metrics",
		Group:            "millstream-rollup",
		Flush:            Flush{Interval: 250 * time.Millisecond, MaxInterval: 5 * time.Second, Cells: 20_000},
		Memory:           Memory{Fetch: 48 * config.MiB, Deltas: 64 * config.MiB, Cells: 256 * config.MiB},
		Clock:            Clock{Future: 10 * time.Minute},
		Publish:          Publish{Large: 4 * config.KiB, LargeEvery: 2 * time.Second},
		RevokeBudget:     10 * time.Second,
		RebalanceTimeout: time.Minute,
		SessionTimeout:   45 * time.Second,
		DrainTimeout:     25 * time.Second,
	}
}

// Validate returns every problem, joined, each led by its key path.
func (c Config) Validate() error {
	return errors.Join(
		config.NotEmpty("rollup.definitions", c.Definitions),
		config.NotEmpty("rollup.group", c.Group),
		config.Positive("rollup.flush.interval", c.Flush.Interval),
		config.AtMost("rollup.flush.interval", c.Flush.Interval, "rollup.flush.max_interval", c.Flush.MaxInterval),
		config.Positive("rollup.flush.cells", c.Flush.Cells),
		config.Positive("rollup.memory.fetch", c.Memory.Fetch),
		config.Positive("rollup.memory.deltas", c.Memory.Deltas),
		config.Positive("rollup.memory.cells", c.Memory.Cells),
		config.NonNegative("rollup.clock.future", c.Clock.Future),
		config.Positive("rollup.publish.large", c.Publish.Large),
		config.Positive("rollup.publish.large_every", c.Publish.LargeEvery),
		config.Positive("rollup.revoke_budget", c.RevokeBudget),
		config.AtMost("rollup.revoke_budget", c.RevokeBudget, "rollup.rebalance_timeout", c.RebalanceTimeout),
		config.Positive("rollup.session_timeout", c.SessionTimeout),
		config.NonNegative("rollup.drain_timeout", c.DrainTimeout),
	)
}
