package ingest

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// renew replaces a client that was refused a producer's id, which takes rights: such a client fails all its records and
// never asks again. It holds none, so that nothing is overtaken; what fails with its end is handed over again.
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
