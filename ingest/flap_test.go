package ingest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/wire"
)

// several says whether each batch of a request to produce has more than one record.
func several(r kmsg.Request) bool {
	req, _ := r.(*kmsg.ProduceRequest)
	for _, topic := range req.Topics {
		for _, p := range topic.Partitions {
			var batch kmsg.RecordBatch
			if batch.ReadFrom(p.Records) != nil || batch.NumRecords < 2 {
				return false
			}
		}
	}
	return true
}

// Lanes spool and become direct again all the time, over slowness and lost connections, while requests come and their
// memory is used again. What is on the topic is what was sent, in order.
func TestLanesFlapOverFaults(t *testing.T) {
	t.Parallel()
	flap(t, false)
}

// The same with batches that Kafka refuses. What is accepted in the moment before the lane hears of that may overtake.
func TestLanesFlapOverRefusals(t *testing.T) {
	t.Parallel()
	flap(t, true)
}

func flap(t *testing.T, refuse bool) {
	t.Helper()
	e := setup(t, func(c *Config) {
		c.Timeouts.AckTimeout, c.Spool.MinFree, c.Spool.Segment = 25*time.Millisecond, 0, 16<<10
		c.Produce.Linger = 2 * time.Millisecond
	})
	var asked, denied, large, cut, slow atomic.Int64
	var mended atomic.Bool
	e.broker.Cluster().ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		e.broker.Cluster().KeepControl()
		n := asked.Add(1)
		switch {
		case mended.Load():
		case refuse && n%61 == 0:
			denied.Add(1)
			return refuseAll(r, kerr.TopicAuthorizationFailed.Code), nil, true
		case refuse && n%7 == 0 && several(r):
			large.Add(1)
			return refuseAll(r, kerr.MessageTooLarge.Code), nil, true
		case n%23 == 0:
			cut.Add(1)
			return nil, errors.New("the connection breaks"), true
		case n%17 == 0:
			slow.Add(1)
			<-time.After(60 * time.Millisecond)
		}
		return nil, nil, false
	})
	stop := make(chan struct{})
	wait, sent := e.load(16, stop)
	testkit.Eventually(t, "each fault should have come some times", func() error {
		// Batches of people who send nothing else, whose values differ in length and take the memory of others.
		for i := range 20 {
			id := fmt.Sprintf("b%d-%d", asked.Load(), i)
			e.post(t, "/v1/batch", `{"batch":[`+strings.Repeat(`{"type":"page","userId":"`+id+`","x":"`+strings.Repeat(id, i*40)+`"},`, 3)+`{"type":1}]}`)
		}
		least := min(cut.Load(), slow.Load(), sent.Load()/100)
		if refuse {
			least = min(least, denied.Load(), large.Load())
		}
		if least < 3 {
			return fmt.Errorf("%d denied, %d too large, %d cut, %d slow", denied.Load(), large.Load(), cut.Load(), slow.Load())
		}
		return nil
	})
	close(stop)
	want := wait()
	mended.Store(true)
	e.untilDirect(t)
	testkit.Eventually(t, "nothing should be held", func() error {
		if n := e.gate.held.Load(); n > 0 || e.producer.unacked() > 0 || e.producer.held.Load() != 0 {
			return fmt.Errorf("%d bytes, %v records, %d bytes of the drain", n, e.producer.unacked(), e.producer.held.Load())
		}
		return nil
	})
	got := e.everything(t)
	if refuse {
		complete(t, got, want)
	} else {
		inOrder(t, got, want)
	}
	t.Logf("%d events, %v frames, Kafka was asked %d times", sent.Load(), e.metric(t, "spool_frames_total"), asked.Load())
}

// everything reads the topic of events to its end, checks that each record is of one piece, and returns the numbers of
// each user, each where it stands first.
func (e *edge) everything(t *testing.T) map[string][]int {
	t.Helper()
	in := testkit.KafkaClient(t, e.kafka, kgo.ConsumeTopics(e.kafka.Names().Events()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	got, seen := map[string][]int{}, map[string]bool{}
	for left := e.records(t); left > 0; {
		ctx, cancel := contextFor(t, time.Minute)
		fetches := in.PollFetches(ctx)
		cancel()
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			left--
			var v struct {
				UserID, MessageID, X string
				N                    int
			}
			h, err := wire.ParseEventHeaders(r.Headers)
			if err != nil || json.Unmarshal(r.Value, &v) != nil || h.MessageID != v.MessageID || string(r.Key) != "app/"+v.UserID || strings.ReplaceAll(v.X, v.UserID, "") != "" {
				t.Fatalf("mixed up: key %s, headers %s: %v: %s", r.Key, headerText(r), err, r.Value)
			}
			if !seen[v.MessageID] {
				seen[v.MessageID] = true
				got[v.UserID] = append(got[v.UserID], v.N)
			}
		})
	}
	return got
}

func (e *edge) records(t *testing.T) (n int) {
	t.Helper()
	log, err := kafka.DescribeLog(t.Context(), testkit.KafkaClient(t, e.kafka), e.kafka.Names().Events(), false)
	if err != nil {
		t.Fatal(err)
	}
	for p, end := range log.End {
		n += int(end - log.Start[p])
	}
	return n
}
