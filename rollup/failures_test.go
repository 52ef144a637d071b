package rollup

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/metric"
	"github.com/millstream-data/millstream/internal/telemetry"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/wire"
)

const today = "2026-03-29"

// begun waits until a worker has committed the starts of its versions, so that
// its next commit moves the position.
func (b *bench) begun() {
	b.t.Helper()
	testkit.Eventually(b.t, "the starts are committed", func() error {
		snap, err := b.store.Scan(b.t.Context(), nil, nil)
		if err == nil && len(snap.Starts) == 0 {
			err = errors.New("no starts")
		}
		return err
	})
}

// killAtCommit starts a worker, sends it ss and kills it at the commit of them:
// before the store is asked, or after it has answered and before the worker knows.
func (b *bench) killAtCommit(after bool, ss ...sample) {
	b.t.Helper()
	f := &faults{Store: b.store}
	w := b.start(f)
	b.begun()
	dead := make(chan struct{})
	var struck atomic.Bool
	kill := func(ctx context.Context, op string) error {
		if op != "commit" || struck.Swap(true) {
			return ctx.Err()
		}
		w.end()
		<-ctx.Done()
		close(dead)
		return ctx.Err()
	}
	if after {
		f.set(nil, func(ctx context.Context, op string) error {
			_ = kill(ctx, op)
			return nil // the worker learns that it landed, and is dead
		})
	} else {
		f.set(kill, nil)
	}
	b.send(ss...)
	<-dead
	_ = w.stop()
}

func TestKillBeforeCommit(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	b.cfg.DrainTimeout = 0
	b.killAtCommit(false, order("1", 1), order("2", 2))
	if p := positions(t, b.store); p[0] != 0 {
		t.Fatalf("the position is %d after a commit that never was", p[0])
	}
	b.start(b.store)
	b.reach(b.store)
	if got := results(t, b.store, today); got["revenue"] != "3.00" || got["orders"] != "2" {
		t.Fatal(got)
	}
}

func TestKillBetweenCommitAndPublish(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	b.cfg.DrainTimeout = 0
	b.killAtCommit(true, order("1", 1))
	if n := len(b.published()); n > 0 {
		t.Fatalf("%d cells were published by a worker that died before", n)
	}
	b.reach(b.store)
	b.cfg.DrainTimeout = 5 * time.Second
	w := b.start(b.store)
	testkit.Eventually(t, "the next owner publishes what the first one committed", func() error {
		if n := len(b.published()); n == 0 {
			return fmt.Errorf("%d cells", n)
		}
		return nil
	})
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	compare(t, b)
}

func TestCommitOutcomeUnknown(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		outcome commitOutcome
		arrange func(b *bench, f *faults)
	}{
		"the answer was lost": {unknownLanded, func(_ *bench, f *faults) {
			var n atomic.Int32
			f.set(nil, func(_ context.Context, op string) error {
				if op == "commit" && n.Add(1) == 1 {
					return errAway
				}
				return nil
			})
		}},
		"the request was lost": {unknownLost, func(_ *bench, f *faults) {
			var n atomic.Int32
			f.set(func(_ context.Context, op string) error {
				if op == "commit" && n.Add(1) == 1 {
					return errAway
				}
				return nil
			}, nil)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, 1)
			f := &faults{Store: b.store}
			w := b.start(f)
			b.begun()
			c.arrange(b, f)
			b.send(order("1", 1.5), order("2", 2))
			b.reach(b.store)
			testkit.Eventually(t, "the outcome is known", func() error {
				if n := w.value(t, "commits_total", string(c.outcome)); n != 1 {
					return fmt.Errorf("%s is %v", c.outcome, n)
				}
				return nil
			})
			if err := w.stop(); err != nil {
				t.Fatal(err)
			}
			compare(t, b)
		})
	}
}

// TestZombieIsFenced lets a worker sleep in the middle of a flush while another
// one takes over.
func TestZombieIsFenced(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	b.send(order("1", 1))
	asleep, wake := make(chan struct{}), make(chan struct{})
	var n atomic.Int32
	f := &faults{Store: b.store}
	f.set(func(_ context.Context, op string) error {
		if op == "commit" && n.Add(1) == 1 {
			close(asleep)
			<-wake
		}
		return nil
	}, nil)
	zombie := b.start(f)
	<-asleep
	b.cfg.Group = "another group" // as if Kafka had long given the partition away
	heir := b.start(b.store)
	b.send(order("2", 2))
	b.reach(b.store)
	if err := heir.stop(); err != nil {
		t.Fatal(err)
	}
	close(wake)
	testkit.Eventually(t, "the zombie learns that it is one", func() error {
		if n := zombie.value(t, "commits_total", string(fenced)); n != 1 {
			return fmt.Errorf("fenced commits: %v", n)
		}
		return nil
	})
	compare(t, b)
	b.send(order("3", 3))
	b.reach(b.store) // it claims again, as the group still gives it the partition
	if err := zombie.stop(); err != nil {
		t.Fatal(err)
	}
	compare(t, b)
	if got := results(t, b.store, today); got["revenue"] != "6.00" {
		t.Fatal(got)
	}
}

// TestDedupWindowEdge asks about twins at the last offset and millisecond of
// the window and just beyond, each across a restart.
func TestDedupWindowEdge(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	b.dedup.MaxRecords, b.dedup.Window = 4, time.Hour
	at := func(id string, after time.Duration) sample {
		s := order(id, 1)
		s.ts = noon().Add(after)
		return s
	}
	parts := [][]sample{
		{at("a", 0), at("b", 0), at("c", 0)},
		{at("d", 0), at("a", 0)},                                     // distance 4: a duplicate
		{at("e", 0), at("f", 0), at("g", 0), at("h", 0), at("a", 0)}, // distance 5 from the last occurrence: counts
		{at("k", 0)},
		{at("k", time.Hour)},
		{at("k", 2*time.Hour+time.Millisecond)}, // a duplicate; then beyond the hour: counts
	}
	for _, p := range parts {
		b.send(p...)
		w := b.start(b.store)
		b.reach(b.store)
		if err := w.stop(); err != nil {
			t.Fatal(err)
		}
	}
	if got := results(t, b.store, today)["orders"]; got != "11" {
		t.Fatalf("%s orders, want 11 of 13 records", got)
	}
	compare(t, b)
}

func TestPoisonRecords(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	poison := func(id, raw string) sample { s := order(id, 1); s.raw = raw; return s }
	deep := `{"timestamp":"2026-03-29T12:00:00.000Z","properties":` + strings.Repeat("[", 300) + strings.Repeat("]", 300) + `}`
	stamp := `"timestamp":"2026-03-29T12:00:00.000Z"`
	b.send(
		poison("1", `{"broken`), poison("2", `null`), poison("3", deep), poison("4", `{"properties":{}}`), poison("5", `{"timestamp":"soon"}`),
		poison("6", `{`+stamp+`,"userId":"u","properties":{"total":1e4000000000,"currency":"EUR","plan":"a\u0000b"}}`),
		poison("7", `{`+stamp+`,"userId":"u","properties":{"total":"NaN","currency":"EUR","plan":"`+strings.Repeat("ü", 9000)+`"}}`),
		order("8", 5),
	)
	noHeaders := order("9", 1).record(b.kafka.Names().Events())
	noHeaders.Headers = nil
	strange := order("10", 1).record(b.kafka.Names().Events())
	strange.Headers[2].Value = []byte("poke")
	if err := b.cl.ProduceSync(t.Context(), noHeaders, strange).FirstErr(); err != nil {
		t.Fatal(err)
	}
	w := b.start(b.store)
	b.reach(b.store)
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	got := results(t, b.store, today)
	if got["orders"] != "3" || got["revenue"] != "5.00" || got["dau"] != "2" {
		t.Fatal(got)
	}
	dead := b.deadLetters(7)
	want := map[string]event.Code{"0": "bad_json", "1": "bad_json", "2": "bad_json", "3": "missing_field", "4": "missing_field", "8": "missing_field", "9": "unknown_type"}
	have := map[string]event.Code{}
	for _, d := range dead {
		have[strings.TrimPrefix(d.ID, "millstream.events/0/")] = d.Code
		if d.Stage != event.StageRollup {
			t.Errorf("stage is %s", d.Stage)
		}
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Fatal(diff)
	}
	if n := w.value(t, "bad_values_total", "revenue"); n != 2 {
		t.Fatalf("%v bad values of revenue, want 2", n)
	}
}

func (b *bench) deadLetters(n int) (out []wire.Rejected) {
	b.t.Helper()
	cl := testkit.KafkaClient(b.t, b.kafka, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{b.kafka.Names().Rejected(): {0: kgo.NewOffset().AtStart()}}))
	for len(out) < n {
		fs := cl.PollFetches(b.t.Context())
		if b.t.Context().Err() != nil {
			b.t.Fatalf("%d dead letters, want %d", len(out), n)
		}
		fs.EachRecord(func(r *kgo.Record) { out = append(out, wire.ParseRejected(r.Headers, r.Value)) })
	}
	return out
}

func TestStoreAwayPauses(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	b.cfg.Memory.Fetch = 4096 // a few records fill it
	f := &faults{Store: b.store}
	w := b.start(f)
	b.send(order("0", 1))
	b.reach(b.store)
	away := func(context.Context, string) error { return errAway }
	f.set(away, nil)
	for i := range 50 {
		b.send(order(fmt.Sprint("x", i), 1))
	}
	testkit.Eventually(t, "the process says that it is not ready", func() error {
		r := w.health.Report(t.Context())
		if r.State != telemetry.StateNotReady || !strings.Contains(r.Checks[0].Sentence, "metric store") {
			return fmt.Errorf("%v", r)
		}
		return nil
	})
	f.set(nil, nil)
	b.reach(b.store)
	testkit.Eventually(t, "and that it is again", func() error {
		if r := w.health.Report(t.Context()); r.State != telemetry.StateReady {
			return fmt.Errorf("%v", r)
		}
		return nil
	})
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	compare(t, b)
}

func TestClockClamp(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	with := func(id string, at time.Time) sample {
		s := order(id, 1)
		s.at, s.ts = at, noon()
		return s
	}
	b.send(with("1", noon().Add(10*time.Minute)), with("2", noon().Add(48*time.Hour)), with("3", time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)), with("4", noon().Add(-72*time.Hour)))
	w := b.start(b.store)
	b.reach(b.store)
	if got := results(t, b.store, today)["orders"]; got != "3" {
		t.Errorf("%s orders today, want 3", got)
	}
	if got := results(t, b.store, "2026-03-26")["orders"]; got != "1" {
		t.Errorf("%s orders three days ago, want 1", got)
	}
	for kind, want := range map[string]float64{"future": 1, "past": 1} {
		if got := w.value(t, "clock_adjusted_total", kind); got != want {
			t.Errorf("%v clocks of the %s, want %v", got, kind, want)
		}
	}
}

func TestChangedDefinitionCountsFromHereOn(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	fast := func(r *Rollup) { r.watchEvery = 20 * time.Millisecond }
	w := b.start(b.store, fast)
	b.send(order("1", 1))
	b.reach(b.store)
	b.define(strings.Replace(shop, "max: properties.total", "min: properties.total", 1))
	testkit.Eventually(t, "the new set is in force and begun", func() error {
		snap, err := b.store.Scan(t.Context(), nil, nil)
		if err != nil {
			return err
		}
		if off, ok := snap.Starts[1][metric.VersionID{Metric: 3, Ver: 2}]; !ok || off != 1 {
			return fmt.Errorf("starts are %v", snap.Starts)
		}
		return nil
	})
	b.send(order("2", 7))
	b.reach(b.store)
	if got := results(t, b.store, today); got["biggest"] != "7.00" || got["revenue"] != "8.00" {
		t.Fatal(got)
	}
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
}

func TestBrokenFileKeepsSet(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	fast := func(r *Rollup) { r.watchEvery = 20 * time.Millisecond }
	w := b.start(b.store, fast)
	b.send(order("1", 1))
	b.reach(b.store)
	b.define("version: 1\nmetrics: {orders: {cuont: x}}\n")
	degraded := func(w *running) func() error {
		return func() error {
			if r := w.health.Report(t.Context()); r.State != telemetry.StateDegraded || !strings.Contains(r.Checks[0].Sentence, "cuont") {
				return fmt.Errorf("%v", r)
			}
			return nil
		}
	}
	testkit.Eventually(t, "the refusal is shown", degraded(w))
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	w = b.start(b.store, fast) // with the broken file from the beginning
	b.send(order("2", 1))
	b.reach(b.store)
	testkit.Eventually(t, "the refusal is shown again", degraded(w))
	if got := results(t, b.store, today); got["orders"] != "2" {
		t.Fatal(got)
	}
}

func TestNoDefinitionsStops(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	b.define("version: 1\nmetrics: {orders: {cuont: x}}\n")
	w := b.start(b.store)
	if err := w.await(t); err == nil || !strings.Contains(err.Error(), "metrics.yaml:2:") {
		t.Fatalf("got %v", err)
	}
}

func TestRecreatedTopicStops(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	if _, err := b.store.Claim(t.Context(), metric.Partition{Topic: b.kafka.Names().Events(), TopicID: "another log", Part: 0}, "somebody", metric.Position{Next: 5}); err != nil {
		t.Fatal(err)
	}
	b.send(order("1", 1))
	w := b.start(b.store)
	testkit.Eventually(t, "the message names the mend", func() error {
		if r := w.health.Report(t.Context()); r.State != telemetry.StateNotReady || !strings.Contains(r.Checks[0].Sentence, "topic_recreated") {
			return fmt.Errorf("%v", r)
		}
		return nil
	})
	if p := positions(t, b.store); p[0] != 5 {
		t.Fatalf("the position moved to %d", p[0])
	}
}

func TestDeletedRecordsAreCountedAsLost(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	b.send(order("1", 1))
	w := b.start(b.store)
	b.reach(b.store)
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	b.send(order("2", 1), order("3", 1), order("4", 1))
	topic := b.kafka.Names().Events()
	if _, err := kadm.NewClient(b.cl).DeleteRecords(t.Context(), kadm.Offsets{topic: {0: {Topic: topic, Partition: 0, At: 3}}}); err != nil {
		t.Fatal(err)
	}
	w = b.start(b.store)
	b.reach(b.store)
	if got := results(t, b.store, today)["orders"]; got != "2" {
		t.Errorf("%s orders, want 2", got)
	}
	if n := w.value(t, "lost_offsets_total", "0", topic); n != 2 {
		t.Errorf("%v offsets lost, want 2", n)
	}
}

func TestIdlePartitionIsComplete(t *testing.T) {
	t.Parallel()
	b := setup(t, 2)
	b.send(order("1", 1))
	began := time.Now()
	b.start(b.store)
	cl := testkit.KafkaClient(t, b.kafka, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{b.kafka.Names().Cells(): {0: kgo.NewOffset().AtStart()}}))
	fresh := map[int32]bool{}
	for len(fresh) < 2 {
		for _, r := range cl.PollFetches(t.Context()).Records() {
			if _, part, err := wire.ParseWatermarkKey(string(r.Key)); err == nil {
				m, err := wire.DecodeCellRecord[wire.Watermark](r.Value)
				if err != nil {
					t.Fatal(err)
				}
				if m.WM >= began.UnixMilli() && m.Next == m.End {
					fresh[part] = true
				}
			}
		}
		if t.Context().Err() != nil {
			t.Fatalf("watermarks of %v only", fresh)
		}
	}
}

// TestDrain stops a worker with a long interval: what it has counted is in the
// store and on the topic when Run has returned.
func TestDrain(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	b.cfg.Flush.Interval, b.cfg.Flush.MaxInterval = time.Hour, time.Hour
	w := b.start(b.store)
	b.send(order("1", 1), order("2", 2))
	testkit.Eventually(t, "the records are counted", func() error {
		if n := w.value(t, "records_total", string(applied), b.kafka.Names().Events()); n != 2 {
			return fmt.Errorf("%v records", n)
		}
		return nil
	})
	if p := positions(t, b.store); p[0] != 0 {
		t.Fatalf("flushed too early, at %d", p[0])
	}
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	if p := positions(t, b.store); p[0] != 2 {
		t.Fatalf("stopped at %d, want 2", p[0])
	}
	compare(t, b)
}

func TestRevokeFlushesBeforeTheHeirReads(t *testing.T) {
	t.Parallel()
	b := setup(t, 4)
	one := b.start(b.store)
	for i := range 40 {
		s := order(fmt.Sprint(i), 1)
		s.part = int32(i % 4)
		b.send(s)
	}
	b.reach(b.store)
	two := b.start(b.store)
	testkit.Eventually(t, "both have partitions", func() error {
		if a, c := len(one.r.all()), len(two.r.all()); a != 2 || c != 2 {
			return fmt.Errorf("%d and %d", a, c)
		}
		return nil
	})
	for i := range 40 {
		s := order(fmt.Sprint(20+i), 1) // half of them twins
		s.part = int32(i % 4)
		b.send(s)
	}
	b.reach(b.store)
	if err := one.stop(); err != nil {
		t.Fatal(err)
	}
	b.send(order("last", 1))
	b.reach(b.store)
	if err := two.stop(); err != nil {
		t.Fatal(err)
	}
	compare(t, b)
}

func TestOtherDedupWindowIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	w := b.start(b.store)
	b.send(order("1", 1))
	b.reach(b.store)
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	b.dedup.MaxRecords = 7
	err := b.start(b.store).await(t)
	if err == nil || !strings.Contains(err.Error(), "1000000") || !strings.Contains(err.Error(), " 7") {
		t.Fatalf("got %v; it should name both values", err)
	}
}

func (w *running) await(t *testing.T) error {
	t.Helper()
	select {
	case err := <-w.done:
		w.done <- err
		return err
	case <-t.Context().Done():
		t.Fatal("it runs on")
		return nil
	}
}
