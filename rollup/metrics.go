package rollup

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/millstream-data/millstream/internal/event"
)

type outcome string

const (
	applied   outcome = "applied"
	unmatched outcome = "unmatched"
	duplicate outcome = "duplicate"
	rejected  outcome = "rejected"
	window    outcome = "window" // read for the window only
)

type reason string

const (
	flushInterval    reason = "interval"
	flushCells       reason = "cells"
	flushMemory      reason = "memory"
	flushDefinitions reason = "definitions"
	flushRevoke      reason = "revoke"
	flushStop        reason = "stop"
)

type commitOutcome string

const (
	committed     commitOutcome = "committed"
	fenced        commitOutcome = "fenced"
	unknownLanded commitOutcome = "unknown_landed"
	unknownLost   commitOutcome = "unknown_lost"
)

type metrics struct {
	records      *prometheus.CounterVec // by topic and outcome
	rejected     *prometheus.CounterVec // by code
	events       *prometheus.CounterVec // by metric
	bad          *prometheus.CounterVec // by metric
	overflow     *prometheus.CounterVec // by metric
	clock        *prometheus.CounterVec // by kind
	flushSeconds prometheus.Histogram
	flushCells   prometheus.Histogram
	flushes      *prometheus.CounterVec // by reason
	commits      *prometheus.CounterVec // by outcome
	lag          *prometheus.GaugeVec   // by topic and partition
	lagSeconds   *prometheus.GaugeVec
	watermark    *prometheus.GaugeVec
	lastCommit   *prometheus.GaugeVec
	pending      prometheus.Gauge
	publishErrs  prometheus.Counter
	misses       prometheus.Counter
	memory       *prometheus.GaugeVec // by kind
	rebuild      prometheus.Histogram
	incomplete   *prometheus.CounterVec // by topic and partition
	lost         *prometheus.CounterVec
	set          prometheus.Gauge
	setErrors    prometheus.Counter
	rebalances   *prometheus.CounterVec // by event
}

// newMetrics sets what has a fixed list of labels to zero: a zero can be
// alerted on, an absent series cannot.
func newMetrics(reg prometheus.Registerer, topic string) *metrics {
	f := promauto.With(reg)
	name := func(n, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "millstream", Subsystem: "rollup", Name: n, Help: help}
	}
	counter := func(n, help string, labels ...string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts(name(n, help)), labels)
	}
	gauge := func(n, help string, labels ...string) *prometheus.GaugeVec {
		return f.NewGaugeVec(prometheus.GaugeOpts(name(n, help)), labels)
	}
	histogram := func(n, help string, buckets []float64) prometheus.Histogram {
		return f.NewHistogram(prometheus.HistogramOpts{Namespace: "millstream", Subsystem: "rollup", Name: n, Help: help, Buckets: buckets})
	}
	m := &metrics{
		records:      counter("records_total", "Records read, by what became of them.", "topic", "outcome"),
		rejected:     counter("rejected_total", "Records sent to the dead letters.", "code"),
		events:       counter("events_total", "Events counted.", "metric"),
		bad:          counter("bad_values_total", "Events without a usable value.", "metric"),
		overflow:     counter("sum_overflow_total", "Additions refused because the sum would not fit.", "metric"),
		clock:        counter("clock_adjusted_total", "Events whose time was not believed.", "kind"),
		flushSeconds: histogram("flush_seconds", "Time of a flush, retries included.", prometheus.ExponentialBuckets(0.001, 2, 15)),
		flushCells:   histogram("flush_cells", "Cells written by a flush.", prometheus.ExponentialBuckets(1, 4, 10)),
		flushes:      counter("flushes_total", "Flushes, by what made them due.", "reason"),
		commits:      counter("commits_total", "Transactions of the store, by outcome.", "outcome"),
		lag:          gauge("lag_offsets", "Records between the committed position and the log's end.", "topic", "partition"),
		lagSeconds:   gauge("lag_seconds", "Age of the watermark.", "topic", "partition"),
		watermark:    gauge("watermark_timestamp_seconds", "Time up to which cells include everything.", "topic", "partition"),
		lastCommit:   gauge("last_commit_timestamp_seconds", "Time of the last commit.", "topic", "partition"),
		pending:      f.NewGauge(prometheus.GaugeOpts(name("publish_pending", "Cells that Kafka has not acknowledged."))),
		publishErrs:  f.NewCounter(prometheus.CounterOpts(name("publish_errors_total", "Cells that Kafka refused and that are sent again."))),
		misses:       f.NewCounter(prometheus.CounterOpts(name("cell_cache_misses_total", "Cells read from the store."))),
		memory:       gauge("memory_bytes", "Memory held.", "kind"),
		rebuild:      histogram("window_rebuild_seconds", "Time until the duplicate window of a claimed partition was whole.", prometheus.ExponentialBuckets(0.01, 3, 10)),
		incomplete:   counter("window_incomplete_total", "Claims whose window Kafka no longer held whole.", "topic", "partition"),
		lost:         counter("lost_offsets_total", "Offsets that Kafka deleted before they were counted.", "topic", "partition"),
		set:          f.NewGauge(prometheus.GaugeOpts(name("definitions_set", "Number of the set of definitions in force."))),
		setErrors:    f.NewCounter(prometheus.CounterOpts(name("definition_errors_total", "Definition files that were refused."))),
		rebalances:   counter("rebalances_total", "Partitions that changed hands.", "event"),
	}
	for _, o := range []outcome{applied, unmatched, duplicate, rejected, window} {
		m.records.WithLabelValues(topic, string(o))
	}
	for _, c := range []event.Code{event.CodeBadJSON, event.CodeUnknownType, event.CodeMissingField} {
		m.rejected.WithLabelValues(string(c))
	}
	for _, r := range []reason{flushInterval, flushCells, flushMemory, flushDefinitions, flushRevoke, flushStop} {
		m.flushes.WithLabelValues(string(r))
	}
	for _, o := range []commitOutcome{committed, fenced, unknownLanded, unknownLost} {
		m.commits.WithLabelValues(string(o))
	}
	for _, k := range []string{"future", "past"} {
		m.clock.WithLabelValues(k)
	}
	for _, e := range []string{"assigned", "revoked", "lost"} {
		m.rebalances.WithLabelValues(e)
	}
	return m
}
