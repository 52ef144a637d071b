package metric

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/millstream-data/millstream/internal/config"
)

// StoreConfig says where the metric store is; start from DefaultStoreConfig.
type StoreConfig struct {
	DSN              string        `yaml:"dsn" doc:"postgres://user@host:5432/database or sqlite:FILE; required by rollup and serve"`
	Password         config.Secret `yaml:"password" doc:"password, if the DSN has none"`
	MaxConns         int           `yaml:"max_conns" doc:"connections at once; postgres only"`
	StatementTimeout time.Duration `yaml:"statement_timeout" doc:"how long a statement may take"`
}

// DefaultStoreConfig returns the values used in production.
func DefaultStoreConfig() StoreConfig {
	return StoreConfig{MaxConns: 8, StatementTimeout: 30 * time.Second}
}

// Validate returns every problem, joined, each led by its key path. An empty
// DSN is a problem only to the roles that use the store: see Configured.
func (c StoreConfig) Validate() error {
	var dsn error
	if c.DSN != "" && c.driver() == "" {
		dsn = config.Invalid("metric_store.dsn", "must begin with postgres:// or sqlite:")
	}
	return errors.Join(dsn,
		config.Between("metric_store.max_conns", c.MaxConns, 1, 1000),
		config.Positive("metric_store.statement_timeout", c.StatementTimeout))
}

// SQLiteFile returns the file of an SQLite store, and whether c names one.
func (c StoreConfig) SQLiteFile() (string, bool) {
	return strings.CutPrefix(c.DSN, "sqlite:")
}

// Configured is an error with the way out if no store is named.
func (c StoreConfig) Configured() error {
	if c.DSN == "" {
		return fmt.Errorf("%w, for example sqlite:/var/lib/millstream/metrics.db", config.Invalid("metric_store.dsn", "must name the metric store"))
	}
	return nil
}

func (c StoreConfig) driver() string {
	for _, d := range []string{"postgres://", "postgresql://", "sqlite:"} {
		if strings.HasPrefix(c.DSN, d) {
			return d
		}
	}
	return ""
}
