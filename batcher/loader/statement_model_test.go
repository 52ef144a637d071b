//go:build cgo

package loader

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/millstream-data/millstream/internal/lake"
)

// modelSeeds is how many seeds TestLoaderModel runs: 4 with the race detector,
// as many as MILLSTREAM_TEST_SEEDS says (20 without it in make test, 5,000 in a
// long run).
func modelSeeds(tb testing.TB) int {
	tb.Helper()
	text := os.Getenv("MILLSTREAM_TEST_SEEDS")
	if text == "" {
		return 4
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		tb.Fatalf("MILLSTREAM_TEST_SEEDS: %v", err)
	}
	return n
}

// TestLoaderModel drives two loaders wave by wave through random commits while
// statements fail, connections break at statement borders, loaders start anew
// and lose their lease; then every table must hold the rows of the committed
// files, once, value for value. One warehouse serves all seeds of an isolation
// mode, emptied between them.
func TestLoaderModel(t *testing.T) {
	t.Parallel()
	seeds := modelSeeds(t)
	for i, isolation := range isolations {
		t.Run(isolation, func(t *testing.T) {
			t.Parallel()
			k := setupWith(t, isolation)
			for seed := i; seed < seeds; seed += len(isolations) {
				k.empty(seed)
				newModel(k, seed).story()
				if t.Failed() {
					t.Fatalf("seed %d; again: MILLSTREAM_TEST_SEEDS=%d go test -run TestLoaderModel/%s ./batcher/loader", seed, seed+1, isolation)
				}
			}
		})
	}
}

// empty takes away all that a seed has left in the warehouse, and moves to a
// lake of its own.
func (k *kit) empty(seed int) {
	k.t.Helper()
	k.server.Faults().Clear()
	fresh := *k.lake
	fresh.Paths = lake.Paths{Prefix: fmt.Sprintf("seed%d", seed)}
	k.lake, k.next, k.prev = &fresh, map[lake.ChainID]int64{}, map[lake.ChainID]*int64{}
	conn, err := k.client.Connect(k.t.Context())
	if err != nil {
		k.t.Fatal(err)
	}
	defer conn.Close()
	for _, schema := range k.query("SELECT DISTINCT table_schema FROM svv_tables WHERE table_schema IN ('app', 'shop_public')") {
		if _, err := conn.Exec(k.t.Context(), "DROP SCHEMA "+schema+" CASCADE"); err != nil {
			k.t.Fatal(err)
		}
	}
	if err := conn.EnsureLedger(k.t.Context()); err != nil {
		k.t.Fatal(err)
	}
	for _, table := range k.query("SELECT table_name FROM svv_tables WHERE table_schema = 'millstream' AND table_type = 'BASE TABLE'") {
		if _, err := conn.Exec(k.t.Context(), "DELETE FROM millstream."+table); err != nil {
			k.t.Fatal(err)
		}
	}
}

// actor is a loader that a story drives wave by wave.
type actor struct {
	*model
	l     *Loader
	waves *waves
}

// story is what happens in one seed.
func (m *model) story() {
	m.t.Helper()
	actors := [2]*actor{m.actor(), m.actor()}
	defer func() {
		for _, a := range actors {
			a.stop()
		}
	}()
	for range 10 {
		for range m.rng.IntN(3) {
			m.commitSome()
		}
		a := actors[m.rng.IntN(2)]
		switch m.rng.IntN(6) {
		case 0:
			a.stop() // it remembers nothing
		case 1:
			a.begin() // the other one's lease passes on, and it does not know
			continue
		case 2:
			actors[0].begin()
			actors[1].prepare()
			m.fault()
			var wg sync.WaitGroup
			wg.Go(func() { actors[0].wave() })
			wg.Go(func() { actors[1].wave() })
			wg.Wait()
			continue
		case 3, 4:
			a.prepare()
			m.fault()
		}
		a.prepare()
		a.wave()
		m.server.Faults().Clear()
	}
	m.server.Faults().Clear()
	last := actors[0]
	for range 60 { // waves are bounded, and the last fault may have hit any of them
		last.prepare()
		if last.wave() && m.unsettled() == nil {
			m.compare()
			return
		}
	}
	m.t.Errorf("60 waves have not loaded it all: %v", m.unsettled())
}

func (m *model) actor() *actor {
	a := &actor{model: m, l: m.loader(m.client, func(c *Config) {
		c.Wave.Files, c.Group.Targets, c.Retry.HoldMin = 2+m.rng.IntN(6), 2+m.rng.IntN(4), 1
	})}
	a.l.holder = "actor" // of both, so that a lease need not run out before it passes on
	return a
}

// begin takes the lease on a new session.
func (a *actor) begin() {
	a.stop()
	conn, err := a.l.warehouse.Connect(context.Background())
	if err != nil {
		return
	}
	fence, err := conn.TakeLease(context.Background(), a.l.holder, 0)
	if err != nil {
		conn.Close()
		return
	}
	a.waves = &waves{Loader: a.l, conn: conn, fence: fence, seen: catalogue{lake: a.l.lake}}
}

// prepare begins unless the actor thinks that it has the lease.
func (a *actor) prepare() {
	if a.waves == nil {
		a.begin()
	}
}

func (a *actor) stop() {
	if a.waves != nil {
		a.waves.conn.Close()
		a.waves = nil
	}
}

// wave makes a wave and says whether nothing failed in it.
func (a *actor) wave() bool {
	if a.waves == nil {
		return false
	}
	failures, err := a.waves.once(context.Background(), context.Background())
	if err != nil {
		a.stop()
	}
	return errors.Join(append(failures, err)...) == nil
}

// newModel returns the model of a seed.
func newModel(k *kit, seed int) *model {
	m := &model{
		kit: k, rng: rand.New(rand.NewPCG(uint64(seed), 7)), //nolint:gosec // a seed is not negative
		places: map[string]map[string]string{}, cells: map[string]map[string]string{}, orders: map[string]string{}, want: map[string]int64{},
	}
	m.mirrorSchema("shop_public.orders", []string{"id"}, orderColumns)
	return m
}
