package cdc

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/wire"
)

// verify compares the mirror with the origin, and wants every version of a row
// at most once from polls and at most once from the load.
func (s *shop) verify() {
	s.Helper()
	got := s.topic()
	if diff := cmp.Diff(s.origin(), got.notes()); diff != "" {
		s.Errorf("mirror differs (-origin +mirror):\n%s", diff)
	}
	seen := map[string]int{}
	for i, h := range got.headers {
		if h.Kind != wire.KindChange {
			continue
		}
		k := h.Strategy + " " + got.keys[i] + " " + h.Version
		if seen[k]++; seen[k] > 1 {
			s.Errorf("%s was published %d times", k, seen[k])
		}
	}
	s.verifyOrder(got)
}

// verifyOrder wants sequences that grow with offsets.
func (s *shop) verifyOrder(got seen) {
	s.Helper()
	var lastPass, lastPage int64
	for i, h := range got.headers {
		if h.Kind != wire.KindChange {
			continue
		}
		pass, page, err := wire.PassAndPage(got.changes[i].Source.Sequence)
		if err != nil {
			s.Fatal(err)
		}
		if pass < lastPass || pass == lastPass && page < lastPage {
			s.Errorf("sequence (%d, %d) follows (%d, %d)", pass, page, lastPass, lastPage)
		}
		lastPass, lastPage = pass, page
	}
}

// drained waits until the mirror equals the origin.
func (s *shop) drained() {
	s.Helper()
	testkit.Eventually(s.T, "the mirror equals the origin", func() error {
		if diff := cmp.Diff(s.origin(), s.topic().notes()); diff != "" {
			return errors.New(diff)
		}
		return nil
	})
}

// crashAt returns a step that crashes at the nth call of a step, and a channel
// that is closed then.
func crashAt(name string, nth int) (step func(string) error, crashed chan struct{}) {
	crashed = make(chan struct{})
	var calls atomic.Int64
	return func(at string) error {
		if at != name {
			return nil
		}
		switch n := calls.Add(1); {
		case n == int64(nth):
			close(crashed)
			return errCrash
		case n > int64(nth):
			return errCrash
		}
		return nil
	}, crashed
}

var killSteps = []string{"rows", "cursor", "handed", "flush", "commit", "committed"}

func TestKillAtEveryStep(t *testing.T) {
	t.Parallel()
	whole := StrategyConfig{Kind: kindFull, Name: "whole", Publish: publishReplace}
	window := StrategyConfig{Kind: kindBounded, Name: "window", Column: "updated_at", Window: Window{By: time.Hour}, Publish: publishReplace}
	for _, c := range []struct {
		name   string
		nth    []int
		table  TableConfig
		verify func(*shop) error
	}{
		{"incremental", []int{1, 2, 5}, polled("updated_at", ""), nil},
		{"stamp and id", []int{4}, polledBy(strategyOf("fresh", "updated_at", ""), strategyOf("new", "", "id")), nil},
		{"full", []int{1, 4}, polledBy(whole), (*shop).sameWhole},
		{"bounded", []int{6}, polledBy(window), (*shop).sameWindow},
		{"full beside fresh rows", []int{5}, polledBy(strategyOf("fresh", "updated_at", ""), whole), (*shop).sameWhole},
	} {
		for _, name := range killSteps {
			for _, nth := range c.nth {
				t.Run(fmt.Sprintf("%s/%s/%d", c.name, name, nth), func(t *testing.T) {
					t.Parallel()
					killedOnce(setup(t, orders), c.table, name, nth, c.verify)
				})
			}
		}
	}
}

// killedOnce kills a process at the nth step and has another one go on. Without
// same every version has to come at most once, and the mirror to equal the origin.
func killedOnce(s *shop, table TableConfig, name string, nth int, same func(*shop) error) {
	s.Helper()
	for i := range 20 {
		s.exec("INSERT INTO orders VALUES (?, '1', 'old', '2020-01-01T00:00:00Z')", i)
		s.insert(1000+i, "new")
	}
	s.tables(table)
	step, crashed := crashAt(name, nth)
	stop := s.run(step)
	select {
	case <-crashed:
	case <-time.After(time.Minute):
		s.Fatalf("step %s did not come %d times", name, nth)
	}
	s.update(1003, "after the crash")
	s.insert(2000, "after the crash")
	stop()
	stop = s.run(nil)
	defer stop()
	if same == nil {
		s.drained()
		stop()
		s.verify()
		return
	}
	s.exec("DELETE FROM orders WHERE id = 1005")
	testkit.Eventually(s.T, "the mirror equals the origin", func() error { return same(s) })
	stop()
	s.verifyOrder(s.topic())
}

// sameWhole compares the origin with what a warehouse has after the swap; the
// rows of each poll have to be as many as its mark says.
func (s *shop) sameWhole() error {
	rows, last := s.replaced("whole")
	if last == nil {
		return errors.New("no poll is complete")
	}
	if diff := cmp.Diff(s.origin(), rows); diff != "" {
		return errors.New(diff)
	}
	return nil
}

func (s *shop) sameWindow() error {
	rows, last := s.replaced("window")
	if last == nil {
		return errors.New("no poll is complete")
	}
	want := s.origin()
	for i := range 20 {
		delete(want, orderKey(i))
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		return errors.New(diff)
	}
	return nil
}

// A writer works while processes are killed at random steps.
func TestSQLiteKillModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			s := setup(t, orders)
			rnd := rand.New(rand.NewPCG(seed, 7))
			ctx, cancel := context.WithCancel(t.Context())
			var writers sync.WaitGroup
			writers.Go(func() { s.write(ctx, seed) })
			for range 6 {
				step, crashed := crashAt(killSteps[rnd.IntN(len(killSteps))], 1+rnd.IntN(12))
				stop := s.run(step)
				select {
				case <-crashed:
				case <-time.After(time.Minute):
					t.Fatal("no crash")
				}
				stop()
			}
			cancel()
			writers.Wait()
			stop := s.run(nil)
			s.drained()
			stop()
			s.verify()
		})
	}
}

// write inserts and updates at random, some of it in transactions that stay
// open across polls, until ctx ends.
func (s *shop) write(ctx context.Context, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ctx.Err() == nil; n++ {
		tx, err := s.db.Begin()
		if err != nil {
			s.Errorf("begin: %v", err)
			return
		}
		id := rnd.IntN(200)
		_, err = tx.Exec(`INSERT INTO orders (id, note, updated_at) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET note = excluded.note, updated_at = excluded.updated_at`, id, fmt.Sprint(n), now())
		if err != nil {
			s.Errorf("write: %v", err)
		}
		for range rnd.IntN(10) {
			<-tick.C
		}
		if rnd.IntN(10) == 0 {
			err = tx.Rollback()
		} else {
			err = tx.Commit()
		}
		if err != nil {
			s.Errorf("end transaction: %v", err)
			return
		}
		<-tick.C
	}
}

var errAnswerLost = errors.New("the answer was lost")

func TestCommitOutcomeUnknown(t *testing.T) {
	t.Parallel()
	t.Run("it landed", func(t *testing.T) {
		t.Parallel()
		s := setup(t, orders)
		for i := range 20 {
			s.insert(i, "new")
		}
		var once sync.Once
		stop := s.run(func(at string) (err error) {
			if at == "committed" {
				once.Do(func() { err = errAnswerLost })
			}
			return err
		})
		s.drained()
		s.insert(100, "more")
		s.drained()
		stop()
		s.verify()
	})
	t.Run("it did not", func(t *testing.T) {
		t.Parallel()
		s := setup(t, orders)
		for i := range 20 {
			s.insert(i, "new")
		}
		var refusals atomic.Int64
		s.broker.Cluster().ControlKey(int16(kmsg.EndTxn), func(req kmsg.Request) (kmsg.Response, error, bool) {
			if !req.(*kmsg.EndTxnRequest).Commit || refusals.Add(1) > 1 { //nolint:forcetypeassert // asked for by key
				return nil, nil, false
			}
			resp := req.ResponseKind().(*kmsg.EndTxnResponse) //nolint:forcetypeassert // of its kind
			resp.ErrorCode = kerr.UnknownServerError.Code
			return resp, nil, true
		})
		stop := s.run(nil)
		s.drained()
		stop()
		s.verify()
		if refusals.Load() == 0 {
			t.Error("no commit was refused, so nothing was tried")
		}
	})
}

// A process that sleeps through its own replacement must not publish what it
// had read before.
func TestZombieIsFenced(t *testing.T) {
	t.Parallel()
	s := setup(t, orders)
	s.insert(1, "first")
	asleep, wake := make(chan struct{}), make(chan struct{})
	var once sync.Once
	reg := prometheus.NewRegistry()
	zombie, err := New(s.cfg, s.kafka, testkit.Log(t), reg)
	if err != nil {
		t.Fatal(err)
	}
	zombie.step = func(at string) error {
		if at == "flush" {
			once.Do(func() { close(asleep); <-wake })
		}
		return nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- zombie.Run(ctx) }()
	<-asleep

	s.cfg.Group.Name = "another-group" // as if Kafka had given the lease away
	stop := s.run(nil)
	s.awaitNote(1, "first")
	s.update(1, "second")
	s.awaitNote(1, "second")
	close(wake)
	testkit.Eventually(t, "the zombie is fenced", func() error {
		if v := counted(t, reg, "millstream_cdc_transactions_total", "fenced"); v == 0 {
			return errors.New("no transaction was fenced")
		}
		return nil
	})
	cancel()
	if err := <-done; err != nil {
		t.Errorf("zombie: %v", err)
	}
	s.insert(2, "third")
	s.awaitNote(2, "third")
	stop()
	s.verify()
}

// counted sums a counter's series that carry a label value.
func counted(t *testing.T, reg *prometheus.Registry, name, value string) (sum float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetValue() == value {
					sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
				}
			}
		}
	}
	return sum
}

func TestGracefulStop(t *testing.T) {
	t.Parallel()
	s := setup(t, orders)
	s.cfg.Transaction.Linger = time.Hour // only the stop commits while pages are read
	s.insert(1, "a")
	handed := make(chan struct{})
	var once sync.Once
	stop := s.run(func(at string) error {
		if at == "handed" {
			once.Do(func() { close(handed) })
		}
		return nil
	})
	<-handed
	stop()
	if diff := cmp.Diff(s.origin(), s.topic().notes()); diff != "" {
		t.Errorf("mirror differs after the stop (-origin +mirror):\n%s", diff)
	}
}

// The file is missing at first: the source waits, says so, and goes on when it
// is there.
func TestOriginAwayAndBack(t *testing.T) {
	t.Parallel()
	s := setup(t, orders)
	s.insert(1, "a")
	s.edit(func(src *SourceConfig) { src.DSN += ".missing" })
	reg := prometheus.NewRegistry()
	r, err := New(s.cfg, s.kafka, testkit.Log(t), reg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	testkit.Eventually(t, "the breaker opens", func() error {
		if c := r.Health(ctx); !strings.Contains(c.Sentence, "it is away") {
			return errors.New(c.Sentence)
		}
		return nil
	})
	s.exec("VACUUM INTO ?", s.file+".missing")
	s.awaitNote(1, "a")
	testkit.Eventually(t, "health is good again", func() error {
		if c := r.Health(ctx); c.State != 0 {
			return errors.New(c.Sentence)
		}
		return nil
	})
	cancel()
	if err := <-done; err != nil {
		t.Errorf("run: %v", err)
	}
}
