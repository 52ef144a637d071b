package care

import (
	"errors"
	"time"

	"github.com/millstream-data/millstream/internal/config"
)

// Config holds the options of maintenance; start from DefaultConfig.
type Config struct {
	Enabled          bool          `yaml:"enabled" doc:"look after tables by night; Redshift's own automatic vacuum and analyze stay on either way"`
	Window           string        `yaml:"window" doc:"hours of the day in which tables are looked after, by the clock of zone; it may run over midnight, as 22:00-03:00"`
	Zone             string        `yaml:"zone" doc:"IANA name of the time zone of window"`
	CompressionEvery time.Duration `yaml:"compression_every" doc:"time after which the encodings of a table's columns are looked at again"`
}

// DefaultConfig returns the values used in production.
func DefaultConfig() Config {
	return Config{Enabled: true, Window: "02:00-05:00", Zone: "UTC", CompressionEvery: 30 * 24 * time.Hour}
}

// Validate returns every problem, joined, each led by its key path.
func (c Config) Validate() error {
	_, err := ParseWindow(c.Window, c.Zone)
	return errors.Join(err, config.Positive("loader.maintenance.compression_every", c.CompressionEvery))
}
