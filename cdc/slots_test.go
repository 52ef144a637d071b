package cdc

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/internal/testkit"
)

// Slots share out the tables of a source, each with state and writer of its own.
// Their number is the topic's for good.
func TestSlots(t *testing.T) {
	t.Parallel()
	ddl, tables := "", map[string]TableConfig{}
	for i := range 6 {
		ddl += fmt.Sprintf("CREATE TABLE t%d (id INTEGER PRIMARY KEY, note TEXT, updated_at DATETIME);", i)
		tables[fmt.Sprintf("main.t%d", i)] = polled("updated_at", "")
	}
	s := setup(t, ddl)
	s.edit(func(src *SourceConfig) { src.Tables, src.Slots = tables, 3 })
	for i := range 6 {
		s.exec(fmt.Sprintf("INSERT INTO t%d VALUES (1, 'a', ?)", i), now())
	}
	same := func(want string) {
		t.Helper()
		testkit.Eventually(t, "every table is read", func() error {
			for i := range 6 {
				if got := s.topicOf("main", fmt.Sprint("t", i)).notes()[orderKey(1)]; got != want {
					return fmt.Errorf("t%d: note %q, want %q", i, got, want)
				}
			}
			return nil
		})
	}
	stop, second := s.run(nil), s.run(nil)
	same("a")
	stop() // its slots go to the other process
	for i := range 6 {
		s.exec(fmt.Sprintf("UPDATE t%d SET note = 'b', updated_at = ?", i), now())
	}
	same("b")
	second()
	used := map[int32]bool{}
	for part := range int32(3) {
		st, err := readState(t.Context(), s.kafka, s.kafka.Names().CDCState("shop"), part, testkit.Log(t))
		if err != nil {
			t.Fatal(err)
		}
		for name := range st.tables {
			if slotOf(name, 3) != part {
				t.Errorf("%s is in slot %d", name, part)
			}
			used[part] = true
		}
	}
	if len(used) < 2 {
		t.Errorf("six tables are in slots %v, want several", used)
	}

	s.edit(func(src *SourceConfig) { src.Slots = 1 })
	r, err := New(s.cfg, s.kafka, testkit.Log(t), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Run(t.Context()); err == nil || !strings.Contains(errors.Join(err).Error(), "cdc.sources.shop.slots: must be 3") {
		t.Errorf("another number of slots: got %v", err)
	}
}
