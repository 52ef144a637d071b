package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/metric"
	"github.com/millstream-data/millstream/internal/wire"
)

// pollEvery is how often the store is read while Kafka is away, and how often Kafka is asked whether it is there.
const pollEvery = 2 * time.Second

// follower keeps the engine's cells current. The topic makes it quick; the store makes it right.
type follower struct {
	engine  *engine
	kafka   kafka.Config
	log     *slog.Logger
	metrics *metrics
	heal    time.Duration
	changed func(metric string) // "" for all
	flipped func(context.Context)

	mu     sync.Mutex // guards all below
	ready  bool
	reason string
	known  map[string]*held // by "metric:version" as keys name them
}

func (f *follower) setReady(ok bool, reason string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ready, f.reason = ok, reason
}

func (f *follower) state() (ready bool, reason string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ready, f.reason
}

// Run follows until ctx ends. Whatever goes wrong it begins anew, and reads the store in the meantime.
func (f *follower) Run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { f.healing(ctx) })
	for ctx.Err() == nil {
		err := f.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		f.log.Warn("cells are read from the metric store until kafka answers", "err", err)
		f.setSource(srcStore)
		f.poll(ctx)
		select {
		case <-ctx.Done():
		case <-time.After(pollEvery):
		}
	}
}

func (f *follower) setSource(src string) {
	f.engine.mu.Lock()
	defer f.engine.mu.Unlock()
	f.engine.src = src
}

// follow is the start without a gap and what comes after it: (1) end offsets, (2) the store, (3) records from (1).
// Workers publish only after their commit, so each change is in (2), or behind (1), or in both.
func (f *follower) follow(ctx context.Context) error {
	topic := f.kafka.Names().Cells()
	cl, err := kafka.NewClient(f.kafka, f.log)
	if err != nil {
		return err
	}
	defer cl.Close()
	if err := kafka.EnsureTopics(ctx, f.kafka, cl, f.kafka.CellsTopic()); err != nil {
		return err
	}
	ends, err := kafka.DescribeLog(ctx, cl, topic, false)
	if err != nil {
		return err
	}
	if err := f.readStore(ctx); err != nil {
		f.setReady(false, "the metric store does not answer: "+err.Error())
		return err
	}
	from := map[int32]kgo.Offset{}
	for p, end := range ends.End {
		from[p] = kgo.NewOffset().At(end)
	}
	cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: from})
	f.setReady(true, "")
	f.setSource(srcLive)
	f.log.Info("following cells", "topic", topic, "partitions", len(from))
	return f.consume(ctx, cl)
}

func (f *follower) consume(ctx context.Context, cl *kgo.Client) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel(nil)
	wg.Go(func() { f.watch(ctx, cl, cancel) })
	for {
		fetches := cl.PollFetches(ctx)
		if err := context.Cause(ctx); err != nil {
			return err
		}
		for _, fe := range fetches.Errors() {
			if kerr.IsRetriable(fe.Err) && !errors.Is(fe.Err, kerr.UnknownTopicID) && !errors.Is(fe.Err, kerr.UnknownTopicOrPartition) {
				continue
			}
			return fmt.Errorf("fetch %s/%d: %w", fe.Topic, fe.Partition, fe.Err)
		}
		f.takeRecords(ctx, fetches.Records())
	}
}

// watch asks Kafka whether it is there: the client's own retries would wait in silence.
func (f *follower) watch(ctx context.Context, cl *kgo.Client, lost context.CancelCauseFunc) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		ask, cancel := context.WithTimeout(ctx, pollEvery)
		err := cl.Ping(ask)
		cancel()
		if err != nil && ctx.Err() == nil {
			lost(fmt.Errorf("ping: %w", err))
			return
		}
	}
}

// readStore reads definitions, positions and days, and what is held again.
func (f *follower) readStore(ctx context.Context) error {
	flipped, err := f.engine.reload(ctx)
	if err != nil {
		return err
	}
	changed, err := f.engine.scan(ctx, f.engine.ranges(nil))
	if err != nil {
		return fmt.Errorf("scan store: %w", err)
	}
	f.tell(changed)
	if flipped {
		f.forgetKnown()
		f.flipped(ctx)
	}
	return nil
}

// poll does for one round what the topic does otherwise.
func (f *follower) poll(ctx context.Context) {
	if err := f.readStore(ctx); err != nil {
		f.log.Warn("neither kafka nor the metric store answers", "err", err)
		return
	}
	f.setReady(true, "")
}

func (f *follower) tell(changed map[string]bool) {
	if changed[""] {
		f.changed("")
		return
	}
	for name := range changed {
		f.changed(name)
	}
}

func (f *follower) forgetKnown() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.known = map[string]*held{}
}

// takeRecords puts a poll's records in. One that cannot be read is counted and left: the store has its content.
func (f *follower) takeRecords(ctx context.Context, recs []*kgo.Record) {
	changed := map[string]bool{}
	for _, r := range recs {
		if err := f.takeRecord(ctx, r, changed); err != nil {
			f.metrics.badRecords.Inc()
			f.log.Warn("record of cells skipped", "partition", r.Partition, "offset", r.Offset, "err", err)
		}
	}
	f.tell(changed)
}

func (f *follower) takeRecord(ctx context.Context, r *kgo.Record, changed map[string]bool) error {
	if len(r.Key) < 2 || r.Value == nil { // compaction's tombstones take nothing back: cells are absolute
		return nil
	}
	switch wire.CellKind(r.Key[:1]) {
	case wire.CellValue:
		return f.takeCell(string(r.Key), r.Value, changed)
	case wire.CellWatermark:
		topic, part, err := wire.ParseWatermarkKey(string(r.Key))
		if err != nil {
			return err
		}
		w, err := wire.DecodeCellRecord[wire.Watermark](r.Value)
		if err != nil {
			return err
		}
		f.engine.takeMark(partition{topic, part}, mark{next: w.Next, wm: w.WM})
		f.metrics.mark(topic, part, w)
	case wire.CellDay:
		return f.takeDay(ctx, string(r.Key), r.Value, changed)
	case wire.CellSet:
		return f.readStore(ctx)
	}
	return nil
}

func (f *follower) takeCell(key string, value []byte, changed map[string]bool) error {
	k, err := wire.ParseCellKey(key)
	if err != nil {
		return err
	}
	h := f.heldBy(k.Metric, k.Version)
	if h == nil {
		return nil // nobody has asked for the metric
	}
	c, err := wire.DecodeCellRecord[wire.Cell](value)
	if err != nil {
		return err
	}
	row := metric.Row{
		Key:  metric.Key{Metric: h.version.Metric, Ver: h.version.Ver, Zone: k.Zone, Bucket: k.Bucket, Dim: k.Tuple, Src: k.Src, Rev: k.Rev},
		Vals: c.Vals, N: c.N, Bad: c.Bad, State: c.State, LastOff: c.Off,
	}
	took, err := h.take(row)
	if took {
		changed[k.Metric] = true
		f.metrics.lastCell.SetToCurrentTime()
	}
	return err
}

// heldBy finds the cells that a key names. It remembers only hits: a metric may be asked for at any time.
func (f *follower) heldBy(name string, ver int) *held {
	id := fmt.Sprintf("%s:%d", name, ver)
	f.mu.Lock()
	defer f.mu.Unlock()
	if h := f.known[id]; h != nil {
		return h
	}
	h := f.engine.heldNamed(name, ver)
	if h != nil {
		f.known[id] = h
	}
	return h
}

func (e *engine) heldNamed(name string, ver int) *held {
	e.mu.Lock()
	defer e.mu.Unlock()
	for id, h := range e.held {
		if h.version.Name == name && id.Ver == ver {
			return h
		}
	}
	return nil
}

// takeDay notes a day's state. Rows of the lake are not published, so a new base is read from the store.
func (f *follower) takeDay(ctx context.Context, key string, value []byte, changed map[string]bool) error {
	zone, text, err := wire.ParseDayKey(key)
	if err != nil {
		return err
	}
	day, err := metric.ParseDate(text)
	if err != nil {
		return err
	}
	d, err := wire.DecodeCellRecord[wire.Day](value)
	if err != nil {
		return err
	}
	id := metric.DayID{Zone: zone, Day: day}
	var again []metric.Range
	f.engine.changeCalendar(func(c *calendar) bool {
		sealed, _ := time.Parse(time.RFC3339, d.SealedAt) // "" while it is open
		next := c.days[id]
		next.Sealed, next.Revision, next.SealedAt = d.State == stateSealed, d.Revision, sealed
		c.days[id], c.late[id] = next, d.Late
		for name, b := range d.Bases {
			h := f.engine.heldByTextLocked(name)
			if h == nil {
				continue
			}
			dv := metric.DayVersion{VersionID: h.version.VersionID, DayID: id}
			if c.bases[dv] != b {
				c.bases[dv] = b
				again = append(again, metric.Range{VersionID: h.version.VersionID, Zone: zone, From: day, To: day + 1})
			}
		}
		return true
	})
	changed[""] = true
	if len(again) == 0 {
		return nil
	}
	_, err = f.engine.scan(ctx, again)
	return err
}

func (e *engine) heldByTextLocked(text string) *held {
	for _, h := range e.held {
		if fmt.Sprintf("%s:%d", h.version.Name, h.version.Ver) == text {
			return h
		}
	}
	return nil
}

// ranges returns all that is held, from the bucket since gives for a zone on; nil is from the first.
func (e *engine) ranges(since func(zone string) int64) []metric.Range {
	if since == nil {
		since = func(string) int64 { return math.MinInt64 }
	}
	e.mu.Lock()
	all := make([]*held, 0, len(e.held))
	for _, h := range e.held {
		all = append(all, h)
	}
	e.mu.Unlock()
	var out []metric.Range
	for _, h := range all {
		out = append(out, h.ranges(since)...)
	}
	return out
}
