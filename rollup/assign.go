package rollup

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/metric"
)

// reclaimAfter is how long a worker that was fenced waits before it claims its
// partition again: its group may be about to say that another one owns it.
const reclaimAfter = time.Second

// assigned claims the partitions that the group gives and says where to read
// from. Kafka's own offsets are ignored: the store has the position.
func (r *Rollup) assigned(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	parts := offsets[r.topics.Events()]
	log, err := r.describe(ctx)
	if err != nil {
		return nil, err
	}
	for part := range parts {
		w, err := r.claim(ctx, part, log)
		if err != nil {
			return nil, err
		}
		parts[part] = kgo.NewOffset().At(w.at)
		r.m.rebalances.WithLabelValues("assigned").Inc()
	}
	return offsets, nil
}

func (r *Rollup) describe(ctx context.Context) (log kafka.Log, err error) {
	err = retry(ctx, r.trouble, r.log, "kafka", func() (err error) {
		log, err = kafka.DescribeLog(ctx, r.out, r.topics.Events(), true)
		return err
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		r.parts = int(log.Partitions)
	}
	return log, err
}

// claim takes a partition over and starts its worker. A new store begins where
// the log begins: there is no older sink with which it would have to agree.
func (r *Rollup) claim(ctx context.Context, part int32, log kafka.Log) (*worker, error) {
	p := metric.Partition{Topic: r.topics.Events(), TopicID: log.ID, Part: part}
	start := log.Start[part]
	var c metric.Claim
	err := retry(ctx, r.trouble, r.log, "metric store", func() (err error) {
		c, err = r.store.Claim(ctx, p, r.owner, metric.Position{Next: start, DedupFloor: start, Published: start})
		return err
	})
	if err != nil {
		return nil, err
	}
	w := r.newWorker(c, start)
	work, cancel := context.WithCancel(r.work)
	w.cancel = cancel
	r.mu.Lock()
	defer r.mu.Unlock()
	if old := r.workers[part]; old != nil {
		old.cancel()
	}
	r.workers[part] = w
	go w.run(work) // ends with r.work at the latest; take and stopAll wait for it
	return w, nil
}

// revoked lets partitions go: their owner-to-be waits for this to return.
func (r *Rollup) revoked(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
	deadline := time.Now().Add(r.cfg.RevokeBudget)
	gone := r.take(lost[r.topics.Events()])
	for _, w := range gone {
		w.ask(flushRevoke)
	}
	for _, w := range gone {
		w.await(time.Until(deadline))
		r.m.rebalances.WithLabelValues("revoked").Inc()
	}
}

// lost drops partitions that belong to somebody else already.
func (r *Rollup) lost(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
	for _, w := range r.take(lost[r.topics.Events()]) {
		w.cancel()
		w.await(0)
		r.m.rebalances.WithLabelValues("lost").Inc()
	}
}

func (r *Rollup) take(parts []int32) (out []*worker) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range parts {
		if w := r.workers[p]; w != nil {
			out = append(out, w)
			delete(r.workers, p)
			r.m.lag.DeleteLabelValues(r.topics.Events(), partText(p))
			r.m.lagSeconds.DeleteLabelValues(r.topics.Events(), partText(p))
			r.m.watermark.DeleteLabelValues(r.topics.Events(), partText(p))
		}
	}
	return out
}

// ask has the worker flush and end; asking again changes nothing.
func (w *worker) ask(why reason) {
	select {
	case w.stop <- why:
	default:
	}
}

// await waits for a worker to end; after budget it is cancelled, which drops
// its deltas.
func (w *worker) await(budget time.Duration) {
	timer := time.NewTimer(max(budget, 0))
	defer timer.Stop()
	select {
	case <-w.done:
	case <-timer.C:
		w.log.Warn("partition was not flushed in time; its next owner counts again", "position", w.committed.Load())
		w.cancel()
		<-w.done
	}
	w.cancel()
}

// stopAll flushes and ends every worker.
func (r *Rollup) stopAll(why reason) {
	all := r.all()
	for _, w := range all {
		w.ask(why)
	}
	for _, w := range all {
		<-w.done // r.work bounds it
		w.cancel()
	}
}

// fetchFailed notes what Kafka said instead of records.
func (r *Rollup) fetchFailed(topic string, part int32, err error) {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return // the poll's own time was over
	}
	r.log.Warn("fetch", "topic", topic, "partition", part, "err", err)
	if w := r.worker(part); w != nil && errors.Is(err, kerr.OffsetOutOfRange) {
		w.cancel() // a new claim looks where the log begins
	}
}

// restartFailed claims partitions anew whose worker has ended, if the group
// still gives them to us a second later.
func (r *Rollup) restartFailed(ctx context.Context) {
	for part, w := range r.all() {
		select {
		case <-w.done:
		default:
			continue
		}
		if time.Since(w.endedAt) < reclaimAfter || ctx.Err() != nil {
			continue
		}
		if err := r.restart(ctx, part); err != nil && ctx.Err() == nil {
			r.trouble.set("partition "+partText(part), err)
			r.log.Warn("claim again", "partition", part, "err", err)
		}
	}
}

func (r *Rollup) restart(ctx context.Context, part int32) error {
	wait, cancel := context.WithTimeout(ctx, 5*time.Second) // the poll loop cannot stand still for longer
	defer cancel()
	log, err := kafka.DescribeLog(wait, r.out, r.topics.Events(), true)
	if err != nil {
		return err
	}
	if r.worker(part) == nil {
		return errors.New("revoked meanwhile")
	}
	w, err := r.claim(wait, part, log)
	if err != nil {
		return fmt.Errorf("partition %d: %w", part, err)
	}
	r.in.SetOffsets(map[string]map[int32]kgo.EpochOffset{r.topics.Events(): {part: {Epoch: -1, Offset: w.at}}})
	return nil
}
