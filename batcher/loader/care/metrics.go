package care

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// The values of the label outcome.
const (
	outcomeDone   = "done"
	outcomeFailed = "failed"
)

// metrics are maintenance's own; doc.go says what they mean.
type metrics struct {
	acts    *prometheus.CounterVec   // by act, outcome
	seconds *prometheus.HistogramVec // by act
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	m := &metrics{
		acts: f.NewCounterVec(prometheus.CounterOpts{Name: "millstream_loader_maintenance_total", Help: "Acts of maintenance, by what became of them."}, []string{"act", "outcome"}),
		seconds: f.NewHistogramVec(prometheus.HistogramOpts{
			Name: "millstream_loader_maintenance_seconds", Help: "Time that acts of maintenance took.", Buckets: prometheus.ExponentialBuckets(0.1, 4, 9),
		}, []string{"act"}),
	}
	for _, a := range Acts {
		for _, o := range []string{outcomeDone, outcomeFailed} {
			m.acts.WithLabelValues(string(a), o)
		}
	}
	return m
}
