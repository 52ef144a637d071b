package rollup

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/dedup"
	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/metric"
	"github.com/millstream-data/millstream/internal/telemetry"
	"github.com/millstream-data/millstream/internal/wire"
)

// Deps are what a Rollup works with.
type Deps struct {
	Kafka    kafka.Config
	Dedup    dedup.Config
	Store    metric.Store      // stays the caller's to close, after Run
	Health   *telemetry.Health // gains the check "rollup"
	Log      *slog.Logger
	Registry prometheus.Registerer
}

// Rollup is one worker of the group that counts the topic of events.
type Rollup struct {
	cfg        Config
	kafka      kafka.Config
	dedup      dedup.Config
	topics     wire.Topics
	store      metric.Store
	log        *slog.Logger
	m          *metrics
	trouble    *trouble
	owner      string
	watchEvery time.Duration

	defs    atomic.Pointer[definitions]
	offered []metric.File // files that the store has seen; of the watching goroutine
	out     *kgo.Client
	pub     *publisher
	in      *kgo.Client     // of the polling goroutine; workers, which may begin before it is set, resume what it has paused
	work    context.Context //nolint:containedctx // of Run: callbacks of the Kafka client start workers in it

	mu      sync.Mutex
	workers map[int32]*worker
	parts   int // partitions of the topic, once known
}

// New validates cfg and registers metrics and health. It connects to nothing.
func New(cfg Config, deps Deps) (*Rollup, error) {
	if err := errors.Join(cfg.Validate(), deps.Kafka.Validate(), deps.Dedup.Validate()); err != nil {
		return nil, err
	}
	topics := deps.Kafka.Names()
	r := &Rollup{
		cfg: cfg, kafka: deps.Kafka, dedup: deps.Dedup, topics: topics, store: deps.Store, log: deps.Log,
		m: newMetrics(deps.Registry, topics.Events()), trouble: newTrouble(), owner: ownerName(cfg.InstanceID),
		watchEvery: watchEvery, workers: map[int32]*worker{},
	}
	if deps.Health != nil {
		deps.Health.Register("rollup", r.trouble.check)
	}
	return r, nil
}

func ownerName(instance string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	if instance != "" {
		host = instance
	}
	return fmt.Sprintf("%s-%d-%s", host, os.Getpid(), rand.Text()[:8])
}

// Run counts until ctx ends, flushes and publishes within DrainTimeout and
// returns nil. Store or Kafka being away is waited for, for ever; an error means
// that only a person can help. After any return the role can be built anew:
// nothing is lost and nothing will repeat.
func (r *Rollup) Run(ctx context.Context) error {
	work, cancel := kafka.DrainContext(ctx, r.cfg.DrainTimeout)
	defer cancel()
	r.work = work
	var err error
	if r.out, err = kafka.NewClient(r.kafka, r.log, kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerLinger(0), kgo.MaxBufferedRecords(100_000)); err != nil {
		return err
	}
	defer r.out.Close()
	r.pub = newPublisher(r.out, r.topics.Cells(), r.cfg.Publish, r.log, r.m)
	if err := r.prepare(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	if r.in, err = r.join(); err != nil {
		return err
	}
	defer r.in.CloseAllowingRebalance()
	background, stop := context.WithCancel(work)
	defer stop()
	var g errgroup.Group
	g.Go(func() error { return r.pub.Run(background) })
	g.Go(func() error { return r.watch(background) })
	g.Go(func() error { return r.askEnds(background) })
	r.poll(ctx)
	r.stopAll(flushStop)
	r.pub.drain(work)
	stop()
	return g.Wait()
}

// join makes a member of the group, which may get partitions at once.
func (r *Rollup) join() (*kgo.Client, error) {
	opts := []kgo.Opt{
		kgo.ConsumerGroup(r.cfg.Group), kgo.ConsumeTopics(r.topics.Events()), kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.BlockRebalanceOnPoll(), kgo.DisableAutoCommit(), kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.AdjustFetchOffsetsFn(r.assigned),
		kgo.OnPartitionsRevoked(r.revoked), kgo.OnPartitionsLost(r.lost),
		kgo.SessionTimeout(r.cfg.SessionTimeout), kgo.RebalanceTimeout(r.cfg.RebalanceTimeout), kgo.HeartbeatInterval(r.cfg.SessionTimeout / 15),
		kgo.FetchMaxBytes(int32(min(r.cfg.Memory.Fetch/2, 64*config.MiB))), kgo.FetchMaxPartitionBytes(int32(min(r.cfg.Memory.Fetch/8, 16*config.MiB))), //nolint:gosec // bounded
	}
	if r.cfg.InstanceID != "" {
		opts = append(opts, kgo.InstanceID(r.cfg.InstanceID))
	}
	return kafka.NewClient(r.kafka, r.log, opts...)
}

// prepare waits for Kafka and the store and puts the definitions in force.
func (r *Rollup) prepare(ctx context.Context) error {
	err := retry(ctx, r.trouble, r.log, "kafka", func() error {
		return kafka.EnsureTopics(ctx, r.kafka, r.out, r.kafka.EventsTopic(), r.kafka.RejectedTopic(), r.kafka.CellsTopic())
	})
	if err != nil {
		return err
	}
	err = retry(ctx, r.trouble, r.log, "metric store", func() error {
		return r.store.Agree(ctx, metric.Terms{Window: r.dedup.Window, MaxRecords: r.dedup.MaxRecords})
	}, metric.ErrTerms)
	if err != nil {
		return err
	}
	reg, err := r.first(ctx)
	if err != nil {
		return err
	}
	return r.enforce(ctx, reg)
}

// first offers the files. A broken set is refused, and what is in force goes
// on; with nothing in force there is nothing to do but to say so.
func (r *Rollup) first(ctx context.Context) (metric.Registered, error) {
	var reg metric.Registered
	err := retry(ctx, r.trouble, r.log, "metric store", func() (err error) {
		if _, err = metric.Load(r.cfg.Definitions); err == nil {
			reg, err = r.offerSet(ctx)
			return err
		}
		broken := fmt.Errorf("rollup.definitions: %w", err)
		if reg, err = r.store.Current(ctx); err != nil {
			return err
		}
		if reg.No == 0 {
			return errors.Join(errNoSet, broken)
		}
		r.m.setErrors.Inc()
		r.trouble.set("definitions", broken)
		r.log.Error("definitions not taken; the set in force stays", "err", broken)
		return nil
	}, errNoSet)
	return reg, err
}

var errNoSet = errors.New("no definitions are in force, and those offered are refused")

// poll hands what Kafka gives to the workers until ctx ends.
func (r *Rollup) poll(ctx context.Context) {
	hint := time.NewTicker(5 * time.Second)
	defer hint.Stop()
	for ctx.Err() == nil {
		wait, cancel := context.WithTimeout(ctx, time.Second)
		fetches := r.in.PollRecords(wait, 10_000)
		cancel()
		fetches.EachError(r.fetchFailed)
		fetches.EachPartition(func(tp kgo.FetchTopicPartition) { r.hand(tp.Partition, tp.Records) })
		r.restartFailed(ctx)
		select {
		case <-hint.C:
			r.commitHint(ctx)
		default:
		}
		r.in.AllowRebalance()
	}
}

func (r *Rollup) hand(part int32, recs []*kgo.Record) {
	w := r.worker(part)
	if w == nil || len(recs) == 0 {
		return
	}
	if bytes := w.queue.put(recs); bytes > int(r.cfg.Memory.Fetch)/r.expected() {
		w.queue.mu.Lock()
		defer w.queue.mu.Unlock()
		if w.queue.bytes > 0 && !w.queue.paused {
			w.queue.paused = true
			r.in.PauseFetchPartitions(map[string][]int32{r.topics.Events(): {part}})
		}
	}
}

func (r *Rollup) resume(part int32) {
	r.in.ResumeFetchPartitions(map[string][]int32{r.topics.Events(): {part}})
}

func (r *Rollup) worker(part int32) *worker {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.workers[part]
}

func (r *Rollup) all() map[int32]*worker {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.workers)
}

// expected is among how many workers memory is shared.
func (r *Rollup) expected() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return max(r.parts, 1)
}

// commitHint tells Kafka the positions, for lag tools; nobody else reads them.
func (r *Rollup) commitHint(ctx context.Context) {
	offsets := map[int32]kgo.EpochOffset{}
	for part, w := range r.all() {
		if next := w.committed.Load(); next > 0 {
			offsets[part] = kgo.EpochOffset{Epoch: -1, Offset: next}
		}
	}
	if len(offsets) > 0 {
		r.in.CommitOffsets(ctx, map[string]map[int32]kgo.EpochOffset{r.topics.Events(): offsets}, nil)
	}
}

// askEnds asks each second where the log ends, so that an idle partition is
// known to be complete.
func (r *Rollup) askEnds(ctx context.Context) error {
	adm := kadm.NewClient(r.out)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		r.weigh()
		asked := time.Now()
		ends, err := adm.ListCommittedOffsets(ctx, r.topics.Events())
		if err == nil {
			err = ends.Error()
		}
		if err != nil {
			if ctx.Err() == nil {
				r.trouble.set("kafka", fmt.Errorf("end offsets: %w", err))
			}
			continue
		}
		r.trouble.clear("kafka")
		for part, w := range r.all() {
			if o, ok := ends.Lookup(r.topics.Events(), part); ok {
				w.tellEnd(logEnd{asked, o.Offset})
			}
		}
	}
}

// tellEnd replaces an answer that the worker has not looked at yet.
func (w *worker) tellEnd(e logEnd) {
	select {
	case <-w.ends:
	default:
	}
	select {
	case w.ends <- e:
	default:
	}
}

// weigh shows the memory that the workers hold.
func (r *Rollup) weigh() {
	var fetch, deltas, cells int64
	for _, w := range r.all() {
		w.queue.mu.Lock()
		fetch += int64(w.queue.bytes)
		w.queue.mu.Unlock()
		deltas += w.inDeltas.Load()
		cells += w.inCells.Load()
	}
	r.m.memory.WithLabelValues("fetch").Set(float64(fetch))
	r.m.memory.WithLabelValues("deltas").Set(float64(deltas))
	r.m.memory.WithLabelValues("cells").Set(float64(cells))
}

func partText(p int32) string { return strconv.Itoa(int(p)) }
