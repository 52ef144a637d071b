package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/kafka"
)

// lane is the unit of order and of trouble: one partition of a topic. Within a lane records reach the producer in the
// order of their acceptance, and no lane waits for another.
type lane struct {
	topic     string
	partition int32
	unacked   atomic.Int64 // records that the producer holds
}

// lanes are the lanes of the two topics as they are now.
type lanes struct{ events, rejected []*lane }

// of returns the lane of a record: by the topic that the record is marked for, and by its key.
func (l *lanes) of(dead bool, key []byte) *lane {
	list := l.events
	if dead {
		list = l.rejected
	}
	return list[partition(key, len(list))]
}

// holder returns the lane that r was sent by, or nil if there is no such partition any more.
func (l *lanes) holder(r *kgo.Record) *lane {
	list := l.events
	if r.Topic == l.rejected[0].topic {
		list = l.rejected
	}
	if int(r.Partition) >= len(list) {
		return nil
	}
	return list[r.Partition]
}

// partition is where Kafka's own clients put key.
func partition(key []byte, n int) int32 {
	return int32(murmur2(key)&0x7fffffff) % int32(n) //nolint:gosec // Kafka has fewer partitions than 2^31
}

// murmur2 is the hash of Kafka's default partitioner (org.apache.kafka.common.utils.Utils).
func murmur2(b []byte) uint32 {
	const m = 0x5bd1e995
	h := 0x9747b28c ^ uint32(len(b)) //nolint:gosec // keys are short
	for ; len(b) >= 4; b = b[4:] {
		k := (uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24) * m
		h = h*m ^ (k^k>>24)*m
	}
	if len(b) > 0 {
		for i, c := range b {
			h ^= uint32(c) << (8 * i)
		}
		h *= m
	}
	h = (h ^ h>>13) * m
	return h ^ h>>15
}

// producer hands records to Kafka and knows whether Kafka takes them.
type producer struct {
	cfg      kafka.Config
	client   *kgo.Client
	soloing  sync.Mutex  // held while solo has a record
	solo     *kgo.Client // for records that were refused: a batch of its is one record
	log      *slog.Logger
	metrics  *metrics
	lanes    atomic.Pointer[lanes] // nil until the topics were seen
	found    chan struct{}         // closed when lanes is set
	lastAck  atomic.Int64          // unix ns
	lastFail atomic.Int64          // unix ns of the last record that was not acknowledged in time, or refused
	lastLook atomic.Int64          // unix ns of the last good look at the topics
	watchErr atomic.Pointer[error] // of the last look
}

// newProducer makes the clients, which connect later. The caller sets metrics.
func newProducer(cfg kafka.Config, p Produce, log *slog.Logger) (*producer, error) {
	codec := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}[p.Compression]
	opts := []kgo.Opt{
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(codec),
		kgo.MaxBufferedRecords(1 << 30), // its default would block requests; in-flight bytes bound memory
	}
	client, err := kafka.NewClient(cfg, log, append(opts, kgo.ProducerLinger(p.Linger))...)
	if err != nil {
		return nil, err
	}
	solo, err := kafka.NewClient(cfg, log, append(opts, kgo.ProducerLinger(0))...)
	if err != nil {
		client.Close()
		return nil, err
	}
	return &producer{cfg: cfg, client: client, solo: solo, log: log, found: make(chan struct{})}, nil
}

func (p *producer) close() {
	p.client.Close()
	p.solo.Close()
}

// send produces the records of rq in their order and returns at once; rq hears of each. A record with a topic is a dead
// letter. The context is not the request's: whoever hangs up after the last byte has sent the events.
func (p *producer) send(rq *request, l *lanes) {
	rq.expect(len(rq.records))
	for i := range rq.records {
		r := &rq.records[i]
		ln := l.of(r.Topic != "", r.Key)
		r.Topic, r.Partition = ln.topic, ln.partition
		ln.unacked.Add(1)
		p.client.Produce(context.Background(), r, rq.promise)
	}
}

// acked is told of each record that Kafka has taken or refused.
func (p *producer) acked(r *kgo.Record, err error) {
	if ln := p.lanes.Load().holder(r); ln != nil {
		ln.unacked.Add(-1)
	}
	if err == nil {
		p.lastAck.Store(time.Now().UnixNano())
		return
	}
	p.lastFail.Store(time.Now().UnixNano())
	p.metrics.produceErrors.WithLabelValues(errorLabel(err)).Inc()
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
		case err != nil || p.lastFail.Load() > p.lastAck.Load():
			wait = time.Second
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
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
	events, rejected := p.cfg.EventsTopic(), p.cfg.RejectedTopic()
	if err := kafka.EnsureTopics(ctx, p.cfg, p.client, events, rejected); err != nil {
		return err
	}
	details, err := kadm.NewClient(p.client).ListTopics(ctx, events.Name, rejected.Name)
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
	return nil
}

// adopt replaces the lanes if a number of partitions has changed. A lane that stays is the same one.
func (p *producer) adopt(events string, n int, rejected string, m int) {
	old := p.lanes.Load()
	if old != nil && len(old.events) == n && len(old.rejected) == m {
		return
	}
	next := &lanes{}
	if old == nil {
		old = next
	}
	next.events, next.rejected = extend(old.events, events, n), extend(old.rejected, rejected, m)
	first := p.lanes.Swap(next) == nil
	if first {
		close(p.found)
	}
	p.log.Info("topics found", "events", events, "partitions", n)
}

// extend returns n lanes that begin with those of old. Only a topic that was created anew has fewer than before.
func extend(old []*lane, topic string, n int) []*lane {
	out := append([]*lane(nil), old[:min(n, len(old))]...)
	for i := len(out); i < n; i++ {
		out = append(out, &lane{topic: topic, partition: int32(i)}) //nolint:gosec // few partitions
	}
	return out
}

// unacked is the number of records that the producer holds.
func (p *producer) unacked() float64 {
	n := int64(0)
	if l := p.lanes.Load(); l != nil {
		for _, ln := range l.events {
			n += ln.unacked.Load()
		}
		for _, ln := range l.rejected {
			n += ln.unacked.Load()
		}
	}
	return float64(n)
}
