// Package local embeds the servers that Millstream needs, for one laptop and
// for tests: a Kafka broker (kfake on disk) and an S3 server (gofakes3 over a
// folder). The local Redshift is in the package redshift below. They speak the
// real protocols, so no role knows whom it talks to; what they lack is scale,
// replication and access control.
package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"syscall"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/millstream-data/millstream/internal/config"
)

// KafkaConfig holds the options of the embedded broker.
type KafkaConfig struct {
	Listen string `yaml:"listen" doc:"address of the embedded Kafka"`
	Dir    string `yaml:"dir" doc:"folder of its logs; empty: in memory"`
	Sync   bool   `yaml:"sync" doc:"fsync each batch, as a power cut demands; without it what was acknowledged survives the end of the process, not of the machine"`
}

// DefaultKafkaConfig returns the values of millstream dev.
func DefaultKafkaConfig() KafkaConfig {
	return KafkaConfig{Listen: "127.0.0.1:9092", Dir: "<data_dir>/kafka"}
}

// Validate returns every problem, joined, each led by its key path.
func (c KafkaConfig) Validate() error { return config.ListenAddr("local.kafka.listen", c.Listen) }

// Kafka is an embedded broker that runs from NewKafka to Close.
type Kafka struct {
	cluster *kfake.Cluster
	lock    *os.File
}

// NewKafka starts a broker. A taken port or a folder in use is an error that
// says how to mend it.
func NewKafka(c KafkaConfig, log *slog.Logger) (*Kafka, error) {
	host, portText, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return nil, fmt.Errorf("local.kafka.listen: %w", err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return nil, fmt.Errorf("local.kafka.listen: port %q: %w", portText, err)
	}
	k := &Kafka{}
	opts := []kfake.Opt{
		kfake.NumBrokers(1), kfake.Ports(port), kfake.WithLogger(kfakeLogger{log}),
		kfake.ListenFn(func(network, _ string) (net.Listener, error) {
			ln, err := new(net.ListenConfig).Listen(context.Background(), network, c.Listen)
			if errors.Is(err, syscall.EADDRINUSE) {
				return nil, fmt.Errorf("%s:%d is taken by another process; stop it, or choose another port with --kafka-listen or local.kafka.listen", host, port)
			}
			return ln, err
		}),
		// A rebalance of a single process should not make anybody wait.
		kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0", "message.max.bytes": strconv.Itoa(8 << 20)}),
		kfake.GroupMinSessionTimeout(0),
	}
	if c.Dir != "" {
		if k.lock, err = lockFolder(c.Dir); err != nil {
			return nil, fmt.Errorf("local.kafka.dir: %w", err)
		}
		opts = append(opts, kfake.DataDir(c.Dir))
		if c.Sync {
			opts = append(opts, kfake.SyncWrites())
		}
	}
	if k.cluster, err = kfake.NewCluster(opts...); err != nil {
		k.unlock()
		return nil, fmt.Errorf("embedded kafka: %w", err)
	}
	return k, nil
}

// Addr returns the broker's address.
func (k *Kafka) Addr() string { return k.cluster.ListenAddrs()[0] }

// Cluster is for tests that inject faults.
func (k *Kafka) Cluster() *kfake.Cluster { return k.cluster }

// Close stops the broker and writes what is in memory. It may be called twice.
func (k *Kafka) Close() {
	if k.cluster != nil {
		k.cluster.Close()
		k.cluster = nil
	}
	k.unlock()
}

func (k *Kafka) unlock() {
	if k.lock != nil {
		_ = k.lock.Close() // gives up the lock; nothing was written
		k.lock = nil
	}
}

type kfakeLogger struct{ log *slog.Logger }

func (l kfakeLogger) Logf(level kfake.LogLevel, format string, args ...any) {
	at := slog.LevelDebug
	if level == kfake.LogLevelError {
		at = slog.LevelWarn
	}
	if l.log.Enabled(context.Background(), at) {
		l.log.Log(context.Background(), at, "embedded kafka", "said", fmt.Sprintf(format, args...))
	}
}
