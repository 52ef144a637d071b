package cdc

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/wire"
)

// order gives an order as the commands do.
func (s *shop) order(table, verb string) {
	s.Helper()
	cl, err := kafka.NewClient(s.kafka, testkit.Log(s.T), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		s.Fatal(err)
	}
	defer cl.Close()
	r, err := stateRecord(s.kafka.Names().CDCState("shop"), 0, wire.CDCKey{Part: wire.CDCPartOrder, Table: table}, wire.CDCOrder{V: 1, Order: verb, At: now()})
	if err != nil {
		s.Fatal(err)
	}
	if err := cl.ProduceSync(s.Context(), r).FirstErr(); err != nil {
		s.Fatal(err)
	}
}

// obeyed waits until no order is left.
func (s *shop) obeyed(why string, also func(*state) error) {
	s.Helper()
	testkit.Eventually(s.T, why, func() error {
		st := s.state()
		if len(st.orders) > 0 {
			return fmt.Errorf("left: %v", st.orders)
		}
		return also(st)
	})
}

// refreshed is what a warehouse has after the last replacing load.
func (s *shop) refreshed() (map[string]string, *event.Poll) {
	s.Helper()
	_, last := s.replaced("refresh")
	return s.topic().mirror(), last
}

func TestOrders(t *testing.T) {
	t.Parallel()
	paused := func(want bool) func(*state) error {
		return func(st *state) error {
			if got := st.tables["main.orders"].Paused; got != want {
				return fmt.Errorf("paused: %v, want %v", got, want)
			}
			return nil
		}
	}
	t.Run("pause and resume", func(t *testing.T) {
		t.Parallel()
		s := setup(t, orders)
		stop := s.run(nil)
		s.insert(1, "a")
		s.awaitNote(1, "a")
		s.order("main.orders", wire.CDCPause)
		s.obeyed("the table is paused", paused(true))
		s.insert(2, "b")
		stop()
		before := len(s.topic().keys)
		stop = s.run(nil) // the pause outlives the process
		s.order("main.orders", "nonsense")
		s.obeyed("an unknown order is no harm", paused(true))
		if n := len(s.topic().keys); n != before {
			t.Errorf("a paused table published %d records", n-before)
		}
		s.order("main.orders", wire.CDCResume)
		s.awaitNote(2, "b")
		stop()
		s.verify()
	})
	t.Run("reload", func(t *testing.T) {
		t.Parallel()
		s := setup(t, orders)
		s.fill(0, 30, 1)
		stop := s.run(nil)
		s.drained()
		s.exec("UPDATE orders SET note = 'without a stamp' WHERE id = 3")
		s.order("main.orders", wire.CDCReload)
		s.awaitNote(3, "without a stamp")
		s.obeyed("the backfill is complete", func(st *state) error {
			if len(st.loads) > 0 {
				return errors.New("it runs")
			}
			return nil
		})
		stop()
		s.verifyOrder(s.topic())
	})
	t.Run("reload under a new key", func(t *testing.T) {
		t.Parallel()
		s := setup(t, orders)
		s.fill(0, 30, 1)
		stop := s.run(nil)
		s.drained()
		stop()
		s.exec("DROP TABLE orders")
		s.exec("CREATE TABLE orders (id INTEGER NOT NULL UNIQUE, note TEXT NOT NULL PRIMARY KEY, total DECIMAL(10,2), updated_at DATETIME NOT NULL)")
		s.insert(7, "new")
		s.awaitStopped("key_changed")
		s.order("main.orders", wire.CDCReload)
		s.run(nil)
		s.obeyed("the order is obeyed", func(*state) error { return nil })
		testkit.Eventually(t, "the table is read whole", func() error {
			rows, last := s.refreshed()
			if last == nil || last.Rows != 1 || rows[`{"note":"new"}`] == "" {
				return fmt.Errorf("mark %+v, rows %v", last, rows)
			}
			return nil
		})
		s.insert(8, "fresh")
		testkit.Eventually(t, "and followed", func() error {
			if s.topic().mirror()[`{"note":"fresh"}`] == "" {
				return errors.New("the fresh row is missing")
			}
			return nil
		})
	})
	t.Run("forget", func(t *testing.T) {
		t.Parallel()
		s := setup(t, orders+"CREATE TABLE other (id INTEGER PRIMARY KEY, updated_at DATETIME)")
		s.edit(func(src *SourceConfig) { src.Tables["main.other"] = polled("updated_at", "") })
		s.insert(1, "a")
		s.exec("INSERT INTO other VALUES (1, ?)", now())
		stop := s.run(nil)
		s.awaitNote(1, "a")
		testkit.Eventually(t, "the other table is complete", func() error {
			if !s.state().tables["main.other"].Loaded {
				return errors.New("not loaded")
			}
			return nil
		})
		stop()
		s.edit(func(src *SourceConfig) { delete(src.Tables, "main.other") })
		s.run(nil)
		s.order("main.orders", wire.CDCForget)
		s.order("main.other", wire.CDCForget)
		s.obeyed("only the state of the configured table is left", func(st *state) error {
			left := map[string]bool{}
			st.keys(func(k wire.CDCKey) { left[k.Table] = true })
			if diff := cmp.Diff(map[string]bool{"main.orders": true}, left); diff != "" {
				return errors.New(diff)
			}
			return nil
		})
	})
}

// Another server is not believed until somebody says so.
func TestOtherServer(t *testing.T) {
	t.Parallel()
	p := &plan{name: "public.orders", rel: relation{identity: "two/7"}}
	tbl := &table{st: wire.CDCTable{Relation: "one/7"}}
	if r := tbl.misplaced(p); r == nil || r.code != "other_server" {
		t.Errorf("another server: got %v", r)
	}
	j := job{relation: "one/7", accepted: true}
	tbl.accepted = true
	if r := tbl.misplaced(p); r != nil || j.another(p) {
		t.Errorf("accepted, it is refused (%v) or read anew (%v)", r, j.another(p))
	}
	tbl.accepted, tbl.ordered, j = false, wire.CDCReload, job{relation: "one/7", anew: true}
	if r := tbl.misplaced(p); r != nil || !j.another(p) {
		t.Errorf("ordered anew, it is refused (%v) or taken for the same (%v)", r, j.another(p))
	}
	if j = (job{relation: "two/6"}); !j.another(p) || (&table{st: wire.CDCTable{Relation: "two/6"}}).misplaced(p) != nil {
		t.Error("a table that was created again is read whole, not refused")
	}
}

// After a failover stamps go back, and what sees deletes runs at once.
func TestFailoverRewinds(t *testing.T) {
	t.Parallel()
	s := setup(t, orders)
	s.cfg.Sources["shop"].Tables["main.orders"] = polledBy(strategyOf("fresh", "updated_at", ""), StrategyConfig{Kind: kindFull, Name: "whole", Publish: publishReplace, Every: time.Hour})
	tbl := newTable(kindSQLite, "main.orders", s.cfg.Sources["shop"].Tables["main.orders"], s.cfg.Sources["shop"])
	at := time.Date(2026, 11, 21, 6, 0, 0, 0, time.UTC)
	for _, k := range tbl.tasks {
		k.known, k.st.H, k.due = true, stampText(at), time.Now().Add(time.Hour)
	}
	tbl.st.Anchor = &wire.CDCAnchor{H: stampText(at)}
	sl := &slot{src: s.cfg.Sources["shop"], source: "shop", tables: []*table{tbl}, log: testkit.Log(t), m: newMetrics(prometheus.NewRegistry()).of("shop")}
	sl.st.Timeline = "00000001"
	sl.follow(sample{timeline: "00000002", t0: at, raw: at})
	want := stampText(at.Add(-10 * time.Minute))
	if tbl.tasks[0].st.H != want || tbl.st.Anchor.H != want || tbl.tasks[1].due.After(time.Now()) {
		t.Errorf("stamp cursor %s, anchor %s, want %s; full poll due %s", tbl.tasks[0].st.H, tbl.st.Anchor.H, want, tbl.tasks[1].due)
	}
}
