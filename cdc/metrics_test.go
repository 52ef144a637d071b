package cdc

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
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
