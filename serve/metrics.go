package serve

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/millstream-data/millstream/internal/wire"
)

// Values of the label reason of computations.
const (
	reasonChange = "change"
	reasonClock  = "clock"
	reasonLoad   = "load"
)

type metrics struct {
	connections      prometheus.Gauge
	connectionsTotal *prometheus.CounterVec // transport, result
	closes           *prometheus.CounterVec // code
	computations     *prometheus.CounterVec // reason
	viewSeconds      prometheus.Histogram
	viewRows         prometheus.Gauge
	frames           *prometheus.CounterVec // kind
	frameBytes       *prometheus.CounterVec // kind
	cacheHits        prometheus.Counter
	resumes          *prometheus.CounterVec // result
	resyncs          prometheus.Counter
	writeSeconds     prometheus.Histogram
	stuck            prometheus.Counter
	conflated        prometheus.Counter
	watermark        *prometheus.GaugeVec // topic, partition
	lagRecords       *prometheus.GaugeVec // topic, partition
	lastCell         prometheus.Gauge
	cells            prometheus.Gauge
	loads            *prometheus.CounterVec // outcome
	loadSeconds      prometheus.Histogram
	heals            prometheus.Counter
	badRecords       prometheus.Counter
	storeQueries     prometheus.Counter
	requests         *prometheus.CounterVec // route, status
	requestSeconds   *prometheus.HistogramVec
	rejected         *prometheus.CounterVec // code
	authFailures     *prometheus.CounterVec // code
	boards           prometheus.Gauge
	boardErrors      prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	p := promauto.With(reg)
	counter := func(name, help string) prometheus.Counter {
		return p.NewCounter(prometheus.CounterOpts{Name: "millstream_serve_" + name, Help: help})
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return p.NewCounterVec(prometheus.CounterOpts{Name: "millstream_serve_" + name, Help: help}, labels)
	}
	gauge := func(name, help string) prometheus.Gauge {
		return p.NewGauge(prometheus.GaugeOpts{Name: "millstream_serve_" + name, Help: help})
	}
	gauges := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return p.NewGaugeVec(prometheus.GaugeOpts{Name: "millstream_serve_" + name, Help: help}, labels)
	}
	seconds := prometheus.ExponentialBuckets(0.0001, 4, 9)
	histogram := func(name, help string) prometheus.Histogram {
		return p.NewHistogram(prometheus.HistogramOpts{Name: "millstream_serve_" + name, Help: help, Buckets: seconds})
	}
	m := &metrics{
		connections:      gauge("connections", "WebSockets that are open."),
		connectionsTotal: counters("connections_total", "Connections by transport and result.", "transport", "result"),
		closes:           counters("closes_total", "Ended WebSockets by our close code; 1000 where the peer left.", "code"),
		computations:     counters("view_computations_total", "Computations of views by reason: change, clock, load.", "reason"),
		viewSeconds:      histogram("view_seconds", "Time to compute a view."),
		viewRows:         gauge("view_rows", "Rows of all views."),
		frames:           counters("frames_total", "Frames written by kind.", "kind"),
		frameBytes:       counters("frame_bytes_total", "Bytes of frames before compression by kind.", "kind"),
		cacheHits:        counter("frame_cache_hits_total", "Frames that another client had been sent before."),
		resumes:          counters("resumes_total", "Answers to clients that had a state: delta, ok, snap.", "result"),
		resyncs:          counter("page_resyncs_total", "Deltas that did not fit what the client had: each is a bug."),
		writeSeconds:     histogram("write_seconds", "Time of a write to a client."),
		stuck:            counter("stuck_writes_total", "Clients cut because a write did not end."),
		conflated:        counter("conflated_total", "Beats skipped because a write was going on."),
		watermark:        gauges("watermark_timestamp_seconds", "Time up to which a partition has been counted.", "topic", "partition"),
		lagRecords:       gauges("follower_lag_records", "Records of a partition that are not counted yet.", "topic", "partition"),
		lastCell:         gauge("last_cell_timestamp_seconds", "When the last cell was taken from the topic."),
		cells:            gauge("cells", "Cells in memory."),
		loads:            counters("loads_total", "Loads of a metric from the store by outcome: ok, failed.", "outcome"),
		loadSeconds:      histogram("load_seconds", "Time to load a metric from the store."),
		heals:            counter("heals_total", "Cells that the store had and memory had not: records were lost."),
		badRecords:       counter("bad_records_total", "Records of the topic of cells that were not understood."),
		storeQueries:     counter("store_queries_total", "Reads of the metric store."),
		requests:         counters("requests_total", "HTTP requests by route and status.", "route", "status"),
		requestSeconds:   p.NewHistogramVec(prometheus.HistogramOpts{Name: "millstream_serve_request_seconds", Help: "Time of HTTP requests by route.", Buckets: seconds}, []string{"route"}),
		rejected:         counters("rejected_total", "Requests refused by code.", "code"),
		authFailures:     counters("auth_failures_total", "Credentials refused by code.", "code"),
		boards:           gauge("boards", "Boards in force."),
		boardErrors:      gauge("board_errors", "Board files that are broken."),
	}
	m.zero()
	return m
}

func (m *metrics) zero() {
	for _, r := range []string{reasonChange, reasonClock, reasonLoad} {
		m.computations.WithLabelValues(r)
	}
	for _, k := range []frameKind{frameSnap, frameDelta, frameOK, frameTick} {
		m.frames.WithLabelValues(string(k))
		m.frameBytes.WithLabelValues(string(k))
	}
	for _, r := range []string{"delta", "ok", "snap"} {
		m.resumes.WithLabelValues(r)
	}
	for _, r := range []string{"accepted", "refused"} {
		m.connectionsTotal.WithLabelValues("ws", r)
	}
	for _, o := range []string{"ok", "failed"} {
		m.loads.WithLabelValues(o)
	}
	m.authFailures.WithLabelValues(string(codeUnauthorized))
	for c := range statuses {
		m.rejected.WithLabelValues(string(c))
	}
}

func (m *metrics) wrote(f *frame, start time.Time) {
	m.frames.WithLabelValues(string(f.kind)).Inc()
	m.frameBytes.WithLabelValues(string(f.kind)).Add(float64(len(f.data)))
	m.writeSeconds.Observe(time.Since(start).Seconds())
}

func (m *metrics) loaded(start time.Time, err error) {
	outcome := "ok"
	if err != nil {
		outcome = "failed"
	}
	m.loads.WithLabelValues(outcome).Inc()
	m.loadSeconds.Observe(time.Since(start).Seconds())
}

func (m *metrics) mark(topic string, part int32, w wire.Watermark) {
	p := strconv.Itoa(int(part))
	m.watermark.WithLabelValues(topic, p).Set(float64(w.WM) / 1000)
	m.lagRecords.WithLabelValues(topic, p).Set(float64(max(0, w.End-w.Next)))
}
