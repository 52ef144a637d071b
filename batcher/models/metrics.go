package models

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics are counted with the loader's, whose process builds models.
type metrics struct {
	models       *prometheus.CounterVec // by outcome
	seconds      *prometheus.GaugeVec   // by model
	testFailures *prometheus.CounterVec // by model
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	m := &metrics{
		models:       f.NewCounterVec(prometheus.CounterOpts{Name: "millstream_loader_models_total", Help: "SQL models: builds, by outcome: built, checked (a view as it was, whose tests passed), failed, put_off."}, []string{"outcome"}),
		seconds:      f.NewGaugeVec(prometheus.GaugeOpts{Name: "millstream_loader_model_seconds", Help: "SQL models: time that the newest build of a model took, tests included."}, []string{"model"}),
		testFailures: f.NewCounterVec(prometheus.CounterOpts{Name: "millstream_loader_model_test_failures_total", Help: "SQL models: tests of a model that found rows, warnings included."}, []string{"model"}),
	}
	for _, o := range []Outcome{OutcomeBuilt, OutcomeChecked, OutcomeFailed, OutcomePutOff} {
		m.models.WithLabelValues(string(o))
	}
	return m
}

func (m *metrics) count(r Result) {
	m.models.WithLabelValues(string(r.Outcome)).Inc()
	name := r.Model.Name.String()
	if r.Outcome == OutcomeBuilt || r.Outcome == OutcomeChecked {
		m.seconds.WithLabelValues(name).Set(r.Seconds)
	}
	for _, t := range r.Tests {
		if t.Failures > 0 {
			m.testFailures.WithLabelValues(name).Inc()
		}
	}
}
