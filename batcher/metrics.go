package batcher

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/lake"
)

type metrics struct {
	records        *prometheus.CounterVec   // topic, outcome
	rows           *prometheus.CounterVec   // kind
	files          *prometheus.CounterVec   // kind
	fileBytes      *prometheus.HistogramVec // kind
	fileRows       *prometheus.HistogramVec // kind
	commits        *prometheus.CounterVec   // topic, cut
	conflicts      *prometheus.CounterVec   // outcome
	cutSeconds     *prometheus.HistogramVec // stage
	lagOffsets     *prometheus.GaugeVec     // topic, partition
	lagSeconds     *prometheus.GaugeVec     // topic, partition
	commitAge      *prometheus.GaugeVec     // topic, partition
	lastCommit     prometheus.Gauge
	memory         *prometheus.GaugeVec // kind
	spoolBytes     prometheus.Gauge
	openFiles      prometheus.Gauge
	paused         *prometheus.GaugeVec   // reason
	pauseSeconds   *prometheus.CounterVec // reason
	schemaVersions *prometheus.CounterVec // result
	unmapped       *prometheus.CounterVec // table, reason
	cutValues      *prometheus.CounterVec // table, reason
	tables         tableLabels
	windowRecords  *prometheus.GaugeVec     // topic, partition
	rebuildSeconds *prometheus.HistogramVec // topic, partition
	incomplete     *prometheus.CounterVec   // topic, partition
	rebalances     *prometheus.CounterVec   // event
	abandoned      *prometheus.CounterVec   // reason
	rejected       *prometheus.CounterVec   // code
	verifyFailures prometheus.Counter
	lostOffsets    prometheus.Counter
	offsetFailures prometheus.Counter
	stopped        prometheus.Gauge
	compacted      prometheus.Counter
	orphans        prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "millstream", Subsystem: "batcher", Name: name, Help: help}
	}
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts(opts(name, help)))
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts(opts(name, help)), labels)
	}
	gauge := func(name, help string) prometheus.Gauge { return f.NewGauge(prometheus.GaugeOpts(opts(name, help))) }
	gauges := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return f.NewGaugeVec(prometheus.GaugeOpts(opts(name, help)), labels)
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return f.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "millstream", Subsystem: "batcher", Name: name, Help: help, Buckets: buckets,
		}, labels)
	}
	m := &metrics{
		records:        counters("records_total", "Records by what became of them; every offset ends here.", "topic", "outcome"),
		rows:           counters("rows_total", "Rows committed.", "kind"),
		files:          counters("files_total", "Files committed.", "kind"),
		fileBytes:      histogram("file_bytes", "Size of committed files.", prometheus.ExponentialBuckets(1<<10, 4, 9), "kind"),
		fileRows:       histogram("file_rows", "Rows of committed files.", prometheus.ExponentialBuckets(1, 8, 8), "kind"),
		commits:        counters("commits_total", "Commits by what ended their range.", "topic", "cut"),
		conflicts:      counters("commit_conflicts_total", "Commits whose key was taken, by ourselves or by another.", "outcome"),
		cutSeconds:     histogram("cut_seconds", "Duration of the stages of a commit.", prometheus.ExponentialBuckets(0.002, 3, 9), "stage"),
		lagOffsets:     gauges("lag_offsets", "Offsets between the next record to read and the end of the log.", "topic", "partition"),
		lagSeconds:     gauges("lag_seconds", "Time since the next record to read was received; 0 if there is none.", "topic", "partition"),
		commitAge:      gauges("commit_age_seconds", "Age of the oldest record of the newest commit when it was put.", "topic", "partition"),
		lastCommit:     gauge("last_commit_timestamp_seconds", "When the last commit was put."),
		memory:         gauges("memory_bytes", "Estimate of what is held in memory: fetched records, rows in builders, open row groups, duplicate windows.", "kind"),
		spoolBytes:     gauge("spool_bytes", "Size of the files that wait for their commit, finished or not."),
		openFiles:      gauge("open_files", "Files that are being written."),
		paused:         gauges("paused", "1 while nothing is taken in for the sake of a budget; for the reason rejects, the partitions that rest.", "reason"),
		pauseSeconds:   counters("pause_seconds_total", "Time that nothing was taken in.", "reason"),
		schemaVersions: counters("schema_versions_total", "Versions of tables' schemas that were put, or adopted from another batcher.", "result"),
		unmapped:       counters("unmapped_values_total", "Values that are in _unmapped, by why; of the first 200 tables by name.", "table", "reason"),
		cutValues:      counters("cut_values_total", "Values that have lost something in their column, by what; of the first 200 tables by name.", "table", "reason"),
		windowRecords:  gauges("dedup_window_records", "Identities in the duplicate window.", "topic", "partition"),
		rebuildSeconds: histogram("dedup_rebuild_seconds", "Time to read the duplicate window again after an assignment.", prometheus.ExponentialBuckets(0.01, 3, 9), "topic", "partition"),
		incomplete:     counters("dedup_window_incomplete_total", "Windows that began after what they should remember: Kafka no longer has it.", "topic", "partition"),
		rebalances:     counters("rebalances_total", "Partitions that came or went.", "event"),
		abandoned:      counters("abandoned_ranges_total", "Ranges that were dropped, to be read again.", "reason"),
		rejected:       counters("rejected_total", "Dead letters.", "code"),
		verifyFailures: counter("verify_failures_total", "Files that were not what was written to them."),
		lostOffsets:    counter("lost_offsets_total", "Offsets that Kafka had no longer when they were to be read."),
		offsetFailures: counter("offset_commit_failures_total", "Offsets that could not be committed to Kafka; harmless."),
		stopped:        gauge("stopped_partitions", "Partitions that wait for an operator."),
		compacted:      counter("compacted_files_total", "Files that compactions have replaced by fewer ones."),
		orphans:        gauge("orphan_files", "Data objects that nobody names, in the hours that the last round of compaction looked at; millstream gc counts all."),
	}
	m.zero()
	return m
}

// zero creates every series that can be known: a zero can be alerted on, an
// absent series cannot.
func (m *metrics) zero() {
	for _, k := range []string{"events", "mirror"} {
		m.rows.WithLabelValues(k)
		m.files.WithLabelValues(k)
	}
	for _, v := range []string{"own", "lost"} {
		m.conflicts.WithLabelValues(v)
	}
	for _, v := range []string{"new", "adopted"} {
		m.schemaVersions.WithLabelValues(v)
	}
	for _, v := range unmappedReasons() {
		m.unmapped.WithLabelValues(otherTables, string(v))
	}
	for _, v := range cutReasons() {
		m.cutValues.WithLabelValues(otherTables, string(v))
	}
	for _, r := range pauseReasons() {
		m.paused.WithLabelValues(string(r))
		m.pauseSeconds.WithLabelValues(string(r))
	}
	for _, v := range []string{"assigned", "revoked", "lost"} {
		m.rebalances.WithLabelValues(v)
	}
	for _, v := range []string{"lost", "failed", "revoked", "stopped"} {
		m.abandoned.WithLabelValues(v)
	}
	for _, c := range []event.Code{
		event.CodeBadJSON, event.CodeUnknownType, event.CodeMissingField, event.CodeRowTooLarge,
		event.CodeSchemaUnknown, event.CodeBadChange, event.CodeValueTooLarge,
	} {
		m.rejected.WithLabelValues(string(c))
	}
}

// topic creates the series of a topic.
func (m *metrics) topic(name string) {
	for _, o := range outcomes() {
		m.records.WithLabelValues(name, string(o))
	}
	for _, c := range cuts() {
		m.commits.WithLabelValues(name, string(c))
	}
}

// lag shows how far a chain is behind the end of its log.
func (m *metrics) lag(id lake.ChainID, offsets int64, next time.Time) {
	seconds := 0.0
	if offsets > 0 && !next.IsZero() {
		seconds = max(0, time.Since(next).Seconds())
	}
	partition := strconv.Itoa(int(id.Partition))
	m.lagOffsets.WithLabelValues(id.Topic, partition).Set(float64(offsets))
	m.lagSeconds.WithLabelValues(id.Topic, partition).Set(seconds)
}

// forget removes what only the owner of a chain can tell.
func (m *metrics) forget(id lake.ChainID) {
	partition := strconv.Itoa(int(id.Partition))
	for _, g := range []*prometheus.GaugeVec{m.lagOffsets, m.lagSeconds, m.commitAge, m.windowRecords} {
		g.DeleteLabelValues(id.Topic, partition)
	}
}

// values counts what became of a table's values.
func (m *metrics) values(table string, c *valueCounts) {
	if len(c.unmapped)+len(c.cut) == 0 {
		return
	}
	label := m.tables.of(table)
	for why, n := range c.unmapped {
		m.unmapped.WithLabelValues(label, string(why)).Add(float64(n))
	}
	for why, n := range c.cut {
		m.cutValues.WithLabelValues(label, string(why)).Add(float64(n))
	}
}
