package loader

import (
	"errors"
	"time"

	"github.com/millstream-data/millstream/batcher/loader/care"
	"github.com/millstream-data/millstream/internal/config"
)

// Config holds the options of the loader role; start from DefaultConfig.
type Config struct {
	Interval     time.Duration `yaml:"interval" doc:"time between two waves of loads"`
	MaxInterval  time.Duration `yaml:"max_interval" doc:"while waves take longer than interval, small targets wait up to this"`
	Connections  int           `yaml:"connections" doc:"groups that stage at a time, one session each"`
	Group        GroupConfig   `yaml:"group" doc:"what one transaction holds at most"`
	Wave         WaveConfig    `yaml:"wave" doc:"what one wave takes of one target at most"`
	Lease        LeaseConfig   `yaml:"lease" doc:"the right to load, which one loader has at a time"`
	GateTimeout  time.Duration `yaml:"gate_timeout" doc:"time to wait for another writer of the ledger, perhaps a dead one"`
	DDLTimeout   time.Duration `yaml:"ddl_timeout" doc:"time that a load may wait, behind the gate, for the sessions that use its table before it is put off"`
	Retry        RetryConfig   `yaml:"retry" doc:"how failures are tried again"`
	DrainTimeout time.Duration `yaml:"drain_timeout" doc:"time to end running transactions after a stop"`
	// PositionsObject exists because batchers' garbage collection must not
	// need the warehouse.
	PositionsObject bool `yaml:"positions_object" doc:"put _loads/_positions.json after waves, which millstream gc obeys"`
	// LedgerKeep bounds what grows; what the loader goes by stays.
	LedgerKeep  time.Duration `yaml:"ledger_keep" doc:"time for which millstream.loads, duplicates and maintenance are kept; verify names duplicates no longer than that"`
	Maintenance care.Config   `yaml:"maintenance" doc:"what is done to tables by night"`
}

// GroupConfig bounds a transaction.
type GroupConfig struct {
	Targets int          `yaml:"targets" doc:"targets"`
	Rows    int64        `yaml:"rows" doc:"rows"`
	Bytes   config.Bytes `yaml:"bytes" doc:"bytes of files"`
}

// WaveConfig bounds what a wave takes of a target.
type WaveConfig struct {
	Bytes config.Bytes `yaml:"bytes" doc:"bytes of files"`
	Files int          `yaml:"files" doc:"files"`
}

// LeaseConfig holds the options of the lease.
type LeaseConfig struct {
	TTL    time.Duration `yaml:"ttl" doc:"time after which a silent loader's lease passes on"`
	Renew  time.Duration `yaml:"renew" doc:"time between extensions"`
	Holder string        `yaml:"holder" doc:"name of this loader; a restarted one takes its own lease at once; empty: a random name, so that a restart waits for ttl"`
}

// RetryConfig holds the options of retries.
type RetryConfig struct {
	Conflicts int           `yaml:"conflicts" doc:"waves in a row that follow a conflict at once; then the interval is kept"`
	HoldMin   time.Duration `yaml:"hold_min" doc:"time before what is held is tried again, doubled each time"`
	HoldMax   time.Duration `yaml:"hold_max" doc:"and at most"`
}

// DefaultConfig returns the values used in production.
func DefaultConfig() Config {
	return Config{
		Interval: 15 * time.Second, MaxInterval: 10 * time.Minute, Connections: 4,
		Group:       GroupConfig{Targets: 8, Rows: 5_000_000, Bytes: 2 * config.GiB},
		Wave:        WaveConfig{Bytes: 4 * config.GiB, Files: 5000},
		Lease:       LeaseConfig{TTL: time.Minute, Renew: 20 * time.Second},
		GateTimeout: 5 * time.Minute, DDLTimeout: 5 * time.Second,
		Retry:        RetryConfig{Conflicts: 8, HoldMin: 5 * time.Minute, HoldMax: time.Hour},
		DrainTimeout: time.Minute, PositionsObject: true,
		LedgerKeep: 90 * 24 * time.Hour, Maintenance: care.DefaultConfig(),
	}
}

// Validate returns every problem, joined, each led by its key path.
func (c Config) Validate() error {
	return errors.Join(
		config.Positive("loader.interval", c.Interval),
		config.AtMost("loader.interval", c.Interval, "loader.max_interval", c.MaxInterval),
		config.Positive("loader.connections", c.Connections),
		config.Positive("loader.group.targets", c.Group.Targets),
		config.Positive("loader.group.rows", c.Group.Rows),
		config.Positive("loader.group.bytes", c.Group.Bytes),
		config.Positive("loader.wave.bytes", c.Wave.Bytes),
		config.Positive("loader.wave.files", c.Wave.Files),
		config.Positive("loader.lease.renew", c.Lease.Renew),
		config.AtMost("loader.lease.renew", c.Lease.Renew, "half of loader.lease.ttl", c.Lease.TTL/2),
		config.Positive("loader.gate_timeout", c.GateTimeout),
		config.Positive("loader.ddl_timeout", c.DDLTimeout),
		config.Positive("loader.retry.conflicts", c.Retry.Conflicts),
		config.Positive("loader.retry.hold_min", c.Retry.HoldMin),
		config.AtMost("loader.retry.hold_min", c.Retry.HoldMin, "loader.retry.hold_max", c.Retry.HoldMax),
		config.NonNegative("loader.drain_timeout", c.DrainTimeout),
		config.Positive("loader.ledger_keep", c.LedgerKeep),
		c.Maintenance.Validate(),
	)
}
