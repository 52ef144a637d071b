package rollup

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/metric"
	"github.com/millstream-data/millstream/internal/wire"
)

// publisher tells readers what was committed. What waits is a map by key, so a
// stalled broker costs memory per cell and never per change. It is safe for
// concurrent use.
type publisher struct {
	cl    *kgo.Client
	topic string
	cfg   Publish
	log   *slog.Logger
	m     *metrics
	wake  chan struct{}

	mu      sync.Mutex
	pending map[metric.Key]*unpublished
	large   map[metric.Key]time.Time // when a large state was sent last
	names   map[metric.VersionID]string
}

type unpublished struct {
	row     metric.Row
	at      time.Time // of its commit
	sending bool
}

func newPublisher(cl *kgo.Client, topic string, cfg Publish, log *slog.Logger, m *metrics) *publisher {
	return &publisher{
		cl: cl, topic: topic, cfg: cfg, log: log, m: m, wake: make(chan struct{}, 1),
		pending: map[metric.Key]*unpublished{}, large: map[metric.Key]time.Time{}, names: map[metric.VersionID]string{},
	}
}

// setNames tells how the metrics of versions are called; versions that were
// told of before keep their names.
func (p *publisher) setNames(vs []metric.Version) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, v := range vs {
		p.names[v.VersionID] = v.Name
	}
}

// offer takes committed rows over.
func (p *publisher) offer(rows []metric.Row, at time.Time) {
	if len(rows) == 0 {
		return
	}
	p.mu.Lock()
	for _, r := range rows {
		if u := p.pending[r.Key]; u != nil {
			if u.row.LastOff <= r.LastOff {
				u.row, u.at = r, at
			}
			continue
		}
		p.pending[r.Key] = &unpublished{row: r, at: at}
	}
	p.m.pending.Set(float64(len(p.pending)))
	p.mu.Unlock()
	p.nudge()
}

func (p *publisher) nudge() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// published returns the position up to which rows of src are acknowledged;
// all committed ones lie below next.
func (p *publisher) published(src int, next int64) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k, u := range p.pending {
		if k.Src == src {
			next = min(next, u.row.LastOff)
		}
	}
	return next
}

// maxPending is when flushing slows to the broker's pace.
const maxPending = 100_000

// behind tells whether more cells wait than should.
func (p *publisher) behind() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.pending) > maxPending
}

func (p *publisher) empty() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.pending) == 0
}

// Run sends what waits until ctx ends.
func (p *publisher) Run(ctx context.Context) error {
	tick := time.NewTicker(p.cfg.LargeEvery / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.wake:
		case <-tick.C:
		}
		p.send(ctx, time.Now())
	}
}

// drain returns when all is acknowledged, or ctx has ended.
func (p *publisher) drain(ctx context.Context) {
	p.mu.Lock()
	clear(p.large) // the last states of a stopping worker are not held back
	p.mu.Unlock()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !p.empty() {
		p.send(ctx, time.Now())
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// send hands the client everything that is due.
func (p *publisher) send(ctx context.Context, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k, u := range p.pending {
		if u.sending {
			continue
		}
		if len(u.row.State) > int(p.cfg.Large) {
			if now.Sub(p.large[k]) < p.cfg.LargeEvery {
				continue
			}
			p.large[k] = now
		}
		rec, err := p.record(u)
		if err != nil {
			panic("BUG: a cell is not JSON: " + err.Error())
		}
		u.sending = true
		off := u.row.LastOff
		p.cl.Produce(ctx, rec, func(_ *kgo.Record, err error) { p.sent(k, off, err) })
	}
	for k, at := range p.large {
		if now.Sub(at) > p.cfg.LargeEvery {
			delete(p.large, k)
		}
	}
}

func (p *publisher) record(u *unpublished) (*kgo.Record, error) {
	r := u.row
	key := wire.CellKey{Metric: p.names[r.Version()], Version: r.Ver, Zone: r.Zone, Bucket: r.Bucket, Tuple: r.Dim, Src: r.Src, Rev: r.Rev}
	value, err := wire.EncodeCellRecord(wire.Cell{V: 1, Vals: append([]string{}, r.Vals...), N: r.N, Bad: r.Bad, State: r.State, Off: r.LastOff, At: u.at.UnixMilli()})
	return &kgo.Record{Topic: p.topic, Key: key.Append(nil), Value: value}, err
}

// sent is called by the client when it knows what became of a record.
func (p *publisher) sent(k metric.Key, off int64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.pending[k]
	u.sending = false
	switch {
	case err != nil:
		p.m.publishErrs.Inc()
	case u.row.LastOff == off:
		delete(p.pending, k)
	}
	p.m.pending.Set(float64(len(p.pending)))
	if err == nil && u.row.LastOff != off {
		p.nudge()
	}
}

// tell sends a record that is repeated anyway and so need not be waited for.
func (p *publisher) tell(ctx context.Context, key, value []byte) {
	p.cl.Produce(ctx, &kgo.Record{Topic: p.topic, Key: key, Value: value}, nil)
}
