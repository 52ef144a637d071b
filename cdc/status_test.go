package cdc

import (
	"bytes"
	"strings"
	"testing"

	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/wire"
)

// The status comes from Kafka alone, also when nothing runs.
func TestStatusReadsKafkaOnly(t *testing.T) {
	t.Parallel()
	s := setup(t, orders)
	s.insert(1, "a")
	stop := s.run(nil)
	s.awaitNote(1, "a")
	stop()
	s.edit(func(src *SourceConfig) {
		src.DSN = "file:/nowhere/at/all.db"
		src.Tables["main.new"] = polled("updated_at", "")
	})
	all, err := Status(t.Context(), s.cfg, s.kafka, testkit.Log(t))
	if err != nil || len(all) != 1 || len(all[0].Tables) != 2 || len(all[0].Slots) != 1 {
		t.Fatalf("got %+v, %v", all, err)
	}
	if slot := all[0].Slots[0]; slot.Fence != 1 || !strings.Contains(slot.Owner, "pid") {
		t.Errorf("got slot %+v, want fence 1 and an owner", slot)
	}
	for _, table := range all[0].Tables {
		want := map[string]string{"main.orders": "reading", "main.new": "planning"}[table.Table]
		if table.State != want {
			t.Errorf("%s: got %s, want %s", table.Table, table.State, want)
		}
	}
	var text bytes.Buffer
	if err := all[0].WriteText(&text); err != nil || !strings.Contains(text.String(), "main.orders: reading, complete through") {
		t.Errorf("got %v and\n%s", err, &text)
	}
}

// An order is in the state topic for the owner of the table's slot; one that
// makes no sense is refused.
func TestOrdersThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	s := setup(t, orders)
	s.insert(1, "a")
	stop := s.run(nil)
	s.awaitNote(1, "a")
	stop()
	give := func(table, order string) error {
		return Order(t.Context(), s.cfg, s.kafka, testkit.Log(t), "shop", table, order)
	}
	if err := give("main.nothing", wire.CDCReload); err == nil {
		t.Error("an order for a table that was never read was taken")
	}
	if err := give("main.orders", wire.CDCForget); err == nil {
		t.Error("the state of a configured table was forgotten")
	}
	if err := give("orders", wire.CDCPause); err != nil {
		t.Fatal(err)
	}
	all, err := Status(t.Context(), s.cfg, s.kafka, testkit.Log(t))
	if err != nil || all[0].Tables[0].Order != wire.CDCPause {
		t.Errorf("got %+v, %v, want the order", all, err)
	}
}
