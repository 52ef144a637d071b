package redshift

import (
	"context"
	"errors"
	"io"

	"github.com/millstream-data/millstream/internal/config"
)

// Objects is what COPY reads through. A missing object is an error for which errors.Is(err, fs.ErrNotExist) holds.
type Objects interface {
	// Size returns the object's length in bytes.
	Size(ctx context.Context, bucket, key string) (int64, error)
	// Open returns the object's bytes from its beginning; the caller closes it.
	Open(ctx context.Context, bucket, key string) (io.ReadCloser, error)
}

// The isolation levels of Config.Isolation.
const (
	IsolationSnapshot     = "snapshot"
	IsolationSerializable = "serializable"
)

// Config holds the options of the local Redshift; start from DefaultConfig.
type Config struct {
	Listen    string        `yaml:"listen" doc:"address of the local Redshift, loopback only; port 0 picks a free one"`
	User      string        `yaml:"user" doc:"the one user who may log in"`
	Password  config.Secret `yaml:"password" doc:"that user's password"`
	Database  string        `yaml:"database" doc:"the one database"`
	Dir       string        `yaml:"dir" doc:"folder of the database file; one process at a time opens it"`
	Memory    config.Bytes  `yaml:"memory" doc:"memory that DuckDB may use before it spills to dir"`
	Threads   int           `yaml:"threads" doc:"threads that DuckDB may use"`
	Isolation string        `yaml:"isolation" doc:"snapshot, or serializable, which adds error 1023 as Redshift's older databases do"`
	Faults    bool          `yaml:"faults" doc:"let SELECT millstream_local.fault('…') break things; for tests"`
	Sessions  int           `yaml:"sessions" doc:"sessions at a time; more are refused with 53300"`
}

// DefaultConfig returns the values that millstream dev starts from; Dir is the caller's to set.
func DefaultConfig() Config {
	return Config{
		Listen: "127.0.0.1:5439", User: "millstream", Password: "millstream", Database: "millstream",
		Memory: config.GiB, Threads: 2, Isolation: IsolationSnapshot, Sessions: 100,
	}
}

// Validate returns every problem, joined, each led by its key path.
func (c Config) Validate() error {
	return errors.Join(
		config.NotEmpty("local.redshift.listen", c.Listen),
		config.NotEmpty("local.redshift.user", c.User),
		config.NotEmpty("local.redshift.database", c.Database),
		config.NotEmpty("local.redshift.dir", c.Dir),
		config.Positive("local.redshift.memory", c.Memory),
		config.Positive("local.redshift.threads", c.Threads),
		config.Positive("local.redshift.sessions", c.Sessions),
		config.OneOf("local.redshift.isolation", c.Isolation, IsolationSnapshot, IsolationSerializable),
	)
}
