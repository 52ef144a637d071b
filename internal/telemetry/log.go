package telemetry

import (
	"errors"
	"io"
	"log/slog"

	"github.com/millstream-data/millstream/internal/config"
)

// LogConfig holds the options of the log; start from DefaultLogConfig.
type LogConfig struct {
	Level  string `yaml:"level" doc:"least level that is written: debug, info, warn or error"`
	Format string `yaml:"format" doc:"text, or json with one object a line"`
}

// DefaultLogConfig returns the values used in production.
func DefaultLogConfig() LogConfig { return LogConfig{Level: "info", Format: "text"} }

// Validate returns every problem, joined, each led by its key path.
func (c LogConfig) Validate() error {
	return errors.Join(
		config.OneOf("log.level", c.Level, "debug", "info", "warn", "error"),
		config.OneOf("log.format", c.Format, "text", "json"),
	)
}

// NewLogger returns a logger that writes whole lines to w, with times in UTC. cfg must be valid.
func NewLogger(w io.Writer, cfg LogConfig) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.Level)); err != nil {
		panic("BUG: log.level was not validated: " + cfg.Level)
	}
	opts := &slog.HandlerOptions{Level: level, ReplaceAttr: inUTC}
	if cfg.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// inUTC lets the lines of machines in different zones be merged by sorting.
func inUTC(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindTime {
		a.Value = slog.TimeValue(a.Value.Time().UTC())
	}
	return a
}
