// Package testkit gives tests the servers that roles talk to, each on a port
// of its own and gone with the test. Nothing is mocked: clients speak the real
// protocols to the servers of internal/local.
package testkit

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/local"
	"github.com/millstream-data/millstream/internal/objstore"
)

// Log returns a logger that writes warnings and errors to the test's log.
func Log(tb testing.TB) *slog.Logger {
	tb.Helper()
	return slog.New(slog.NewTextHandler(tb.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// Kafka starts a broker in memory and returns it with the configuration of its
// clients: 4 partitions of events, one replica.
func Kafka(tb testing.TB) (*local.Kafka, kafka.Config) {
	tb.Helper()
	return KafkaAt(tb, "127.0.0.1:0", "")
}

// KafkaAt is Kafka at an address and over a folder, for tests that end a
// broker and start it again; an empty folder keeps the logs in memory.
func KafkaAt(tb testing.TB, listen, dir string) (*local.Kafka, kafka.Config) {
	tb.Helper()
	k, err := local.NewKafka(local.KafkaConfig{Listen: listen, Dir: dir}, Log(tb))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(k.Close)
	cfg := kafka.DefaultConfig()
	cfg.Brokers = []string{k.Addr()}
	cfg.Topics.Partitions, cfg.Topics.Replication = 4, 1
	return k, cfg
}

// KafkaClient returns a client that is closed with the test.
func KafkaClient(tb testing.TB, cfg kafka.Config, opts ...kgo.Opt) *kgo.Client {
	tb.Helper()
	cl, err := kafka.NewClient(cfg, Log(tb), opts...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(cl.Close)
	return cl
}

// Bucket is the bucket that S3 creates.
const Bucket = "lake"

// S3 starts a server over a folder of the test's and returns it with a client
// of its bucket.
func S3(tb testing.TB) (*local.S3, *objstore.Client) {
	tb.Helper()
	s, err := local.NewS3(local.S3Config{Listen: "127.0.0.1:0", Dir: filepath.Join(tb.TempDir(), "s3")}, Log(tb))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Errorf("close s3: %v", err)
		}
	})
	c := S3Client(tb, s)
	if err := c.EnsureBucket(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return s, c
}

// S3Config returns the configuration of clients of s, with few and quick
// retries: a test that takes an answer away should not wait for long.
func S3Config(s *local.S3) objstore.Config {
	cfg := objstore.DefaultConfig()
	cfg.Endpoint, cfg.PathStyle = s.URL(), true
	cfg.AccessKeyID, cfg.SecretAccessKey = "millstream", "millstream"
	cfg.MaxAttempts, cfg.Timeout = 2, 5*time.Second
	return cfg
}

// S3Client returns another client of the bucket of s.
func S3Client(tb testing.TB, s *local.S3) *objstore.Client {
	tb.Helper()
	c, err := objstore.New(tb.Context(), S3Config(s), Bucket, prometheus.NewRegistry())
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// Lake starts an S3 server and returns it with a lake on it.
func Lake(tb testing.TB) (*local.S3, *lake.Lake) {
	tb.Helper()
	s, c := S3(tb)
	return s, &lake.Lake{Store: c, Paths: lake.Paths{Prefix: "millstream"}}
}

// Eventually polls ok until it returns nil, and fails the test with its last
// error and reason when that takes longer than a minute, which a busy machine may need.
func Eventually(tb testing.TB, reason string, ok func() error) {
	tb.Helper()
	deadline := time.Now().Add(time.Minute)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			tb.Fatalf("%s: %v", reason, err)
		}
		select {
		case <-tick.C:
		case <-tb.Context().Done():
			tb.Fatalf("%s: the test ended: %v", reason, err)
		}
	}
}
