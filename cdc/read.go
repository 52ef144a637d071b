package cdc

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/wire"
)

// outcome is what a reader brings back.
type outcome struct {
	job
	err        error
	sampled    bool
	sample     sample
	largest    string
	topic      string
	partitions int32
	poll       *wire.CDCPoll // jobBegin
	page       *page
	settled    bool // jobLoad: all that was open when cursors were taken has ended
	waits      bool // jobLoad: nothing was read, since it has not
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
		o.page, o.err = s.origin.read(ctx, j.plan, nextQuery(j.plan, j.strategy, j.limit))
	case jobLoad:
		o.err = s.doLoad(ctx, &o)
	case jobNone:
		panic("BUG: a job that is none")
	}
	return o
}

// doPlan reads the definition and makes sure of the topic. A strategy without
// state gets its first cursors: the largest id, then a sample.
func (s *slot) doPlan(ctx context.Context, o *outcome) error {
	t := o.t
	rel, err := s.origin.describe(ctx, t.schema, t.table, t.cfg.Strategies[0].Timestamp)
	if err != nil {
		return err
	}
	if o.plan, err = newPlan(s.source, s.src.Kind, t.name, t.cfg, rel); err != nil {
		return err
	}
	if o.fresh || o.plan.meaning != o.strategy.Meaning {
		o.fresh = true
		if err := s.sample(ctx, o, o.plan); err != nil {
			return err
		}
	}
	o.topic = s.kafka.Names().Changes(s.source, t.schema, t.table)
	n := t.cfg.Topic.Partitions
	if n == 0 {
		n = s.cfg.Topics.Partitions
	}
	if err := kafka.EnsureTopics(ctx, s.kafka, s.cl, s.cfg.changesTopic(o.topic, n)); err != nil {
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

// sample takes the largest id, if ids count, and then a sample: all who drew
// ids up to it have begun before the sample's clock.
func (s *slot) sample(ctx context.Context, o *outcome, p *plan) error {
	var after time.Time
	if p.id >= 0 {
		var err error
		if o.largest, err = s.origin.largest(ctx, p); err != nil {
			return err
		}
		after = time.Now()
	}
	var err error
	o.sample, err = s.sampler.get(ctx, after)
	o.sampled = err == nil
	return err
}

func (s *slot) doBegin(ctx context.Context, o *outcome) error {
	if err := s.sample(ctx, o, o.plan); err != nil {
		return err
	}
	if late := o.sample.steps - o.lowered; late > 0 {
		lowerStamps(&o.strategy, late)
	}
	poll := beginPoll(o.plan, o.strategy, o.sample, o.largest, time.Now())
	o.strategy.Poll, o.poll = &poll, &poll
	var err error
	o.page, err = s.origin.read(ctx, o.plan, nextQuery(o.plan, o.strategy, o.limit))
	return err
}

// doLoad reads the next page of a load. Pages that are read while a
// transaction is open from which an id below the cursor may still come are
// read once more; so for a while they rather wait.
func (s *slot) doLoad(ctx context.Context, o *outcome) error {
	r := o.load.Ranges[0]
	if o.load.Again != nil {
		smp, err := s.sampler.get(ctx, time.Time{})
		if err != nil {
			return err
		}
		o.sample, o.sampled = smp, true
		o.settled = !smp.raw.Before(parseStamp(o.load.Again.T0))
		young := time.Since(parseStamp(o.load.Since)) < s.src.Horizon.Settle
		if !o.settled && (r.Done || r.Last == nil && young) {
			o.waits = true
			return nil
		}
		if r.Done {
			r.Last = nil
		}
	}
	var err error
	o.page, err = s.origin.read(ctx, o.plan, query{kind: queryLoad, after: r.Last, limit: o.limit})
	return err
}

// changesTopic describes the topic of a table.
func (c Config) changesTopic(name string, partitions int) kafka.Topic {
	return kafka.Topic{Name: name, Partitions: partitions, Configs: map[string]string{
		"cleanup.policy": "compact", "min.compaction.lag.ms": millis(c.Topics.CompactionLag),
		"delete.retention.ms": millis(c.Topics.Retention), "max.message.bytes": strconv.FormatInt(int64(c.Topics.MaxMessageBytes), 10),
	}}
}

// stateTopic describes the topic of a source's state; a partition is a slot.
func (c Config) stateTopic(name string) kafka.Topic {
	return kafka.Topic{Name: name, Partitions: 1, Configs: map[string]string{
		"cleanup.policy": "compact", "max.message.bytes": strconv.FormatInt(int64(c.Topics.MaxMessageBytes), 10),
	}}
}

func millis(d time.Duration) string { return fmt.Sprint(d.Milliseconds()) }
