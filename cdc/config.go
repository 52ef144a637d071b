package cdc

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/millstream-data/millstream/internal/config"
)

// Config holds the options of the cdc role; start from DefaultConfig.
type Config struct {
	DataDir     string                  `yaml:"data_dir" doc:"folder for key stores; a cache, rebuilt from the topics when it is lost"`
	Group       GroupConfig             `yaml:"group" doc:"the consumer group whose assignment is the lease of a source"`
	Transaction TransactionConfig       `yaml:"transaction" doc:"when the open Kafka transaction is committed"`
	Topics      TopicsConfig            `yaml:"topics" doc:"how topics of changes are created"`
	Marks       MarksConfig             `yaml:"marks" doc:"how often control records are repeated"`
	Sources     map[string]SourceConfig `yaml:"sources" doc:"the databases to read, by name; the name is part of topics and of the warehouse's schema"`
}

// GroupConfig holds the options of the lease.
type GroupConfig struct {
	Name           string        `yaml:"name" doc:"name of the consumer group"`
	Instance       string        `yaml:"instance" doc:"a name that this process keeps over restarts (static membership): a rolling restart then moves no source; empty: none"`
	SessionTimeout time.Duration `yaml:"session_timeout" doc:"a process that is silent for this long loses its sources"`
	DrainTimeout   time.Duration `yaml:"drain_timeout" doc:"time to finish and commit the pages being read after a stop"`
}

// TransactionConfig bounds a Kafka transaction.
type TransactionConfig struct {
	Records int           `yaml:"records" doc:"commit after the page that brings it to so many records"`
	Bytes   config.Bytes  `yaml:"bytes" doc:"commit after the page that brings it to so many bytes"`
	Linger  time.Duration `yaml:"linger" doc:"commit when it has been open for this long"`
	Timeout time.Duration `yaml:"timeout" doc:"the brokers abort a transaction that is open for longer"`
}

// TopicsConfig holds the properties of topics of changes.
type TopicsConfig struct {
	Replication     int           `yaml:"replication" doc:"replicas of each partition of the topics of changes and of state; 0: kafka.topics.replication"`
	Partitions      int           `yaml:"partitions" doc:"partitions of the topic of a table; fixed for its life"`
	MaxMessageBytes config.Bytes  `yaml:"max_message_bytes" doc:"the largest record"`
	CompactionLag   time.Duration `yaml:"compaction_lag" doc:"records younger than this are not compacted"`
	Retention       time.Duration `yaml:"retention" doc:"how long tombstones stay, and the records of tables without a key"`
	Tombstones      bool          `yaml:"tombstones" doc:"follow each delete by a record without value, so that compaction forgets the key"`
	Schemas         string        `yaml:"schemas" doc:"none, or inline: each value is Connect's {\"schema\":…,\"payload\":…}"`
}

// MarksConfig holds how often marks are repeated.
type MarksConfig struct {
	Quiet  time.Duration `yaml:"quiet" doc:"a table without changes tells its watermark at most this often"`
	Repeat time.Duration `yaml:"repeat" doc:"the schema is announced again this often"`
}

// DefaultConfig returns the values used in production.
func DefaultConfig() Config {
	return Config{
		DataDir:     "<data_dir>/cdc",
		Group:       GroupConfig{Name: "millstream-cdc", SessionTimeout: 10 * time.Second, DrainTimeout: 20 * time.Second},
		Transaction: TransactionConfig{Records: 20000, Bytes: 8 * config.MiB, Linger: 250 * time.Millisecond, Timeout: time.Minute},
		Topics: TopicsConfig{
			Partitions: 1, MaxMessageBytes: 4 * config.MiB, CompactionLag: 168 * time.Hour, Retention: 168 * time.Hour,
			Tombstones: true, Schemas: schemasNone,
		},
		Marks: MarksConfig{Quiet: 5 * time.Minute, Repeat: 24 * time.Hour},
	}
}

// The words of the configuration.
const (
	kindPostgres = "postgres"
	kindMySQL    = "mysql"
	kindMariaDB  = "mariadb"
	kindSQLite   = "sqlite"

	kindIncremental = "incremental"
	kindBounded     = "bounded"
	kindXmin        = "xmin"
	kindReconcile   = "reconcile"
	kindFull        = "full"

	byDatabase    = "database"
	byApplication = "application"

	wordAuto      = "auto"
	schemasNone   = "none"
	schemasInline = "inline"

	digestXmin  = "xmin"
	digestMD5   = "md5"
	digestStamp = "stamp"
	digestCRC32 = "crc32"
	scanRange   = "range"
	scanHeap    = "heap"

	nullsNever  = "never"
	nullsAlways = "always"

	rewriteReread = "reread"
	rewriteIgnore = "ignore"

	valueNumber = "number" // values.bigint
	valueClamp  = "clamp"  // values.infinity
	valueNull   = "null"   // values.infinity, values.oversize
	valueCut    = "cut"    // values.oversize
	valueRefuse = "refuse" // values.unknown
	valueAsText = "text"   // values.bigint, values.unknown
)

var sourceName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)

// Validate returns every problem, joined, each led by its key path.
func (c Config) Validate() error {
	errs := []error{
		config.NotEmpty("cdc.data_dir", c.DataDir),
		config.NotEmpty("cdc.group.name", c.Group.Name),
		config.Positive("cdc.group.session_timeout", c.Group.SessionTimeout),
		config.Positive("cdc.group.drain_timeout", c.Group.DrainTimeout),
		config.Positive("cdc.transaction.records", c.Transaction.Records),
		config.Positive("cdc.transaction.bytes", c.Transaction.Bytes),
		config.Positive("cdc.transaction.linger", c.Transaction.Linger),
		config.Positive("cdc.transaction.timeout", c.Transaction.Timeout),
		config.Between("cdc.topics.replication", c.Topics.Replication, 0, 1000),
		config.Positive("cdc.topics.partitions", c.Topics.Partitions),
		config.Between("cdc.topics.max_message_bytes", c.Topics.MaxMessageBytes, 64*config.KiB, config.GiB),
		config.NonNegative("cdc.topics.compaction_lag", c.Topics.CompactionLag),
		config.Positive("cdc.topics.retention", c.Topics.Retention),
		config.OneOf("cdc.topics.schemas", c.Topics.Schemas, schemasNone, schemasInline),
		config.Positive("cdc.marks.quiet", c.Marks.Quiet),
		config.Positive("cdc.marks.repeat", c.Marks.Repeat),
	}
	for _, name := range sortedKeys(c.Sources) {
		path := "cdc.sources." + name
		if !sourceName.MatchString(name) {
			errs = append(errs, config.Invalid(path, "the name of a source must match %s", sourceName))
		}
		errs = append(errs, c.Sources[name].validate(path, c.Topics.MaxMessageBytes))
	}
	return errors.Join(errs...)
}

// withDefaults returns a copy of c in which every default that depends on
// another key has its value.
func (c Config) withDefaults() Config {
	sources := make(map[string]SourceConfig, len(c.Sources))
	for name, s := range c.Sources {
		tables := make(map[string]TableConfig, len(s.Tables))
		for t, cfg := range s.Tables {
			tables[t] = cfg.withDefaults()
		}
		s.Tables = tables
		sources[name] = s
	}
	c.Sources = sources
	return c
}

// ResolveEnv replaces the names of variables by the DSNs that they hold; environ
// is as os.Environ returns it. A variable that is not set is an error.
func (c *Config) ResolveEnv(environ []string) error {
	var errs []error
	lookup := func(path string, variable *string, into *config.Secret) {
		name := *variable
		if name == "" {
			return
		}
		i := slices.IndexFunc(environ, func(e string) bool { return strings.HasPrefix(e, name+"=") })
		if i < 0 || len(environ[i]) == len(name)+1 {
			errs = append(errs, config.Invalid(path, "the variable %s is not set", name))
			return
		}
		*into, *variable = config.Secret(environ[i][len(name)+1:]), ""
	}
	for _, name := range sortedKeys(c.Sources) {
		s := c.Sources[name]
		lookup("cdc.sources."+name+".dsn_env", &s.DSNEnv, &s.DSN)
		lookup("cdc.sources."+name+".horizon_dsn_env", &s.HorizonDSNEnv, &s.HorizonDSN)
		c.Sources[name] = s
	}
	return errors.Join(errs...)
}

// Schemas returns the schemas of each source of c whose tables are read, in order.
func (c Config) Schemas() map[string][]string {
	out := map[string][]string{}
	for source, s := range c.Sources {
		for _, name := range sortedKeys(s.Tables) {
			schema, _, _ := splitTable(s.Kind, name)
			if !slices.Contains(out[source], schema) {
				out[source] = append(out[source], schema)
			}
		}
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
