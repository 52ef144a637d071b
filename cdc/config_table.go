package cdc

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millstream-data/millstream/internal/config"
)

// TableConfig describes how a table is read.
type TableConfig struct {
	Strategies []StrategyConfig `yaml:"strategies" doc:"how changed rows are found; empty: as millstream cdc plan prints"`
	Topic      TopicConfig      `yaml:"topic" doc:"the table's topic"`
	Key        []string         `yaml:"key" doc:"columns that name a row, where the table has neither primary key nor unique index; they must be unique and not null"`
	Columns    ColumnsConfig    `yaml:"columns" doc:"which columns are read, and as what"`
	Rows       RowsConfig       `yaml:"rows" doc:"which rows are read"`
	Clock      ClockConfig      `yaml:"clock" doc:"who writes the stamps"`
	Load       LoadConfig       `yaml:"load" doc:"the first load"`
	Overlap    OverlapConfig    `yaml:"overlap" doc:"what is read again because a transaction was open"`
	Store      StoreConfig      `yaml:"store" doc:"the key store of strategies that see deletes"`
	Values     ValuesConfig     `yaml:"values" doc:"what becomes of values without a counterpart"`
	Limits     LimitsConfig     `yaml:"limits" doc:"largest values; longer ones are left out of the row, told in source.adjusted and copied to the dead letters"`
	OnRewrite  string           `yaml:"on_rewrite" doc:"a table that was rewritten or truncated: reread, or ignore where VACUUM FULL is routine"`
	Force      bool             `yaml:"force" doc:"run what the plan refuses for its cost"`
}

// StrategyConfig is a way of finding changed rows. Which keys a kind has is
// checked by Validate.
type StrategyConfig struct {
	Kind      string        `yaml:"kind" doc:"incremental, bounded, xmin (postgres), reconcile or full"`
	Name      string        `yaml:"name" doc:"name in marks, headers and metrics; empty: the kind"`
	Timestamp Columns       `yaml:"timestamp" doc:"incremental: the column that each insert and update stamps, with an index on it and the key; [a, b] is COALESCE(a, b) and wants its index"`
	ID        string        `yaml:"id" doc:"incremental: a unique integer column that grows with each insert"`
	Column    string        `yaml:"column" doc:"bounded: the column of the window"`
	Window    Window        `yaml:"window" doc:"bounded: how far back the window reaches: a duration, or a number for an integer column"`
	Publish   string        `yaml:"publish" doc:"bounded: replace or diff; full: diff where the table has a key store, else replace"`
	Digest    string        `yaml:"digest" doc:"reconcile: auto, xmin (postgres), md5, stamp or crc32 (mysql, mariadb)"`
	Scan      string        `yaml:"scan" doc:"reconcile: auto, range (of the key) or heap (postgres)"`
	Budget    Share         `yaml:"budget" doc:"reconcile: share of one connection's time"`
	Every     time.Duration `yaml:"every" doc:"time from one poll to the next; 0s: 10s (incremental), 5m (xmin, full with diff), 1h (bounded), 24h (reconcile, full with replace)"`
	MaxEvery  time.Duration `yaml:"max_every" doc:"the period grows up to this while nothing changes; 0s: it does not"`
	At        string        `yaml:"at" doc:"time of day, such as 03:00, of a daily poll, instead of every"`
	Zone      string        `yaml:"zone" doc:"zone of at"`
}

// TopicConfig holds what differs from cdc.topics.
type TopicConfig struct {
	Name       string `yaml:"name" doc:"name of the topic below <prefix>.changes.; empty: source.schema.table"`
	Partitions int    `yaml:"partitions" doc:"0: cdc.topics.partitions"`
}

// ColumnsConfig says which columns are read, and as what.
type ColumnsConfig struct {
	Only   []string          `yaml:"only" doc:"the columns to read; empty: all"`
	Except []string          `yaml:"except" doc:"columns that are not read"`
	Rename map[string]string `yaml:"rename" doc:"mysql, mariadb: columns that were renamed at the origin, old name to new name, so that the warehouse renames them too"`
	Types  map[string]string `yaml:"types" doc:"lake type of a column instead of its own: string, bool, int16, int32, int64, float32, float64, decimal(p,s), date, timestamp, json, bytes or uuid"`
}

// RowsConfig says which rows are read.
type RowsConfig struct {
	Where      string `yaml:"where" doc:"SQL condition that rows fulfil to be mirrored; a row that leaves it is a delete to reconcile and full"`
	SoftDelete string `yaml:"soft_delete" doc:"SQL condition of rows that count as deleted, such as deleted_at IS NOT NULL"`
}

// ClockConfig says how far stamps can be trusted.
type ClockConfig struct {
	SetBy string `yaml:"set_by" doc:"application or database (a trigger or default writes now())"`
	Skew  Skew   `yaml:"skew" doc:"how far behind the server's clock a stamp may be; auto: 60s for application, 0s for database"`
	Zone  string `yaml:"zone" doc:"zone whose wall clock stamps without zone show"`
	Nulls string `yaml:"nulls" doc:"rows without a stamp: never, or always: each poll reads them again, up to 100,000"`
}

// LoadConfig holds the options of the first load.
type LoadConfig struct {
	Initial  bool `yaml:"initial" doc:"read the rows that are already there; false starts now"`
	Parallel int  `yaml:"parallel" doc:"pages of a load that are read at once"`
}

// OverlapConfig bounds what is read and remembered again because a transaction was open.
type OverlapConfig struct {
	Share Share `yaml:"share" doc:"share of a strategy's time for reading rows again; above it most polls read new rows only"`
	Max   int   `yaml:"max" doc:"rows remembered; above it rows are published again, and counted"`
}

// StoreConfig holds the options of the key store.
type StoreConfig struct {
	Rows  bool `yaml:"rows" doc:"keep whole rows, so that updates and deletes carry the row before"`
	Range int  `yaml:"range" doc:"keys of a range whose digest is compared"`
}

// ValuesConfig says what becomes of values without a counterpart.
type ValuesConfig struct {
	BigInt   string `yaml:"bigint" doc:"number, or text for readers that parse doubles"`
	Trim     bool   `yaml:"trim" doc:"char(n) without its padding"`
	Infinity string `yaml:"infinity" doc:"infinite dates: clamp to the nearest that can be carried, or null"`
	Oversize string `yaml:"oversize" doc:"texts above limits.string: null, or cut"`
	Unknown  string `yaml:"unknown" doc:"columns of unknown types: text, or refuse to read the table"`
}

// LimitsConfig bounds values and rows.
type LimitsConfig struct {
	String int          `yaml:"string" doc:"bytes of a text"`
	JSON   int          `yaml:"json" doc:"bytes of a JSON value"`
	Bytes  int          `yaml:"bytes" doc:"bytes of a binary value"`
	Row    config.Bytes `yaml:"row" doc:"bytes of a row; larger ones go to the dead letters"`
}

// SetDefaults serves internal/config.
func (t *TableConfig) SetDefaults() {
	t.Clock = ClockConfig{SetBy: byApplication, Zone: "UTC", Nulls: nullsNever}
	t.Load = LoadConfig{Initial: true, Parallel: 2}
	t.Overlap = OverlapConfig{Share: 0.10, Max: 1_000_000}
	t.Store.Range = 10_000
	t.Values = ValuesConfig{BigInt: valueNumber, Infinity: valueClamp, Oversize: valueNull, Unknown: valueAsText}
	t.Limits = LimitsConfig{String: limitString, JSON: limitJSON, Bytes: limitBytes, Row: limitRow}
	t.OnRewrite = rewriteReread
}

// SetDefaults serves internal/config.
func (s *StrategyConfig) SetDefaults() {
	s.Kind, s.Digest, s.Scan, s.Budget, s.Zone = kindIncremental, wordAuto, wordAuto, 0.05, "UTC"
}

// withDefaults returns a copy of t in which names, periods and publish of
// strategies have their values.
func (t TableConfig) withDefaults() TableConfig {
	t.Strategies = slices.Clone(t.Strategies)
	for i := range t.Strategies {
		s := &t.Strategies[i]
		if s.Name == "" {
			s.Name = s.Kind
		}
		if s.Publish == "" {
			s.Publish = t.publish(i)
		}
		if s.Every == 0 && s.At == "" {
			s.Every = s.every()
		}
	}
	return t
}

// publish is the default of the strategy at i.
func (t TableConfig) publish(i int) string {
	switch t.Strategies[i].Kind {
	case kindReconcile:
		return publishDiff
	case kindBounded:
		return publishReplace
	case kindFull:
		if slices.ContainsFunc(t.Strategies, StrategyConfig.stored) {
			return publishDiff
		}
		return publishReplace
	}
	return publishUpsert
}

// stored says whether the strategy needs a key store.
func (s StrategyConfig) stored() bool { return s.Kind == kindReconcile || s.Publish == publishDiff }

// every is the default period, in which publish has its value.
func (s StrategyConfig) every() time.Duration {
	switch {
	case s.Kind == kindIncremental:
		return 10 * time.Second
	case s.Kind == kindXmin, s.Kind == kindFull && s.Publish == publishDiff:
		return 5 * time.Minute
	case s.Kind == kindBounded:
		return time.Hour
	}
	return 24 * time.Hour
}

// stamps are the columns by whose stamps strategies find rows.
func (t TableConfig) stamps() (names []string) {
	for _, s := range t.Strategies {
		if len(s.Timestamp) > 0 {
			names = append(names, s.Timestamp.String())
		}
		if s.Kind == kindBounded && s.Window.By > 0 {
			names = append(names, s.Column)
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

// topicOf is the topic of a table, given the names under which all topics are.
func (t TableConfig) topicOf(source, kind, name string) string {
	if t.Topic.Name != "" {
		return topicNames.ChangesPrefix() + t.Topic.Name
	}
	schema, table, _ := splitTable(kind, name)
	return topicNames.Changes(source, schema, table)
}

// splitTable takes schema.table apart. SQLite's only schema is main and may be left out.
func splitTable(kind, name string) (schema, table string, ok bool) {
	schema, table, dotted := strings.Cut(name, ".")
	if kind == kindSQLite && !dotted {
		schema, table = "main", name
	}
	return schema, table, schema != "" && table != ""
}

func itoa(i int) string { return strconv.Itoa(i) }
