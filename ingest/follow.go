package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/kafka"
)

// follower reads the topic of dead letters into a history, without a group: each process reads all of it.
type follower struct {
	*history
	kafka   kafka.Config
	log     *slog.Logger
	now     func() time.Time
	depth   int
	logID   string                     // of the topic that was read
	skipped map[int32]bool             // partitions of which something was left out, up to the next record
	client  atomic.Pointer[kgo.Client] // nil: Kafka is away
	reading chan struct{}              // holds an element for each dead letter that is being read whole
}

// letterReads bounds the dead letters that are read whole at a time.
const letterReads = 8

// lookEvery is how often the end of the topic is asked for, lookLimit how long an answer may take.
const (
	lookEvery = 2 * time.Second
	lookLimit = 5 * time.Second
)

// registerAsked registers what is known of those who ask.
func registerAsked(reg prometheus.Registerer, f *follower) {
	promauto.With(reg).NewGaugeFunc(prometheus.GaugeOpts{
		Name: "millstream_ingest_rejections_lag_seconds", Help: "How long ago this process knew every dead letter.",
	}, f.lag)
}

func newFollower(cfg Config, k kafka.Config, log *slog.Logger, now func() time.Time) *follower {
	return &follower{
		history: newHistory(cfg.Rejections), kafka: k, log: log, now: now, depth: cfg.Limits.Depth, reading: make(chan struct{}, letterReads),
	}
}

// run follows the topic until ctx ends, and begins anew whenever Kafka was away.
func (f *follower) run(ctx context.Context) {
	for failures := 0; ; failures++ {
		err := f.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		f.looked(nil)
		if failures == 4 { // a new topic takes a moment to be seen
			f.log.Warn("dead letters cannot be followed now", "err", err)
		}
		pause(ctx, nil, lookEvery/8)
	}
}

// newLetterClient opts for records of transactions that were committed, with their markers, which have offsets, too.
// It keeps no session for its fetches: who closes one waits until a broker that hangs has answered.
func newLetterClient(cfg kafka.Config, log *slog.Logger) (*kgo.Client, error) {
	return kafka.NewClient(cfg, log,
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.FetchMaxWait(500*time.Millisecond),
		kgo.DisableFetchSessions(),
		kgo.FetchMaxBytes(4<<20), kgo.FetchMaxPartitionBytes(1<<20), // one larger record comes all the same
	)
}

// follow reads on until something fails.
func (f *follower) follow(ctx context.Context) error {
	client, err := newLetterClient(f.kafka, f.log)
	if err != nil {
		return err
	}
	defer client.Close()
	topic := f.kafka.Names().Rejected()
	dl, err := f.look(ctx, client)
	if err != nil {
		return err
	}
	if err := f.begin(ctx, client, dl); err != nil {
		return err
	}
	offsets := map[int32]kgo.Offset{}
	for p, next := range f.positions() {
		offsets[p] = kgo.NewOffset().At(next)
	}
	client.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: offsets})
	f.client.Store(client)
	defer f.client.Store(nil)
	for looked := time.Now(); ; {
		poll, cancel := context.WithTimeout(ctx, lookEvery)
		fetches := client.PollFetches(poll)
		cancel()
		for _, e := range fetches.Errors() {
			if !errors.Is(e.Err, context.DeadlineExceeded) {
				return fmt.Errorf("follow %s: %w", topic, e.Err)
			}
		}
		f.take(fetches)
		if time.Since(looked) < lookEvery {
			continue
		}
		now, err := f.look(ctx, client)
		if err != nil {
			return err
		}
		if now.ID != dl.ID || now.Partitions != dl.Partitions {
			return fmt.Errorf("follow %s: the topic is another one", topic)
		}
		looked = time.Now()
	}
}

// look asks Kafka where the topic ends.
func (f *follower) look(ctx context.Context, client *kgo.Client) (kafka.Log, error) {
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	dl, err := kafka.DescribeLog(ctx, client, f.kafka.Names().Rejected(), true)
	if err == nil {
		f.looked(dl.End)
	}
	return dl, err
}

func (f *follower) positions() map[int32]int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.next)
}

// begin chooses where to read partitions that were not read yet: from the history that is wanted, but no more than can
// be remembered and one, which tells since when it is all.
func (f *follower) begin(ctx context.Context, client *kgo.Client, dl kafka.Log) error {
	since := f.now().Add(-f.cfg.History)
	if dl.ID != f.logID {
		f.forget()
		f.logID, f.skipped = dl.ID, map[int32]bool{}
	}
	known, next := f.positions(), map[int32]int64{}
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	after, err := kadm.NewClient(client).ListOffsetsAfterMilli(ctx, since.UnixMilli(), f.kafka.Names().Rejected())
	if err == nil {
		err = after.Error()
	}
	if err != nil {
		return fmt.Errorf("offsets of dead letters since %s: %w", since.Format(time.RFC3339), err)
	}
	after.Each(func(o kadm.ListedOffset) {
		p, from := o.Partition, o.Offset
		if _, ok := known[p]; ok {
			return
		}
		if from > dl.Start[p] {
			f.mu.Lock()
			f.floor = since
			f.mu.Unlock()
		}
		if least := dl.End[p] - int64(f.cfg.Entries) - 1; from < least {
			from, f.skipped[p] = least, true
		}
		next[p] = from
	})
	f.add(nil, next)
	return nil
}

// take remembers what was fetched.
func (f *follower) take(fetches kgo.Fetches) {
	var (
		list []*letter
		idx  index
		next = map[int32]int64{}
	)
	fetches.EachRecord(func(rec *kgo.Record) {
		if f.skipped[rec.Partition] {
			delete(f.skipped, rec.Partition)
			f.mu.Lock()
			f.lack(rec.Timestamp.UTC())
			f.mu.Unlock()
		}
		next[rec.Partition] = rec.Offset + 1
		if !rec.Attrs.IsControl() {
			list = append(list, newLetter(rec, &idx, f.depth))
		}
	})
	if len(next) > 0 {
		f.add(list, next)
	}
}

// catchUp returns when everything that is in the topic now is remembered; false means that it could not, within ctx.
func (f *follower) catchUp(ctx context.Context) bool {
	client := f.client.Load()
	if client == nil {
		return false
	}
	dl, err := kafka.DescribeLog(ctx, client, f.kafka.Names().Rejected(), true)
	if err != nil {
		return false
	}
	for {
		f.mu.Lock()
		done, failed, moved := f.reached(dl.End), f.failed, f.moved
		f.mu.Unlock()
		if done || failed {
			return done
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return false
		}
	}
}

// errNoLetter says that there is no dead letter of this id, or no more.
var errNoLetter = errors.New("no such dead letter")

// fetch reads one dead letter whole.
func (f *follower) fetch(ctx context.Context, partition int32, offset int64) (*kgo.Record, error) {
	topic := f.kafka.Names().Rejected()
	client, err := newLetterClient(f.kafka, f.log)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	dl, err := kafka.DescribeLog(ctx, client, topic, true)
	if err != nil {
		return nil, err
	}
	if end, ok := dl.End[partition]; !ok || offset < dl.Start[partition] || offset >= end {
		return nil, errNoLetter
	}
	client.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().At(offset)}})
	fetches := client.PollRecords(ctx, 1)
	if err := fetches.Err(); err != nil {
		return nil, fmt.Errorf("fetch dead letter %d of partition %d: %w", offset, partition, err)
	}
	for _, rec := range fetches.Records() {
		if rec.Offset == offset && !rec.Attrs.IsControl() {
			return rec, nil
		}
	}
	return nil, errNoLetter
}
