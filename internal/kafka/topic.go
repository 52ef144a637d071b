package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Topic says how a topic is created where it is missing.
type Topic struct {
	Name       string
	Partitions int
	// Replication is the number of replicas; 0 is kafka.topics.replication.
	Replication int
	// Configs are Kafka's own settings of a topic, such as cleanup.policy.
	Configs map[string]string
}

// EventsTopic describes the topic of accepted events.
func (c Config) EventsTopic() Topic {
	return Topic{Name: c.Names().Events(), Partitions: c.Topics.Partitions, Configs: map[string]string{
		"cleanup.policy": "delete", "retention.ms": ms(c.Topics.Retention), "max.message.bytes": strconv.Itoa(1 << 20),
	}}
}

// RejectedTopic describes the topic of dead letters.
func (c Config) RejectedTopic() Topic {
	return Topic{Name: c.Names().Rejected(), Partitions: 1, Configs: map[string]string{
		"cleanup.policy": "delete", "retention.ms": ms(30 * 24 * time.Hour), "max.message.bytes": strconv.Itoa(1 << 20),
	}}
}

// CellsTopic describes the topic of metric cells: it distributes, the metric
// store keeps.
func (c Config) CellsTopic() Topic {
	return Topic{Name: c.Names().Cells(), Partitions: 1, Configs: map[string]string{
		"cleanup.policy": "compact,delete", "retention.ms": ms(7 * 24 * time.Hour), "max.message.bytes": strconv.Itoa(4 << 20),
	}}
}

// EnsureTopics creates the topics that are missing, if c.Topics.Create says so,
// and otherwise returns an error that names the first missing one.
func EnsureTopics(ctx context.Context, c Config, cl *kgo.Client, topics ...Topic) error {
	adm := kadm.NewClient(cl)
	names := make([]string, len(topics))
	for i, t := range topics {
		names[i] = t.Name
	}
	have, err := metadata(ctx, cl, names...)
	if err != nil {
		return fmt.Errorf("list topics: %w", err)
	}
	for _, t := range topics {
		err := kerr.ErrorForCode(have[t.Name].ErrorCode)
		if _, ok := have[t.Name]; ok && err == nil {
			continue
		} else if ok && !errors.Is(err, kerr.UnknownTopicOrPartition) {
			return fmt.Errorf("topic %s: %w", t.Name, err)
		}
		if !c.Topics.Create {
			return fmt.Errorf("topic %s: is missing; create it, or set kafka.topics.create: true", t.Name)
		}
		configs := make(map[string]*string, len(t.Configs))
		for k, v := range t.Configs {
			configs[k] = &v
		}
		resp, err := adm.CreateTopic(ctx, int32(t.Partitions), int16(cmp.Or(t.Replication, c.Topics.Replication)), configs, t.Name) //nolint:gosec // validated small numbers
		if err == nil {
			err = resp.Err
		}
		if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("create topic %s: %w", t.Name, err)
		}
	}
	return nil
}

// metadata asks the brokers, never the client's cache: what was created a
// moment ago must be seen.
func metadata(ctx context.Context, cl *kgo.Client, topics ...string) (map[string]kmsg.MetadataResponseTopic, error) {
	req := kmsg.NewPtrMetadataRequest()
	for _, t := range topics {
		rt := kmsg.NewMetadataRequestTopic()
		rt.Topic = new(t)
		req.Topics = append(req.Topics, rt)
	}
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return nil, err
	}
	out := make(map[string]kmsg.MetadataResponseTopic, len(resp.Topics))
	for _, t := range resp.Topics {
		if t.Topic != nil {
			out[*t.Topic] = t
		}
	}
	return out, nil
}

// Log describes a topic as it is now.
type Log struct {
	ID         string // the topic's id in UUID form; another id is another log
	Partitions int32
	Start, End map[int32]int64 // first offset that is kept; offset that the next record will get
}

// DescribeLog asks the brokers about a topic. With isolation read_committed
// records of open transactions lie beyond End.
func DescribeLog(ctx context.Context, cl *kgo.Client, topic string, committed bool) (Log, error) {
	adm := kadm.NewClient(cl)
	details, err := metadata(ctx, cl, topic)
	if err == nil {
		err = kerr.ErrorForCode(details[topic].ErrorCode)
	}
	if err != nil {
		return Log{}, fmt.Errorf("describe topic %s: %w", topic, err)
	}
	d := details[topic]
	out := Log{ID: uuidText(d.TopicID), Partitions: int32(len(d.Partitions)), Start: map[int32]int64{}, End: map[int32]int64{}} //nolint:gosec // few partitions
	starts, err := adm.ListStartOffsets(ctx, topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return Log{}, fmt.Errorf("start offsets of %s: %w", topic, err)
	}
	list := adm.ListEndOffsets
	if committed {
		list = adm.ListCommittedOffsets
	}
	ends, err := list(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return Log{}, fmt.Errorf("end offsets of %s: %w", topic, err)
	}
	starts.Each(func(o kadm.ListedOffset) { out.Start[o.Partition] = o.Offset })
	ends.Each(func(o kadm.ListedOffset) { out.End[o.Partition] = o.Offset })
	return out, nil
}

// CommittedEnds asks the brokers which offsets come after the last records that
// are not part of an open transaction, by topic and partition. What a broker does
// not tell is missing.
func CommittedEnds(ctx context.Context, cl *kgo.Client, topics ...string) (map[string]map[int32]int64, error) {
	ends, err := kadm.NewClient(cl).ListCommittedOffsets(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("end offsets: %w", err)
	}
	out := make(map[string]map[int32]int64, len(topics))
	ends.Each(func(o kadm.ListedOffset) {
		if o.Err != nil {
			return
		}
		if out[o.Topic] == nil {
			out[o.Topic] = map[int32]int64{}
		}
		out[o.Topic][o.Partition] = o.Offset
	})
	return out, nil
}

func uuidText(id [16]byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[0:4], id[4:6], id[6:8], id[8:10], id[10:16])
}

func ms(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
