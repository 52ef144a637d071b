package cdc

import (
	"context"
	"sync"
	"time"

	"github.com/millstream-data/millstream/internal/wire"
)

// sampleAge is how old a sample may be that a poll begins with.
const sampleAge = 2 * time.Second

// sampler shares the samples of a source among its tables: the question costs
// the origin something, the answer serves all.
type sampler struct {
	origin  origin
	metrics *sourceMetrics

	mu   sync.Mutex // guards what follows, and is held while the origin is asked
	hz   horizon
	last sample
}

func newSampler(o origin, c SourceConfig, st wire.CDCSource, f faults, m *sourceMetrics) *sampler {
	s := &sampler{origin: o, metrics: m, hz: horizon{slack: c.Horizon.Slack, initial: c.Horizon.InitialLookback, lookback: c.Horizon.Lookback, faults: f}}
	if st.Raw != "" {
		s.hz.stored, s.hz.storedT0 = parseStamp(st.Raw), parseStamp(st.T0)
	}
	return s
}

// get returns a sample that began after the moment given, and that has ended:
// pages whose snapshots are taken from now on are complete through its h.
func (s *sampler) get(ctx context.Context, after time.Time) (sample, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	began := time.Now()
	if s.last.began.After(after) && began.Sub(s.last.began) <= sampleAge {
		return s.last, nil
	}
	r, err := s.origin.look(ctx)
	if err != nil {
		s.metrics.horizonFailures.Inc()
		return sample{}, err
	}
	out := s.hz.observe(r)
	out.began = began
	if out.steps > s.last.steps {
		s.metrics.clockSteps.Inc()
	}
	s.metrics.sampled(out, time.Since(began))
	s.last = out
	return out, nil
}
