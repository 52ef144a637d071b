package cdc

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

const (
	outcomeComplete = "complete"
	outcomeEmpty    = "empty"
	outcomeFailed   = "failed"
	outcomeFast     = "fast"

	pagePublished   = "published"
	pageEmpty       = "empty"
	pageFingerprint = "fingerprint"
	pageLocked      = "locked"
	pageError       = "error"

	txCommitted = "committed"
	txAborted   = "aborted"
	txFenced    = "fenced"
)

type metrics struct {
	completeAge, deletesAge *ages

	horizonAge, stopped, overlapRows, loadRows, breaker, slots       *prometheus.GaugeVec
	horizonFailures, clockSteps, polls, pages, records, recordBytes  *prometheus.CounterVec
	suppressed, overlapAgain, adjusted, rejected, schemas, events    *prometheus.CounterVec
	transactions, takeovers, originSeconds, originRows               *prometheus.CounterVec
	sampleSeconds, pageSeconds, pageRows, txSeconds, takeoverSeconds *prometheus.HistogramVec

	keystoreKeys, keystoreBytes, keystoreReplay, loadRanges     *prometheus.GaugeVec
	nullRows, futureRows, tables, connections, ownXminAge       *prometheus.GaugeVec
	ranges, deletesFound, silentUpdates, guardPaused            *prometheus.CounterVec
	lateDepth, clockAhead, pollSeconds, pollLateness, txRecords *prometheus.HistogramVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	name := func(s string) string { return "millstream_cdc_" + s }
	gauge := func(n, help string, labels ...string) *prometheus.GaugeVec {
		return f.NewGaugeVec(prometheus.GaugeOpts{Name: name(n), Help: help}, labels)
	}
	counter := func(n, help string, labels ...string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Name: name(n), Help: help}, labels)
	}
	histogram := func(n, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return f.NewHistogramVec(prometheus.HistogramOpts{Name: name(n), Help: help, Buckets: buckets}, labels)
	}
	seconds := prometheus.ExponentialBuckets(0.001, 2, 16)
	late := prometheus.ExponentialBuckets(0.01, 4, 10) // 10 ms to 44 min
	return &metrics{
		completeAge: newAges(reg, name("complete_through_age_seconds"), "Age of the moment that a table is complete to."),
		deletesAge:  newAges(reg, name("deletes_through_age_seconds"), "Age of the moment that a table's deletes are complete to."),

		horizonAge:  gauge("horizon_age_seconds", "How far the horizon is behind the origin's clock.", "source", "method"),
		stopped:     gauge("stopped_tables", "Tables that are not read until somebody acts.", "source"),
		overlapRows: gauge("overlap_rows", "Versions of rows that are remembered, since they will be read again.", "source", "table"),
		loadRows:    gauge("load_rows", "Rows that the running load has read.", "source", "table"),
		breaker:     gauge("breaker_open", "1 while the origin is away.", "source"),
		slots:       gauge("slots_owned", "Slots of the source that this process owns.", "source"),

		horizonFailures: counter("horizon_failures_total", "Samples that failed.", "source"),
		clockSteps:      counter("clock_steps_total", "Times that the origin's clock was set back.", "source"),
		polls:           counter("polls_total", "Polls that ended.", "source", "table", "outcome"),
		pages:           counter("pages_total", "Pages that were read.", "source", "table", "outcome"),
		records:         counter("records_total", "Changes that were produced.", "source", "table", "op"),
		recordBytes:     counter("record_bytes_total", "Bytes of their keys and values.", "source", "table"),
		suppressed:      counter("suppressed_total", "Rows that were read again and known.", "source", "table"),
		overlapAgain:    counter("overlap_again_total", "Rows for which overlap.max left no room.", "source", "table"),
		adjusted:        counter("adjusted_total", "Rows of which a value was replaced by a declared rule.", "source", "table"),
		rejected:        counter("rejected_total", "Dead letters.", "source", "code"),
		schemas:         counter("schema_versions_total", "Versions of tables' columns that were announced.", "source", "table"),
		events:          counter("events_total", "Events at the origin: refused, replaced, rewritten, leaves, retyped, failover.", "source", "event"),
		transactions:    counter("transactions_total", "Kafka transactions.", "source", "outcome"),
		takeovers:       counter("takeovers_total", "Times that the slot was taken over.", "source"),
		originSeconds:   counter("origin_seconds_total", "Time that pages took at the origin.", "source"),
		originRows:      counter("origin_rows_total", "Rows that were read.", "source"),

		sampleSeconds:   histogram("sample_seconds", "Time that a sample took.", seconds, "source"),
		pageSeconds:     histogram("page_seconds", "Time that a page took.", seconds, "source"),
		pageRows:        histogram("page_rows", "Rows of a page.", prometheus.ExponentialBuckets(1, 4, 9), "source"),
		txSeconds:       histogram("transaction_seconds", "Age of a Kafka transaction when it was committed.", seconds, "source"),
		takeoverSeconds: histogram("takeover_seconds", "Time from fencing to the first poll.", seconds, "source"),

		keystoreKeys:   gauge("keystore_keys", "Keys in the table's key store.", "source", "table"),
		keystoreBytes:  gauge("keystore_bytes", "Size of the table's key store on disk.", "source", "table"),
		keystoreReplay: gauge("keystore_replay_seconds", "Time that the last replay or rebuilding of the key store took.", "source", "table"),
		loadRanges:     gauge("load_ranges_done", "Ranges of the running load that are complete.", "source", "table"),
		nullRows:       gauge("null_cursor_rows", "Rows without a stamp, which incremental polls do not see; counted daily.", "source", "table"),
		futureRows:     gauge("future_rows", "Rows with a stamp ahead of the origin's clock; counted daily.", "source", "table"),
		tables:         gauge("tables", "Tables of the source by state: planning, loading, reading, paused, stopped.", "source", "state"),
		connections:    gauge("connections", "Connections to the origin that are open.", "source"),
		ownXminAge:     gauge("own_xmin_age_seconds", "Age of the oldest transaction of ours at the origin, which holds back its vacuum.", "source"),

		ranges:        counter("ranges_total", "Ranges that reconcile compared, by result: equal, differs, dirty.", "source", "table", "strategy", "result"),
		deletesFound:  counter("deletes_found_total", "Deletes that were published.", "source", "table", "strategy"),
		silentUpdates: counter("silent_updates_total", "Updates that only reconcile or full saw: the stamp of that table is not kept.", "source", "table", "strategy"),
		guardPaused:   counter("guard_paused_seconds_total", "Time for which reconcile, full and loads were paused, since the origin was busy.", "source"),

		lateDepth:    histogram("late_depth_seconds", "How far below the newest stamp rows came that were published late.", late, "source", "table", "strategy"),
		clockAhead:   histogram("clock_ahead_seconds", "How far stamps are ahead of the origin's clock.", late, "source", "table", "strategy"),
		pollSeconds:  histogram("poll_seconds", "Time from the begin of a poll to its end.", seconds, "source", "table", "strategy"),
		pollLateness: histogram("poll_lateness_seconds", "How long after it was due a poll began.", seconds, "source", "table", "strategy"),
		txRecords:    histogram("transaction_records", "Records of a Kafka transaction.", prometheus.ExponentialBuckets(1, 4, 9), "source"),
	}
}

// sourceMetrics are the metrics of one source, zeroed so that they can be alerted on.
type sourceMetrics struct {
	*metrics
	source                      string
	horizonFailures, clockSteps prometheus.Counter
}

func (m *metrics) of(source string) *sourceMetrics {
	s := &sourceMetrics{metrics: m, source: source, horizonFailures: m.horizonFailures.WithLabelValues(source), clockSteps: m.clockSteps.WithLabelValues(source)}
	m.stopped.WithLabelValues(source).Set(0)
	m.breaker.WithLabelValues(source).Set(0)
	m.slots.WithLabelValues(source).Set(0)
	m.takeovers.WithLabelValues(source)
	for _, o := range []string{txCommitted, txAborted, txFenced} {
		m.transactions.WithLabelValues(source, o)
	}
	return s
}

func (s *sourceMetrics) sampled(smp sample, took time.Duration) {
	s.sampleSeconds.WithLabelValues(s.source).Observe(took.Seconds())
	s.horizonAge.WithLabelValues(s.source, string(smp.basis)).Set(smp.t0.Sub(smp.h).Seconds())
}

func (s *sourceMetrics) page(table, outcome string) {
	s.pages.WithLabelValues(s.source, table, outcome).Inc()
}

// age tells how far t is complete.
func (s *sourceMetrics) age(t *table) {
	s.completeAge.tell(s.source, t.name, t.st.CompleteThrough)
	s.deletesAge.tell(s.source, t.name, t.st.DeletesThrough)
}
