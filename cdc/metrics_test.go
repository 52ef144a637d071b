package cdc

import (
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/millstream-data/millstream/internal/testkit"
)

func TestMetricsAreWellNamed(t *testing.T) {
	t.Parallel()
	s := setup(t, orders)
	s.insert(1, "a")
	reg := prometheus.NewRegistry()
	stop := s.runWith(reg, nil)
	s.awaitNote(1, "a")
	stop()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	for _, m := range []string{"millstream_cdc_records_total", "millstream_cdc_transactions_total", "millstream_cdc_pages_total"} {
		if counted(t, reg, m, "shop") == 0 {
			t.Errorf("%s counted nothing", m)
		}
	}
}

// The age of what a table is complete to grows while no poll ends, and is gone
// with the slot.
func TestAgeGrowsWhileNothingMoves(t *testing.T) {
	t.Parallel()
	const name = "millstream_cdc_complete_through_age_seconds"
	s := setup(t, orders)
	reg := prometheus.NewRegistry()
	stop := s.runWith(reg, nil)
	s.insert(1, "a")
	s.awaitNote(1, "a")
	tx, err := s.db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() //nolint:errcheck // nothing was written that counts
	if _, err := tx.Exec("UPDATE orders SET note = 'held'"); err != nil {
		t.Fatal(err)
	}
	failed := counted(t, reg, "millstream_cdc_horizon_failures_total", "shop")
	testkit.Eventually(t, "samples fail", func() error {
		if n := counted(t, reg, "millstream_cdc_horizon_failures_total", "shop"); n < failed+2 {
			return fmt.Errorf("%g did", n-failed)
		}
		return nil
	})
	first := counted(t, reg, name, "shop")
	second := counted(t, reg, name, "shop")
	if first == 0 || second <= first {
		t.Errorf("two scrapes while the origin is locked: %g s and %g s, want a growing age", first, second)
	}
	stop()
	if left := counted(t, reg, name, "shop"); left != 0 {
		t.Errorf("%g s are told by a process that reads nothing", left)
	}
}
