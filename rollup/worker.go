package rollup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/dedup"
	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/metric"
	"github.com/millstream-data/millstream/internal/wire"
)

// worker owns one partition: its window, its deltas and its claim. All but the
// queue belongs to the goroutine in run.
type worker struct {
	r      *Rollup
	part   int32
	log    *slog.Logger
	claim  metric.Claim
	window *dedup.Window
	at     int64 // offset that the log gives next
	next   int64 // the position, once flushed; at or above claim.Next
	began  time.Time

	defs   *definitions
	eval   *metric.Evaluator
	deltas *deltas
	starts map[metric.VersionID]int64 // not yet flushed
	zones  zoneDays
	cells  *cells
	reject []*kgo.Record
	tally  map[int]counts // by version, since the last flush
	every  time.Duration

	end       logEnd
	wm        int64        // unix ms
	committed atomic.Int64 // claim.Next, for other goroutines
	inDeltas  atomic.Int64 // bytes, for other goroutines
	inCells   atomic.Int64

	queue   queue
	ends    chan logEnd
	stop    chan reason
	cancel  context.CancelFunc
	done    chan struct{}
	failed  error     // why run ended; read after done
	endedAt time.Time // read after done
}

// logEnd is the end of the log at the moment when it was asked for.
type logEnd struct {
	asked time.Time
	end   int64
}

type counts struct{ n, bad int64 }

// queue is what was fetched and not yet counted.
type queue struct {
	mu     sync.Mutex
	recs   []*kgo.Record
	bytes  int
	paused bool
	wake   chan struct{}
}

func (q *queue) put(recs []*kgo.Record) (bytes int) {
	q.mu.Lock()
	for _, r := range recs {
		q.bytes += len(r.Key) + len(r.Value) + 256
	}
	q.recs = append(q.recs, recs...)
	bytes = q.bytes
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return bytes
}

func (q *queue) take() (recs []*kgo.Record, paused bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	recs, paused = q.recs, q.paused
	q.recs, q.bytes, q.paused = nil, 0, false
	return recs, paused
}

// newWorker begins where a claim says; logStart is the first offset that Kafka has.
func (r *Rollup) newWorker(c metric.Claim, logStart int64) *worker {
	w := &worker{
		r: r, part: c.Part, claim: c, log: r.log.With("topic", c.Topic, "partition", c.Part),
		at: c.DedupFloor, next: c.Next, began: time.Now(), wm: c.WatermarkMS,
		zones: zoneDays{}, tally: map[int]counts{}, every: r.cfg.Flush.Interval,
		queue: queue{wake: make(chan struct{}, 1)}, ends: make(chan logEnd, 1), stop: make(chan reason, 1), done: make(chan struct{}),
	}
	label := []string{c.Topic, partText(c.Part)}
	if logStart > w.at {
		w.at = logStart
		r.m.incomplete.WithLabelValues(label...).Inc()
		w.log.Warn("kafka no longer has the whole duplicate window; twins of deleted records count again", "floor", c.DedupFloor, "log_start", logStart)
	}
	if logStart > w.next {
		r.m.lost.WithLabelValues(label...).Add(float64(logStart - w.next))
		w.log.Error("kafka deleted records before they were counted; metrics lack them", "position", w.next, "log_start", logStart)
		w.next = logStart
	}
	w.committed.Store(c.Next)
	w.window = dedup.New(r.dedup, dedup.State{Floor: w.at, FloorClockMS: c.FloorClockMS, ClockMS: c.FloorClockMS})
	w.cells = newCells(int(r.cfg.Memory.Cells) / r.expected())
	w.adopt(r.defs.Load())
	return w
}

// adopt counts by d from the next record on. The deltas must be flushed.
func (w *worker) adopt(d *definitions) {
	w.defs, w.eval, w.deltas = d, d.plan.NewEvaluator(), newDeltas(d.plan)
	w.starts = map[metric.VersionID]int64{}
	for _, v := range d.plan.Versions {
		if _, known := w.claim.Starts[v.VersionID]; !known {
			w.starts[v.VersionID] = w.next
		}
	}
}

// run counts and flushes until it is stopped, fenced, or ctx ends, which drops
// what is not flushed.
func (w *worker) run(ctx context.Context) {
	defer close(w.done)
	w.failed = w.loop(ctx)
	w.endedAt = time.Now()
	switch {
	case errors.Is(w.failed, metric.ErrFenced):
		w.r.m.commits.WithLabelValues(string(fenced)).Inc()
		w.log.Warn("partition was claimed by another worker; what was not flushed is dropped", "position", w.claim.Next)
	case w.failed != nil && ctx.Err() == nil:
		w.r.trouble.set("partition "+partText(w.part), w.failed) // until a commit lands
		w.log.Error("partition stopped", "err", w.failed)
	}
}

func (w *worker) loop(ctx context.Context) error {
	if err := w.republish(ctx); err != nil {
		return err
	}
	timer := time.NewTimer(w.every)
	defer timer.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case why := <-w.stop:
			return w.flush(ctx, why)
		case <-w.queue.wake:
			err = w.consume(ctx)
		case <-timer.C:
			err = w.flush(ctx, flushInterval)
			timer.Reset(w.every)
		case w.end = <-w.ends:
			w.watermark(ctx)
		}
		if err == nil {
			err = w.renew(ctx)
		}
		if err != nil {
			return err
		}
	}
}

// renew adopts new definitions between two records.
func (w *worker) renew(ctx context.Context) error {
	d := w.r.defs.Load()
	if d == w.defs {
		return nil
	}
	if err := w.flush(ctx, flushDefinitions); err != nil {
		return err
	}
	w.adopt(d)
	return w.flush(ctx, flushDefinitions) // the starts
}

// consume counts what is queued and flushes when a bound is reached.
func (w *worker) consume(ctx context.Context) error {
	recs, paused := w.queue.take()
	if paused {
		w.r.resume(w.part)
	}
	for _, rec := range recs {
		w.add(rec)
		why, due := w.due()
		if !due {
			continue
		}
		if err := w.flush(ctx, why); err != nil {
			return err
		}
	}
	w.weigh()
	return nil
}

// weigh tells other goroutines how much memory is held.
func (w *worker) weigh() {
	w.inDeltas.Store(int64(w.deltas.bytes))
	w.inCells.Store(int64(w.cells.bytes))
}

func (w *worker) due() (reason, bool) {
	switch {
	case len(w.deltas.byKey) >= w.r.cfg.Flush.Cells:
		return flushCells, true
	case w.deltas.bytes >= int(w.r.cfg.Memory.Deltas)/w.r.expected():
		return flushMemory, true
	}
	return "", false
}

// add takes the next record of the log.
func (w *worker) add(rec *kgo.Record) {
	if rec.Offset < w.at {
		return // fetched before the worker moved on
	}
	if w.at < w.claim.Next && rec.Offset >= w.claim.Next {
		w.r.m.rebuild.Observe(time.Since(w.began).Seconds())
	}
	w.at = rec.Offset + 1
	h, err := wire.ParseEventHeaders(rec.Headers)
	dup := false
	if ts := rec.Timestamp.UnixMilli(); err != nil {
		w.window.Skip(rec.Offset, ts)
	} else {
		dup = w.window.Observe(rec.Offset, ts, dedup.Identity(h.Source, h.MessageID))
	}
	if rec.Offset < w.next {
		w.count(window)
		return
	}
	w.next = rec.Offset + 1
	switch {
	case err != nil:
		w.refuse(rec, h, headerCode(rec), err)
	case dup:
		w.count(duplicate)
	default:
		w.apply(rec, h)
	}
}

func (w *worker) apply(rec *kgo.Record, h wire.EventHeader) {
	cs, err := w.eval.Apply(metric.Event{Source: h.Source, Type: h.Type, Name: h.Event, ReceivedMS: h.ReceivedAt.UnixMilli(), JSON: rec.Value})
	switch {
	case errors.Is(err, metric.ErrBadJSON):
		w.refuse(rec, h, event.CodeBadJSON, err)
		return
	case err != nil:
		w.refuse(rec, h, event.CodeMissingField, err)
		return
	case len(cs) == 0:
		w.count(unmatched)
		return
	}
	w.count(applied)
	switch w.eval.Clock {
	case metric.ClockFuture:
		w.r.m.clock.WithLabelValues("future").Inc()
	case metric.ClockPast:
		w.r.m.clock.WithLabelValues("past").Inc()
	case metric.ClockKept:
	}
	for i := range cs {
		w.deltas.add(&cs[i], rec.Offset)
		t := w.tally[cs[i].Version]
		if cs[i].Bad {
			t.bad++
		} else {
			t.n++
		}
		w.tally[cs[i].Version] = t
	}
}

func (w *worker) count(o outcome) {
	w.r.m.records.WithLabelValues(w.claim.Topic, string(o)).Inc()
}

// refuse keeps a dead letter, which is acknowledged before the flush that passes its record.
func (w *worker) refuse(rec *kgo.Record, h wire.EventHeader, code event.Code, why error) {
	w.count(rejected)
	w.r.m.rejected.WithLabelValues(string(code)).Inc()
	dead := wire.Rejected{
		Stage: event.StageRollup, Code: code, Message: why.Error(), Source: h.Source,
		ID: fmt.Sprintf("%s/%d/%d", rec.Topic, rec.Partition, rec.Offset), MessageID: h.MessageID, ReceivedAt: h.ReceivedAt,
		Type: string(h.Type), Index: -1, Original: rec.Value,
	}
	value, _ := dead.Value()
	w.reject = append(w.reject, &kgo.Record{
		Topic: w.r.topics.Rejected(), Key: []byte(h.Source), Value: value, Headers: wire.AppendRejectedHeaders[kgo.RecordHeader](nil, dead),
	})
}

func headerCode(rec *kgo.Record) event.Code {
	if t, ok := wire.Find(rec.Headers, wire.HeaderType); ok {
		if _, known := event.ParseType(string(t)); !known {
			return event.CodeUnknownType
		}
	}
	return event.CodeMissingField
}
