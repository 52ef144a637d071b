package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Check connects to the brokers and looks at the topics that are there. It
// returns a sentence about what it saw, or an error that says how to mend what
// is wrong.
func Check(ctx context.Context, c Config, log *slog.Logger) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	cl, err := NewClient(c, log)
	if err != nil {
		return "", err
	}
	defer cl.Close()
	brokers, err := kadm.NewClient(cl).ListBrokers(ctx)
	if err != nil {
		return "", fmt.Errorf("no broker of %v answers; see kafka.brokers, kafka.tls and kafka.sasl: %w", c.Brokers, err)
	}
	want := []Topic{c.EventsTopic(), c.RejectedTopic(), c.CellsTopic()}
	have, err := metadata(ctx, cl, want[0].Name, want[1].Name, want[2].Name)
	if err != nil {
		return "", fmt.Errorf("list topics: %w", err)
	}
	missing := 0
	for _, t := range want {
		err := kerr.ErrorForCode(have[t.Name].ErrorCode)
		switch {
		case errors.Is(err, kerr.UnknownTopicOrPartition):
			if missing++; !c.Topics.Create {
				return "", fmt.Errorf("topic %s: is missing; create it, or set kafka.topics.create: true", t.Name)
			}
		case err != nil:
			return "", fmt.Errorf("topic %s: grant this user the right to describe, read and write it: %w", t.Name, err)
		default:
			if err := c.checkPartitions(t.Name, len(have[t.Name].Partitions)); err != nil {
				return "", err
			}
		}
	}
	if err := transactions(ctx, c, log); err != nil {
		return "", err
	}
	seen := fmt.Sprintf("%d brokers answer, %d of %d topics are there", len(brokers), len(want)-missing, len(want))
	if missing > 0 {
		seen += "; the others will be created"
	}
	return seen, nil
}

// checkPartitions compares a topic with what the roles count on: positions are
// kept by partition of the events, and cells must be in one order.
func (c Config) checkPartitions(topic string, n int) error {
	switch {
	case topic == c.Names().Events() && n != c.Topics.Partitions:
		return fmt.Errorf("topic %s: has %d partitions, the configuration says %d; correct kafka.topics.partitions", topic, n, c.Topics.Partitions)
	case topic == c.Names().Cells() && n != 1:
		return fmt.Errorf("topic %s: has %d partitions and must have 1; delete it, and it is created anew", topic, n)
	}
	return nil
}

// transactions proves that the brokers know transactions, which cdc needs.
func transactions(ctx context.Context, c Config, log *slog.Logger) error {
	cl, err := NewClient(c, log, kgo.TransactionalID(c.Names().CDCState("check")))
	if err != nil {
		return err
	}
	defer cl.Close()
	if _, _, err := cl.ProducerID(ctx); err != nil {
		return fmt.Errorf("transactions: the brokers refuse a transactional id, which cdc needs: %w", err)
	}
	return nil
}
