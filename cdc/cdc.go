package cdc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/telemetry"
	"github.com/millstream-data/millstream/internal/wire"
)

var topicNames wire.Topics // for comparing names only; prefixes come from kafka.Config

// Role polls databases. Several processes may run it: Kafka's group gives each
// source to one of them, and Kafka's transactions shut out who lost it.
type Role struct {
	cfg     Config
	kafka   kafka.Config
	log     *slog.Logger
	metrics *metrics
	origins map[string]origin
	status  *status
	step    func(name string) error // tests only; see slot.step
	faults  faults

	mu       sync.Mutex // guards leases and samplers
	leases   map[lease]*running
	samplers map[string]*sampler // by source: its slots share one
	slots    sync.WaitGroup
}

// lease is the assignment of a partition of a source's state topic.
type lease struct {
	source    string
	partition int32
}

// running is a slot that works, with the two ways of ending it.
type running struct {
	stop context.CancelFunc // finish pages and commit
	drop context.CancelFunc // at once
	done chan struct{}
}

// New validates cfg and registers the metrics. It connects to nothing.
func New(cfg Config, k kafka.Config, log *slog.Logger, reg prometheus.Registerer) (*Role, error) {
	if err := errors.Join(cfg.Validate(), cfg.unlanded()); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	r := &Role{
		cfg: cfg, kafka: k, log: log, metrics: newMetrics(reg), origins: map[string]origin{},
		status: &status{slots: map[lease]slotStatus{}}, samplers: map[string]*sampler{}, leases: map[lease]*running{},
	}
	for name, src := range cfg.Sources {
		o, err := openOrigin(name, src)
		if err != nil {
			r.close()
			return nil, fmt.Errorf("cdc.sources.%s: %w", name, err)
		}
		r.origins[name] = o
	}
	return r, nil
}

// Run polls the sources that the group assigns to this process until ctx ends;
// then it commits the pages that are being read, within Group.DrainTimeout,
// and returns nil. A Role runs once.
func (r *Role) Run(ctx context.Context) error {
	defer r.close()
	if len(r.cfg.Sources) == 0 {
		<-ctx.Done()
		return nil
	}
	work, cancel := kafka.DrainContext(ctx, r.cfg.Group.DrainTimeout)
	defer cancel()
	topics := map[string]string{}
	for name := range r.cfg.Sources {
		topics[r.kafka.Names().CDCState(name)] = name
	}
	if err := r.ensureTopics(ctx, topics); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	cl, err := r.join(ctx, work, topics)
	if err != nil {
		return err
	}
	defer cl.Close()
	<-ctx.Done()
	r.endAll()
	r.slots.Wait()
	return nil
}

func (r *Role) close() {
	for _, o := range r.origins {
		o.close()
	}
}

// join makes the client whose group membership is the lease.
func (r *Role) join(ctx, work context.Context, topics map[string]string) (*kgo.Client, error) {
	gone := func(hard bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, parts map[string][]int32) { r.leave(topics, parts, hard) }
	}
	opts := []kgo.Opt{
		kgo.ConsumerGroup(r.cfg.Group.Name),
		kgo.ConsumeTopics(sortedKeys(topics)...),
		kgo.DisableAutoCommit(),
		kgo.SessionTimeout(r.cfg.Group.SessionTimeout),
		kgo.HeartbeatInterval(r.cfg.Group.SessionTimeout / 3),
		kgo.RebalanceTimeout(r.cfg.Group.DrainTimeout + r.cfg.Group.SessionTimeout),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
			for topic, ps := range parts {
				for _, p := range ps {
					r.start(ctx, work, lease{topics[topic], p})
				}
			}
		}),
		kgo.OnPartitionsRevoked(gone(false)),
		kgo.OnPartitionsLost(gone(true)),
	}
	if r.cfg.Group.Instance != "" {
		opts = append(opts, kgo.InstanceID(r.cfg.Group.Instance))
	}
	cl, err := kafka.NewClient(r.kafka, r.log, opts...)
	if err == nil {
		cl.PauseFetchTopics(sortedKeys(topics)...) // the membership is wanted, not the records
	}
	return cl, err
}

// ensureTopics creates the topics that every source needs.
func (r *Role) ensureTopics(ctx context.Context, topics map[string]string) error {
	cl, err := kafka.NewClient(r.kafka, r.log)
	if err != nil {
		return err
	}
	defer cl.Close()
	want := []kafka.Topic{r.kafka.RejectedTopic()}
	for _, topic := range sortedKeys(topics) {
		want = append(want, r.cfg.stateTopic(topic, r.cfg.Sources[topics[topic]].Slots))
	}
	if err := kafka.EnsureTopics(ctx, r.kafka, cl, want...); err != nil {
		return err
	}
	for topic, name := range topics {
		log, err := kafka.DescribeLog(ctx, cl, topic, false)
		if err != nil {
			return err
		}
		if slots := r.cfg.Sources[name].Slots; int(log.Partitions) != slots {
			return fmt.Errorf("cdc.sources.%s.slots: must be %d, as many as %s has partitions, which share out its tables for good (got %d)", name, log.Partitions, topic, slots)
		}
	}
	return nil
}

// sampler is the source's one sampler in this process. The first slot that is
// taken over gives it the last sample of an earlier process.
func (r *Role) sampler(source string, st wire.CDCSource, m *sourceMetrics) *sampler {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.samplers[source] == nil {
		r.samplers[source] = newSampler(r.origins[source], r.cfg.Sources[source], st, r.faults, m)
	}
	return r.samplers[source]
}

// start begins to work on a lease, once.
func (r *Role) start(ctx, work context.Context, l lease) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.leases[l] != nil || ctx.Err() != nil {
		return
	}
	soft, stop := context.WithCancel(ctx)
	hard, drop := context.WithCancel(work)
	run := &running{stop: stop, drop: drop, done: make(chan struct{})}
	r.leases[l] = run
	r.slots.Go(func() {
		defer close(run.done)
		defer drop()
		r.own(soft, hard, l)
	})
}

// leave ends the work on leases that the group takes away, and waits for it:
// the next owner begins when the group knows that this one has ended.
func (r *Role) leave(topics map[string]string, parts map[string][]int32, hard bool) {
	r.mu.Lock()
	var ending []*running
	for topic, ps := range parts {
		for _, p := range ps {
			l := lease{topics[topic], p}
			if run := r.leases[l]; run != nil {
				ending = append(ending, run)
				delete(r.leases, l)
			}
		}
	}
	r.mu.Unlock()
	end(ending, hard)
}

func (r *Role) endAll() {
	r.mu.Lock()
	all := make([]*running, 0, len(r.leases))
	for _, run := range r.leases {
		all = append(all, run)
	}
	clear(r.leases)
	r.mu.Unlock()
	end(all, false)
}

func end(all []*running, hard bool) {
	for _, run := range all {
		run.stop()
		if hard {
			run.drop()
		}
	}
	for _, run := range all {
		<-run.done
	}
}

// own takes a slot over and polls, again and again, as long as the lease
// lasts. A slot that was fenced waits for a session to pass before it tries
// again: by then the group has told who the owner is.
func (r *Role) own(ctx, work context.Context, l lease) {
	m := r.metrics.of(l.source)
	m.slots.WithLabelValues(l.source).Inc()
	defer m.slots.WithLabelValues(l.source).Dec()
	for pause := time.Second; ctx.Err() == nil && work.Err() == nil; pause = min(2*pause, 30*time.Second) {
		s := &slot{
			cfg: r.cfg, src: r.cfg.Sources[l.source], source: l.source, kafka: r.kafka, partition: l.partition,
			origin: r.origins[l.source], log: r.log, m: m, status: r.status, step: r.step, faults: r.faults, share: r.sampler,
		}
		began := time.Now()
		err := s.run(ctx, work)
		switch {
		case err == nil, work.Err() != nil, errors.Is(err, errCrash):
			return
		case fenced(err):
			r.log.Warn("fenced: another process owns the source", "source", l.source, "err", err)
			pause = max(pause, r.cfg.Group.SessionTimeout)
		case time.Since(began) > time.Minute:
			pause = time.Second
			fallthrough
		default:
			r.log.Warn("slot ended; taking over anew", "source", l.source, "err", err)
		}
		r.status.set(l, nil, "taking over anew after "+err.Error())
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// errCrash is what a test's step returns to end a slot as a crash would.
var errCrash = errors.New("crash")

// status is what health is told from; slots write it, probes read it.
type status struct {
	mu    sync.Mutex // guards slots
	slots map[lease]slotStatus
}

type slotStatus struct {
	stopped map[string]string // table to reason
	away    string            // why nothing is read, or ""
}

// set notes how a slot is and returns how many tables of its source are stopped.
func (s *status) set(l lease, stopped map[string]string, away string) (all int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slots[l] = slotStatus{stopped, away}
	for other, st := range s.slots {
		if other.source == l.source {
			all += len(st.stopped)
		}
	}
	return all
}

// Health tells of tables that are stopped and of origins that are away. It is
// a telemetry.CheckFunc.
func (r *Role) Health(context.Context) telemetry.Check {
	r.status.mu.Lock()
	defer r.status.mu.Unlock()
	var wrong []string
	for l, st := range r.status.slots {
		name := l.source
		if st.away != "" {
			wrong = append(wrong, fmt.Sprintf("source %s is not read: %s", name, st.away))
		}
		for _, t := range sortedKeys(st.stopped) {
			wrong = append(wrong, fmt.Sprintf("table %s of %s is stopped: %s", t, name, st.stopped[t]))
		}
	}
	slices.Sort(wrong)
	if len(wrong) > 0 {
		return telemetry.Degraded("%s", strings.Join(slices.Compact(wrong), "; "))
	}
	return telemetry.Ready("%d sources", len(r.cfg.Sources))
}
