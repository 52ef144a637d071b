package cdc

import (
	"errors"
	"strings"
	"time"

	"github.com/millstream-data/millstream/internal/config"
)

// SourceConfig describes a database.
type SourceConfig struct {
	Kind          string                 `yaml:"kind" doc:"postgres, mysql, mariadb or sqlite"`
	DSN           config.Secret          `yaml:"dsn" doc:"postgres://user:password@host:port/database, mysql://user:password@host:port/database, mariadb://…, or file:/path/shop.db; may be a replica"`
	DSNEnv        string                 `yaml:"dsn_env" doc:"name of the environment variable that holds the DSN, instead of dsn"`
	HorizonDSN    config.Secret          `yaml:"horizon_dsn" doc:"the primary, where dsn is a replica"`
	HorizonDSNEnv string                 `yaml:"horizon_dsn_env" doc:"name of the environment variable that holds it, instead of horizon_dsn"`
	Slots         int                    `yaml:"slots" doc:"shares of the tables, each with one writer; fixed for the life of the source's state"`
	Connections   ConnectionsConfig      `yaml:"connections" doc:"bounds of connections"`
	Timeouts      TimeoutsConfig         `yaml:"timeouts" doc:"bounds of what runs at the origin"`
	Horizon       HorizonConfig          `yaml:"horizon" doc:"how the moment is found that polls are complete to"`
	Page          PageConfig             `yaml:"page" doc:"size of pages"`
	Guard         GuardConfig            `yaml:"guard" doc:"load of the origin above which reconcile, full and loads pause"`
	Breaker       BreakerConfig          `yaml:"breaker" doc:"how long an origin that is away is left alone"`
	Exclude       []string               `yaml:"exclude" doc:"patterns of tables that are not read, such as audit.* or *.tmp_*"`
	Tables        map[string]TableConfig `yaml:"tables" doc:"the tables to read, by schema.table as the origin writes them, or by pattern; an exact name wins over a pattern"`
}

// ConnectionsConfig bounds connections to the origin; one more is the sampler's.
type ConnectionsConfig struct {
	Max      int           `yaml:"max" doc:"pages that are read at once, over all slots"`
	Reserved int           `yaml:"reserved" doc:"connections that only incremental and xmin polls use"`
	Timeout  time.Duration `yaml:"timeout" doc:"time to connect"`
}

// TimeoutsConfig bounds statements and transactions at the origin.
type TimeoutsConfig struct {
	Statement time.Duration `yaml:"statement" doc:"of a statement"`
	Lock      time.Duration `yaml:"lock" doc:"of waiting for a lock; the page comes again later"`
	Idle      time.Duration `yaml:"idle" doc:"the server ends a transaction of ours that is idle for this long"`
	Snapshot  time.Duration `yaml:"snapshot" doc:"no transaction of ours is older"`
	Keyless   time.Duration `yaml:"keyless" doc:"no transaction of ours that reads a table without a key is older"`
}

// HorizonConfig holds the options of the sampler.
type HorizonConfig struct {
	Method          string        `yaml:"method" doc:"auto; postgres: activity, locks, lookback; mysql, mariadb: process, lookback; sqlite: lock, lookback"`
	Every           time.Duration `yaml:"every" doc:"samples are at least this far apart"`
	Slack           time.Duration `yaml:"slack" doc:"how long a server process may stand between reading the clock and taking its lock"`
	Settle          time.Duration `yaml:"settle" doc:"how long a first load waits for older transactions before it begins and reads again later"`
	InitialLookback time.Duration `yaml:"initial_lookback" doc:"how old a transaction may be that the first sample finds and whose begin cannot be seen"`
	Lookback        time.Duration `yaml:"lookback" doc:"method lookback: how old a transaction may be"`
	FailoverRewind  time.Duration `yaml:"failover_rewind" doc:"how far stamp cursors go back when another server has taken over"`
	IgnoreUsers     []string      `yaml:"ignore_users" doc:"users whose transactions write none of the tables"`
}

// PageConfig bounds pages; their size follows the time that they take.
type PageConfig struct {
	Target time.Duration `yaml:"target" doc:"time that a page should take"`
	Start  int           `yaml:"start" doc:"rows of the first page"`
	Min    int           `yaml:"min" doc:"least rows"`
	Max    int           `yaml:"max" doc:"most rows"`
	Bytes  config.Bytes  `yaml:"bytes" doc:"a page that is larger when encoded makes the next one smaller"`
}

// GuardConfig keeps heavy work away from an origin that is busy.
type GuardConfig struct {
	Active     int           `yaml:"active" doc:"open transactions (mysql, mariadb: running threads)"`
	ReplicaLag time.Duration `yaml:"replica_lag" doc:"lag of the replica that is read"`
	HorizonAge time.Duration `yaml:"horizon_age" doc:"age of the horizon that is warned of"`
}

// BreakerConfig bounds the pause after a connection error; it doubles from Min to Max.
type BreakerConfig struct {
	Min time.Duration `yaml:"min" doc:"first pause"`
	Max time.Duration `yaml:"max" doc:"longest pause"`
}

// SetDefaults serves internal/config: a source that the file names begins with these values.
func (s *SourceConfig) SetDefaults() {
	s.Slots = 1
	s.Connections = ConnectionsConfig{Max: 4, Reserved: 1, Timeout: 5 * time.Second}
	s.Timeouts = TimeoutsConfig{Statement: 30 * time.Second, Lock: time.Second, Idle: 10 * time.Second, Snapshot: time.Minute, Keyless: 10 * time.Minute}
	s.Horizon = HorizonConfig{
		Method: wordAuto, Every: time.Second, Slack: time.Second, Settle: 30 * time.Second, InitialLookback: 24 * time.Hour,
		Lookback: 15 * time.Minute, FailoverRewind: 10 * time.Minute,
	}
	s.Page = PageConfig{Target: 500 * time.Millisecond, Start: 1000, Min: 200, Max: 50000, Bytes: 8 * config.MiB}
	s.Guard = GuardConfig{Active: 40, ReplicaLag: 10 * time.Second, HorizonAge: time.Hour}
	s.Breaker = BreakerConfig{Min: time.Second, Max: 5 * time.Minute}
}

func (s SourceConfig) validate(path string, largest config.Bytes) error {
	errs := []error{
		config.OneOf(path+".kind", s.Kind, kindPostgres, kindMySQL, kindMariaDB, kindSQLite),
		config.Positive(path+".slots", s.Slots),
		config.Positive(path+".connections.max", s.Connections.Max),
		config.NonNegative(path+".connections.reserved", s.Connections.Reserved),
		config.Positive(path+".connections.timeout", s.Connections.Timeout),
		config.Positive(path+".timeouts.statement", s.Timeouts.Statement),
		config.Positive(path+".timeouts.lock", s.Timeouts.Lock),
		config.Positive(path+".timeouts.idle", s.Timeouts.Idle),
		config.Positive(path+".timeouts.snapshot", s.Timeouts.Snapshot),
		config.Positive(path+".timeouts.keyless", s.Timeouts.Keyless),
		config.OneOf(path+".horizon.method", s.Horizon.Method, methods(s.Kind)...),
		config.Positive(path+".horizon.every", s.Horizon.Every),
		config.NonNegative(path+".horizon.slack", s.Horizon.Slack),
		config.NonNegative(path+".horizon.settle", s.Horizon.Settle),
		config.Positive(path+".horizon.initial_lookback", s.Horizon.InitialLookback),
		config.Positive(path+".horizon.lookback", s.Horizon.Lookback),
		config.NonNegative(path+".horizon.failover_rewind", s.Horizon.FailoverRewind),
		config.Positive(path+".page.target", s.Page.Target),
		config.Positive(path+".page.min", s.Page.Min),
		config.Between(path+".page.start", s.Page.Start, s.Page.Min, s.Page.Max),
		config.Positive(path+".page.bytes", s.Page.Bytes),
		config.Positive(path+".guard.active", s.Guard.Active),
		config.Positive(path+".guard.replica_lag", s.Guard.ReplicaLag),
		config.Positive(path+".guard.horizon_age", s.Guard.HorizonAge),
		config.Positive(path+".breaker.min", s.Breaker.Min),
		config.AtMost(path+".breaker.min", s.Breaker.Min, path+".breaker.max", s.Breaker.Max),
		s.validateDSN(path),
	}
	if s.Connections.Max > 0 {
		errs = append(errs, config.AtMost(path+".slots", s.Slots, path+".connections.max", s.Connections.Max),
			config.AtMost(path+".connections.reserved", s.Connections.Reserved, path+".connections.max", s.Connections.Max))
	}
	for i, pattern := range s.Exclude {
		errs = append(errs, config.NotEmpty(path+".exclude["+itoa(i)+"]", pattern))
	}
	return errors.Join(append(errs, s.validateTables(path, largest))...)
}

func (s SourceConfig) validateDSN(path string) error {
	var errs []error
	if s.DSNEnv == "" {
		errs = append(errs, config.NotEmpty(path+".dsn", s.DSN))
	}
	if s.DSN != "" && s.DSNEnv != "" {
		errs = append(errs, config.Invalid(path+".dsn_env", "stands beside dsn; keep one"))
	}
	if s.HorizonDSN != "" && s.HorizonDSNEnv != "" {
		errs = append(errs, config.Invalid(path+".horizon_dsn_env", "stands beside horizon_dsn; keep one"))
	}
	if s.Kind == kindSQLite && (s.HorizonDSN != "" || s.HorizonDSNEnv != "") {
		errs = append(errs, config.Invalid(path+".horizon_dsn", "a SQLite file has no replicas; leave it out"))
	}
	return errors.Join(errs...)
}

func (s SourceConfig) validateTables(path string, largest config.Bytes) error {
	var errs []error
	if len(s.Tables) == 0 {
		errs = append(errs, config.Invalid(path+".tables", `must name at least one table, or "*.*" for all`))
	}
	topics, targets := map[string]string{}, map[string]string{}
	for _, name := range sortedKeys(s.Tables) {
		t := s.Tables[name]
		errs = append(errs, t.validate(path+".tables."+name, name, s.Kind, largest))
		if isPattern(name) {
			if t.Topic.Name != "" {
				errs = append(errs, config.Invalid(path+".tables."+name+".topic.name", "would be the topic of all tables of the pattern; name it for one table"))
			}
			continue
		}
		topic, target := strings.ToLower(t.topicOf("x", s.Kind, name)), strings.ToLower(name)
		other, taken := topics[topic]
		if !taken {
			other, taken = targets[target]
		}
		if taken {
			errs = append(errs, config.Invalid(path+".tables."+name, "would share topic or warehouse table with %s", other))
		}
		topics[topic], targets[target] = name, name
	}
	return errors.Join(errs...)
}

func methods(kind string) []string {
	switch kind {
	case kindSQLite:
		return []string{wordAuto, string(basisLock), string(basisLookback)}
	case kindMySQL, kindMariaDB:
		return []string{wordAuto, string(basisProcess), string(basisLookback)}
	}
	return []string{wordAuto, string(basisActivity), string(basisLocks), string(basisLookback)}
}

// mysqlFamily says whether a kind of source speaks MySQL's protocol.
func mysqlFamily(kind string) bool { return kind == kindMySQL || kind == kindMariaDB }
