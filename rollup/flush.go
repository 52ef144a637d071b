package rollup

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/millstream-data/millstream/internal/metric"
	"github.com/millstream-data/millstream/internal/wire"
)

// flush makes what was counted durable together with the position: dead letters
// first, then cells and position in one transaction, then what readers are told.
func (w *worker) flush(ctx context.Context, why reason) error {
	if w.next == w.claim.Next && len(w.starts) == 0 {
		return nil
	}
	began := time.Now()
	if err := w.sendRejected(ctx); err != nil {
		return err
	}
	rows, err := w.rows(ctx)
	if err != nil {
		return err
	}
	f := metric.Flush{Position: w.position(), Rows: rows, Starts: w.starts}
	if err := w.commit(ctx, f); err != nil {
		return err
	}
	now := time.Now()
	w.r.pub.offer(rows, now)
	w.deltas.reset()
	w.cells.age()
	w.weigh()
	w.starts = map[metric.VersionID]int64{}
	w.observe(why, len(rows), began, now)
	return nil
}

// position describes w.next for whoever goes on from it.
func (w *worker) position() metric.Position {
	st := w.window.State(w.at)
	w.wm = max(w.wm, w.markAt(w.next, st.ClockMS))
	return metric.Position{
		Next: w.next, ClockMS: max(st.ClockMS, w.claim.ClockMS), DedupFloor: min(st.Floor, w.next), FloorClockMS: st.FloorClockMS,
		WatermarkMS: w.wm, Published: w.r.pub.published(w.claim.Src, w.claim.Next),
	}
}

// commit applies f. An unknown outcome is asked for until it is known.
func (w *worker) commit(ctx context.Context, f metric.Flush) error {
	for {
		err := w.r.store.Commit(ctx, w.claim, f)
		if err == nil {
			w.r.m.commits.WithLabelValues(string(committed)).Inc()
			return w.landed(ctx, f)
		}
		if errors.Is(err, metric.ErrFenced) {
			return err
		}
		w.log.Warn("outcome of a commit is unknown; asking", "position", w.claim.Next, "next", f.Position.Next, "err", err)
		var c metric.Claim
		if err := retry(ctx, w.r.trouble, w.log, "metric store", func() (err error) {
			c, err = w.r.store.Reclaim(ctx, w.claim)
			return err
		}, metric.ErrFenced); err != nil {
			return err
		}
		before := w.claim.Next
		w.claim = c
		switch {
		case c.Next == f.Position.Next && before != f.Position.Next:
			w.r.m.commits.WithLabelValues(string(unknownLanded)).Inc()
			return w.landed(ctx, f)
		case c.Next == before:
			w.r.m.commits.WithLabelValues(string(unknownLost)).Inc()
		default:
			return fmt.Errorf("position is %d, neither %d nor %d: %w", c.Next, before, f.Position.Next, metric.ErrFenced)
		}
	}
}

func (w *worker) landed(ctx context.Context, f metric.Flush) error {
	w.claim.Position = f.Position
	w.committed.Store(f.Position.Next)
	w.r.trouble.clear("partition " + partText(w.part))
	w.r.trouble.clear("metric store")
	if w.claim.Starts == nil {
		w.claim.Starts = map[metric.VersionID]int64{}
	}
	maps.Copy(w.claim.Starts, f.Starts)
	return ctx.Err() // an ended ctx leaves publishing to the next owner
}

// sendRejected returns when Kafka has acknowledged every dead letter.
func (w *worker) sendRejected(ctx context.Context) error {
	if len(w.reject) == 0 {
		return nil
	}
	if err := retry(ctx, w.r.trouble, w.log, "kafka", func() error {
		return w.r.out.ProduceSync(ctx, w.reject...).FirstErr()
	}); err != nil {
		return fmt.Errorf("produce dead letters: %w", err)
	}
	w.reject = nil
	return nil
}

// rows merges the deltas into the cells and returns those that changed.
func (w *worker) rows(ctx context.Context) ([]metric.Row, error) {
	touched := map[metric.Key]*metric.Metric{}
	vals := map[metric.Key][]string{}
	var keys []metric.Key
	for k, d := range w.deltas.byKey {
		keys = w.deltas.keys(keys[:0], k, w.claim.Src, w.zones)
		for _, cell := range keys {
			touched[cell] = w.deltas.plan.Versions[k.version].Def
			if cell.Dim != 0 {
				vals[cell] = d.vals
			}
		}
	}
	if err := w.load(ctx, touched, vals); err != nil {
		return nil, err
	}
	for k, d := range w.deltas.byKey {
		keys = w.deltas.keys(keys[:0], k, w.claim.Src, w.zones)
		for _, key := range keys {
			if err := w.cells.get(key).merge(d); err != nil {
				w.r.m.overflow.WithLabelValues(touched[key].Name).Inc()
				w.log.Error("sum would overflow; the addition is refused and counted as bad", "metric", touched[key].Name, "err", err)
			}
		}
	}
	rows := make([]metric.Row, 0, len(touched))
	for key := range touched {
		c := w.cells.get(key)
		rows = append(rows, metric.Row{Key: key, Vals: c.vals, N: c.n, Bad: c.bad, State: c.state.Append(nil), LastOff: c.lastOff})
	}
	return rows, nil
}

// load brings the cells of keys into the cache.
func (w *worker) load(ctx context.Context, keys map[metric.Key]*metric.Metric, vals map[metric.Key][]string) error {
	var missing []metric.Key
	for k := range keys {
		if w.cells.get(k) == nil {
			missing = append(missing, k)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	w.r.m.misses.Add(float64(len(missing)))
	var rows map[metric.Key]metric.Row
	if err := retry(ctx, w.r.trouble, w.log, "metric store", func() (err error) {
		rows, err = w.r.store.Load(ctx, missing)
		return err
	}); err != nil {
		return err
	}
	for _, k := range missing {
		c := &cell{state: keys[k].NewState(), vals: vals[k]}
		if row, ok := rows[k]; ok {
			st, err := keys[k].DecodeState(row.State)
			if err != nil {
				return fmt.Errorf("cell of %s: %w", keys[k].Name, err)
			}
			c.n, c.bad, c.lastOff, c.state = row.N, row.Bad, row.LastOff, st
		}
		w.cells.put(k, c)
	}
	return nil
}

// observe counts what a flush did and sets when the next one is due.
func (w *worker) observe(why reason, rows int, began, now time.Time) {
	took := now.Sub(began)
	w.every = min(max(w.r.cfg.Flush.Interval, 3*took), w.r.cfg.Flush.MaxInterval)
	if w.r.pub.behind() {
		w.every = w.r.cfg.Flush.MaxInterval // fewer and larger flushes touch fewer new cells
	}
	m := w.r.m
	m.flushes.WithLabelValues(string(why)).Inc()
	m.flushSeconds.Observe(took.Seconds())
	m.flushCells.Observe(float64(rows))
	m.lastCommit.WithLabelValues(w.claim.Topic, partText(w.part)).Set(float64(now.Unix()))
	for i, t := range w.tally {
		name := w.defs.plan.Versions[i].Name
		m.events.WithLabelValues(name).Add(float64(t.n))
		m.bad.WithLabelValues(name).Add(float64(t.bad))
	}
	clear(w.tally)
}

// republish offers the rows that a former owner committed and may not have published.
func (w *worker) republish(ctx context.Context) error {
	return retry(ctx, w.r.trouble, w.log, "metric store", func() error {
		var rows []metric.Row
		known := map[metric.VersionID]bool{}
		for _, v := range w.r.defs.Load().reg.Versions {
			known[v.VersionID] = true
		}
		err := w.r.store.Unpublished(ctx, w.claim, func(r metric.Row) bool {
			if known[r.Version()] { // nobody reads a retired version from the topic
				rows = append(rows, r)
			}
			return true
		})
		w.r.pub.offer(rows, time.Now())
		return err
	})
}

// markAt is the time up to which cells at position next include everything:
// when the log's end was asked for, if the position has reached it, else the
// log's clock there.
func (w *worker) markAt(next, clockMS int64) int64 {
	if !w.end.asked.IsZero() && next >= w.end.end {
		return w.end.asked.UnixMilli()
	}
	return clockMS
}

// watermark tells readers how far the partition is, also when nothing comes.
func (w *worker) watermark(ctx context.Context) {
	if w.claim.Next >= w.end.end { // else the flush to come moves it
		w.wm = max(w.wm, w.end.asked.UnixMilli())
	}
	part := partText(w.part)
	w.r.m.lag.WithLabelValues(w.claim.Topic, part).Set(float64(max(w.end.end-w.claim.Next, 0)))
	w.r.m.watermark.WithLabelValues(w.claim.Topic, part).Set(float64(w.wm) / 1000)
	w.r.m.lagSeconds.WithLabelValues(w.claim.Topic, part).Set(w.end.asked.Sub(time.UnixMilli(w.wm)).Seconds())
	value, err := wire.EncodeCellRecord(wire.Watermark{V: 1, Next: w.claim.Next, End: w.end.end, WM: w.wm})
	if err != nil {
		panic("BUG: a watermark is not JSON: " + err.Error())
	}
	w.r.pub.tell(ctx, wire.WatermarkKey(w.claim.Topic, w.part), value)
}
