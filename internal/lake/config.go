package lake

import (
	"errors"

	"github.com/millstream-data/millstream/internal/config"
)

// Config says where the lake is; start from DefaultConfig.
type Config struct {
	Bucket string `yaml:"bucket" doc:"bucket of the lake; required"`
	Prefix string `yaml:"prefix" doc:"leads all keys, without slashes at its ends"`
}

// DefaultConfig returns the values used in production.
func DefaultConfig() Config { return Config{Prefix: "millstream"} }

// Validate returns every problem, joined, each led by its key path.
func (c Config) Validate() error {
	return errors.Join(config.NotEmpty("lake.bucket", c.Bucket), config.NotEmpty("lake.prefix", c.Prefix))
}
