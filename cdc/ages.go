package cdc

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// ages is a gauge of how old moments are. It is computed when it is scraped, so
// that it grows while nothing moves them: an origin that is away, a stopped table.
type ages struct {
	desc *prometheus.Desc

	mu      sync.Mutex // guards moments
	moments map[tableOf]time.Time
}

type tableOf struct{ source, table string }

func newAges(reg prometheus.Registerer, name, help string) *ages {
	a := &ages{desc: prometheus.NewDesc(name, help, []string{"source", "table"}, nil), moments: map[tableOf]time.Time{}}
	reg.MustRegister(a)
	return a
}

// tell sets the moment of a table from the state's text; "" is none yet.
func (a *ages) tell(source, table, moment string) {
	if moment == "" {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.moments[tableOf{source, table}] = parseStamp(moment)
}

// forget drops a table that this process reads no longer.
func (a *ages) forget(source, table string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.moments, tableOf{source, table})
}

// Describe is prometheus.Collector's.
func (a *ages) Describe(out chan<- *prometheus.Desc) { out <- a.desc }

// Collect is prometheus.Collector's.
func (a *ages) Collect(out chan<- prometheus.Metric) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for of, moment := range a.moments {
		out <- prometheus.MustNewConstMetric(a.desc, prometheus.GaugeValue, time.Since(moment).Seconds(), of.source, of.table)
	}
}
