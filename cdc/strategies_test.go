package cdc

import (
	"errors"
	"testing"
	"time"

	"github.com/millstream-data/millstream/internal/testkit"
)

func strategyOf(name, stamp, id string) StrategyConfig {
	var st StrategyConfig
	st.SetDefaults()
	st.Name, st.ID, st.Every = name, id, 20*time.Millisecond
	if stamp != "" {
		st.Timestamp = Columns{stamp}
	}
	return st
}

// Two strategies of a table see more than either: rows without a stamp come by
// id, changes by stamp.
func TestTwoStrategies(t *testing.T) {
	t.Parallel()
	s := setup(t, `CREATE TABLE orders (id INTEGER PRIMARY KEY AUTOINCREMENT, note TEXT, updated_at DATETIME); CREATE INDEX orders_updated ON orders (updated_at, id)`)
	c := polled("updated_at", "")
	c.Strategies = []StrategyConfig{strategyOf("new", "", "id"), strategyOf("changed", "updated_at", "")}
	s.edit(func(src *SourceConfig) { src.Tables = map[string]TableConfig{"main.orders": c} })
	s.exec("INSERT INTO orders (note) VALUES ('old')")
	stop := s.run(nil)
	s.drained()
	s.exec("INSERT INTO orders (note) VALUES ('without a stamp')")
	s.drained()
	s.exec("UPDATE orders SET note = 'stamped', updated_at = ? WHERE id = 1", now())
	s.drained()
	// What one strategy publishes corrects what the other remembers: the row
	// becomes again what it was.
	at := now()
	for _, note := range []string{"a", "b", "a", "c", "a"} {
		s.exec("INSERT INTO orders (id, note, updated_at) VALUES (9, ?, ?) ON CONFLICT (id) DO UPDATE SET note = excluded.note", note, at)
		s.awaitNote(9, note)
	}
	stop()
	s.verifyOrder(s.topic())
}

// A strategy that is added to a complete table begins at its anchor, without
// another load; one that no anchor helps loads the table again.
func TestStrategyAddedLater(t *testing.T) {
	t.Parallel()
	s := setup(t, `CREATE TABLE orders (id INTEGER PRIMARY KEY AUTOINCREMENT, note TEXT, updated_at DATETIME); CREATE INDEX orders_updated ON orders (updated_at, id)`)
	for i := range 20 {
		s.exec("INSERT INTO orders (id, note, updated_at) VALUES (?, 'old', '2020-01-01 00:00:00')", i+1)
	}
	loads := func() (n int) {
		for _, m := range s.marks() {
			if m.Kind == "load" && m.State == "completed" {
				n++
			}
		}
		return n
	}
	step := func(want int, note string, strategies ...StrategyConfig) {
		t.Helper()
		c := polled("", "")
		c.Strategies = strategies
		s.edit(func(src *SourceConfig) { src.Tables = map[string]TableConfig{"main.orders": c} })
		stop := s.run(nil)
		defer stop()
		s.drained()
		s.exec("UPDATE orders SET note = ?, updated_at = ? WHERE id = 3", note, now())
		s.awaitNote(3, note)
		testkit.Eventually(t, "the table is loaded as often as it has to be", func() error {
			if n := loads(); n != want {
				return errors.New("loads differ")
			}
			return nil
		})
	}
	step(1, "one", strategyOf("changed", "updated_at", ""))
	// Changed while nothing polls; the added strategy alone could miss it.
	s.exec("UPDATE orders SET note = 'between', updated_at = ? WHERE id = 4", now())
	step(1, "two", strategyOf("again", "updated_at", ""))
	step(2, "three", strategyOf("changed", "updated_at", ""), strategyOf("new", "", "id"))
	step(2, "four", strategyOf("changed", "updated_at", ""), strategyOf("new", "", "id"), strategyOf("newer", "", "id"))
	s.drained()
}
