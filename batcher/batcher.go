package batcher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millstream-data/millstream/internal/config"
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
	// Disk stands between files and the disk; nil: nothing does. It is for disks
	// that a test fills.
	Disk func(io.Writer) io.Writer
	// Rest is how long a partition rests whose records are mostly rejected; 0: a
	// minute. It is for tests that cannot wait for so long.
	Rest time.Duration
	Owns func(int) // told how many partitions of events the batcher owns; nil: nobody asks
}

// Batcher carries topics to the lake, from New to the end of Run.
type Batcher struct {
	env    *env
	kafka  kafka.Config
	writer string
	health *telemetry.Health
	owns   func(int)

	wg      sync.WaitGroup // goroutines of chains
	started chan struct{}  // closed when Run has its client

	mu          sync.Mutex      // guards what follows
	base        context.Context //nolint:containedctx // the client's callbacks get no context that lives as long as a chain
	chains      map[lake.ChainID]*chain
	stopped     map[lake.ChainID]error // wait for an operator
	hints       map[lake.ChainID]int64
	generations int
	running     bool
	lagShown    time.Time
	restartAt   time.Time          // chains that have ended wait until then
	restarting  context.CancelFunc // ends a restart that holds the group up; nil: there is none
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
	m, names := newMetrics(d.Registry), lake.NewNamer()
	b := &Batcher{
		env: &env{
			cfg: cfg, dedup: d.Dedup, version: d.Version, lake: d.Lake, topics: d.Kafka.Names(), log: d.Log, metrics: m,
			registry: newRegistry(d.Lake, m, cfg.Limits), names: names, rules: newRules(cfg, names, d.Log), shapes: newShapes(),
			governor: newGovernor(cfg, m), pauses: pauses{metrics: m}, rests: rests{metrics: m, log: d.Log}, disk: d.Disk, rest: d.Rest,
		},
		kafka: d.Kafka, writer: writer, health: d.Health, owns: d.Owns,
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
	spool, err := openSpool(b.env.cfg.Disk.Dir)
	if err != nil {
		return err
	}
	defer spool.close()
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
	if b.env.cfg.Compaction.Enabled {
		b.wg.Go(func() { b.compact(ctx) })
	}
	b.ensureTopics(ctx)
	b.wg.Go(func() { b.watchEnds(ctx) })
	for ctx.Err() == nil {
		b.poll(ctx, client)
		b.hold(ctx, client)
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

const (
	pollWait    = 500 * time.Millisecond
	pollRecords = 10_000
	// Dead letters that wait for Kafka; a chain with another one waits, too.
	deadLetterBytes = 8 << 20
)

// fetchBytes is what two fetches may ask for so that they stay within the budget
// when they are decompressed.
func fetchBytes(budget config.Bytes) int32 {
	return int32(min(max(budget/24, config.MiB), 16*config.MiB)) //nolint:gosec // at most 16 MiB
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
		kgo.HeartbeatInterval(c.SessionTimeout / 15), // also how soon a member hears of a rebalance
		kgo.RebalanceTimeout(c.RebalanceTimeout),
		// These bounds are of compressed bytes, of which each may hold ten.
		kgo.FetchMaxBytes(fetchBytes(c.Memory.Fetch)), kgo.FetchMaxPartitionBytes(fetchBytes(c.Memory.Fetch) / 2), kgo.MaxConcurrentFetches(2),
		kgo.FetchMaxWait(time.Second),
		// Else the end of a transaction would look like a record that was never read.
		kgo.KeepControlRecords(),
		kgo.OnPartitionsCallbackBlocked(b.blocked),
		kgo.OnOffsetsFetched(b.offsetsFetched),
		kgo.AdjustFetchOffsetsFn(b.assigned),
		kgo.OnPartitionsRevoked(b.revoked),
		kgo.OnPartitionsLost(b.lost),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchMaxBytes(1 << 20),
		kgo.MaxBufferedBytes(deadLetterBytes),
	}
	if c.InstanceID != "" {
		opts = append(opts, kgo.InstanceID(c.InstanceID))
	}
	return opts
}

// poll takes what was fetched to the chains.
func (b *Batcher) poll(ctx context.Context, client *kgo.Client) {
	pctx, cancel := context.WithTimeout(ctx, pollWait)
	fetches := client.PollRecords(pctx, pollRecords)
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
		if c := b.chain(lake.ChainID{Topic: p.Topic, Partition: p.Partition}); c != nil {
			c.in.put(p.Records, p.LastStableOffset)
		}
	})
}

// hold returns when there is room for what a poll may bring. Nothing is polled
// meanwhile, so the client stops fetching when its own buffers are full; it
// goes on to hand partitions over, and chains that end are begun anew.
func (b *Batcher) hold(ctx context.Context, client *kgo.Client) {
	for {
		b.restart(ctx, client)
		waiting, room := b.fetched(client)
		reason, paused := b.env.governor.pausedFor()
		if call, _ := b.env.store.oldest(); call != "" && (paused || !room) {
			reason, paused = pauseStore, true
		}
		if !paused {
			reason = pauseNone
		}
		b.env.pauses.mark(reason, time.Now())
		b.showMemory(waiting)
		b.showLag(time.Now())
		if room && !paused || ctx.Err() != nil {
			b.env.pauses.mark(pauseNone, time.Now())
			return
		}
		pause(ctx, 20*time.Millisecond)
	}
}

// fetched returns the size of what was fetched and is not yet in a range, and
// whether there is room for more. What the client itself holds is bounded by its
// options, and only leaves it when there is room. Chains that rest may hold half
// of the budget beside: others must not wait for them.
func (b *Batcher) fetched(client *kgo.Client) (bytes int64, room bool) {
	limit := int64(b.env.cfg.Memory.Fetch)
	inClient := onHeap * (client.BufferedFetchBytes() + 256*client.BufferedFetchRecords())
	var inboxes, resting int64
	b.mu.Lock()
	for id, c := range b.chains {
		n := c.in.held()
		inboxes += n
		if n > 0 && b.env.rests.has(id) {
			resting += n
		}
	}
	b.mu.Unlock()
	return inboxes + inClient, inboxes-min(resting, limit/2) <= max(limit-inClient, limit/8)
}

func (b *Batcher) showMemory(fetched int64) {
	var windows int64
	b.mu.Lock()
	for _, c := range b.chains {
		windows += c.windowBytes.Load()
	}
	b.mu.Unlock()
	h := b.env.governor.holds()
	for kind, n := range map[string]int64{"fetch": fetched, "chunks": h.chunks, "row_groups": h.groups, "windows": windows} {
		b.env.metrics.memory.WithLabelValues(kind).Set(float64(n))
	}
	b.env.metrics.spoolBytes.Set(float64(h.disk))
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
	if call, r := b.env.store.oldest(); call != "" {
		return telemetry.NotReady("The store has not taken the call %q since %s: %v. Kafka keeps the data meanwhile.", call, r.since.UTC().Format(time.TimeOnly), r.err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, err := range b.stopped {
		return telemetry.Degraded("%d partitions wait for an operator: %v.", len(b.stopped), err)
	}
	if !b.running {
		return telemetry.NotReady("The batcher has not started.")
	}
	if resting := b.env.rests.message(); resting != "" {
		return telemetry.Degraded("%s", resting)
	}
	if b.env.governor.short.Load() > 0 {
		return telemetry.Degraded("The disk of %s was full; ranges are cut early until it has room again.", b.env.cfg.Disk.Dir)
	}
	if reason, since := b.env.pauses.now(); reason != pauseNone {
		return telemetry.Ready("%d partitions; nothing is taken in since %s, for the budget of %s.", len(b.chains), since.UTC().Format(time.TimeOnly), reason)
	}
	return telemetry.Ready("%d partitions.", len(b.chains))
}
