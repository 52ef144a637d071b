package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/kafka"
)

// producer hands records to Kafka and knows whether Kafka takes them.
type producer struct {
	cfg         kafka.Config
	client      atomic.Pointer[kgo.Client]
	soloing     sync.Mutex                 // held while solo has a record
	solo        atomic.Pointer[kgo.Client] // for records that were refused: a batch of its is one record
	dial        func(linger time.Duration) (*kgo.Client, error)
	log         *slog.Logger
	metrics     *metrics
	spool       *spool // nil: there is none
	limbo       *lane  // of all records while the topics are not known
	drain       drain
	start       positions     // as they were found
	changed     chan struct{} // one element: the lanes are others
	drained     chan struct{} // one element: a lane has become direct
	timeouts    Timeouts
	rejectedMax int // bytes
	linger      time.Duration
	busy        func() bool // more than half of the in-flight bytes are held
	closing     atomic.Bool
	ids         *event.IDs
	saved       string                 // the positions as they were last written
	held        atomic.Int64           // bytes of the lanes that are spooled, with the producer
	lanes       atomic.Pointer[lanes]  // nil until the topics were seen
	found       chan struct{}          // closed when lanes is set
	recreated   atomic.Pointer[string] // a topic that is another one under the same name
	lastAck     atomic.Int64           // unix ns
	lastFail    atomic.Int64           // unix ns of the last record that was not acknowledged in time, or refused
	lastLook    atomic.Int64           // unix ns of the last good look at the topics
	watchErr    atomic.Pointer[error]  // of the last look

	needs     atomic.Pointer[[]topicNeed] // the largest records of both topics
	renewed   chan struct{}               // one element: needs are others
	tried     *[]topicNeed                // those that were compared with the topics; belongs to watch
	largest   int                         // batch of records, fixed at the start
	tooNarrow atomic.Pointer[string]
}

// newProducer makes the clients, which connect later. The caller sets metrics.
func newProducer(cfg kafka.Config, c Config, needs []topicNeed, log *slog.Logger) (*producer, error) {
	p, largest := c.Produce, 1_000_012 // Kafka's default for a topic
	for _, n := range needs {
		largest = max(largest, n.bytes())
	}
	codec := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}[p.Compression]
	opts := []kgo.Opt{
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(codec),
		kgo.ProducerBatchMaxBytes(int32(largest)),
		kgo.RetryBackoffFn(backoff),
		kgo.MaxBufferedRecords(1 << 30), // its default would block requests; in-flight bytes bound memory
	}
	out := &producer{
		cfg: cfg, log: log, found: make(chan struct{}), timeouts: c.Timeouts, linger: p.Linger, renewed: make(chan struct{}, 1), largest: largest,
		changed: make(chan struct{}, 1), drained: make(chan struct{}, 1), rejectedMax: int(c.RejectedMax),
		dial: func(linger time.Duration) (*kgo.Client, error) {
			return kafka.NewClient(cfg, log, append(slices.Clip(opts), kgo.ProducerLinger(linger))...)
		},
	}
	out.needs.Store(&needs)
	client, err := out.dial(p.Linger)
	if err != nil {
		return nil, err
	}
	out.client.Store(client)
	solo, err := out.dial(0)
	if err != nil {
		client.Close()
		return nil, err
	}
	out.solo.Store(solo)
	out.limbo = newLane("limbo", "", false, -1, &out.held, out.drained)
	if err := out.prepare(c); err != nil {
		client.Close()
		solo.Close()
		return nil, err
	}
	return out, nil
}

// backoff is how long Kafka's client waits after so many failures in a row. Its own goes up to five seconds, which is how
// long an idle producer would look away from a Kafka that is back: lanes stay spooled for that time.
func backoff(fails int) time.Duration {
	const least, most = 250 * time.Millisecond, time.Second
	d := most
	if fails < 3 {
		d = least << max(fails-1, 0)
	}
	return d - rand.N(d/4) // so that the producers of many servers do not come at once
}

// measure gives p what New has after it: what can fail comes before metrics, which can be registered only once.
func (p *producer) measure(m *metrics, reg prometheus.Registerer, ids *event.IDs, spoolLimit int64) {
	p.metrics, p.ids = m, ids
	registerSpool(reg, p, spoolLimit)
	if p.spool != nil {
		p.spool.metrics = m
		m.spoolErrors.WithLabelValues("torn").Add(float64(p.spool.torn))
	}
}

func (p *producer) close() {
	p.closing.Store(true) // records that fail now fail for that
	p.client.Load().Close()
	p.solo.Load().Close()
	if p.spool != nil {
		p.spool.close()
	}
}

// away says in a sentence why nothing can be made durable, or returns "".
func (p *producer) away(now time.Time) string {
	var err error
	if e := p.watchErr.Load(); e != nil {
		err = *e
	}
	ack, fail := p.lastAck.Load(), p.lastFail.Load()
	switch {
	case p.lanes.Load() == nil && err == nil:
		return "Kafka was not reached yet."
	case p.lanes.Load() == nil:
		return fmt.Sprintf("Kafka was not reached yet: %v.", err)
	case fail > ack && (p.lastLook.Load() < fail || p.unacked() > 0):
		// Without the second half an idle server, out of its balancer for one failure, would wait for an event for ever.
		return fmt.Sprintf("Kafka has not acknowledged since %s.", time.Unix(0, fail).UTC().Format(time.RFC3339))
	case err != nil && now.UnixNano()-ack > int64(10*time.Second):
		return fmt.Sprintf("Kafka or its topics are away: %v.", err)
	}
	return ""
}

// watch creates the topics where that is wanted, and follows their numbers of partitions until ctx ends.
func (p *producer) watch(ctx context.Context) {
	said, failures := "", 0
	for {
		err := p.look(ctx)
		if ctx.Err() != nil {
			return
		}
		p.watchErr.Store(&err)
		troubled := p.lastFail.Load() > p.lastAck.Load() || p.spooled() > 0
		if troubled {
			p.mend(ctx)
		}
		wait := 10 * time.Second
		if err == nil {
			p.lastLook.Store(time.Now().UnixNano())
			said, failures = "", 0
		} else if failures++; failures > 4 && err.Error() != said { // a new topic takes a moment to be seen
			said = err.Error()
			p.log.Warn("kafka is away or its topics are", "err", err)
		}
		switch {
		case p.lanes.Load() == nil:
			wait = 250 * time.Millisecond
		case err != nil || troubled:
			wait = time.Second
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-p.renewed:
		}
		timer.Stop()
	}
}

// await returns the lanes, once they are known, or nil if that is not before limit.
func (p *producer) await(limit <-chan time.Time) *lanes {
	if l := p.lanes.Load(); l != nil {
		return l
	}
	select {
	case <-p.found:
	case <-limit:
	}
	return p.lanes.Load()
}

func (p *producer) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	events, rejected, needs := p.cfg.EventsTopic(), p.cfg.RejectedTopic(), *p.needs.Load()
	for i, t := range []kafka.Topic{events, rejected} {
		if have, err := strconv.Atoi(t.Configs[maxMessage]); err == nil && have < needs[i].bytes() {
			t.Configs[maxMessage] = strconv.Itoa(needs[i].bytes())
		}
	}
	if err := kafka.EnsureTopics(ctx, p.cfg, p.client.Load(), events, rejected); err != nil {
		return err
	}
	details, err := kadm.NewClient(p.client.Load()).ListTopics(ctx, events.Name, rejected.Name)
	if err != nil {
		return fmt.Errorf("list topics: %w", err)
	}
	for _, name := range []string{events.Name, rejected.Name} {
		if d := details[name]; d.Err != nil {
			return fmt.Errorf("topic %s: %w", name, d.Err)
		} else if len(d.Partitions) == 0 {
			return fmt.Errorf("topic %s: has no partitions", name)
		}
	}
	p.adopt(events.Name, len(details[events.Name].Partitions), rejected.Name, len(details[rejected.Name].Partitions))
	p.checkTopics(ctx)
	return nil
}

// spooled is the number of lanes that do not reach Kafka directly.
func (p *producer) spooled() int {
	if l := p.lanes.Load(); l != nil {
		return l.spooled()
	}
	return 0
}

// unacked is the number of records that the producer holds.
func (p *producer) unacked() float64 {
	n := int64(0)
	if l := p.lanes.Load(); l != nil {
		for _, ln := range l.all {
			n += ln.unacked.Load()
		}
	}
	return float64(n)
}
