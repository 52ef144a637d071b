package cdc

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/millstream-data/millstream/internal/config"
)

// Config holds the options of the cdc role; start from DefaultConfig.
type Config struct {
	Group       GroupConfig             `yaml:"group" doc:"the consumer group whose assignment is the lease of a source"`
	Transaction TransactionConfig       `yaml:"transaction" doc:"when the open Kafka transaction is committed"`
	Topics      TopicsConfig            `yaml:"topics" doc:"how topics of changes are created"`
	Marks       MarksConfig             `yaml:"marks" doc:"how often control records are repeated"`
	Sources     map[string]SourceConfig `yaml:"sources" doc:"the databases to read, by name; the name is part of topics and of the warehouse's schema"`
}

// GroupConfig holds the options of the lease.
type GroupConfig struct {
	Name           string        `yaml:"name" doc:"name of the consumer group"`
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

// TopicsConfig holds the properties of topics of changes. Their replication is kafka.topics.replication.
type TopicsConfig struct {
	Partitions      int           `yaml:"partitions" doc:"partitions of the topic of a table; fixed for its life"`
	MaxMessageBytes config.Bytes  `yaml:"max_message_bytes" doc:"the largest record"`
	CompactionLag   time.Duration `yaml:"compaction_lag" doc:"records younger than this are not compacted"`
	Retention       time.Duration `yaml:"retention" doc:"how long tombstones stay"`
}

// MarksConfig holds how often marks are repeated.
type MarksConfig struct {
	Quiet  time.Duration `yaml:"quiet" doc:"a table without changes tells its watermark at most this often"`
	Repeat time.Duration `yaml:"repeat" doc:"the schema is announced again this often"`
}

// SourceConfig describes a database.
type SourceConfig struct {
	Kind        string                 `yaml:"kind" doc:"postgres or sqlite"`
	DSN         config.Secret          `yaml:"dsn" doc:"postgres://user:password@host:port/database, or file:/path/shop.db"`
	Connections ConnectionsConfig      `yaml:"connections" doc:"bounds of connections"`
	Timeouts    TimeoutsConfig         `yaml:"timeouts" doc:"bounds of what runs at the origin"`
	Horizon     HorizonConfig          `yaml:"horizon" doc:"how the moment is found that polls are complete to"`
	Page        PageConfig             `yaml:"page" doc:"size of pages"`
	Breaker     BreakerConfig          `yaml:"breaker" doc:"how long an origin that is away is left alone"`
	Tables      map[string]TableConfig `yaml:"tables" doc:"the tables to read, by schema.table as the origin writes them"`
}

// ConnectionsConfig bounds connections to the origin; one more is the sampler's.
type ConnectionsConfig struct {
	Max     int           `yaml:"max" doc:"pages that are read at once"`
	Timeout time.Duration `yaml:"timeout" doc:"time to connect"`
}

// TimeoutsConfig bounds statements and transactions at the origin.
type TimeoutsConfig struct {
	Statement time.Duration `yaml:"statement" doc:"of a statement"`
	Lock      time.Duration `yaml:"lock" doc:"of waiting for a lock; the page comes again later"`
	Idle      time.Duration `yaml:"idle" doc:"the server ends a transaction of ours that is idle for this long"`
	Snapshot  time.Duration `yaml:"snapshot" doc:"no transaction of ours is older"`
}

// HorizonConfig holds the options of the sampler.
type HorizonConfig struct {
	Method          string        `yaml:"method" doc:"auto; postgres: activity, locks, lookback; sqlite: lock, lookback"`
	Slack           time.Duration `yaml:"slack" doc:"how long a server process may stand between reading the clock and taking its lock"`
	Settle          time.Duration `yaml:"settle" doc:"how long a first load waits for older transactions before it begins and reads again later"`
	InitialLookback time.Duration `yaml:"initial_lookback" doc:"how old a transaction may be that the first sample finds and whose begin cannot be seen"`
	Lookback        time.Duration `yaml:"lookback" doc:"method lookback: how old a transaction may be"`
	IgnoreUsers     []string      `yaml:"ignore_users" doc:"postgres: users whose transactions write none of the tables"`
}

// PageConfig bounds pages; their size follows the time that they take.
type PageConfig struct {
	Target time.Duration `yaml:"target" doc:"time that a page should take"`
	Start  int           `yaml:"start" doc:"rows of the first page"`
	Min    int           `yaml:"min" doc:"least rows"`
	Max    int           `yaml:"max" doc:"most rows"`
}

// BreakerConfig bounds the pause after a connection error; it doubles from Min to Max.
type BreakerConfig struct {
	Min time.Duration `yaml:"min" doc:"first pause"`
	Max time.Duration `yaml:"max" doc:"longest pause"`
}

// TableConfig describes how a table is read.
type TableConfig struct {
	Strategies []StrategyConfig `yaml:"strategies" doc:"how changed rows are found; a table may have several"`
	Topic      TopicConfig      `yaml:"topic" doc:"the table's topic"`
	Key        []string         `yaml:"key" doc:"columns that name a row, where the table has neither primary key nor unique index; they must be unique and not null"`
	Clock      ClockConfig      `yaml:"clock" doc:"who writes the stamps"`
	Load       LoadConfig       `yaml:"load" doc:"the first load"`
	Overlap    OverlapConfig    `yaml:"overlap" doc:"what is read again because a transaction was open"`
}

// StrategyConfig is a way of finding changed rows.
type StrategyConfig struct {
	Kind      string        `yaml:"kind" doc:"incremental"`
	Name      string        `yaml:"name" doc:"name in marks, headers and metrics"`
	Timestamp string        `yaml:"timestamp" doc:"the column that each insert and update stamps; should have an index on it and the key"`
	ID        string        `yaml:"id" doc:"a unique integer column that grows with each insert"`
	Every     time.Duration `yaml:"every" doc:"time from one poll to the next"`
}

// TopicConfig holds what differs from cdc.topics.
type TopicConfig struct {
	Partitions int `yaml:"partitions" doc:"0: cdc.topics.partitions"`
}

// ClockConfig says how far stamps can be trusted. Stamps without zone are in UTC.
type ClockConfig struct {
	SetBy string `yaml:"set_by" doc:"application or database (a trigger or default writes now())"`
	Skew  Skew   `yaml:"skew" doc:"how far behind the server's clock a stamp may be; auto: 60s for application, 0s for database"`
}

// LoadConfig holds the options of the first load.
type LoadConfig struct {
	Initial bool `yaml:"initial" doc:"read the rows that are already there; false starts now"`
}

// OverlapConfig bounds the memory of what was published.
type OverlapConfig struct {
	Max int `yaml:"max" doc:"rows remembered; above it rows are published again, and counted"`
}

// Skew is a duration, or auto.
type Skew struct {
	Set bool
	By  time.Duration
}

// UnmarshalText reads auto or a duration.
func (s *Skew) UnmarshalText(text []byte) error {
	if string(text) == "auto" {
		*s = Skew{}
		return nil
	}
	d, err := time.ParseDuration(string(text))
	if err != nil || d < 0 {
		return fmt.Errorf("must be auto or a duration such as 60s (got %q)", text)
	}
	*s = Skew{Set: true, By: d}
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (s Skew) MarshalText() ([]byte, error) {
	if !s.Set {
		return []byte("auto"), nil
	}
	return []byte(s.By.String()), nil
}

// DefaultConfig returns the values used in production.
func DefaultConfig() Config {
	return Config{
		Group:       GroupConfig{Name: "millstream-cdc", SessionTimeout: 10 * time.Second, DrainTimeout: 20 * time.Second},
		Transaction: TransactionConfig{Records: 20000, Bytes: 8 * config.MiB, Linger: 250 * time.Millisecond, Timeout: time.Minute},
		Topics:      TopicsConfig{Partitions: 1, MaxMessageBytes: 4 * config.MiB, CompactionLag: 168 * time.Hour, Retention: 168 * time.Hour},
		Marks:       MarksConfig{Quiet: 5 * time.Minute, Repeat: 24 * time.Hour},
	}
}

// SetDefaults serves internal/config: a source that the file names begins with these values.
func (s *SourceConfig) SetDefaults() {
	s.Connections = ConnectionsConfig{Max: 4, Timeout: 5 * time.Second}
	s.Timeouts = TimeoutsConfig{Statement: 30 * time.Second, Lock: time.Second, Idle: 10 * time.Second, Snapshot: time.Minute}
	s.Horizon = HorizonConfig{
		Method: "auto", Slack: time.Second, Settle: 30 * time.Second, InitialLookback: 24 * time.Hour, Lookback: 15 * time.Minute,
	}
	s.Page = PageConfig{Target: 500 * time.Millisecond, Start: 1000, Min: 200, Max: 50000}
	s.Breaker = BreakerConfig{Min: time.Second, Max: 5 * time.Minute}
}

// SetDefaults serves internal/config.
func (t *TableConfig) SetDefaults() {
	t.Clock.SetBy = "application"
	t.Load.Initial = true
	t.Overlap.Max = 1_000_000
}

// SetDefaults serves internal/config.
func (s *StrategyConfig) SetDefaults() {
	s.Kind, s.Name, s.Every = kindIncremental, kindIncremental, 10*time.Second
}

const (
	kindIncremental = "incremental"
	kindPostgres    = "postgres"
	kindSQLite      = "sqlite"
	byDatabase      = "database"
	byApplication   = "application"
)

var sourceName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)

// Validate returns every problem, joined, each led by its key path.
func (c Config) Validate() error {
	errs := []error{
		config.NotEmpty("cdc.group.name", c.Group.Name),
		config.Positive("cdc.group.session_timeout", c.Group.SessionTimeout),
		config.Positive("cdc.group.drain_timeout", c.Group.DrainTimeout),
		config.Positive("cdc.transaction.records", c.Transaction.Records),
		config.Positive("cdc.transaction.bytes", c.Transaction.Bytes),
		config.Positive("cdc.transaction.linger", c.Transaction.Linger),
		config.Positive("cdc.transaction.timeout", c.Transaction.Timeout),
		config.Positive("cdc.topics.partitions", c.Topics.Partitions),
		config.Positive("cdc.topics.max_message_bytes", c.Topics.MaxMessageBytes),
		config.NonNegative("cdc.topics.compaction_lag", c.Topics.CompactionLag),
		config.Positive("cdc.topics.retention", c.Topics.Retention),
		config.Positive("cdc.marks.quiet", c.Marks.Quiet),
		config.Positive("cdc.marks.repeat", c.Marks.Repeat),
	}
	for _, name := range sortedKeys(c.Sources) {
		path := "cdc.sources." + name
		if !sourceName.MatchString(name) {
			errs = append(errs, config.Invalid(path, "the name of a source must match %s", sourceName))
		}
		errs = append(errs, c.Sources[name].validate(path))
	}
	return errors.Join(errs...)
}

func (s SourceConfig) validate(path string) error {
	errs := []error{
		config.OneOf(path+".kind", s.Kind, kindPostgres, kindSQLite),
		config.NotEmpty(path+".dsn", s.DSN),
		config.Positive(path+".connections.max", s.Connections.Max),
		config.Positive(path+".connections.timeout", s.Connections.Timeout),
		config.Positive(path+".timeouts.statement", s.Timeouts.Statement),
		config.Positive(path+".timeouts.lock", s.Timeouts.Lock),
		config.Positive(path+".timeouts.idle", s.Timeouts.Idle),
		config.Positive(path+".timeouts.snapshot", s.Timeouts.Snapshot),
		config.OneOf(path+".horizon.method", s.Horizon.Method, methods(s.Kind)...),
		config.NonNegative(path+".horizon.slack", s.Horizon.Slack),
		config.NonNegative(path+".horizon.settle", s.Horizon.Settle),
		config.Positive(path+".horizon.initial_lookback", s.Horizon.InitialLookback),
		config.Positive(path+".horizon.lookback", s.Horizon.Lookback),
		config.Positive(path+".page.target", s.Page.Target),
		config.Positive(path+".page.min", s.Page.Min),
		config.Between(path+".page.start", s.Page.Start, s.Page.Min, s.Page.Max),
		config.Positive(path+".breaker.min", s.Breaker.Min),
		config.AtMost(path+".breaker.min", s.Breaker.Min, path+".breaker.max", s.Breaker.Max),
	}
	if len(s.Tables) == 0 {
		errs = append(errs, config.Invalid(path+".tables", "must name at least one table"))
	}
	topics := map[string]string{}
	for _, name := range sortedKeys(s.Tables) {
		errs = append(errs, s.Tables[name].validate(path+".tables."+name, name, s.Kind))
		folded := strings.ToLower(memberOf(s.Kind, name))
		if other, taken := topics[folded]; taken {
			errs = append(errs, config.Invalid(path+".tables."+name, "would share topic or warehouse table with %s", other))
		}
		topics[folded] = name
	}
	return errors.Join(errs...)
}

func methods(kind string) []string {
	if kind == kindSQLite {
		return []string{"auto", string(basisLock), string(basisLookback)}
	}
	return []string{"auto", string(basisActivity), string(basisLocks), string(basisLookback)}
}

func (t TableConfig) validate(path, name, kind string) error {
	var errs []error
	if _, _, ok := splitTable(kind, name); !ok {
		errs = append(errs, config.Invalid(path, "must be schema.table"))
	}
	if len(t.Strategies) == 0 {
		errs = append(errs, config.Invalid(path+".strategies", "must have a strategy, such as [{kind: incremental, timestamp: updated_at}]"))
	}
	for i, s := range t.Strategies {
		at := fmt.Sprintf("%s.strategies[%d]", path, i)
		errs = append(errs,
			config.OneOf(at+".kind", s.Kind, kindIncremental),
			config.NotEmpty(at+".name", s.Name),
			uniqueName(at, t.Strategies, i),
			config.Positive(at+".every", s.Every))
		if s.Timestamp == "" && s.ID == "" {
			errs = append(errs, config.Invalid(at, "must name a column in timestamp, in id, or in both"))
		}
	}
	for i, k := range t.Key {
		errs = append(errs, config.NotEmpty(fmt.Sprintf("%s.key[%d]", path, i), k))
		if slices.Index(t.Key, k) != i {
			errs = append(errs, config.Invalid(path+".key", "names %s twice", k))
		}
	}
	errs = append(errs,
		config.NonNegative(path+".topic.partitions", t.Topic.Partitions),
		config.OneOf(path+".clock.set_by", t.Clock.SetBy, byApplication, byDatabase),
		config.Positive(path+".overlap.max", t.Overlap.Max))
	return errors.Join(errs...)
}

func uniqueName(at string, all []StrategyConfig, i int) error {
	if slices.IndexFunc(all, func(s StrategyConfig) bool { return s.Name == all[i].Name }) != i {
		return config.Invalid(at+".name", "is the name of another strategy of the table too (%s)", all[i].Name)
	}
	return nil
}

// stamps are the columns by whose stamps strategies find rows.
func (t TableConfig) stamps() (names []string) {
	for _, s := range t.Strategies {
		if s.Timestamp != "" {
			names = append(names, s.Timestamp)
		}
	}
	return names
}

// skew is how far below the horizon stamps of committed rows may lie.
func (t TableConfig) skew() time.Duration {
	switch {
	case t.Clock.Skew.Set:
		return t.Clock.Skew.By
	case t.Clock.SetBy == byDatabase:
		return 0
	}
	return time.Minute
}

// splitTable takes schema.table apart. SQLite's only schema is main and may be left out.
func splitTable(kind, name string) (schema, table string, ok bool) {
	schema, table, dotted := strings.Cut(name, ".")
	if kind == kindSQLite && !dotted {
		schema, table = "main", name
	}
	return schema, table, schema != "" && table != ""
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

// memberOf is a table's name with every byte that a topic cannot hold replaced, as wire.Topics does.
func memberOf(kind, name string) string {
	schema, table, _ := splitTable(kind, name)
	return topicNames.Changes("x", schema, table)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
