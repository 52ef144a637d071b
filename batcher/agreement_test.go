package batcher

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/testkit"
)

// batcherOf is a batcher as far as one table of events goes.
type batcherOf struct {
	versions
	registry *registry
}

func newBatcherOf(t testing.TB, l *lake.Lake) *batcherOf {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Limits.Columns, cfg.PromoteAfter = 70, 3
	b := &batcherOf{registry: newRegistry(l, newMetrics(prometheus.NewRegistry()), cfg.Limits)}
	b.t, b.shape = t, newShapes().event
	b.rules = newRules(cfg, lake.NewNamer(), slog.New(slog.DiscardHandler)).of("app", "x")
	return b
}

// carry takes events to a frozen chunk as a part does, and checks the rows
// against the events.
func (b *batcherOf) carry(events []string) error {
	registered, err := b.registry.events(b.t.Context(), "app.x")
	if err != nil {
		return err
	}
	b.chunk = newChunk(&b.shape, b.rules, registered.Columns, newValueCounts())
	p, cast := parsed{depth: 5}, caster{}
	for i, e := range events {
		if err := p.parse([]byte(e)); err != nil {
			return err
		}
		b.chunk.add(eventRow{id: "m", table: "x", offset: int64(i)}, &p, &cast)
	}
	s, err := b.registry.extend(b.t.Context(), "app.x", b.shape.fixed, b.shape.fixedPaths, b.chunk.wants())
	if err != nil {
		return err
	}
	if len(s.Columns) > b.rules.limit {
		return fmt.Errorf("version %d has %d columns", s.Version, len(s.Columns))
	}
	b.schema = s.Columns
	for i, r := range fileRows(b.t, s, b.chunk.freeze(s, &cast).record) {
		accountFor(b.t, &b.versions, events[i], r)
	}
	return nil
}

// Batchers that find columns at once, in any order and across restarts, only
// ever append to a table: no column changes its place or its type.
func TestSchemaPrefixProperty(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			_, l := testkit.Lake(t)
			var wg sync.WaitGroup
			for n := range uint64(3) {
				wg.Go(func() {
					rnd := rand.New(rand.NewPCG(seed, n))
					b := newBatcherOf(t, l)
					for range 12 {
						if rnd.IntN(4) == 0 {
							b = newBatcherOf(t, l) // a restart
						}
						events := make([]string, 1+rnd.IntN(8))
						for i := range events {
							events[i] = randomEvent(rnd)
						}
						if err := b.carry(events); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			onlyAppends(t, l)
		})
	}
}

func onlyAppends(t *testing.T, l *lake.Lake) {
	t.Helper()
	versions, err := l.Schemas(t.Context(), "app.x")
	if err != nil || len(versions) < 2 {
		t.Fatalf("%d versions, %v", len(versions), err)
	}
	for i, newer := range versions[:len(versions)-1] {
		older := versions[i+1]
		if newer.Version != older.Version+1 || len(newer.Columns) <= len(older.Columns) {
			t.Errorf("version %d has %d columns after version %d with %d", newer.Version, len(newer.Columns), older.Version, len(older.Columns))
			continue
		}
		if diff := cmp.Diff(older.Columns, newer.Columns[:len(older.Columns)]); diff != "" {
			t.Errorf("version %d does not begin as version %d (-want +got):\n%s", newer.Version, older.Version, diff)
		}
	}
}

// The same events make the same columns in any order, as long as they come in
// one chunk; and when they come again, in another order, nothing changes.
func TestColumnTypesDoNotFlap(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 3))
	events := make([]string, 12)
	for i := range events {
		events[i] = fmt.Sprintf(`{"event":"X","properties":{"a":%s,"b":%s,"c":%s}}`, eventValue(rnd, 0), eventValue(rnd, 0), eventValue(rnd, 0))
	}
	var want lake.Schema
	for round := range 4 {
		rnd.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
		_, l := testkit.Lake(t)
		for range 3 { // each a restart
			if err := newBatcherOf(t, l).carry(events); err != nil {
				t.Fatal(err)
			}
		}
		versions, err := l.Schemas(t.Context(), "app.x")
		if err != nil {
			t.Fatal(err)
		}
		if round == 0 {
			want = versions[len(versions)-1]
		}
		if diff := cmp.Diff(want.Columns, versions[len(versions)-1].Columns); diff != "" {
			t.Errorf("round %d (-want +got):\n%s", round, diff)
		}
	}
}

// Of two that register a name at once with two types, one wins, and the other's
// values are cast, promoted or kept in _unmapped.
func TestConflictingColumnsOfTwoRegistries(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]string{{`1`, `"one"`}, {`1`, `1.5`}, {`true`, `[1]`}, {`"2026-11-21T06:15:02Z"`, `"soon"`}, {`1.5`, `"2.5"`}, {`[1]`, `{"x":[]}`}} {
		_, l := testkit.Lake(t)
		var wg sync.WaitGroup
		for _, v := range c {
			wg.Go(func() {
				b := newBatcherOf(t, l)
				for range 5 {
					if err := b.carry([]string{`{"event":"X","properties":{"v":` + v + `}}`}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		s, err := l.LatestSchema(t.Context(), "app.x")
		if err != nil {
			t.Fatal(err)
		}
		if i := s.FileColumns().Index("v"); c[1][0] != '{' && i != newShapes().event.fixed.Index("_offset")+1 {
			t.Errorf("%v: v is column %d of %v", c, i, s.FileColumns())
		}
	}
}
