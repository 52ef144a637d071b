package batcher

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/compress"
	"github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/pqarrow"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/dedup"
	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/wire"
)

// benchEvents is what a benchmark's range holds: eight chunks of each table.
const benchEvents = 65_536

// BenchmarkEventsToParquet goes the whole way of a range of track events of 700
// bytes and 20 columns from the client's records to finished files: headers,
// window, rows of tracks and of the event's table. The reference writes the
// same columns and values from memory with Arrow, as records that are ready
// (arrow) and as builders that are filled with values that are ready (builders).
func BenchmarkEventsToParquet(b *testing.B) {
	recs := benchRecords(benchEvents)
	tables := readTables(b, benchRange(b, benchEnv(b), recs, 0))
	b.Run("batcher", func(b *testing.B) {
		e, first := benchEnv(b), int64(0)
		measure(b, func() {
			dropFiles(benchRange(b, e, recs, first))
			first += benchEvents
		})
	})
	b.Run("arrow", func(b *testing.B) {
		measure(b, func() {
			for _, t := range tables {
				t.write(b, t.records)
			}
		})
	})
	b.Run("builders", func(b *testing.B) {
		measure(b, func() {
			for _, t := range tables {
				t.write(b, t.rebuilt())
			}
		})
	})
}

// measure reports by event, each of which has two rows. Time is the process's on
// the processor, for the machine may have other things to do.
func measure(b *testing.B, round func()) {
	b.Helper()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	start := processorTime(b)
	n := 0
	for b.Loop() {
		round()
		n += benchEvents
	}
	spent := processorTime(b) - start
	runtime.ReadMemStats(&after)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(2*n)/spent.Seconds(), "rows/s")
	b.ReportMetric(float64(spent.Nanoseconds())/float64(n), "ns/event")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/float64(n), "allocs/event")
	b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/float64(n), "B/event")
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func benchEnv(b testing.TB) *env {
	b.Helper()
	_, l := testkit.Lake(b)
	m, names, log := newMetrics(prometheus.NewRegistry()), lake.NewNamer(), testkit.Log(b)
	cfg := DefaultConfig()
	cfg.Disk.Dir = b.TempDir()
	return &env{
		cfg: cfg, dedup: dedup.DefaultConfig(), lake: l, topics: wire.Topics{Prefix: "millstream"}, log: log, metrics: m,
		registry: newRegistry(l, m, cfg.Limits), names: names, rules: newRules(cfg, names, log), shapes: newShapes(),
	}
}

// benchRange takes records into a chain as its goroutine does, ends the range
// and returns its files.
func benchRange(b testing.TB, e *env, recs []*kgo.Record, first int64) (files []string) {
	b.Helper()
	id := lake.ChainID{Topic: e.topics.Events()}
	c := newChain(b.Context(), e, id, 1, "bench", place{from: first, next: first}, func(lake.Commit) {})
	for i, r := range recs {
		r.Offset = first + int64(i)
		if err := c.add(r); err != nil {
			b.Fatal(err)
		}
		if i%500 == 0 {
			c.span.measure()
		}
	}
	done, err := (&sealed{span: c.span, holds: func(held) {}}).build(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	rows := int64(0)
	for _, f := range done {
		rows += f.file.Rows
		files = append(files, f.path)
	}
	if rows != 2*int64(len(recs)) {
		b.Fatalf("%d rows of %d events", rows, len(recs))
	}
	return files
}

func dropFiles(files []string) {
	for _, f := range files {
		_ = os.Remove(f)
	}
}

func benchRecords(n int) []*kgo.Record {
	recs := make([]*kgo.Record, n)
	for i := range recs {
		at := time.Date(2026, 11, 21, 6, 15, 0, 0, time.UTC).Add(time.Duration(i) * time.Millisecond)
		id := fmt.Sprintf("018f5c1e-7a2b-7c3d-8e4f-%012d", i*7919)
		recs[i] = &kgo.Record{
			Topic: "millstream.events", Timestamp: at, Value: benchEvent(i, id, at),
			Headers: wire.AppendEventHeaders[kgo.RecordHeader](nil, wire.EventHeader{
				Source: "app", Type: event.Track, Event: "Order Completed", MessageID: id, ReceivedAt: at,
			}),
		}
	}
	return recs
}

func benchEvent(i int, id string, at time.Time) []byte {
	stamp := func(d time.Duration) string { return event.FormatTime(at.Add(-d)) }
	return fmt.Appendf(nil, `{"type":"track","event":"Order Completed","messageId":"%s","userId":"user-%d","anonymousId":"0b0c2f4e-1a58-4c0e-8f9e-%012d","timestamp":"%s","originalTimestamp":"%s","sentAt":"%s","receivedAt":"%s","context":{"ip":"10.0.%d.%d","library":{"name":"analytics.js","version":"4.1.0"},"page":{"url":"https://shop.example/checkout/%d","path":"/checkout/%d","title":"Checkout"},"locale":"de-DE","userAgent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"},"properties":{"order_id":"o-%d","total":%d.%02d,"currency":"EUR","items":%d,"coupon":null,"first":%t}}`,
		id, i%5000, i%5000, stamp(time.Duration(100+i%900)*time.Millisecond), stamp(time.Duration(120+i%900)*time.Millisecond), stamp(90*time.Millisecond), stamp(0),
		i%250, i%200, i%300, i%300, i, i%500, i%100, i%9, i%3 == 0)
}

// table is a table of a range as Arrow has it.
type table struct {
	schema  *arrow.Schema
	records []arrow.Record
	rows    int64
}

func readTables(b *testing.B, files []string) (tables []*table) {
	b.Helper()
	for _, path := range files {
		r, err := file.OpenParquetFile(path, false)
		if err != nil {
			b.Fatal(err)
		}
		fr, err := pqarrow.NewFileReader(r, pqarrow.ArrowReadProperties{BatchSize: chunkRows}, memory.DefaultAllocator)
		if err != nil {
			b.Fatal(err)
		}
		rr, err := fr.GetRecordReader(context.Background(), nil, nil)
		if err != nil {
			b.Fatal(err)
		}
		t := &table{schema: rr.Schema(), rows: r.NumRows()}
		for rr.Next() {
			rec := rr.Record()
			rec.Retain()
			t.records = append(t.records, rec)
		}
		tables = append(tables, t)
		_ = r.Close()
	}
	return tables
}

// write writes the records with the properties of docs/lake.md, 8,192 rows at a
// time into buffered row groups.
func (t *table) write(b *testing.B, records []arrow.Record) {
	b.Helper()
	props := []parquet.WriterProperty{
		parquet.WithVersion(parquet.V1_0), parquet.WithDataPageVersion(parquet.DataPageV1), parquet.WithCompression(compress.Codecs.Snappy),
		parquet.WithMaxRowGroupLength(131_072), parquet.WithStats(true), parquet.WithDictionaryFor("id", false), parquet.WithDictionaryFor("_offset", false),
	}
	for _, f := range t.schema.Fields() {
		if id := f.Type.ID(); id == arrow.FLOAT64 || id == arrow.TIMESTAMP {
			props = append(props, parquet.WithDictionaryFor(f.Name, false))
		}
	}
	out, err := os.Create(filepath.Join(b.TempDir(), "reference"+strconv.Itoa(len(t.schema.Fields()))))
	if err != nil {
		b.Fatal(err)
	}
	w, err := pqarrow.NewFileWriter(t.schema, out, parquet.NewWriterProperties(props...), pqarrow.DefaultWriterProps())
	if err != nil {
		b.Fatal(err)
	}
	for _, rec := range records {
		if err := w.WriteBuffered(rec); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	if int64(w.NumRows()) != t.rows {
		b.Fatalf("%d rows of %d", w.NumRows(), t.rows)
	}
}

// rebuilt fills builders with the records' values.
func (t *table) rebuilt() (out []arrow.Record) {
	for _, rec := range t.records {
		builder := array.NewRecordBuilder(memory.DefaultAllocator, t.schema)
		builder.Reserve(int(rec.NumRows()))
		for i := range int(rec.NumCols()) {
			fillBuilder(builder.Field(i), rec.Column(i))
		}
		out = append(out, builder.NewRecord())
	}
	return out
}

func fillBuilder(to array.Builder, from arrow.Array) {
	for i := range from.Len() {
		if from.IsNull(i) {
			to.AppendNull()
			continue
		}
		switch to := to.(type) {
		case *array.StringBuilder:
			to.Append(from.(*array.String).Value(i))
		case *array.TimestampBuilder:
			to.Append(from.(*array.Timestamp).Value(i))
		case *array.Int64Builder:
			to.Append(from.(*array.Int64).Value(i))
		case *array.Float64Builder:
			to.Append(from.(*array.Float64).Value(i))
		case *array.BooleanBuilder:
			to.Append(from.(*array.Boolean).Value(i))
		}
	}
}

// BenchmarkWindowRebuild reads records below the position again, which feed the
// duplicate window alone: what an assignment waits for.
func BenchmarkWindowRebuild(b *testing.B) {
	recs, e := benchRecords(benchEvents), benchEnv(b)
	id := lake.ChainID{Topic: e.topics.Events()}
	start, n := processorTime(b), 0
	for b.Loop() {
		c := newChain(b.Context(), e, id, 1, "bench", place{next: 1 << 40}, func(lake.Commit) {})
		for i := range 4 * benchEvents { // each id comes four times, far apart
			r := recs[i%benchEvents]
			r.Offset = int64(i)
			if err := c.add(r); err != nil {
				b.Fatal(err)
			}
		}
		n += 4 * benchEvents
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(n)/(processorTime(b)-start).Seconds(), "records/s")
}
