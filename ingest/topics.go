package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/wire"
)

// maxMessage is Kafka's setting of a topic that bounds a record, or a batch of them.
const maxMessage = "max.message.bytes"

// aroundRecord is what a record takes besides the event or its bytes: what the server adds, headers, a batch of one.
const aroundRecord = 64 << 10

// topicNeed is the largest record that may go to a topic, and the key of the configuration that says so.
type topicNeed struct {
	topic, key string
	limit      config.Bytes
}

func (n topicNeed) bytes() int { return int(n.limit) + aroundRecord }

// topicNeeds names them for both topics.
func (c Config) topicNeeds(snap *snapshot, names wire.Topics) []topicNeed {
	events := topicNeed{names.Events(), "ingest.limits.event", c.Limits.Event}
	for _, a := range snap.keys {
		key, largest := "limits.event of the source "+a.source.name, config.Bytes(a.source.limits.event)
		if largest > events.limit || largest == events.limit && key < events.key { // of equal ones always the same
			events.key, events.limit = key, largest
		}
	}
	return []topicNeed{events, {names.Rejected(), "ingest.rejected_max_bytes", c.RejectedMax}}
}

// narrowTopics compares the largest records with what the topics take, and says for each that is too narrow what to
// change. A topic that is missing, or whose settings this user may not see, is passed over.
func narrowTopics(ctx context.Context, cl *kgo.Client, needs []topicNeed) ([]error, error) {
	names := make([]string, len(needs))
	for i, n := range needs {
		names[i] = n.topic
	}
	found, err := kadm.NewClient(cl).DescribeTopicConfigs(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("settings of topics: %w", err)
	}
	var out []error
	for _, n := range needs {
		rc, err := found.On(n.topic, nil)
		if err == nil {
			err = rc.Err
		}
		if errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(err, kerr.TopicAuthorizationFailed) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("settings of topic %s: %w", n.topic, err)
		}
		for _, c := range rc.Configs {
			if have, err := strconv.Atoi(c.MaybeValue()); c.Key == maxMessage && err == nil && have < n.bytes() {
				out = append(out, fmt.Errorf("topic %s takes records of %d bytes, and %s of %s needs %d: raise the topic's %s, or lower %s",
					n.topic, have, n.key, n.limit, n.bytes(), maxMessage, n.key))
			}
		}
	}
	return out, nil
}

// checkTopics is narrowTopics for a running server. Where something is too narrow it is logged once, and readiness is
// degraded until it was mended: such records become dead letters, and dead letters of that size lose their bytes.
func (p *producer) checkTopics(ctx context.Context) {
	needs := p.needs.Load()
	if p.tried == needs && p.tooNarrow.Load() == nil {
		return
	}
	found, err := narrowTopics(ctx, p.client.Load(), *needs)
	if err != nil {
		return // a broker in trouble has louder signs; this is tried again
	}
	p.tried = needs
	if len(found) == 0 {
		p.tooNarrow.Store(nil)
		return
	}
	text := "Large records are refused: " + errors.Join(found...).Error() + "."
	if before := p.tooNarrow.Swap(&text); before == nil || *before != text {
		for _, err := range found {
			p.log.Error("a topic is narrower than the configuration", "err", err)
		}
	}
}

// takes says why records that are needed now do not fit into the batches for which this process was started. Larger
// ones would take another client, which could overtake this one.
func (p *producer) takes(needs []topicNeed) error {
	for _, n := range needs {
		if n.bytes() > p.largest {
			return fmt.Errorf("%s of %s is more than this process was started for: start it again, or keep it at %s or below",
				n.key, n.limit, config.Bytes((p.largest-aroundRecord)>>10)*config.KiB)
		}
	}
	return nil
}

// need has the topics compared with other needs, soon.
func (p *producer) need(needs []topicNeed) {
	if !slices.Equal(needs, *p.needs.Load()) {
		p.needs.Store(&needs)
		poke(p.renewed)
	}
}

// narrow says in a sentence which topics do not take what they should, or returns "".
func (p *producer) narrow() string {
	if text := p.tooNarrow.Load(); text != nil {
		return *text
	}
	return ""
}

// CheckTopics is for millstream check: the certificate can be read, and the topics take the largest records.
func CheckTopics(ctx context.Context, c Config, kc kafka.Config, log *slog.Logger) (string, error) {
	if _, err := newCertificate(c.TLS, log); err != nil {
		return "", err
	}
	snap, _, err := compile(c)
	if err != nil {
		return "", err
	}
	cl, err := kafka.NewClient(kc, log)
	if err != nil {
		return "", err
	}
	defer cl.Close()
	found, err := narrowTopics(ctx, cl, c.topicNeeds(snap, kc.Names()))
	return fmt.Sprintf("topics take events of %s and dead letters of %s", c.Limits.Event, c.RejectedMax), errors.Join(append(found, err)...)
}
