package upload

import (
	"errors"
	"regexp"

	"github.com/millstream-data/millstream/internal/config"
)

// Config holds the options of uploads; start from DefaultConfig.
type Config struct {
	Schema   string       `yaml:"schema" doc:"schema of the tables that millstream upload makes"`
	MaxBytes config.Bytes `yaml:"max_bytes" doc:"size of a file at most, unpacked"`
}

// DefaultConfig returns the values used in production.
func DefaultConfig() Config { return Config{Schema: "uploads", MaxBytes: 5 * config.GiB} }

var goodSchema = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)

// Validate returns every problem, joined, each led by its key path.
func (c Config) Validate() error {
	var schema error
	if !goodSchema.MatchString(c.Schema) || c.Schema == "millstream" {
		schema = config.Invalid("uploads.schema", "must be of lower-case letters, digits and _, and not millstream (got %q)", c.Schema)
	}
	return errors.Join(schema, config.Positive("uploads.max_bytes", c.MaxBytes))
}
