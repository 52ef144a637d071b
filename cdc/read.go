package cdc

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/wire"
)

// outcome is what a reader brings back.
type outcome struct {
	job
	err     error
	sampled bool
	sample  sample

	// jobPlan
	fresh      map[string]string // strategies that need cursors, with the largest id of each
	topic      string
	partitions int32
	planned    *planned // of a table without strategies

	more  bool          // of a stream: the job goes on when the page was taken
	taken chan struct{} // closed then

	poll    *wire.CDCPoll // jobBegin
	page    *page
	borders []string // jobLoad: where the rest is cut into ranges
	unseen  unseen
	settled bool // jobLoad: all that was open when cursors were taken has ended
	waits   bool // jobLoad: nothing was read, since it has not
}

// do runs in a reader's goroutine.
func (s *slot) do(ctx context.Context, j job) outcome {
	o := outcome{job: j}
	switch j.kind {
	case jobPlan:
		o.err = s.doPlan(ctx, &o)
	case jobBegin:
		o.err = s.doBegin(ctx, &o)
	case jobPage:
		o.page, o.err = s.pollPage(gated(ctx, j.st.Poll.LSN), j)
	case jobLoad:
		o.err = s.doLoad(ctx, &o)
	case jobCount:
		o.unseen, o.err = s.count(ctx, j.plan)
	case jobGuard:
		panic("BUG: the guard's job has a goroutine of its own")
	}
	return o
}

// doPlan reads the definition and makes sure of the topic. Strategies without
// state, or with another meaning, need cursors: the largest ids, then a sample.
func (s *slot) doPlan(ctx context.Context, o *outcome) error {
	t := o.t
	rel, err := s.origin.describe(ctx, t.schema, t.table, t.cfg.stamps())
	if err != nil {
		return err
	}
	cfg, tasks := t.cfg, t.tasks
	if err := s.replan(ctx, o, rel); err != nil {
		return err
	}
	if o.planned != nil {
		cfg, tasks = o.planned.cfg, o.planned.tasks
		if rel, err = s.origin.describe(ctx, t.schema, t.table, cfg.stamps()); err != nil { // some types are moments only where a strategy takes them for such
			return err
		}
	}
	rel.widen(o.wide)
	if o.plan, err = newPlan(s.source, s.src.Kind, t.name, cfg, rel); err != nil {
		return err
	}
	if _, can := s.origin.(streamer); o.plan.keyless() && !can {
		return o.plan.noKey()
	}
	s.doubtZones(ctx, o.plan)
	o.fresh = map[string]string{}
	if o.another(o.plan) {
		o.wanted = nil
	}
	for _, k := range tasks {
		p := o.plan.own[k.name()]
		if meaning, known := o.wanted[k.name()]; known && meaning == p.meaning {
			continue
		}
		if o.fresh[k.name()], err = s.largest(ctx, k, p); err != nil {
			return err
		}
	}
	if len(o.fresh) > 0 {
		if err := s.sample(ctx, o); err != nil {
			return err
		}
	}
	return s.ensureTopic(ctx, o)
}

func (s *slot) ensureTopic(ctx context.Context, o *outcome) error {
	t := o.t
	o.topic = s.kafka.Names().Changes(s.source, t.schema, t.table)
	if t.cfg.Topic.Name != "" {
		o.topic = s.kafka.Names().ChangesPrefix() + t.cfg.Topic.Name
	}
	n := t.cfg.Topic.Partitions
	if n == 0 {
		n = s.cfg.Topics.Partitions
	}
	if err := kafka.EnsureTopics(ctx, s.kafka, s.cl, s.cfg.changesTopic(o.topic, n, o.plan.keyless())); err != nil {
		return &kafkaError{err}
	}
	desc, err := kafka.DescribeLog(ctx, s.cl, o.topic, false)
	if err != nil {
		return &kafkaError{err}
	}
	o.partitions = desc.Partitions
	return nil
}

// kafkaError is an error of Kafka in a reader, which ends the slot.
type kafkaError struct{ error }

func (e *kafkaError) Unwrap() error { return e.error }

func (s *slot) readPage(ctx context.Context, p *plan, q query) (*page, error) {
	q.bytes = int64(s.src.Page.Bytes)
	return s.origin.read(ctx, p, q)
}

// largest reads the largest id, if the strategy's cursors need it. A sample has
// to follow: all who drew ids up to it have begun before the sample's clock.
func (s *slot) largest(ctx context.Context, k *task, p *plan) (string, error) {
	if !k.traits.largest {
		return "", nil
	}
	return s.origin.largest(ctx, p)
}

// sample takes a sample; where ids count it begins after they were read.
func (s *slot) sample(ctx context.Context, o *outcome) error {
	after := time.Time{}
	if o.kind == jobPlan || o.k.traits.largest {
		after = time.Now()
	}
	var err error
	o.sample, err = s.sampler.get(ctx, after)
	o.sampled = err == nil
	return err
}

// streamed is how many rows a page of a stream has.
const streamed = 10_000

func (s *slot) doBegin(ctx context.Context, o *outcome) error {
	largest, err := s.largest(ctx, o.k, o.plan)
	if err != nil {
		return err
	}
	if err := s.sample(ctx, o); err != nil {
		return err
	}
	if late := o.sample.steps - o.lowered; late > 0 {
		lowerStamps(&o.st, late)
	}
	poll := o.k.strategy.begin(o.plan, o.st, opening{sample: o.sample, largest: largest, now: time.Now()})
	poll.Xid, poll.LSN = o.sample.xid, o.sample.lsn
	if s.faults.idAtMax && o.k.traits.largest && o.k.traits.poll == event.PollIncremental {
		poll.Cursor = largest
	}
	if o.fast {
		quicken(&poll, o.newest, o.top)
	}
	o.st.Poll, o.poll = &poll, &poll
	if o.plan.keyless() {
		o.page, err = s.stream(gated(ctx, poll.LSN), o, o.k.strategy.next(o.plan, o.st, streamed))
		return err
	}
	o.page, err = s.pollPage(gated(ctx, poll.LSN), o.job)
	if s.faults.lateSample && err == nil {
		var late sample
		late, err = s.sampler.get(ctx, time.Now())
		poll.H = stampText(late.h)
	}
	return err
}

// changesTopic describes the topic of a table.
func (c Config) changesTopic(name string, partitions int, keyless bool) kafka.Topic {
	if keyless {
		return kafka.Topic{Name: name, Partitions: partitions, Replication: c.Topics.Replication, Configs: map[string]string{
			"cleanup.policy": "delete", "retention.ms": millis(c.Topics.Retention), "max.message.bytes": strconv.FormatInt(int64(c.Topics.MaxMessageBytes), 10),
		}}
	}
	return kafka.Topic{Name: name, Partitions: partitions, Replication: c.Topics.Replication, Configs: map[string]string{
		"cleanup.policy": "compact", "min.compaction.lag.ms": millis(c.Topics.CompactionLag),
		"delete.retention.ms": millis(c.Topics.Retention), "max.message.bytes": strconv.FormatInt(int64(c.Topics.MaxMessageBytes), 10),
	}}
}

// stateTopic describes the topic of a source's state; a partition is a slot.
func (c Config) stateTopic(name string, slots int) kafka.Topic {
	return kafka.Topic{Name: name, Partitions: slots, Replication: c.Topics.Replication, Configs: map[string]string{
		"cleanup.policy": "compact", "max.message.bytes": strconv.FormatInt(int64(c.Topics.MaxMessageBytes), 10),
	}}
}

func millis(d time.Duration) string { return fmt.Sprint(d.Milliseconds()) }
