package batcher

import (
	"errors"
	"fmt"
	"path"
	"time"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/parquetout"
)

// Config holds the options of the batcher; start from DefaultConfig.
type Config struct {
	Group            string        `yaml:"group" doc:"consumer group of all batchers"`
	InstanceID       string        `yaml:"instance_id" doc:"static member of the group, so that a restart moves no partition; empty: none"`
	Topics           []TopicConfig `yaml:"topics" doc:"topics with limits of their own; the first that matches counts. Every topic of events and changes is consumed, listed or not"`
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

	Types        map[string]string `yaml:"types" doc:"types of columns that are not to be inferred, by source.table.column in the lake's names; as app.order_completed.total: decimal(18,2). A column that is in the lake keeps its type"`
	Columns      ColumnsConfig     `yaml:"columns" doc:"columns that are not wanted"`
	PromoteAfter int               `yaml:"promote_after" doc:"values that did not fit a column in one process before it gets a sibling of strings, <name>__str"`

	Parquet    ParquetConfig    `yaml:"parquet" doc:"shape of data files"`
	Compaction CompactionConfig `yaml:"compaction" doc:"rewriting the small files of hours that are over; readers see the same rows, and the loader never looks at it"`
	GC         GCConfig         `yaml:"gc" doc:"what millstream gc removes"`
}

// TopicConfig holds what differs for some topics.
type TopicConfig struct {
	Match string    `yaml:"match" doc:"name of the topics; * stands for any letters, ? for one"`
	Cut   CutConfig `yaml:"cut" doc:"their limits; what is 0 is as in batcher.cut"`
}

// CutConfig holds the limits of an open range.
type CutConfig struct {
	Age    time.Duration `yaml:"age" doc:"time since the first record, by the wall clock, with or without traffic"`
	MaxAge time.Duration `yaml:"max_age" doc:"age to which that grows, in steps, while a partition's commits have more than 200 files of less than 64KiB on average"`
	Bytes  config.Bytes  `yaml:"bytes" doc:"estimated size of its files together"`
	Rows   int64         `yaml:"rows" doc:"rows in its files together"`
	Files  int           `yaml:"files" doc:"number of its files"`
}

// FileConfig holds the limits of a data file.
type FileConfig struct {
	MaxBytes config.Bytes `yaml:"max_bytes" doc:"a file that is estimated at so much is closed and another begun; Redshift wants files below 128 MB"`
}

// MemoryConfig holds the bounds of memory.
type MemoryConfig struct {
	Fetch     config.Bytes `yaml:"fetch" doc:"records that were fetched and wait for their turn; beyond it fetching waits"`
	Chunks    config.Bytes `yaml:"chunks" doc:"rows that are not yet in a file; from 90 % on fetching pauses, the largest go to their files, and the largest range is cut"`
	RowGroups config.Bytes `yaml:"row_groups" doc:"row groups of open files; from 90 % on fetching pauses, the largest go to disk, and the largest range is cut"`
}

// CompactionConfig says when the files of an hour are rewritten.
type CompactionConfig struct {
	Enabled  bool          `yaml:"enabled" doc:"the batcher that owns partition 0 of the topic of events compacts the hours of the last two days; millstream compact does all of them, whether this is set or not"`
	Grace    time.Duration `yaml:"grace" doc:"time after the end of an hour for late records"`
	MinFiles int           `yaml:"min_files" doc:"an hour of a table is compacted when it has more small files than so many"`
	Small    config.Bytes  `yaml:"small" doc:"a file below this size is small; others stay as they are"`
}

// GCConfig says what may be removed.
type GCConfig struct {
	Keep          time.Duration `yaml:"keep" doc:"age of what nobody names, and time since a compaction, before an object is removed; readers that have listed files must end within it"`
	RespectLoader bool          `yaml:"respect_loader" doc:"keep replaced files until the loader says in _loads/_positions.json that it is past them; false where there is no loader"`
}

// DiskConfig says where files wait for their commit.
type DiskConfig struct {
	Dir   string       `yaml:"dir" doc:"folder of one batcher alone; it is emptied at the start and holds nothing durable"`
	Limit config.Bytes `yaml:"limit" doc:"size of the files together; from 90 % on fetching pauses and the largest range is cut"`
}

// LimitsConfig holds bounds of tables and rows.
type LimitsConfig struct {
	EventTables  int `yaml:"event_tables" doc:"tables of track events a source; an event with a new name beyond it goes to tracks_other"`
	Columns      int `yaml:"columns" doc:"columns of a table; what would need another one goes to _unmapped (Redshift ends at 1600)"`
	FlattenDepth int `yaml:"flatten_depth" doc:"levels of objects that become columns; deeper ones are json"`
	MaxRowBytes  int `yaml:"max_row_bytes" doc:"a record whose row would have more bytes becomes a dead letter (Redshift ends at 4 MB)"`
}

// ParquetConfig holds the shape of data files.
type ParquetConfig struct {
	Compression   string       `yaml:"compression" doc:"snappy or gzip; zstd with allow_zstd"`
	AllowZstd     bool         `yaml:"allow_zstd" doc:"take zstd as a compression; Redshift's COPY does not document it inside Parquet, so try it on your cluster first"`
	RowGroupRows  int64        `yaml:"row_group_rows" doc:"rows of a row group"`
	RowGroupBytes config.Bytes `yaml:"row_group_bytes" doc:"uncompressed size of a row group"`
}

// What memory holds beside the budgets.
const (
	windowBytes    = 20 * config.MiB // a full duplicate window of the default size
	windowsCounted = 4               // at least
	otherBytes     = 80 * config.MiB // the program itself, clients, and what is on its way
	// The program's own pages are resident, too, but no limit of the heap counts them.
	programBytes = 92 * config.MiB
)

// Resident bounds the resident memory of a batcher that owns so many partitions
// of events, whatever the backlog: the budgets, a window for each partition, but
// at least four, and what it works with.
func (m MemoryConfig) Resident(partitions int) config.Bytes {
	return m.Fetch + m.Chunks + m.RowGroups + windowBytes*config.Bytes(max(partitions, windowsCounted)) + otherBytes
}

// Sum does the sum of Resident for people, for a topic of so many partitions.
func (m MemoryConfig) Sum(partitions int) string {
	out := fmt.Sprintf("up to %s resident: budgets %s, windows of up to %d partitions %s, %s beside",
		m.Resident(0), m.Fetch+m.Chunks+m.RowGroups, windowsCounted, windowsCounted*windowBytes, otherBytes)
	if partitions > windowsCounted {
		out += fmt.Sprintf("; %s if one batcher reads all %d partitions of events", m.Resident(partitions), partitions)
	}
	return out
}

// Limit is what debug.SetMemoryLimit should be told for Resident to hold.
func (m MemoryConfig) Limit(partitions int) int64 {
	return int64(max(m.Resident(partitions)-programBytes, 64*config.MiB))
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
		Cut:              CutConfig{Age: 20 * time.Second, MaxAge: 30 * time.Second, Bytes: 64 * config.MiB, Rows: 1_000_000, Files: 2000},
		File:             FileConfig{MaxBytes: 100 * config.MiB},
		RevokeBudget:     20 * time.Second,
		DrainTimeout:     25 * time.Second,
		RebalanceTimeout: 60 * time.Second,
		SessionTimeout:   45 * time.Second,
		OnLostOffsets:    lostRecord,
		Memory:           MemoryConfig{Fetch: 48 * config.MiB, Chunks: 96 * config.MiB, RowGroups: 96 * config.MiB},
		Disk:             DiskConfig{Dir: "<data_dir>/spool/batcher", Limit: 4 * config.GiB},
		Limits:           LimitsConfig{EventTables: 500, Columns: 1000, FlattenDepth: 5, MaxRowBytes: 4_000_000},
		PromoteAfter:     100,
		Compaction:       CompactionConfig{Grace: 2 * time.Hour, MinFiles: 8, Small: 16 * config.MiB},
		GC:               GCConfig{Keep: 168 * time.Hour, RespectLoader: true},
		Parquet: ParquetConfig{
			Compression: string(p.Compression), RowGroupRows: p.RowGroupRows, RowGroupBytes: config.Bytes(p.RowGroupBytes),
		},
	}
}

// Validate returns every problem, joined, each led by its key path.
func (c Config) Validate() error {
	return errors.Join(
		config.NotEmpty("batcher.group", c.Group),
		c.validateTopics(),
		config.Positive("batcher.cut.age", c.Cut.Age),
		config.NonNegative("batcher.cut.max_age", c.Cut.MaxAge),
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
		config.Positive("batcher.memory.row_groups", c.Memory.RowGroups),
		config.NotEmpty("batcher.disk.dir", c.Disk.Dir),
		config.Positive("batcher.disk.limit", c.Disk.Limit),
		config.Positive("batcher.limits.event_tables", c.Limits.EventTables),
		config.Between("batcher.limits.columns", c.Limits.Columns, 50, 1500),
		config.Between("batcher.limits.flatten_depth", c.Limits.FlattenDepth, 1, 20),
		config.Between("batcher.limits.max_row_bytes", c.Limits.MaxRowBytes, 100_000, 4_000_000),
		config.Positive("batcher.promote_after", c.PromoteAfter),
		validateColumns(c.Types, c.Columns.Drop),
		c.Parquet.validateCompression(),
		config.Between("batcher.parquet.row_group_rows", c.Parquet.RowGroupRows, parquetout.MinRowGroup, 1<<24),
		config.Positive("batcher.parquet.row_group_bytes", c.Parquet.RowGroupBytes),
		config.NonNegative("batcher.compaction.grace", c.Compaction.Grace),
		config.Positive("batcher.compaction.min_files", c.Compaction.MinFiles),
		config.AtMost("batcher.compaction.small", c.Compaction.Small, "batcher.file.max_bytes", c.File.MaxBytes),
		config.Positive("batcher.compaction.small", c.Compaction.Small),
		c.GC.validate(),
	)
}

// A compaction has an hour from its first put to the object that names it.
const leastKeep = 2 * time.Hour

func (c GCConfig) validate() error {
	if c.Keep < leastKeep {
		return config.Invalid("batcher.gc.keep", "must be >= %s, for what a compaction is about to name (got %s)", leastKeep, c.Keep)
	}
	return nil
}

func (c Config) validateTopics() error {
	var errs []error
	for i, t := range c.Topics {
		key := fmt.Sprintf("batcher.topics[%d]", i)
		if _, err := path.Match(t.Match, ""); err != nil {
			errs = append(errs, config.Invalid(key+".match", "must be a topic's name, in which * and ? stand for others (got %q)", t.Match))
		}
		errs = append(errs, config.NotEmpty(key+".match", t.Match),
			config.NonNegative(key+".cut.age", t.Cut.Age), config.NonNegative(key+".cut.max_age", t.Cut.MaxAge),
			config.NonNegative(key+".cut.bytes", t.Cut.Bytes), config.NonNegative(key+".cut.rows", t.Cut.Rows),
			config.NonNegative(key+".cut.files", t.Cut.Files))
	}
	return errors.Join(errs...)
}

func (c ParquetConfig) validateCompression() error {
	if c.Compression == string(parquetout.Zstd) {
		if c.AllowZstd {
			return nil
		}
		return errors.New("batcher.parquet.compression: is zstd, which Redshift's COPY does not document inside Parquet: try it on your cluster, then set batcher.parquet.allow_zstd")
	}
	return config.OneOf("batcher.parquet.compression", c.Compression, string(parquetout.Snappy), string(parquetout.Gzip))
}

func (c Config) parquet() parquetout.Options {
	o := parquetout.DefaultOptions()
	o.Compression = parquetout.Compression(c.Parquet.Compression)
	o.RowGroupRows, o.RowGroupBytes = c.Parquet.RowGroupRows, int64(c.Parquet.RowGroupBytes)
	return o
}
