package dedup_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/millstream-data/millstream/internal/dedup"
)

type record struct {
	offset, ts int64
	id         int
}

// oracle applies the rule as it is written down, without any state.
func oracle(cfg dedup.Config, log []record) []bool {
	clock := make([]int64, len(log))
	out := make([]bool, len(log))
	for i, r := range log {
		clock[i] = r.ts
		if i > 0 {
			clock[i] = max(clock[i], clock[i-1])
		}
		for j := range i {
			if log[j].id == r.id && r.offset-log[j].offset <= cfg.MaxRecords && clock[i]-clock[j] <= cfg.Window.Milliseconds() {
				out[i] = true
			}
		}
	}
	return out
}

func identity(id int) dedup.ID { return dedup.Identity("app", fmt.Sprint(id)) }

func TestDedupWindowEdge(t *testing.T) {
	t.Parallel()
	cfg := dedup.Config{Window: 100 * time.Millisecond, MaxRecords: 10}
	for name, c := range map[string]struct {
		log  []record
		want bool // of the last record
	}{
		"at once":                       {[]record{{0, 1000, 1}, {1, 1000, 1}}, true},
		"window to the millisecond":     {[]record{{0, 1000, 1}, {1, 1100, 1}}, true},
		"one millisecond beyond":        {[]record{{0, 1000, 1}, {1, 1101, 1}}, false},
		"reach to the offset":           {[]record{{5, 1000, 1}, {15, 1000, 1}}, true},
		"one offset beyond":             {[]record{{5, 1000, 1}, {16, 1000, 1}}, false},
		"a dropped twin extends":        {[]record{{0, 1000, 1}, {1, 1090, 1}, {2, 1180, 1}}, true},
		"clock never falls":             {[]record{{0, 1000, 1}, {1, 1101, 2}, {2, 900, 1}}, false},
		"late stamp takes log's clock":  {[]record{{0, 2000, 9}, {1, 1000, 1}, {2, 2100, 1}}, true},
		"another id moves the clock on": {[]record{{0, 1000, 1}, {1, 1101, 2}, {2, 1000, 1}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := dedup.New(cfg, dedup.State{Floor: c.log[0].offset})
			var got bool
			for _, r := range c.log {
				got = w.Observe(r.offset, r.ts, identity(r.id))
			}
			if got != c.want || oracle(cfg, c.log)[len(c.log)-1] != c.want {
				t.Errorf("duplicate: %v, want %v", got, c.want)
			}
		})
	}
}

// A window that is rebuilt from the state of any moment decides like the one
// that never stopped, and both like the written rule.
func TestRebuiltWindowDecidesAlike(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		cfg := dedup.Config{Window: time.Duration(20+rnd.IntN(400)) * time.Millisecond, MaxRecords: int64(5 + rnd.IntN(300))}
		var log []record
		offset, ts := int64(rnd.IntN(1000)), int64(1_795_241_000_000)
		for range 1500 {
			offset += int64(1 + rnd.IntN(3)*rnd.IntN(2))
			ts += int64(rnd.IntN(9)) - 3
			log = append(log, record{offset, ts, rnd.IntN(200)})
		}
		want := oracle(cfg, log)
		w := dedup.New(cfg, dedup.State{Floor: log[0].offset})
		for i, r := range log {
			if rnd.IntN(50) == 0 {
				w = rebuild(cfg, log[:i], w.State(r.offset))
			}
			if got := w.Observe(r.offset, r.ts, identity(r.id)); got != want[i] {
				t.Fatalf("seed %d, offset %d: duplicate %v, want %v", seed, r.offset, got, want[i])
			}
		}
	}
}

func rebuild(cfg dedup.Config, log []record, at dedup.State) *dedup.Window {
	w := dedup.New(cfg, at)
	for _, r := range log {
		if r.offset >= at.Floor {
			w.Observe(r.offset, r.ts, identity(r.id))
		}
	}
	return w
}

func TestWindowForgetsWhatIsOutOfReach(t *testing.T) {
	t.Parallel()
	cfg := dedup.Config{Window: time.Hour, MaxRecords: 1000}
	w := dedup.New(cfg, dedup.State{})
	for i := range int64(100_000) {
		w.Observe(i, 1000, identity(int(i)))
	}
	if w.Len() > 4*1000 {
		t.Errorf("%d identities held for a reach of 1000 records", w.Len())
	}
	if s := w.State(100_000); s.Floor != 99_000 {
		t.Errorf("floor %d, want 99000", s.Floor)
	}
}

// A full window takes what the batcher's budget counts for a partition, though
// its clock ticks with every record.
func TestFullWindowTakesWhatIsDeclared(t *testing.T) {
	t.Parallel()
	cfg := dedup.Config{Window: time.Hour, MaxRecords: 100_000}
	w := dedup.New(cfg, dedup.State{})
	var most int64
	for i := range int64(250_000) {
		if w.Observe(i, 1000+i, dedup.Identity("app", strconv.FormatInt(i, 10))) {
			t.Fatal("duplicate")
		}
		most = max(most, w.Bytes())
	}
	if most > 25*cfg.MaxRecords {
		t.Errorf("%d bytes for a reach of %d records", most, cfg.MaxRecords)
	}
}

func TestRecordWithoutIdentityMovesClock(t *testing.T) {
	t.Parallel()
	w := dedup.New(dedup.Config{Window: 100 * time.Millisecond, MaxRecords: 100}, dedup.State{})
	w.Observe(0, 1000, identity(1))
	w.Skip(1, 1101)
	if w.Observe(2, 1000, identity(1)) {
		t.Error("the clock did not pass the window with a record that has no identity")
	}
}

func TestIdentityKeepsSourceApart(t *testing.T) {
	t.Parallel()
	if dedup.Identity("ab", "c") == dedup.Identity("a", "bc") {
		t.Error("source and message id run into each other")
	}
}

func BenchmarkObserve(b *testing.B) {
	w := dedup.New(dedup.DefaultConfig(), dedup.State{})
	ids := make([]string, 4096)
	for i := range ids {
		ids[i] = fmt.Sprintf("018f5c1e-7a2b-7c3d-8e4f-%012d", i)
	}
	b.ReportAllocs()
	offset := int64(0)
	for b.Loop() {
		w.Observe(offset, 1_795_241_000_000+offset, dedup.Identity("app", ids[offset&4095]))
		offset++
	}
}
