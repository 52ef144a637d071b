package batcher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millstream-data/millstream/internal/dedup"
	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/telemetry"
)

// Deps are what a Batcher works with; they stay the caller's.
type Deps struct {
	Kafka    kafka.Config
	Lake     *lake.Lake
	Dedup    dedup.Config
	Version  string // of the binary, for commits
	Log      *slog.Logger
	Registry prometheus.Registerer
	Health   *telemetry.Health // nil: nobody asks
}

// Batcher carries topics to the lake, from New to the end of Run.
type Batcher struct {
	env    *env
	kafka  kafka.Config
	writer string
	health *telemetry.Health

	wg      sync.WaitGroup // goroutines of chains
	started chan struct{}  // closed when Run has its client

	mu          sync.Mutex      // guards what follows
	base        context.Context //nolint:containedctx // the client's callbacks get no context that lives as long as a chain
	chains      map[lake.ChainID]*chain
	stopped     map[lake.ChainID]error // wait for an operator
	hints       map[lake.ChainID]int64
	generations int
	running     bool
	restartAt   time.Time // chains that have ended wait until then
}

// New validates cfg and registers the metrics. It does not connect.
func New(cfg Config, d Deps) (*Batcher, error) {
	if err := errors.Join(cfg.Validate(), d.Dedup.Validate(), d.Kafka.Validate()); err != nil {
		return nil, err
	}
	writer := cfg.InstanceID
	if writer == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "batcher"
		}
		writer = host + "-" + strconv.Itoa(os.Getpid())
	}
	m := newMetrics(d.Registry)
	b := &Batcher{
		env: &env{
			cfg: cfg, dedup: d.Dedup, version: d.Version, lake: d.Lake, topics: d.Kafka.Names(), log: d.Log, metrics: m,
			registry: newRegistry(d.Lake, m), names: lake.NewNamer(), shapes: newShapes(),
		},
		kafka: d.Kafka, writer: writer, health: d.Health,
		started: make(chan struct{}), chains: map[lake.ChainID]*chain{}, stopped: map[lake.ChainID]error{}, hints: map[lake.ChainID]int64{},
	}
	if b.health != nil {
		b.health.Register("batcher", b.check)
	}
	return b, nil
}

// Run carries records until ctx ends, then commits what is open within
// DrainTimeout, leaves the group and returns nil. After any other return the
// Batcher can be built anew: nothing was lost and nothing will repeat.
func (b *Batcher) Run(ctx context.Context) error {
	work, cancel := kafka.DrainContext(ctx, b.env.cfg.DrainTimeout)
	defer cancel()
	if err := b.emptySpool(); err != nil {
		return err
	}
	client, err := kafka.NewClient(b.kafka, b.env.log, b.options()...)
	if err != nil {
		return err
	}
	defer client.Close()
	b.env.client = client
	b.mu.Lock()
	b.base, b.running = work, true
	b.mu.Unlock()
	close(b.started)
	b.ensureTopics(ctx)
	for ctx.Err() == nil {
		b.poll(ctx, client)
		b.relieve(ctx)
	}
	b.endAll(work, cutDrain, nil)
	client.AllowRebalance()
	cancel()
	// Also after a drain that took too long: who does not say goodbye holds its partitions for a session timeout.
	leave, left := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer left()
	if err := client.LeaveGroupContext(leave); err != nil {
		b.env.log.Debug("left no group", "err", err)
	}
	b.wg.Wait()
	b.mu.Lock()
	b.running = false
	b.mu.Unlock()
	return nil
}

// ensureTopics returns when the topics are there or ctx ends.
func (b *Batcher) ensureTopics(ctx context.Context) {
	for ctx.Err() == nil {
		err := kafka.EnsureTopics(ctx, b.kafka, b.env.client, b.kafka.EventsTopic(), b.kafka.RejectedTopic())
		if err == nil {
			return
		}
		b.env.log.Warn("topics are not there yet, trying again", "err", err)
		pause(ctx, time.Second)
	}
}

// emptySpool removes what an earlier process has left: it holds nothing durable.
func (b *Batcher) emptySpool() error {
	dir := b.env.cfg.Disk.Dir
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("empty spool: %w", err)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("make spool: %w", err)
	}
	return nil
}

func (b *Batcher) options() []kgo.Opt {
	c := b.env.cfg
	opts := []kgo.Opt{
		kgo.ConsumerGroup(c.Group),
		kgo.ConsumeRegex(),
		kgo.ConsumeTopics("^"+regexp.QuoteMeta(b.env.topics.Events())+"$", "^"+regexp.QuoteMeta(b.env.topics.ChangesPrefix())+".+"),
		// A topic of changes that is new should be seen within seconds.
		kgo.MetadataMaxAge(3 * time.Second),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.BlockRebalanceOnPoll(),
		kgo.DisableAutoCommit(),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// The chain says where to read; the client must never jump by itself.
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.SessionTimeout(c.SessionTimeout),
		kgo.RebalanceTimeout(c.RebalanceTimeout),
		kgo.FetchMaxBytes(16 << 20), kgo.FetchMaxPartitionBytes(2 << 20), kgo.MaxConcurrentFetches(2),
		kgo.FetchMaxWait(time.Second),
		kgo.OnOffsetsFetched(b.offsetsFetched),
		kgo.AdjustFetchOffsetsFn(b.assigned),
		kgo.OnPartitionsRevoked(b.revoked),
		kgo.OnPartitionsLost(b.lost),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchMaxBytes(1 << 20),
	}
	if c.InstanceID != "" {
		opts = append(opts, kgo.InstanceID(c.InstanceID))
	}
	return opts
}

// poll takes what was fetched to the chains and begins chains anew that have
// failed. Partitions cannot move meanwhile.
func (b *Batcher) poll(ctx context.Context, client *kgo.Client) {
	pctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	fetches := client.PollRecords(pctx, 10_000)
	cancel()
	defer client.AllowRebalance()
	fetches.EachError(func(topic string, partition int32, err error) {
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || errors.Is(err, kgo.ErrClientClosed) {
			return
		}
		b.env.log.Warn("fetch", "topic", topic, "partition", partition, "err", err)
		if c := b.chain(lake.ChainID{Topic: topic, Partition: partition}); c != nil {
			c.cancel(fmt.Errorf("fetch: %w", err)) // its place is found anew: the log may have moved on
		}
	})
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if len(p.Records) == 0 {
			return
		}
		id := lake.ChainID{Topic: p.Topic, Partition: p.Partition}
		if c := b.chain(id); c != nil {
			c.in.put(p.Records)
			b.lag(id, p)
		}
	})
	b.restart(ctx, client)
}

func (b *Batcher) lag(id lake.ChainID, p kgo.FetchTopicPartition) {
	last := p.Records[len(p.Records)-1]
	behind := max(0, p.HighWatermark-last.Offset-1)
	seconds := 0.0
	if behind > 0 {
		seconds = time.Since(last.Timestamp).Seconds()
	}
	partition := strconv.Itoa(int(id.Partition))
	b.env.metrics.lagOffsets.WithLabelValues(id.Topic, partition).Set(float64(behind))
	b.env.metrics.lagSeconds.WithLabelValues(id.Topic, partition).Set(seconds)
}

// relieve waits while more was fetched than memory allows, and has the largest
// range cut when rows that are in no file take too much.
func (b *Batcher) relieve(ctx context.Context) {
	var began time.Time
	for {
		held, rows, full := b.pressure()
		b.env.metrics.memory.WithLabelValues("fetch").Set(float64(held))
		b.env.metrics.memory.WithLabelValues("chunks").Set(float64(rows))
		if !full || ctx.Err() != nil {
			b.env.metrics.paused.Set(0)
			if !began.IsZero() {
				b.env.metrics.pauseSeconds.Add(time.Since(began).Seconds())
			}
			return
		}
		if began.IsZero() {
			began = time.Now()
			b.env.metrics.paused.Set(1)
		}
		pause(ctx, 20*time.Millisecond)
	}
}

func (b *Batcher) pressure() (held, rows int64, full bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var (
		all   []*chain
		loads []load
	)
	for _, c := range b.chains {
		select {
		case <-c.done:
			continue // is begun anew by the next poll
		default:
		}
		all, loads = append(all, c), append(loads, c.load())
		held += c.in.held()
		rows += loads[len(loads)-1].memory
	}
	if i := largest(loads, b.env.cfg.Memory.Chunks); i >= 0 {
		all[i].in.ask(cutMemory)
	}
	return held, rows, held > int64(b.env.cfg.Memory.Fetch) || rows > int64(b.env.cfg.Memory.Chunks)
}

func (b *Batcher) chain(id lake.ChainID) *chain {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.chains[id]
}

// commitOffset tells Kafka how far the chain is, as a hint for lag tools and for
// the next search. Failures do no harm.
func (b *Batcher) commitOffset(c lake.Commit) {
	ctx, cancel := context.WithTimeout(b.base, 5*time.Second)
	defer cancel()
	ctx = kgo.PreCommitFnContext(ctx, func(req *kmsg.OffsetCommitRequest) error {
		hint := hintText(c.First)
		for i := range req.Topics {
			for j := range req.Topics[i].Partitions {
				req.Topics[i].Partitions[j].Metadata = &hint
			}
		}
		return nil
	})
	offsets := map[string]map[int32]kgo.EpochOffset{c.Topic: {c.Partition: {Epoch: -1, Offset: c.Next}}}
	b.env.client.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		if err != nil || resp == nil {
			b.env.metrics.offsetFailures.Inc()
			return
		}
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				if p.ErrorCode != 0 {
					b.env.metrics.offsetFailures.Inc()
				}
			}
		}
	})
}

// check answers the health question from memory.
func (b *Batcher) check(context.Context) telemetry.Check {
	if since, err := b.env.store.get(); err != nil {
		return telemetry.NotReady("The store has not taken a call since %s: %v. Kafka keeps the data meanwhile.", since.UTC().Format(time.TimeOnly), err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, err := range b.stopped {
		return telemetry.Degraded("%d partitions wait for an operator: %v.", len(b.stopped), err)
	}
	if !b.running {
		return telemetry.NotReady("The batcher has not started.")
	}
	return telemetry.Ready("%d partitions.", len(b.chains))
}
