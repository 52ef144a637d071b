package ingest

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/testkit"
)

// Records that fail are handed over again, in their order, also those behind them that did not fail.
func TestFailedRecordsAreHandedOverAgain(t *testing.T) {
	t.Parallel()
	e := setup(t, impatient)
	var denied atomic.Int64
	denied.Store(3)
	e.broker.Cluster().ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		e.broker.Cluster().KeepControl()
		if denied.Add(-1) < 0 {
			return nil, nil, false
		}
		return refuseAll(r, kerr.TopicAuthorizationFailed.Code), nil, true
	})
	for n := range 30 {
		equal(t, "status", e.post(t, "/v1/page", numbered("u", n)).status, 200)
	}
	e.untilDirect(t)
	inOrder(t, e.arrived(t, 30), map[string]int{"u": 30})
	if e.metric(t, "produce_errors_total", "TOPIC_AUTHORIZATION_FAILED") == 0 {
		t.Error("nothing failed")
	}
}

// refuseAll answers a request to produce with one code for all its partitions.
func refuseAll(r kmsg.Request, code int16) kmsg.Response {
	req, _ := r.(*kmsg.ProduceRequest)
	resp, _ := req.ResponseKind().(*kmsg.ProduceResponse)
	resp.Version = req.Version
	for _, topic := range req.Topics {
		out := kmsg.NewProduceResponseTopic()
		out.Topic, out.TopicID = topic.Topic, topic.TopicID
		for _, p := range topic.Partitions {
			part := kmsg.NewProduceResponseTopicPartition()
			part.Partition, part.ErrorCode = p.Partition, code
			out.Partitions = append(out.Partitions, part)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp
}

// A record that Kafka refuses for its content, after its sender has had a 200 for it, becomes a dead letter.
func TestSpooledRecordThatKafkaRefusesBecomesADeadLetter(t *testing.T) {
	t.Parallel()
	kcfg, addr := nobody(t)
	kcfg.Topics.Create = false
	e := setupAt(t, kcfg, impatient, func(c *Config) { c.Produce.Compression = "none" })
	large := `{"type":"page","userId":"u","messageId":"large","x":"` + strings.Repeat("x", 5000) + `"}`
	for n := range 5 {
		equal(t, "status", e.post(t, "/v1/page", numbered("u", n)).status, 200)
	}
	equal(t, "status", e.post(t, "/v1/page", large).status, 200)
	for n := 5; n < 10; n++ {
		equal(t, "status", e.post(t, "/v1/page", numbered("u", n)).status, 200)
	}
	broker, _ := testkit.KafkaAt(t, addr, "")
	small := "4000"
	for topic, conf := range map[string]map[string]string{"millstream.events": {"max.message.bytes": small}, "millstream.rejected": nil} {
		if err := broker.Cluster().CreateTopic(topic, 1, conf); err != nil {
			t.Fatal(err)
		}
	}
	e.untilDirect(t)
	inOrder(t, e.arrived(t, 10), map[string]int{"u": 10})
	dead := e.rejected(t, 1)[0]
	equal(t, "code", dead.Code, event.CodeKafkaRefused)
	equal(t, "message id", dead.MessageID, "large")
}

// A lane that takes nothing is parked, and read by a pass of its own later: the others drain past it.
func TestLaneThatTakesNothingIsParked(t *testing.T) {
	t.Parallel()
	kcfg, addr := nobody(t)
	e := setupAt(t, kcfg, impatient)
	users := oneOnPartition0()
	const heavy, light = 60, 20
	filler := strings.Repeat("x", 30<<10)
	for n := range heavy {
		body := fmt.Sprintf(`{"type":"page","userId":"%s","messageId":"h%d","n":%d,"x":"%s"}`, users[true], n, n, filler)
		equal(t, "status", e.post(t, "/v1/page", body).status, 200)
	}
	for n := range light {
		equal(t, "status", e.post(t, "/v1/page", numbered(users[false], n)).status, 200)
	}
	broker, _ := testkit.KafkaAt(t, addr, "")
	e.broker = broker
	revive := e.killPartition0()
	inOrder(t, e.arrived(t, light), map[string]int{users[false]: light})
	if ln := e.producer.lanes.Load().events[0]; !ln.spooled.Load() {
		t.Error("the dead lane is direct")
	}
	equal(t, "a new event", e.post(t, "/v1/page", numbered(users[true], heavy)).status, 200)
	revive()
	e.untilDirect(t)
	inOrder(t, e.arrived(t, heavy+1+light), map[string]int{users[true]: heavy + 1, users[false]: light})
}

// oneOnPartition0 returns a user whose events go to partition 0 of 4, and one whose events do not.
func oneOnPartition0() map[bool]string {
	users := map[bool]string{}
	for i := 0; len(users) < 2; i++ {
		user := fmt.Sprintf("user%d", i)
		users[partition(murmur2([]byte("app/"+user)), 4) == 0] = user
	}
	return users
}

// A dead letter that Kafka refuses even without its bytes waits for somebody to mend the topic.
func TestDeadLetterThatKafkaRefusesWaits(t *testing.T) {
	t.Parallel()
	kcfg, addr := nobody(t)
	kcfg.Topics.Create = false
	e := setupAt(t, kcfg, impatient)
	equal(t, "status", e.post(t, "/v1/page", numbered("u", 0)).status, 200)
	broker, _ := testkit.KafkaAt(t, addr, "")
	var asked atomic.Int64
	var mended atomic.Bool
	broker.Cluster().ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		broker.Cluster().KeepControl()
		asked.Add(1)
		if mended.Load() {
			return nil, nil, false
		}
		return refuseAll(r, kerr.InvalidTimestamp.Code), nil, true
	})
	for _, topic := range []string{"millstream.events", "millstream.rejected"} {
		if err := broker.Cluster().CreateTopic(topic, 1, nil); err != nil {
			t.Fatal(err)
		}
	}
	testkit.Eventually(t, "its lane should go back", func() error {
		ln := e.producer.lanes.Load()
		if ln == nil {
			return errors.New("no topics")
		}
		ln.events[0].mu.Lock()
		defer ln.events[0].mu.Unlock()
		if ln.events[0].backoff == 0 {
			return fmt.Errorf("no pause after %d attempts", asked.Load())
		}
		return nil
	})
	mended.Store(true)
	e.untilDirect(t)
	inOrder(t, e.arrived(t, 1), map[string]int{"u": 1})
	if n := asked.Load(); n > 20 {
		t.Errorf("Kafka was asked %d times", n)
	}
}

// A producer without an id, for want of rights, gets one when it has the rights.
func TestRightsToProduceAreMendedWithoutARestart(t *testing.T) {
	t.Parallel()
	broker, kcfg := testkit.Kafka(t)
	var refused atomic.Int64
	var mended atomic.Bool
	broker.Cluster().ControlKey(int16(kmsg.InitProducerID), func(r kmsg.Request) (kmsg.Response, error, bool) {
		broker.Cluster().KeepControl()
		if mended.Load() {
			return nil, nil, false
		}
		refused.Add(1)
		req, _ := r.(*kmsg.InitProducerIDRequest)
		resp, _ := req.ResponseKind().(*kmsg.InitProducerIDResponse)
		resp.ErrorCode = kerr.ClusterAuthorizationFailed.Code
		return resp, nil, true
	})
	e := setupFaulty(t, kcfg, attentive, impatient)
	for n := range 10 {
		equal(t, "status", e.post(t, "/v1/page", numbered("u", n)).status, 200)
	}
	testkit.Eventually(t, "Kafka should refuse", func() error {
		if refused.Load() == 0 {
			return errors.New("not yet")
		}
		return nil
	})
	mended.Store(true)
	e.untilDirect(t)
	inOrder(t, e.arrived(t, 10), map[string]int{"u": 10})
}
