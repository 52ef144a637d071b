// Package kafka makes Kafka clients from the configuration, creates topics,
// and answers the few questions about a log that positions rest on: where it
// begins, where it ends, and which log it is.
package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/wire"
)

// Config says where Kafka is and how to talk to it; start from DefaultConfig.
type Config struct {
	Brokers     []string     `yaml:"brokers" doc:"addresses of some brokers, host:port"`
	TopicPrefix string       `yaml:"topic_prefix" doc:"leads the names of all topics"`
	ClientID    string       `yaml:"client_id" doc:"name by which brokers' logs know this process"`
	TLS         TLSConfig    `yaml:"tls" doc:"encryption of connections"`
	SASL        SASLConfig   `yaml:"sasl" doc:"authentication"`
	Topics      TopicsConfig `yaml:"topics" doc:"how missing topics are created"`
}

// TLSConfig holds the options of encrypted connections.
type TLSConfig struct {
	Enabled    bool   `yaml:"enabled" doc:"encrypt connections"`
	CAFile     string `yaml:"ca_file" doc:"PEM file of authorities; empty: the system's"`
	CertFile   string `yaml:"cert_file" doc:"PEM file of the client's certificate"`
	KeyFile    string `yaml:"key_file" doc:"PEM file of the client's key"`
	ServerName string `yaml:"server_name" doc:"name to expect in the brokers' certificates; empty: their host"`
}

// SASLConfig holds the options of authentication.
type SASLConfig struct {
	Mechanism string        `yaml:"mechanism" doc:"none, PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"`
	User      string        `yaml:"user" doc:"user name"`
	Password  config.Secret `yaml:"password" doc:"password"`
}

// TopicsConfig holds the properties of topics that Millstream creates.
type TopicsConfig struct {
	Create      bool          `yaml:"create" doc:"create topics that are missing"`
	Partitions  int           `yaml:"partitions" doc:"partitions of the topic of events; never change it on a live topic without reading docs/operations.md"`
	Replication int           `yaml:"replication" doc:"replicas of each partition; -1: the brokers' default"`
	Retention   time.Duration `yaml:"retention" doc:"how long events stay in Kafka"`
}

// DefaultConfig returns the values used in production.
func DefaultConfig() Config {
	return Config{
		Brokers:     []string{"127.0.0.1:9092"},
		TopicPrefix: wire.DefaultPrefix,
		ClientID:    "millstream",
		SASL:        SASLConfig{Mechanism: "none"},
		Topics:      TopicsConfig{Create: true, Partitions: 12, Replication: -1, Retention: 7 * 24 * time.Hour},
	}
}

// Validate returns every problem, joined, each led by its key path.
func (c Config) Validate() error {
	errs := []error{
		config.NotEmptyList("kafka.brokers", c.Brokers),
		config.OneOf("kafka.sasl.mechanism", c.SASL.Mechanism, "none", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"),
		config.Between("kafka.topics.partitions", c.Topics.Partitions, 1, 10000),
		config.Positive("kafka.topics.retention", c.Topics.Retention),
	}
	for i, b := range c.Brokers {
		errs = append(errs, config.HostPort(fmt.Sprintf("kafka.brokers[%d]", i), b))
	}
	if strings.Trim(c.TopicPrefix, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != "" || len(c.TopicPrefix) > 64 {
		errs = append(errs, config.Invalid("kafka.topic_prefix", "must be up to 64 letters, digits, dots, underscores and hyphens (got %q)", c.TopicPrefix))
	}
	if c.SASL.Mechanism != "none" {
		errs = append(errs, config.NotEmpty("kafka.sasl.user", c.SASL.User))
	}
	if r := c.Topics.Replication; r == 0 || r < -1 || r > 1000 {
		errs = append(errs, config.Invalid("kafka.topics.replication", "must be > 0, or -1 for the brokers' default (got %d)", r))
	}
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		errs = append(errs, config.Invalid("kafka.tls.cert_file", "needs kafka.tls.key_file beside it, and the other way round"))
	}
	if !c.TLS.Enabled && c.TLS != (TLSConfig{}) {
		errs = append(errs, config.Invalid("kafka.tls.enabled", "must be true for the other keys of kafka.tls to have an effect"))
	}
	return errors.Join(errs...)
}

// Names returns the names of this installation's topics.
func (c Config) Names() wire.Topics { return wire.Topics{Prefix: c.TopicPrefix} }

// NewClient returns a client for c with opts on top. It does not connect; the
// first request does. The caller closes it.
func NewClient(c Config, log *slog.Logger, opts ...kgo.Opt) (*kgo.Client, error) {
	base := []kgo.Opt{
		kgo.SeedBrokers(c.Brokers...),
		kgo.ClientID(c.ClientID),
		kgo.WithLogger(logger{log}),
		kgo.RetryTimeout(10 * time.Second),
		kgo.DialTimeout(5 * time.Second),
		// A topic that is created while a consumer waits for it should be seen soon.
		kgo.MetadataMinAge(250 * time.Millisecond),
	}
	if c.TLS.Enabled {
		conf, err := c.TLS.build()
		if err != nil {
			return nil, err
		}
		base = append(base, kgo.DialTLSConfig(conf))
	}
	if m, ok := c.SASL.build(); ok {
		base = append(base, kgo.SASL(m))
	}
	cl, err := kgo.NewClient(append(base, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("kafka client: %w", err)
	}
	return cl, nil
}

func (c TLSConfig) build() (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.ServerName}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("kafka.tls.ca_file: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("kafka.tls.ca_file: %s holds no PEM certificate", c.CAFile)
		}
	}
	if c.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("kafka.tls.cert_file: %w", err)
		}
		conf.Certificates = []tls.Certificate{cert}
	}
	return conf, nil
}

func (c SASLConfig) build() (sasl.Mechanism, bool) {
	switch c.Mechanism {
	case "PLAIN":
		return plain.Auth{User: c.User, Pass: c.Password.Reveal()}.AsMechanism(), true
	case "SCRAM-SHA-256":
		return scram.Auth{User: c.User, Pass: c.Password.Reveal()}.AsSha256Mechanism(), true
	case "SCRAM-SHA-512":
		return scram.Auth{User: c.User, Pass: c.Password.Reveal()}.AsSha512Mechanism(), true
	}
	return nil, false
}

// DrainContext returns a context that ends d after ctx does: what was taken in
// may be finished with it once intake has ended. The cancel function ends it at
// once and must be called.
func DrainContext(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	out, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(d, func() { cancel(fmt.Errorf("drain: not done %s after the stop", d)) })
		context.AfterFunc(out, func() { timer.Stop() })
	})
	return out, func() { stop(); cancel(context.Canceled) }
}

// logger hands the client's messages to slog; what the client calls info is
// chatter to an operator.
type logger struct{ log *slog.Logger }

func (l logger) Level() kgo.LogLevel {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		return kgo.LogLevelInfo
	}
	return kgo.LogLevelWarn
}

func (l logger) Log(level kgo.LogLevel, msg string, keyvals ...any) {
	at := slog.LevelDebug
	switch level {
	case kgo.LogLevelError, kgo.LogLevelWarn:
		at = slog.LevelWarn
	case kgo.LogLevelNone, kgo.LogLevelInfo, kgo.LogLevelDebug:
	}
	l.log.Log(context.Background(), at, "kafka client", append([]any{"said", msg}, keyvals...)...)
}
