package kafka_test

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/testkit"
)

func TestEachWrongOptionIsNamedWithTheWayOut(t *testing.T) {
	t.Parallel()
	if err := kafka.DefaultConfig().Validate(); err != nil {
		t.Fatalf("the defaults: %v", err)
	}
	for want, spoil := range map[string]func(c *kafka.Config){
		`kafka.brokers: must have at least one element`:                                                                func(c *kafka.Config) { c.Brokers = nil },
		`kafka.brokers[1]: must be host:port, such as kafka.example.com:9092 (got "b")`:                                func(c *kafka.Config) { c.Brokers = []string{"a:9092", "b"} },
		`kafka.topic_prefix: must be up to 64 letters, digits, dots, underscores and hyphens (got "a/b")`:              func(c *kafka.Config) { c.TopicPrefix = "a/b" },
		`kafka.sasl.mechanism: must be none, PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512 (got "PLAYN"; did you mean PLAIN?)`: func(c *kafka.Config) { c.SASL.Mechanism, c.SASL.User = "PLAYN", "u" },
		`kafka.sasl.user: must not be empty`:                                                                           func(c *kafka.Config) { c.SASL.Mechanism = "PLAIN" },
		`kafka.topics.partitions: must be between 1 and 10000 (got 0)`:                                                 func(c *kafka.Config) { c.Topics.Partitions = 0 },
		`kafka.topics.replication: must be > 0, or -1 for the brokers' default (got -2)`:                               func(c *kafka.Config) { c.Topics.Replication = -2 },
		`kafka.topics.retention: must be > 0 (got 0s)`:                                                                 func(c *kafka.Config) { c.Topics.Retention = 0 },
		`kafka.tls.cert_file: needs kafka.tls.key_file beside it, and the other way round`:                             func(c *kafka.Config) { c.TLS.Enabled, c.TLS.KeyFile = true, "k" },
		`kafka.tls.enabled: must be true for the other keys of kafka.tls to have an effect`:                            func(c *kafka.Config) { c.TLS.CAFile = "ca" },
		"kafka.topics.partitions: must be between 1 and 10000 (got -1)\nkafka.topics.retention: must be > 0 (got -1s)": func(c *kafka.Config) { c.Topics.Partitions, c.Topics.Retention = -1, -time.Second },
	} {
		c := kafka.DefaultConfig()
		spoil(&c)
		if err := c.Validate(); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

func TestCertificatesThatCannotBeReadAreNamed(t *testing.T) {
	t.Parallel()
	noPEM := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(noPEM, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, conf := range map[string]kafka.TLSConfig{
		"kafka.tls.ca_file: open /nowhere/ca.pem":                   {CAFile: "/nowhere/ca.pem"},
		"kafka.tls.ca_file: " + noPEM + " holds no PEM certificate": {CAFile: noPEM},
		"kafka.tls.cert_file: open /nowhere/cert.pem":               {CertFile: "/nowhere/cert.pem", KeyFile: "/nowhere/key.pem"},
	} {
		c := kafka.DefaultConfig()
		c.TLS = conf
		c.TLS.Enabled = true
		if _, err := kafka.NewClient(c, testkit.Log(t)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// secured starts a broker that wants TLS and a password.
func secured(t *testing.T) kafka.Config {
	t.Helper()
	srv := httptest.NewTLSServer(nil) // has a certificate for 127.0.0.1
	t.Cleanup(srv.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	k, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-256", "alice", "right"),
		kfake.TLS(&tls.Config{Certificates: srv.TLS.Certificates, MinVersion: tls.VersionTLS12}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	c := kafka.DefaultConfig()
	c.Brokers, c.Topics.Replication = k.ListenAddrs(), 1
	c.TLS = kafka.TLSConfig{Enabled: true, CAFile: ca}
	c.SASL = kafka.SASLConfig{Mechanism: "SCRAM-SHA-256", User: "alice", Password: "right"}
	return c
}

func TestASecuredBrokerIsReachedWithCertificateAndPassword(t *testing.T) {
	t.Parallel()
	c := secured(t)
	if _, err := kafka.Check(t.Context(), c, testkit.Log(t)); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(c *kafka.Config){
		"wrong password":    func(c *kafka.Config) { c.SASL.Password = "wrong" },
		"another mechanism": func(c *kafka.Config) { c.SASL.Mechanism = "PLAIN" },
		"unknown authority": func(c *kafka.Config) { c.TLS.CAFile = "" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := c
			spoil(&c)
			_, err := kafka.Check(t.Context(), c, testkit.Log(t))
			if err == nil || !strings.Contains(err.Error(), "see kafka.brokers, kafka.tls and kafka.sasl") {
				t.Errorf("got %v", err)
			}
			if err != nil && strings.Contains(err.Error(), "wrong") {
				t.Errorf("the password is in the message: %v", err)
			}
		})
	}
}

func TestDrainEndsSomeTimeAfterItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		ctx, stop := context.WithCancel(context.WithValue(t.Context(), key{}, "kept"))
		drain, cancel := kafka.DrainContext(ctx, 20*time.Second)
		defer cancel()
		if drain.Value(key{}) != "kept" {
			t.Error("values are lost")
		}
		<-time.After(time.Hour)
		stop()
		<-time.After(20*time.Second - time.Nanosecond)
		synctest.Wait()
		if err := drain.Err(); err != nil {
			t.Fatalf("ended before its time: %v", context.Cause(drain))
		}
		<-time.After(time.Nanosecond)
		synctest.Wait()
		if drain.Err() == nil || !strings.Contains(context.Cause(drain).Error(), "20s after the stop") {
			t.Fatalf("20 s after the stop: %v", context.Cause(drain))
		}
	})
}

func TestDrainThatIsDoneLeavesNothingRunning(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // fails if a goroutine or timer outlives it
		ctx, stop := context.WithCancel(t.Context())
		drain, cancel := kafka.DrainContext(ctx, time.Hour)
		stop()
		synctest.Wait()
		cancel()
		<-drain.Done()
		if !errors.Is(context.Cause(drain), context.Canceled) {
			t.Errorf("cause %v", context.Cause(drain))
		}
	})
}

func TestCheckSaysHowToMendWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(t *testing.T, k *kfake.Cluster, c *kafka.Config)
		want  string
	}{
		"no broker": {func(_ *testing.T, k *kfake.Cluster, _ *kafka.Config) { k.Close() }, "see kafka.brokers, kafka.tls and kafka.sasl"},
		"missing topic": {
			func(_ *testing.T, _ *kfake.Cluster, c *kafka.Config) { c.Topics.Create = false },
			"topic millstream.events: is missing; create it, or set kafka.topics.create: true",
		},
		"other partitions": {
			func(t *testing.T, _ *kfake.Cluster, c *kafka.Config) { create(t, *c, "millstream.events", 3) },
			"topic millstream.events: has 3 partitions, the configuration says 4; correct kafka.topics.partitions",
		},
		"cells in two orders": {
			func(t *testing.T, _ *kfake.Cluster, c *kafka.Config) { create(t, *c, "millstream.cells", 2) },
			"topic millstream.cells: has 2 partitions and must have 1",
		},
		"no transactions": {func(_ *testing.T, k *kfake.Cluster, _ *kafka.Config) { refuseTransactions(k) }, "which cdc needs"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k, cfg := testkit.Kafka(t)
			c.spoil(t, k.Cluster(), &cfg)
			if _, err := kafka.Check(t.Context(), cfg, testkit.Log(t)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func create(t *testing.T, c kafka.Config, topic string, partitions int) {
	t.Helper()
	if err := kafka.EnsureTopics(t.Context(), c, testkit.KafkaClient(t, c), kafka.Topic{Name: topic, Partitions: partitions}); err != nil {
		t.Fatal(err)
	}
}

func refuseTransactions(k *kfake.Cluster) {
	const notAuthorized = 53 // TRANSACTIONAL_ID_AUTHORIZATION_FAILED
	k.ControlKey(int16(kmsg.InitProducerID), func(req kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		resp := req.ResponseKind().(*kmsg.InitProducerIDResponse)
		resp.ErrorCode = notAuthorized
		return resp, nil, true
	})
}

func TestCheckSaysWhatItSaw(t *testing.T) {
	t.Parallel()
	_, c := testkit.Kafka(t)
	seen, err := kafka.Check(t.Context(), c, testkit.Log(t))
	if want := "1 brokers answer, 0 of 3 topics are there; the others will be created"; err != nil || seen != want {
		t.Errorf("%q, %v", seen, err)
	}
	if err := kafka.EnsureTopics(t.Context(), c, testkit.KafkaClient(t, c), c.EventsTopic(), c.RejectedTopic(), c.CellsTopic()); err != nil {
		t.Fatal(err)
	}
	seen, err = kafka.Check(t.Context(), c, testkit.Log(t))
	if want := "1 brokers answer, 3 of 3 topics are there"; err != nil || seen != want {
		t.Errorf("%q, %v", seen, err)
	}
}

func listTopics(t *testing.T, cl *kgo.Client) kadm.TopicDetails {
	t.Helper()
	topics, err := kadm.NewClient(cl).ListTopics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return topics
}
