package loader

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// The values of labels.
const (
	outcomeCommitted = "committed"
	outcomeRetried   = "retried"
	outcomeHeld      = "held"

	opStaged    = "staged"
	opInserted  = "inserted"
	opUpdated   = "updated"
	opDeleted   = "deleted"
	opDuplicate = "duplicate"

	swapCommitted = "committed"
	swapReaders   = "readers" // put off
	swapViews     = "views"   // put off
	swapCounts    = "counts"  // given up
)

// metrics are the role's own; doc.go says what they mean.
type metrics struct {
	loads         *prometheus.CounterVec // by kind, outcome
	rows          *prometheus.CounterVec // by op
	retries       *prometheus.CounterVec // by class
	stageSeconds  prometheus.Histogram
	gateWait      prometheus.Histogram
	transaction   prometheus.Histogram
	wave          prometheus.Histogram
	dueRows       *prometheus.GaugeVec // by target, the first 200
	freshness     *prometheus.GaugeVec // the same
	oldestDue     prometheus.Gauge
	lastSuccess   prometheus.Gauge
	chainLag      *prometheus.GaugeVec // by topic, part
	chainGaps     prometheus.Gauge
	heldFiles     prometheus.Gauge
	heldTargets   prometheus.Gauge
	skippedFiles  prometheus.Gauge
	copies        prometheus.Counter
	copyBytes     prometheus.Counter
	bisects       prometheus.Counter
	countMismatch prometheus.Counter
	added         prometheus.Counter
	widened       prometheus.Counter
	created       prometheus.Counter
	leaseHeld     prometheus.Gauge
	leaseLost     prometheus.Counter
	swaps         *prometheus.CounterVec // by outcome
	sequence      prometheus.Counter
}

// newMetrics sets every label value to zero: a zero can be alerted on, an
// absent series cannot.
func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: "millstream_loader_" + name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return f.NewGauge(prometheus.GaugeOpts{Name: "millstream_loader_" + name, Help: help})
	}
	seconds := func(name, help string) prometheus.Histogram {
		return f.NewHistogram(prometheus.HistogramOpts{Name: "millstream_loader_" + name, Help: help, Buckets: prometheus.ExponentialBuckets(0.01, 2.5, 12)})
	}
	m := &metrics{
		loads:         f.NewCounterVec(prometheus.CounterOpts{Name: "millstream_loader_loads_total", Help: "Loads by what became of them."}, []string{"kind", "outcome"}),
		rows:          f.NewCounterVec(prometheus.CounterOpts{Name: "millstream_loader_rows_total", Help: "Rows of committed loads."}, []string{"op"}),
		retries:       f.NewCounterVec(prometheus.CounterOpts{Name: "millstream_loader_retries_total", Help: "Groups that are planned again, by reason."}, []string{"class"}),
		stageSeconds:  seconds("stage_seconds", "Time in which a group's files are copied into staging tables."),
		gateWait:      seconds("gate_wait_seconds", "Time for which a transaction waits for the gate."),
		transaction:   seconds("transaction_seconds", "Time of a transaction from BEGIN to COMMIT."),
		wave:          seconds("wave_seconds", "Time of a wave."),
		dueRows:       f.NewGaugeVec(prometheus.GaugeOpts{Name: "millstream_loader_due_rows", Help: "Rows of commits that no load has brought in yet, held ones left out, by target: the first 200, then other."}, []string{"target"}),
		freshness:     f.NewGaugeVec(prometheus.GaugeOpts{Name: "millstream_loader_freshness_seconds", Help: "Time by which the newest loaded row was received before the newest committed one, by target: the first 200, then other, which has the greatest of the rest."}, []string{"target"}),
		oldestDue:     gauge("oldest_due_seconds", "Age of the oldest commit with such rows."),
		lastSuccess:   gauge("last_success_timestamp_seconds", "When the last wave ended well."),
		chainLag:      f.NewGaugeVec(prometheus.GaugeOpts{Name: "millstream_loader_chain_lag_offsets", Help: "Offsets between a chain's low water and its newest commit."}, []string{"topic", "part"}),
		chainGaps:     gauge("chain_gaps", "Chains that cannot be read on."),
		heldFiles:     gauge("held_files", "Files that wait for somebody to mend something."),
		heldTargets:   gauge("held_targets", "Targets that do."),
		skippedFiles:  gauge("skipped_files_total", "Files that somebody gave up for good."),
		copies:        counter("copies_total", "COPYs that succeeded."),
		copyBytes:     counter("copy_bytes_total", "Bytes of files that they read."),
		bisects:       counter("bisect_copies_total", "COPYs that looked for a bad file."),
		countMismatch: counter("copy_count_mismatch_total", "COPYs that brought other rows than the commits promise."),
		added:         counter("columns_added_total", "Columns added to tables."),
		widened:       counter("columns_widened_total", "Columns widened."),
		created:       counter("tables_created_total", "Tables created."),
		leaseHeld:     gauge("lease_held", "1 while this process has the lease."),
		leaseLost:     counter("lease_lost_total", "Leases lost to another loader or to a silent warehouse."),
	}
	m.swaps = f.NewCounterVec(prometheus.CounterOpts{Name: "millstream_loader_swaps_total", Help: "Full refreshes of mirrored tables: swapped in, put off, or given up because other rows came than were counted."}, []string{"outcome"})
	m.sequence = counter("sequence_violations_total", "Changes of mirrored tables that stand before an earlier read in their partition.")
	for _, o := range []string{swapCommitted, swapReaders, swapViews, swapCounts} {
		m.swaps.WithLabelValues(o)
	}
	for _, k := range []kind{kindAppend, kindMirror, kindMetrics, kindRepair} {
		for _, o := range []string{outcomeCommitted, outcomeRetried, outcomeHeld} {
			m.loads.WithLabelValues(string(k), o)
		}
	}
	m.dueRows.WithLabelValues(otherTargets)
	m.freshness.WithLabelValues(otherTargets)
	for _, op := range []string{opStaged, opInserted, opUpdated, opDeleted, opDuplicate} {
		m.rows.WithLabelValues(op)
	}
	for _, class := range retryClasses {
		m.retries.WithLabelValues(class)
	}
	return m
}

// gated observes a transaction behind the gate.
func (m *metrics) gated(gate, transaction time.Duration) {
	m.gateWait.Observe(gate.Seconds())
	m.transaction.Observe(transaction.Seconds())
}
