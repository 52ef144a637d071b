package cdc

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/wire"
)

// polledBy makes strategies that poll every 100 ms, unless they say otherwise.
func polledBy(strategies ...StrategyConfig) TableConfig {
	c := polled("", "")
	c.Strategies = strategies
	for i := range strategies {
		if strategies[i].Every == 0 { // each of these polls publishes all it reads
			strategies[i].Every = 100 * time.Millisecond
		}
	}
	return c
}

func (s *shop) tables(c TableConfig) {
	s.edit(func(src *SourceConfig) { src.Tables = map[string]TableConfig{"main.orders": c} })
}

// replaced is what a warehouse has that swaps its table for what the last
// complete replacing poll of a strategy published, and takes every later change.
// It wants the poll's rows to be as many as its mark says.
func (s *shop) replaced(strategy string) (rows map[string]string, last *event.Poll) {
	s.Helper()
	got := s.topic()
	starts, polls := map[string]int{}, map[string]int64{}
	from := -1
	for i, h := range got.headers {
		switch h.Kind {
		case wire.KindChange:
			polls[h.Poll]++
		case wire.KindPoll:
			m, err := wire.DecodePoll(h.Body)
			if err != nil {
				s.Fatal(err)
			}
			if m.Strategy != strategy {
				continue
			}
			if _, known := starts[m.Poll]; m.State == stateStarted && known {
				s.Errorf("poll %s started twice", m.Poll)
			}
			if m.State == stateStarted {
				starts[m.Poll] = i
				continue
			}
			if m.Rows != polls[m.Poll] {
				s.Errorf("poll %s: mark says %d rows, %d came", m.Poll, m.Rows, polls[m.Poll])
			}
			from, last = starts[m.Poll], &m
		case wire.KindSchema:
		}
	}
	if last == nil {
		return nil, nil
	}
	after := seen{headers: got.headers[from:], changes: got.changes[from:], keys: got.keys[from:]}
	return after.notes(), last
}

// A table that is read whole has no load; its deletes arrive by the swap.
func TestFullReplace(t *testing.T) {
	t.Parallel()
	s := setup(t, orders)
	for i := range 20 {
		s.insert(i, "old")
	}
	s.tables(polledBy(StrategyConfig{Kind: kindFull, Name: "whole", Publish: publishReplace}))
	stop := s.run(nil)
	same := func(why string) *event.Poll {
		t.Helper()
		var last *event.Poll
		testkit.Eventually(t, why, func() error {
			var rows map[string]string
			if rows, last = s.replaced("whole"); last == nil {
				return errors.New("no poll is complete")
			}
			if diff := cmp.Diff(s.origin(), rows); diff != "" {
				return errors.New(diff)
			}
			return nil
		})
		return last
	}
	same("the first poll is the load")
	s.exec("DELETE FROM orders WHERE id % 2 = 0")
	s.exec("UPDATE orders SET note = 'without a stamp' WHERE id = 7")
	last := same("deletes and silent updates")
	if last.Kind != event.PollFull || last.Publish != publishReplace || last.Live == nil || *last.Live != 10 || last.CompleteThrough == nil || last.DeletesThrough == nil {
		t.Errorf("mark %+v", *last)
	}
	s.exec("DELETE FROM orders")
	last = same("an empty table")
	if last.Rows != 0 {
		t.Errorf("an empty table has %d rows", last.Rows)
	}
	stop()
	for _, m := range s.marks() {
		if m.Kind == event.PollLoad {
			t.Errorf("mark of a load: %+v", m)
		}
	}
	s.verifyOrder(s.topic())
}

// Beside a full poll the fresh rows of another strategy go out in between.
func TestFullReplaceBesideFreshRows(t *testing.T) {
	t.Parallel()
	s := setup(t, orders)
	for i := range 50 {
		s.insert(i, "old")
	}
	s.tables(polledBy(strategyOf("fresh", "updated_at", ""), StrategyConfig{Kind: kindFull, Name: "whole", Publish: publishReplace}))
	stop := s.run(nil)
	for i := range 30 {
		s.update(i, fmt.Sprint("new ", i))
		s.exec("DELETE FROM orders WHERE id = ?", 40+i)
		s.insert(100+i, "new")
	}
	testkit.Eventually(t, "the table equals the origin", func() error {
		rows, _ := s.replaced("whole")
		if diff := cmp.Diff(s.origin(), rows); diff != "" {
			return errors.New(diff)
		}
		return nil
	})
	stop()
	s.verifyOrder(s.topic())
}

// A window of time is published whole, with the range that it replaces.
func TestBoundedReplace(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]StrategyConfig{
		"time":     {Kind: kindBounded, Name: "window", Column: "updated_at", Window: Window{By: time.Hour}, Publish: publishReplace},
		"integers": {Kind: kindBounded, Name: "window", Column: "id", Window: Window{N: 10}, Publish: publishReplace},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup(t, orders)
			for i := range 20 {
				s.exec("INSERT INTO orders (id, note, updated_at) VALUES (?, 'old', '2020-01-01T00:00:00Z')", i)
				s.insert(1000+i, "new")
			}
			s.tables(polledBy(c))
			stop := s.run(nil)
			s.drained() // the load brings the past
			s.exec("DELETE FROM orders WHERE id IN (3, 1017, 1019)")
			s.exec("UPDATE orders SET note = 'without a stamp' WHERE id IN (4, 1018)")
			testkit.Eventually(t, "the window shows what changed", func() error {
				rows, last := s.replaced("window")
				if last == nil || last.Range == nil || last.CompleteThrough == nil {
					return errors.New("no poll is complete")
				}
				if rows[orderKey(1017)] != "" || rows[orderKey(1019)] != "" || rows[orderKey(1018)] != "without a stamp" {
					return fmt.Errorf("rows %v", rows)
				}
				if rows[orderKey(4)] != "" {
					t.Errorf("order 4 is outside of the window")
				}
				return inRange(*last, c)
			})
			stop()
			s.verifyOrder(s.topic())
		})
	}
}

func inRange(m event.Poll, c StrategyConfig) error {
	if m.Kind != event.PollBounded || m.Range.Column != c.Column {
		return fmt.Errorf("mark %+v", m)
	}
	if c.Window.N > 0 {
		if m.Range.Lo != "1009" || m.Range.Hi != "1020" {
			return fmt.Errorf("range %+v", *m.Range)
		}
		return nil
	}
	lo, hi := parseStamp(m.Range.Lo), parseStamp(m.Range.Hi)
	if d := hi.Sub(lo); d < time.Hour || d > time.Hour+10*time.Second {
		return fmt.Errorf("range %+v", *m.Range)
	}
	return nil
}
