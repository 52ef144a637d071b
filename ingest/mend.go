package ingest

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// mend helps clients over what they do not get over by themselves. One that was refused a producer's id, which takes
// rights, fails all its records and never asks again: it is replaced. It holds no record, so that none is overtaken.
//
// A topic that was deleted and created again is another one to a client, which fails its records until it forgets it.
func (p *producer) mend(ctx context.Context) {
	p.renew(ctx, &p.client, p.linger)
	p.renew(ctx, &p.solo, 0)
	p.client.Load().ForceMetadataRefresh() // by itself it looks for new partitions every five minutes
	p.solo.Load().ForceMetadataRefresh()
	if topic := p.recreated.Swap(nil); topic != nil {
		p.client.Load().PurgeTopicsFromProducing(*topic)
		p.solo.Load().PurgeTopicsFromProducing(*topic)
	}
}

func (p *producer) renew(ctx context.Context, at *atomic.Pointer[kgo.Client], linger time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	old := at.Load()
	_, _, err := old.ProducerID(ctx)
	if refused, ok := errors.AsType[*kerr.Error](err); !ok || refused.Retriable {
		return
	}
	client, err := p.dial(linger)
	if err != nil {
		p.log.Warn("kafka client was not made anew", "err", err)
		return
	}
	at.Store(client)
	old.Close()
}
