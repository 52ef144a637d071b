package rollup

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCountsEachEventOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, 2)
	one, two := order("1", 10.25), order("2", "4.5")
	two.part = 1
	refund := sample{id: "3", name: "Order Refunded", at: noon(), body: map[string]any{"userId": "u-1", "properties": map[string]any{"total": 2.25, "currency": "EUR"}}}
	b.send(one, two, one, refund)
	w := b.start(b.store)
	b.reach(b.store)
	want := map[string]string{"orders": "2", "revenue": "12.50", "biggest": "10.25", "basket": "2", "dau": "2"}
	if diff := cmp.Diff(want, results(t, b.store, "2026-03-29")); diff != "" {
		t.Fatal(diff)
	}
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	if len(b.published()) == 0 {
		t.Fatal("nothing was published")
	}
	again := b.start(b.store)
	b.send(two, order("4", 1))
	b.reach(b.store)
	want["orders"], want["revenue"], want["dau"] = "3", "13.50", "3"
	if diff := cmp.Diff(want, results(t, b.store, "2026-03-29")); diff != "" {
		t.Fatal(diff)
	}
	if err := again.stop(); err != nil {
		t.Fatal(err)
	}
}
