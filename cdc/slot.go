package cdc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/cdc/keystore"
	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/wire"
)

// slot is one ownership of a source's tables, from takeover to release. Its
// loop owns all state; readers only read pages. Any error of Kafka ends it.
type slot struct {
	cfg       Config
	src       SourceConfig
	source    string
	kafka     kafka.Config
	partition int32
	origin    origin
	log       *slog.Logger
	m         *sourceMetrics
	status    *status
	step      func(name string) error // tests only: an error there is a crash
	faults    faults

	cl      *kgo.Client
	tx      txn
	sampler *sampler
	share   func(source string, st wire.CDCSource, m *sourceMetrics) *sampler // the source's one
	st      wire.CDCSource
	lowered time.Duration // steps of the origin's clock that the cursors have followed
	tables  []*table
	breaker breaker

	ending   atomic.Bool // no stream goes on
	inflight int
	slow     int // those that are read for others than classFresh
	turns    int // pages of urgent jobs since a patient one's
	guard    guard
	results  chan outcome

	restored   *state           // as it was at the takeover, for tables that are found later
	found      chan []tableInfo // what the origin has, where patterns name tables
	discoverAt time.Time
	orders     chan order

	store    *keystore.Store // nil until a table wants it
	storeAt  time.Time       // when it is tried again
	storeBad bool
	replays  chan replayed
}

// run takes the slot over and polls until ctx ends, then finishes the pages
// that are being read and commits them while work lasts.
func (s *slot) run(ctx, work context.Context) error {
	began := time.Now()
	defer s.release()
	if err := s.takeover(work); err != nil {
		return err
	}
	s.m.takeoverSeconds.WithLabelValues(s.source).Observe(time.Since(began).Seconds())
	s.results = make(chan outcome, 2*s.connections()+1) // room for all, a stream leaving a page and its end, and the guard: no reader waits for the loop
	s.found = make(chan []tableInfo)
	s.replays = make(chan replayed)
	reading, stop := context.WithCancel(work)
	var readers sync.WaitGroup
	defer func() { stop(); readers.Wait() }()
	s.orders = make(chan order)
	readers.Go(func() { s.followOrders(reading) })
	ended := ctx.Done()
	for {
		now := time.Now()
		if err := s.tend(work, reading, now, &readers); err != nil {
			return err
		}
		for ended != nil && ctx.Err() == nil && s.dispatch(reading, now, &readers) {
		}
		if ctx.Err() != nil && s.inflight == 0 {
			return s.commit(work)
		}
		if s.tx.due(now, s.inflight == 0) {
			if err := s.commit(work); err != nil {
				return err
			}
			continue
		}
		timer := time.NewTimer(s.wait(now))
		select {
		case o := <-s.results:
			if err := s.receive(work, o); err != nil {
				timer.Stop()
				return err
			}
		case r := <-s.replays:
			if err := s.applyReplay(r); err != nil {
				timer.Stop()
				return err
			}
		case infos := <-s.found:
			s.addTables(infos)
		case o := <-s.orders:
			if err := s.take(work, o); err != nil {
				timer.Stop()
				return err
			}
		case <-timer.C:
		case <-ended:
			ended = nil
			s.ending.Store(true)
		case <-work.Done():
			timer.Stop()
			return context.Cause(work)
		}
		timer.Stop()
	}
}

// tend does what is due beside pages: orders, tables that appear, key stores that
// wait, stops that the state has to tell.
func (s *slot) tend(ctx, reading context.Context, now time.Time, readers *sync.WaitGroup) error {
	s.rediscover(reading, now, readers)
	if err := s.obeyAll(ctx, now); err != nil {
		return err
	}
	if err := s.tendKeys(reading, now, readers); err != nil {
		return err
	}
	return s.tellStopped(ctx)
}

// receive takes what a reader brought. A stream reads on when its page was taken.
func (s *slot) receive(ctx context.Context, o outcome) error {
	if !o.more {
		s.inflight--
	}
	err := s.apply(ctx, o)
	if err == nil && o.more {
		close(o.taken)
	}
	return err
}

// takeover fences out the slot's earlier owner, and only then reads the state:
// nothing can be added to it by anybody else.
func (s *slot) takeover(ctx context.Context) error {
	s.m.takeovers.WithLabelValues(s.source).Inc()
	began := time.Now()
	names := s.kafka.Names()
	rejected := names.Rejected()
	var err error
	s.cl, err = kafka.NewClient(s.kafka, s.log,
		kgo.TransactionalID(transactionalID(s.kafka, s.source, s.partition)),
		kgo.TransactionTimeout(s.cfg.Transaction.Timeout),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(0),
		kgo.MaxBufferedRecords(2*s.cfg.Transaction.Records),
		kgo.RecordDeliveryTimeout(s.cfg.Transaction.Timeout),
		kgo.ProducerBatchMaxBytesFn(func(topic string) int32 {
			if topic == rejected {
				return 1 << 20
			}
			return int32(s.cfg.Topics.MaxMessageBytes) //nolint:gosec // validated
		}))
	if err != nil {
		return err
	}
	s.tx = txn{cfg: s.cfg.Transaction, cl: s.cl}
	if _, _, err := s.cl.ProducerID(ctx); err != nil {
		return fmt.Errorf("take over %s/%d: %w", s.source, s.partition, err)
	}
	state, err := readState(ctx, s.kafka, names.CDCState(s.source), s.partition, s.log)
	if err != nil {
		return err
	}
	s.st = state.source
	s.st.V, s.st.Fence, s.st.Owner = 1, s.st.Fence+1, fmt.Sprintf("%s, pid %d", whoami(), os.Getpid())
	s.sampler = s.share(s.source, s.st, s.m)
	s.breaker, s.guard, s.restored = breaker{cfg: s.src.Breaker}, guard{cfg: s.src.Guard}, state
	var infos []tableInfo
	if s.src.patterned() {
		if infos, err = s.origin.tables(ctx); err != nil {
			return fmt.Errorf("list the tables of %s: %w", s.source, err)
		}
		s.discoverAt = began.Add(rediscoverEvery)
	}
	s.addTables(infos)
	s.report()
	s.log.Info("took over", "source", s.source, "slot", s.partition, "fence", s.st.Fence, "tables", len(s.tables))
	return nil
}

// connections is the slot's share of the source's.
func (s *slot) connections() int { return max(s.src.Connections.Max/max(s.src.Slots, 1), 1) }

// transactionalID names the one producer that a slot has.
func transactionalID(k kafka.Config, source string, slot int32) string {
	prefix := k.TopicPrefix
	if prefix == "" {
		prefix = wire.DefaultPrefix
	}
	return fmt.Sprintf("%s.cdc.%s.%d", prefix, source, slot)
}

// release lets go of the producer and of what was told of the tables. An open transaction is the next owner's to abort.
func (s *slot) release() {
	if s.cl != nil {
		s.cl.Close()
	}
	s.closeStore()
	for _, t := range s.tables {
		s.m.completeAge.forget(s.source, t.name)
		s.m.deletesAge.forget(s.source, t.name)
	}
}

// produce puts records into the open transaction, and the source's own state
// before the first of them.
func (s *slot) produce(ctx context.Context, records ...*kgo.Record) error {
	if !s.tx.open && len(records) > 0 {
		r, err := stateRecord(s.stateTopic(), s.partition, wire.CDCKey{Part: wire.CDCPartSource}, s.st)
		if err != nil {
			return err
		}
		if err := s.tx.produce(ctx, r); err != nil {
			return err
		}
	}
	return s.tx.produce(ctx, records...)
}

func (s *slot) stateTopic() string { return s.kafka.Names().CDCState(s.source) }

// commit ends the open transaction: rows and cursors become visible at once.
func (s *slot) commit(ctx context.Context) error {
	if !s.tx.open {
		return nil
	}
	if err := s.hook("flush"); err != nil {
		return err
	}
	since, records := s.tx.since, s.tx.records
	err := s.tx.flush(ctx)
	if err == nil {
		if err = s.hook("commit"); err == nil {
			err = s.tx.commit(ctx)
		}
	}
	switch {
	case fenced(err):
		s.m.transactions.WithLabelValues(s.source, txFenced).Inc()
		return err
	case err != nil:
		s.m.transactions.WithLabelValues(s.source, txAborted).Inc()
		return err
	}
	s.m.transactions.WithLabelValues(s.source, txCommitted).Inc()
	s.m.txRecords.WithLabelValues(s.source).Observe(float64(records))
	s.m.txSeconds.WithLabelValues(s.source).Observe(time.Since(since).Seconds())
	if err := s.hook("committed"); err != nil {
		return err
	}
	return s.commitKeys(time.Now())
}

func (s *slot) hook(name string) error {
	if s.step == nil {
		return nil
	}
	return s.step(name)
}

// refused stops a table: what it would publish is no longer known to be right.
func (s *slot) refused(t *table, r *refusal) {
	if t.stopped == nil || t.stopped.code != r.code {
		s.log.Error("table stopped", "source", s.source, "table", t.name, "code", r.code, "reason", r.Error())
		s.m.events.WithLabelValues(s.source, "refused").Inc()
	}
	t.stopped, t.plan = r, nil
	if t.st.Stopped == nil || t.st.Stopped.Code != r.code {
		t.st.Stopped = &wire.CDCStopped{Code: r.code, Text: r.text, Mend: r.mend, Since: stampText(time.Now())}
		t.untold = true
	}
	t.refused++
	t.retryAt = time.Now().Add(min(time.Second<<min(t.refused, 9), retryRefused))
	s.report()
}

// replanPause keeps a definition that changes all the time from being asked for all the time.
const replanPause = 50 * time.Millisecond

// retryRefused is how often a stopped table is tried again; the first tries come sooner.
const retryRefused = 5 * time.Minute

func (s *slot) report() {
	stopped := map[string]string{}
	for _, t := range s.tables {
		if t.stopped != nil {
			stopped[t.name] = t.stopped.Error()
		}
	}
	all := s.status.set(lease{s.source, s.partition}, stopped, s.breaker.text())
	s.m.stopped.WithLabelValues(s.source).Set(float64(all))
}

// failed sorts what went wrong at the origin. None of it ends the slot.
func (s *slot) failed(o outcome, err error) {
	t, now := o.t, time.Now()
	var r *refusal
	switch {
	case errors.As(err, &r):
		s.refused(t, r)
	case errors.Is(err, errChanged):
		if wide, ok := errors.AsType[*widenError](err); ok {
			t.wide = append(t.wide, wide.column)
		}
		s.m.page(t.name, pageFingerprint)
		t.plan, t.retryAt = nil, now.Add(replanPause) // planned anew at the same position
	case errors.Is(err, errBusy):
		s.m.page(t.name, pageLocked)
		switch o.kind {
		case jobPlan:
			t.retryAt = now.Add(time.Second)
		case jobLoad:
			t.load.pager.halve()
			t.load.runs[o.number].due = now.Add(time.Second)
		case jobBegin, jobPage:
			o.k.pager.halve()
			o.k.due = now.Add(time.Second)
		case jobCount, jobGuard:
		}
	default:
		s.m.page(t.name, pageError)
		first := s.breaker.open(now)
		s.m.breaker.WithLabelValues(s.source).Set(1)
		if first {
			s.log.Warn("origin is away", "source", s.source, "err", err)
		}
		s.breaker.why = err.Error()
		s.report()
	}
}

// answered closes the breaker.
func (s *slot) answered() {
	if s.breaker.tries > 0 {
		s.log.Info("origin is back", "source", s.source)
		s.breaker = breaker{cfg: s.src.Breaker}
		s.m.breaker.WithLabelValues(s.source).Set(0)
		s.report()
	}
}

// tellStopped puts into the state why tables are not read, for those who ask
// Kafka alone.
func (s *slot) tellStopped(ctx context.Context) error {
	for _, t := range s.tables {
		if !t.untold {
			continue
		}
		t.untold = false
		r, err := stateRecord(s.stateTopic(), s.partition, t.key(wire.CDCPartTable), t.st)
		if err != nil {
			return err
		}
		if err := s.produce(ctx, r); err != nil {
			return err
		}
	}
	return nil
}
