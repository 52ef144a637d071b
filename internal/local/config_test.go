package local_test

import (
	"net"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/local"
	"github.com/millstream-data/millstream/internal/testkit"
)

func TestEachWrongOptionIsNamed(t *testing.T) {
	t.Parallel()
	if err := local.DefaultKafkaConfig().Validate(); err != nil {
		t.Error(err)
	}
	if err := local.DefaultS3Config().Validate(); err != nil {
		t.Error(err)
	}
	if err := (local.KafkaConfig{Listen: "9092"}).Validate(); err == nil || !strings.HasPrefix(err.Error(), "local.kafka.listen: ") {
		t.Errorf("kafka: %v", err)
	}
	err := local.S3Config{Listen: "9000"}.Validate()
	if err == nil || !strings.HasPrefix(err.Error(), "local.s3.listen: ") || !strings.Contains(err.Error(), "\nlocal.s3.dir: ") {
		t.Errorf("s3: %v", err)
	}
}

func TestSecondBrokerOverAFolderNamesTheHolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, _ := testkit.KafkaAt(t, "127.0.0.1:0", dir)
	_, err := local.NewKafka(local.KafkaConfig{Listen: "127.0.0.1:0", Dir: dir}, testkit.Log(t))
	if err == nil || !strings.Contains(err.Error(), "is in use by process ") || !strings.Contains(err.Error(), "--data-dir") {
		t.Errorf("got %v", err)
	}
	first.Close()
	first.Close() // may be called twice
	second, err := local.NewKafka(local.KafkaConfig{Listen: "127.0.0.1:0", Dir: dir}, testkit.Log(t))
	if err != nil {
		t.Fatalf("after the first has ended: %v", err)
	}
	second.Close()
}

func TestTakenBrokerPortSaysHowToChooseAnother(t *testing.T) {
	t.Parallel()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	dir := t.TempDir()
	_, err = local.NewKafka(local.KafkaConfig{Listen: ln.Addr().String(), Dir: dir}, testkit.Log(t))
	if err == nil || !strings.Contains(err.Error(), "--kafka-listen or local.kafka.listen") {
		t.Errorf("got %v", err)
	}
	testkit.KafkaAt(t, "127.0.0.1:0", dir) // the folder was given up
}

func TestRecordsSurviveAGracefulRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	k, c := testkit.KafkaAt(t, "127.0.0.1:0", dir)
	cl := testkit.KafkaClient(t, c)
	topic := kafka.Topic{Name: "t", Partitions: 1}
	if err := kafka.EnsureTopics(t.Context(), c, cl, topic); err != nil {
		t.Fatal(err)
	}
	if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Key: []byte("k"), Value: []byte("v")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	before, err := kafka.DescribeLog(t.Context(), cl, "t", true)
	if err != nil {
		t.Fatal(err)
	}
	k.Close()
	_, c = testkit.KafkaAt(t, "127.0.0.1:0", dir)
	cl = testkit.KafkaClient(t, c, kgo.ConsumeTopics("t"))
	fetched := cl.PollFetches(t.Context())
	if err := fetched.Err(); err != nil {
		t.Fatal(err)
	}
	if r := fetched.Records(); len(r) != 1 || string(r[0].Key)+string(r[0].Value) != "kv" {
		t.Errorf("read %v", r)
	}
	after, err := kafka.DescribeLog(t.Context(), cl, "t", true)
	if err != nil {
		t.Fatal(err)
	}
	if after.ID != before.ID || after.End[0] != 1 {
		t.Errorf("log %+v was %+v", after, before)
	}
}
