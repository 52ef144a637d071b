package models

import (
	"errors"

	"github.com/millstream-data/millstream/internal/config"
)

// Config holds the options of SQL models; start from DefaultConfig.
type Config struct {
	Dir      string `yaml:"dir" doc:"folder of models, a SELECT in each *.sql; empty: none"`
	Schema   string `yaml:"schema" doc:"schema of models whose header names none"`
	Parallel int    `yaml:"parallel" doc:"models that are built at a time, one session each"`
}

// DefaultConfig returns the values used in production.
func DefaultConfig() Config { return Config{Schema: "models", Parallel: 2} }

// Validate returns every problem, joined, each led by its key path.
func (c Config) Validate() error {
	var schema error
	if !goodName.MatchString(c.Schema) || c.Schema == "millstream" {
		schema = config.Invalid("models.schema", "must be of lower-case letters, digits and _, and not millstream (got %q)", c.Schema)
	}
	return errors.Join(schema, config.Positive("models.parallel", c.Parallel))
}
