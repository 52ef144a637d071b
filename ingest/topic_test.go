package ingest

import (
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millstream-data/millstream/internal/local"
	"github.com/millstream-data/millstream/internal/telemetry"
	"github.com/millstream-data/millstream/internal/testkit"
)

// When a leader moves, its partition answers with errors for a moment. The producer finds the new one by itself.
func TestLeaderMove(t *testing.T) {
	t.Parallel()
	e := setup(t)
	var refused atomic.Int64
	e.broker.Cluster().ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		e.broker.Cluster().KeepControl()
		if refused.Add(1) > 3 {
			return nil, nil, false
		}
		return refuseAll(r, kerr.NotLeaderForPartition.Code), nil, true
	})
	equal(t, "status", e.post(t, "/v1/page", page("m")).status, 200)
	if n := refused.Load(); n < 4 {
		t.Errorf("Kafka was asked %d times", n)
	}
	e.events(t, 1)
	equal(t, "frames", e.metric(t, "spool_frames_total"), 0.0)
}

func createTopics(t *testing.T, broker *local.Kafka) {
	t.Helper()
	for _, topic := range []string{"millstream.events", "millstream.rejected"} {
		if err := broker.Cluster().CreateTopic(topic, 3, nil); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMissingTopicSpools(t *testing.T) {
	t.Parallel()
	broker, kcfg := testkit.Kafka(t)
	kcfg.Topics.Create = false
	e := setupAt(t, kcfg, impatient)
	for n := range 10 {
		equal(t, "status", e.post(t, "/v1/page", numbered("u", n)).status, 200)
	}
	testkit.Eventually(t, "readiness should name the topic", func() error {
		if r := e.health.Report(t.Context()); r.State != telemetry.StateDegraded || !strings.Contains(r.String(), "topic millstream.events: is missing") {
			return errors.New(r.String())
		}
		return nil
	})
	createTopics(t, broker)
	e.untilDirect(t)
	inOrder(t, e.arrived(t, 10), map[string]int{"u": 10})
	e.events(t, 10)
}

// A topic that is deleted takes its records with it, and none that is acknowledged afterwards.
func TestDeletedTopicSpools(t *testing.T) {
	t.Parallel()
	broker, kcfg := testkit.Kafka(t)
	kcfg.Topics.Create = false
	createTopics(t, broker)
	e := setupFaulty(t, kcfg, attentive, impatient)
	e.untilDirect(t)
	equal(t, "status", e.post(t, "/v1/page", page("before")).status, 200)
	resp, err := kadm.NewClient(testkit.KafkaClient(t, kcfg)).DeleteTopics(t.Context(), "millstream.events")
	if err != nil || resp.Error() != nil {
		t.Fatal(err, resp.Error())
	}
	for n := range 10 {
		equal(t, "status", e.post(t, "/v1/page", numbered("u", n)).status, 200)
	}
	if err := broker.Cluster().CreateTopic("millstream.events", 3, nil); err != nil {
		t.Fatal(err)
	}
	e.untilDirect(t)
	inOrder(t, e.arrived(t, 10), map[string]int{"u": 10})
}

// TestH15Edge holds the edge to remembering ids only of what is durable, on disk as in Kafka.
func TestH15Edge(t *testing.T) {
	t.Parallel()
	kcfg, addr := nobody(t)
	disk := faulty{write: &atomic.Pointer[error]{}, sync: &atomic.Pointer[error]{}}
	e := setupFaulty(t, kcfg, disk.fit, impatient, func(c *Config) { c.Spool.MaxBytes = 4 << 10 })
	equal(t, "first", e.post(t, "/v1/page", numbered("u", 0)).body, `{"success":true}`)
	equal(t, "repeated", e.post(t, "/v1/batch", `{"batch":[`+numbered("u", 0)+`]}`).body, `{"success":true,"accepted":0,"duplicates":1}`)
	equal(t, "frames", e.metric(t, "spool_frames_total"), 1.0)

	disk.sync.Store(&[]error{io.ErrUnexpectedEOF}[0])
	equal(t, "not fsynced", e.post(t, "/v1/page", numbered("u", 1)).status, 503)
	equal(t, "remembered", e.recent.size(), 1.0)
	disk.sync.Store(nil)
	equal(t, "again", e.post(t, "/v1/batch", `{"batch":[`+numbered("u", 1)+`]}`).body, `{"success":true}`)
	equal(t, "and again", e.post(t, "/v1/batch", `{"batch":[`+numbered("u", 1)+`]}`).body, `{"success":true,"accepted":0,"duplicates":1}`)

	n := 2
	for ; n < 100; n++ {
		if a := e.post(t, "/v1/page", numbered("u", n)); a.status != 200 {
			equal(t, "full", strings.Contains(a.body, `"spool_full"`), true)
			break
		}
	}
	equal(t, "remembered", e.recent.size(), float64(n))
	equal(t, "repeated while full", e.post(t, "/v1/batch", `{"batch":[`+numbered("u", 0)+`]}`).body, `{"success":true,"accepted":0,"duplicates":1}`)
	equal(t, "with one that is not durable", e.post(t, "/v1/batch", `{"batch":[`+numbered("u", 0)+`,`+numbered("u", n)+`]}`).status, 503)
	testkit.KafkaAt(t, addr, "")
	e.untilDirect(t)
	equal(t, "again", e.post(t, "/v1/batch", `{"batch":[`+numbered("u", 0)+`,`+numbered("u", n)+`]}`).body, `{"success":true,"accepted":1,"duplicates":1}`)
	inOrder(t, e.arrived(t, n+1), map[string]int{"u": n + 1})
	e.events(t, n+1)
	equal(t, "duplicates", e.metric(t, "events_duplicate_total", "app"), 4.0)
	if n < 5 {
		t.Errorf("only %d events fit", n)
	}
}
