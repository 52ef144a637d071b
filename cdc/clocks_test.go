package cdc

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Rows without a stamp and rows from the future are counted.
func TestCountsWhatStampsDoNotShow(t *testing.T) {
	t.Parallel()
	s := setup(t, `CREATE TABLE orders (id INTEGER PRIMARY KEY, total DECIMAL(10,2), note TEXT, updated_at DATETIME); CREATE INDEX orders_updated ON orders (updated_at, id)`)
	s.insert(1, "now")
	for i := range 3 {
		s.exec("INSERT INTO orders (id, note) VALUES (?, 'no stamp')", 10+i)
	}
	for i := range 2 {
		s.exec("INSERT INTO orders (id, note, updated_at) VALUES (?, 'future', ?)", 20+i, time.Now().Add(time.Hour).UTC().Format("2006-01-02T15:04:05.000000Z"))
	}
	r, err := New(s.cfg, s.kafka, nil, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	o, cfg := r.origins["shop"], s.cfg.Sources["shop"].Tables["main.orders"].withDefaults()
	rel, err := o.describe(t.Context(), "main", "orders", cfg.stamps())
	if err != nil {
		t.Fatal(err)
	}
	p, err := newPlan("shop", kindSQLite, "main.orders", cfg, rel)
	if err != nil {
		t.Fatal(err)
	}
	got, err := (&slot{origin: o}).count(t.Context(), p)
	if want := (unseen{nulls: 3, future: 2}); err != nil || got != want {
		t.Errorf("got %+v and %v, want %+v", got, err, want)
	}
}
