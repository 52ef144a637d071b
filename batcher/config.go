package batcher

import (
	"errors"
	"time"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/parquetout"
)

// Config holds the options of the batcher; start from DefaultConfig.
type Config struct {
	Group            string        `yaml:"group" doc:"consumer group of all batchers"`
	InstanceID       string        `yaml:"instance_id" doc:"static member of the group, so that a restart moves no partition; empty: none"`
	Cut              CutConfig     `yaml:"cut" doc:"when what was gathered of a partition becomes a commit; the first limit that is reached counts"`
	File             FileConfig    `yaml:"file" doc:"size of data files"`
	RevokeBudget     time.Duration `yaml:"revoke_budget" doc:"time to commit a partition that is being taken away; what is not done by then is read again by its next owner"`
	DrainTimeout     time.Duration `yaml:"drain_timeout" doc:"time to commit everything after a stop"`
	RebalanceTimeout time.Duration `yaml:"rebalance_timeout" doc:"time that the group gives its members to hand partitions over; above revoke_budget"`
	SessionTimeout   time.Duration `yaml:"session_timeout" doc:"time without a heartbeat after which the group takes a member for dead"`
	OnLostOffsets    string        `yaml:"on_lost_offsets" doc:"record: when Kafka no longer has what was not yet read, say so in a commit and go on; stop: wait for an operator"`
	Memory           MemoryConfig  `yaml:"memory" doc:"bounds of what is held in memory"`
	Disk             DiskConfig    `yaml:"disk" doc:"the spool of files that are not yet committed"`
	Limits           LimitsConfig  `yaml:"limits" doc:"bounds that keep one source from harming others"`
	Parquet          ParquetConfig `yaml:"parquet" doc:"shape of data files"`
}

// CutConfig holds the limits of an open range.
type CutConfig struct {
	Age   time.Duration `yaml:"age" doc:"time since the first record, by the wall clock, with or without traffic"`
	Bytes config.Bytes  `yaml:"bytes" doc:"estimated size of its files together"`
	Rows  int64         `yaml:"rows" doc:"rows in its files together"`
	Files int           `yaml:"files" doc:"number of its files"`
}

// FileConfig holds the limits of a data file.
type FileConfig struct {
	MaxBytes config.Bytes `yaml:"max_bytes" doc:"a file that is estimated at so much is closed and another begun; Redshift wants files below 128 MB"`
}

// MemoryConfig holds the bounds of memory.
type MemoryConfig struct {
	Fetch  config.Bytes `yaml:"fetch" doc:"records that were fetched and wait for their turn; beyond it fetching waits"`
	Chunks config.Bytes `yaml:"chunks" doc:"rows that are not yet in a file; beyond it the largest range is cut"`
}

// DiskConfig says where files wait for their commit.
type DiskConfig struct {
	Dir string `yaml:"dir" doc:"folder of one batcher alone; it is emptied at the start and holds nothing durable"`
}

// LimitsConfig holds bounds of tables and rows.
type LimitsConfig struct {
	Columns      int `yaml:"columns" doc:"columns of a table; what would need another one goes to _unmapped (Redshift ends at 1600)"`
	FlattenDepth int `yaml:"flatten_depth" doc:"levels of objects that become columns; deeper ones are json"`
}

// ParquetConfig holds the shape of data files.
type ParquetConfig struct {
	Compression   string       `yaml:"compression" doc:"snappy or gzip"`
	RowGroupRows  int64        `yaml:"row_group_rows" doc:"rows of a row group"`
	RowGroupBytes config.Bytes `yaml:"row_group_bytes" doc:"uncompressed size of a row group"`
}

// What to do when Kafka no longer has what was not yet read.
const (
	lostRecord = "record"
	lostStop   = "stop"
)

// DefaultConfig returns the values used in production.
func DefaultConfig() Config {
	p := parquetout.DefaultOptions()
	return Config{
		Group:            "millstream-batcher",
		Cut:              CutConfig{Age: 20 * time.Second, Bytes: 64 * config.MiB, Rows: 1_000_000, Files: 2000},
		File:             FileConfig{MaxBytes: 100 * config.MiB},
		RevokeBudget:     20 * time.Second,
		DrainTimeout:     25 * time.Second,
		RebalanceTimeout: 60 * time.Second,
		SessionTimeout:   45 * time.Second,
		OnLostOffsets:    lostRecord,
		Memory:           MemoryConfig{Fetch: 48 * config.MiB, Chunks: 192 * config.MiB},
		Disk:             DiskConfig{Dir: "<data_dir>/spool/batcher"},
		Limits:           LimitsConfig{Columns: 1000, FlattenDepth: 5},
		Parquet: ParquetConfig{
			Compression: string(p.Compression), RowGroupRows: p.RowGroupRows, RowGroupBytes: config.Bytes(p.RowGroupBytes),
		},
	}
}

// Validate returns every problem, joined, each led by its key path.
func (c Config) Validate() error {
	return errors.Join(
		config.NotEmpty("batcher.group", c.Group),
		config.Positive("batcher.cut.age", c.Cut.Age),
		config.Positive("batcher.cut.bytes", c.Cut.Bytes),
		config.Positive("batcher.cut.rows", c.Cut.Rows),
		config.Positive("batcher.cut.files", c.Cut.Files),
		config.Between("batcher.file.max_bytes", c.File.MaxBytes, config.MiB, 120*config.MiB),
		config.Positive("batcher.revoke_budget", c.RevokeBudget),
		config.AtMost("batcher.revoke_budget", c.RevokeBudget, "batcher.rebalance_timeout", c.RebalanceTimeout),
		config.NonNegative("batcher.drain_timeout", c.DrainTimeout),
		config.Positive("batcher.session_timeout", c.SessionTimeout),
		config.OneOf("batcher.on_lost_offsets", c.OnLostOffsets, lostRecord, lostStop),
		config.Positive("batcher.memory.fetch", c.Memory.Fetch),
		config.Positive("batcher.memory.chunks", c.Memory.Chunks),
		config.NotEmpty("batcher.disk.dir", c.Disk.Dir),
		config.Between("batcher.limits.columns", c.Limits.Columns, 50, 1500),
		config.Between("batcher.limits.flatten_depth", c.Limits.FlattenDepth, 1, 20),
		config.OneOf("batcher.parquet.compression", c.Parquet.Compression, string(parquetout.Snappy), string(parquetout.Gzip)),
		config.Between("batcher.parquet.row_group_rows", c.Parquet.RowGroupRows, parquetout.MinRowGroup, 1<<24),
		config.Positive("batcher.parquet.row_group_bytes", c.Parquet.RowGroupBytes),
	)
}

func (c Config) parquet() parquetout.Options {
	o := parquetout.DefaultOptions()
	o.Compression = parquetout.Compression(c.Parquet.Compression)
	o.RowGroupRows, o.RowGroupBytes = c.Parquet.RowGroupRows, int64(c.Parquet.RowGroupBytes)
	return o
}
