package objstore

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	requests *prometheus.CounterVec   // op, outcome
	retries  *prometheus.CounterVec   // op
	seconds  *prometheus.HistogramVec // op
}

// newMetrics sets every outcome of every operation to zero. Running is how many
// calls have a slot.
func newMetrics(reg prometheus.Registerer, running func() float64) *metrics {
	f := promauto.With(reg)
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "millstream_objstore_requests_running", Help: "Calls to the object store that run now, at most s3.concurrency.",
	}, running)
	m := &metrics{
		requests: f.NewCounterVec(prometheus.CounterOpts{
			Name: "millstream_objstore_requests_total", Help: "Calls to the object store, by operation and outcome.",
		}, []string{"op", "outcome"}),
		retries: f.NewCounterVec(prometheus.CounterOpts{
			Name: "millstream_objstore_retries_total", Help: "Attempts that were repeated after a passing fault, by operation.",
		}, []string{"op"}),
		seconds: f.NewHistogramVec(prometheus.HistogramOpts{
			Name: "millstream_objstore_request_seconds", Help: "Duration of calls to the object store, retries included.",
			Buckets: prometheus.ExponentialBuckets(0.002, 2.5, 10),
		}, []string{"op"}),
	}
	for _, op := range []string{"create", "put", "get", "open", "head", "delete", "list", "head_bucket", "create_bucket"} {
		m.retries.WithLabelValues(op)
		for _, o := range []string{"ok", "exists", "not_found", "refused", "unknown"} {
			m.requests.WithLabelValues(op, o)
		}
	}
	return m
}

func (m *metrics) observe(op string, err error, took time.Duration) {
	outcome := "unknown"
	switch {
	case err == nil:
		outcome = "ok"
	case errors.Is(err, ErrExists):
		outcome = "exists"
	case errors.Is(err, ErrNotFound):
		outcome = "not_found"
	case errors.Is(err, ErrRefused):
		outcome = "refused"
	}
	m.requests.WithLabelValues(op, outcome).Inc()
	m.seconds.WithLabelValues(op).Observe(took.Seconds())
}
