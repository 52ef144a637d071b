package batcher

import (
	"context"
	"time"

	"github.com/millstream-data/millstream/internal/kafka"
)

// endsEvery is how often the brokers are asked where logs end: what is fetched
// says so, too, but nothing is while intake is paused.
const endsEvery = 5 * time.Second

// lagEvery is how often lag is shown. Chains do not show their own: one that
// waits for the store would show what was.
const lagEvery = 250 * time.Millisecond

// showLag brings the lag of all chains up to date, unless that has just been done.
func (b *Batcher) showLag(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Sub(b.lagShown) < lagEvery {
		return
	}
	b.lagShown = now
	for id, c := range b.chains {
		select {
		case <-c.done: // its series are gone
		default:
			offsets, received := c.in.behind()
			b.env.metrics.lag(id, offsets, received)
		}
	}
}

// watchEnds tells chains how long their logs are, until ctx ends.
func (b *Batcher) watchEnds(ctx context.Context) {
	for pause(ctx, endsEvery) {
		b.mu.Lock()
		chains := make([]*chain, 0, len(b.chains))
		seen := map[string]bool{}
		var topics []string
		for id, c := range b.chains {
			chains = append(chains, c)
			if !seen[id.Topic] {
				seen[id.Topic] = true
				topics = append(topics, id.Topic)
			}
		}
		b.mu.Unlock()
		if len(topics) == 0 {
			continue
		}
		ends, err := kafka.CommittedEnds(ctx, b.env.client, topics...)
		if err != nil {
			b.env.log.Debug("ends of logs are not known", "err", err)
			continue
		}
		for _, c := range chains {
			c.in.put(nil, ends[c.id.Topic][c.id.Partition])
		}
	}
}
