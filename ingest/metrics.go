package ingest

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millstream-data/millstream/internal/event"
)

// metrics are the role's own series; doc.go says what they mean.
type metrics struct {
	requests      *prometheus.CounterVec   // route, status
	duration      *prometheus.HistogramVec // route
	ack           *prometheus.HistogramVec // path
	accepted      *prometheus.CounterVec   // source, type
	bytes         *prometheus.CounterVec   // source, type
	rejected      *prometheus.CounterVec   // source, code
	duplicates    *prometheus.CounterVec   // source
	flagged       *prometheus.CounterVec   // source, flag
	planned       *prometheus.CounterVec   // source, outcome
	unauthorized  *prometheus.CounterVec   // code
	keyConflicts  *prometheus.CounterVec   // source
	keyInBrowser  *prometheus.CounterVec   // source
	produceErrors *prometheus.CounterVec   // error
	panics        *prometheus.CounterVec   // where
	inflight      prometheus.GaugeFunc
	unacked       prometheus.GaugeFunc
	remembered    prometheus.GaugeFunc
	active        prometheus.Gauge
	connections   prometheus.Gauge
	lastAck       prometheus.GaugeFunc
	spoolFrames   prometheus.Counter
	spoolDrained  prometheus.Counter
	spoolErrors   *prometheus.CounterVec // kind
	spoolFsync    prometheus.Histogram

	reloadFailures prometheus.Counter
	limited        *prometheus.CounterVec // source, limit
}

// newMetrics registers the series. Those with labels from a fixed list begin at zero: a zero can be alerted on.
func newMetrics(reg prometheus.Registerer, held, unacked, remembered, lastAck func() float64) *metrics {
	with := promauto.With(reg)
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return with.NewCounterVec(prometheus.CounterOpts{Name: "millstream_ingest_" + name, Help: help}, labels)
	}
	gauge := func(name, help string, f func() float64) prometheus.GaugeFunc {
		return with.NewGaugeFunc(prometheus.GaugeOpts{Name: "millstream_ingest_" + name, Help: help}, f)
	}
	buckets := []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	m := &metrics{
		requests: counter("requests_total", "Requests by route and status of the answer.", "route", "status"),
		duration: with.NewHistogramVec(prometheus.HistogramOpts{
			Name: "millstream_ingest_request_duration_seconds", Help: "From a request's headers to its answer.", Buckets: buckets,
		}, []string{"route"}),
		ack: with.NewHistogramVec(prometheus.HistogramOpts{
			Name: "millstream_ingest_ack_duration_seconds", Help: "From the last byte of a body to durable records.", Buckets: buckets,
		}, []string{"path"}),
		accepted:      counter("events_accepted_total", "Events that were acknowledged to their sender.", "source", "type"),
		bytes:         counter("event_bytes_total", "Bytes of acknowledged events as they were written.", "source", "type"),
		rejected:      counter("events_rejected_total", "Events and bodies that became dead letters.", "source", "code"),
		duplicates:    counter("events_duplicate_total", "Events whose message id was durable already.", "source"),
		flagged:       counter("events_flagged_total", "Accepted events that something was odd about.", "source", "flag"),
		planned:       counter("plan_results_total", "Events that a tracking plan has judged.", "source", "outcome"),
		unauthorized:  counter("unauthorized_total", "Requests refused for their key.", "code"),
		keyConflicts:  counter("key_conflicts_total", "Requests with different keys in different places.", "source"),
		keyInBrowser:  counter("server_key_in_browser_total", "Requests of browsers with a server's key.", "source"),
		produceErrors: counter("produce_errors_total", "Records that Kafka did not take.", "error"),
		panics:        counter("panics_total", "Bugs that were survived.", "where"),
		inflight:      gauge("inflight_bytes", "Bytes of bodies and records held in memory.", held),
		remembered:    gauge("dedup_ids", "Message ids remembered.", remembered),
		unacked:       gauge("unacked_records", "Records that Kafka has not acknowledged yet.", unacked),
		lastAck:       gauge("last_ack_timestamp_seconds", "When Kafka last acknowledged a record.", lastAck),
		active: with.NewGauge(prometheus.GaugeOpts{
			Name: "millstream_ingest_inflight_requests", Help: "Requests being served.",
		}),
		connections: with.NewGauge(prometheus.GaugeOpts{
			Name: "millstream_ingest_connections", Help: "Open connections.",
		}),
	}
	for _, where := range []string{"request", "event"} {
		m.panics.WithLabelValues(where)
	}
	for _, code := range []string{codeMissingKey, codeUnknownKey, codeExpiredKey, codeSourceDisabled, codeOriginDenied, codeServerKeyRequired} {
		m.unauthorized.WithLabelValues(code)
	}
	m.ack.WithLabelValues("kafka")
	m.ack.WithLabelValues("spool")
	m.spoolErrors = counter("spool_errors_total", "Trouble with the spool.", "kind")
	for _, kind := range []string{"write", "fsync", "torn", "corrupt", "full"} {
		m.spoolErrors.WithLabelValues(kind)
	}
	m.spoolFrames = with.NewCounter(prometheus.CounterOpts{
		Name: "millstream_ingest_spool_frames_total", Help: "Records that became durable on disk.",
	})
	m.spoolDrained = with.NewCounter(prometheus.CounterOpts{
		Name: "millstream_ingest_spool_drained_total", Help: "Records from disk that Kafka has acknowledged.",
	})
	m.spoolFsync = with.NewHistogram(prometheus.HistogramOpts{
		Name: "millstream_ingest_spool_fsync_duration_seconds", Help: "What it takes to make a group of records durable on disk.", Buckets: buckets,
	})
	m.limited = counter("limited_total", "Requests refused because their key was over its rate.", "source", "limit")
	m.reloadFailures = with.NewCounter(prometheus.CounterOpts{
		Name: "millstream_ingest_config_reload_failures_total", Help: "Attempts to read the sources that left the old ones in force.",
	})
	return m
}

// registerSources registers what is known of the configuration in force.
func registerSources(reg prometheus.Registerer, current func() *snapshot) {
	with := promauto.With(reg)
	with.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "millstream_ingest_config_ok", Help: "0 while the last good sources are in force because they could not be read since.",
	}, func() float64 {
		if current().stale != "" {
			return 0
		}
		return 1
	})
	with.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "millstream_ingest_config_loaded_timestamp_seconds", Help: "When the sources in force were read.",
	}, func() float64 { return float64(current().loaded.UnixMilli()) / 1e3 })
}

// registerSpool registers what is known of the spool at any time; all are zero where there is none.
func registerSpool(reg prometheus.Registerer, p *producer, limit int64) {
	with := promauto.With(reg)
	gauge := func(name, help string, f func() float64) {
		with.NewGaugeFunc(prometheus.GaugeOpts{Name: "millstream_ingest_" + name, Help: help}, f)
	}
	of := func(f func(used int64, segments int, oldest time.Time) float64) func() float64 {
		return func() float64 {
			if p.spool == nil {
				return 0
			}
			return f(p.spool.sizes())
		}
	}
	gauge("spool_bytes", "Bytes of the spool on disk.", of(func(used int64, _ int, _ time.Time) float64 { return float64(used) }))
	gauge("spool_segments", "Files of the spool.", of(func(_ int64, n int, _ time.Time) float64 { return float64(n) }))
	gauge("spool_oldest_age_seconds", "Age of the oldest file of the spool that holds records.", of(func(_ int64, _ int, oldest time.Time) float64 {
		if oldest.IsZero() {
			return 0
		}
		return time.Since(oldest).Seconds()
	}))
	gauge("spool_limit_bytes", "Bytes that the spool may take.", func() float64 { return float64(limit) })
	gauge("lanes_spooled", "Lanes whose records go to the spool.", func() float64 {
		if l := p.lanes.Load(); l != nil {
			return float64(l.spooled())
		}
		return 0
	})
}

// zero begins the series of a source.
func (m *metrics) zero(source string) {
	for _, t := range event.Types() {
		m.accepted.WithLabelValues(source, string(t))
		m.bytes.WithLabelValues(source, string(t))
	}
	for o := outcomeOK; o < outcomeEnd; o++ {
		m.planned.WithLabelValues(source, o.String())
	}
	m.duplicates.WithLabelValues(source)
	m.keyConflicts.WithLabelValues(source)
	m.keyInBrowser.WithLabelValues(source)
	m.limited.WithLabelValues(source, "events")
	m.limited.WithLabelValues(source, "bytes")
}

// errorLabel is an error's name from Kafka's fixed list, or a word for the rest.
func errorLabel(err error) string {
	var ke *kerr.Error
	var op *net.OpError
	switch {
	case errors.As(err, &ke):
		return ke.Message
	case errors.As(err, &op):
		return "network"
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	}
	return "client"
}
