package kafka_test

import (
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/testkit"
)

func TestMissingTopicsAreCreatedAsDescribed(t *testing.T) {
	t.Parallel()
	_, c := testkit.Kafka(t)
	cl := testkit.KafkaClient(t, c)
	want := []kafka.Topic{c.EventsTopic(), c.RejectedTopic(), c.CellsTopic()}
	var wg sync.WaitGroup
	for range 4 { // as several roles do when they start together
		wg.Go(func() {
			if err := kafka.EnsureTopics(t.Context(), c, cl, want...); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	have := listTopics(t, cl)
	for _, topic := range want {
		if got := len(have[topic.Name].Partitions); got != topic.Partitions {
			t.Errorf("%s: %d partitions, want %d", topic.Name, got, topic.Partitions)
		}
		configs, err := kadm.NewClient(cl).DescribeTopicConfigs(t.Context(), topic.Name)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, kv := range configs[0].Configs {
			if _, ours := topic.Configs[kv.Key]; ours {
				got[kv.Key] = kv.MaybeValue()
			}
		}
		if diff := cmp.Diff(topic.Configs, got); diff != "" {
			t.Errorf("%s: %s", topic.Name, diff)
		}
	}
}

func TestATopicThatMayNotBeCreatedIsNamed(t *testing.T) {
	t.Parallel()
	_, c := testkit.Kafka(t)
	cl := testkit.KafkaClient(t, c)
	create(t, c, c.Names().Events(), 4)
	c.Topics.Create = false
	if err := kafka.EnsureTopics(t.Context(), c, cl, c.EventsTopic()); err != nil {
		t.Errorf("the topic is there: %v", err)
	}
	err := kafka.EnsureTopics(t.Context(), c, cl, c.EventsTopic(), c.CellsTopic())
	if want := "topic millstream.cells: is missing; create it, or set kafka.topics.create: true"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, there := listTopics(t, cl)["millstream.cells"]; there {
		t.Error("the topic was created all the same")
	}
}

func TestALogIsDescribedByPartition(t *testing.T) {
	t.Parallel()
	_, c := testkit.Kafka(t)
	create(t, c, "t", 3)
	cl := testkit.KafkaClient(t, c, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for i := range 5 {
		produce(t, cl, &kgo.Record{Topic: "t", Partition: 1, Value: []byte(strconv.Itoa(i))})
	}
	var cut kadm.Offsets
	cut.Add(kadm.Offset{Topic: "t", Partition: 1, At: 2})
	if _, err := kadm.NewClient(cl).DeleteRecords(t.Context(), cut); err != nil {
		t.Fatal(err)
	}
	got := describe(t, cl, "t", true)
	want := kafka.Log{ID: got.ID, Partitions: 3, Start: map[int32]int64{0: 0, 1: 2, 2: 0}, End: map[int32]int64{0: 0, 1: 5, 2: 0}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if len(got.ID) != 36 || strings.Trim(got.ID, "0-") == "" {
		t.Errorf("id %q", got.ID)
	}
}

func TestATopicCreatedAgainIsAnotherLog(t *testing.T) {
	t.Parallel()
	_, c := testkit.Kafka(t)
	cl := testkit.KafkaClient(t, c)
	create(t, c, "t", 1)
	first := describe(t, cl, "t", false)
	if again := describe(t, cl, "t", false); again.ID != first.ID {
		t.Errorf("one log, two ids: %s and %s", first.ID, again.ID)
	}
	if _, err := kadm.NewClient(cl).DeleteTopics(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	if _, err := kafka.DescribeLog(t.Context(), cl, "t", false); err == nil || !strings.HasPrefix(err.Error(), "describe topic t: ") {
		t.Errorf("a topic that is gone: %v", err)
	}
	create(t, c, "t", 1)
	if second := describe(t, cl, "t", false); second.ID == first.ID {
		t.Errorf("two logs, one id: %s", first.ID)
	}
}

func TestRecordsOfOpenTransactionsLieBeyondTheCommittedEnd(t *testing.T) {
	t.Parallel()
	_, c := testkit.Kafka(t)
	create(t, c, "t", 1)
	plain := testkit.KafkaClient(t, c)
	produce(t, plain, &kgo.Record{Topic: "t", Value: []byte("before")})
	tx := testkit.KafkaClient(t, c, kgo.TransactionalID("tx"))
	if err := tx.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	produce(t, tx, &kgo.Record{Topic: "t", Value: []byte("within")})
	if got := describe(t, plain, "t", true).End[0]; got != 1 {
		t.Errorf("committed end %d while the transaction is open, want 1", got)
	}
	if got := describe(t, plain, "t", false).End[0]; got != 2 {
		t.Errorf("end %d, want 2", got)
	}
	if err := tx.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	if got := describe(t, plain, "t", true).End[0]; got != 3 { // the marker has an offset of its own
		t.Errorf("committed end %d after the commit, want 3", got)
	}
}

func produce(t *testing.T, cl *kgo.Client, r *kgo.Record) {
	t.Helper()
	if err := cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func describe(t *testing.T, cl *kgo.Client, topic string, committed bool) kafka.Log {
	t.Helper()
	log, err := kafka.DescribeLog(t.Context(), cl, topic, committed)
	if err != nil {
		t.Fatal(err)
	}
	return log
}
