package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/parquetout"
	"github.com/millstream-data/millstream/internal/wire"
)

// benchTopic is the topic whose commits a benchLake writes.
const benchTopic = "millstream.events"

// benchColumns are those of an order with the usual context.
var benchColumns = wire.Columns{
	{Name: "id", Type: wire.String},
	{Name: "received_at", Type: wire.Timestamp},
	{Name: "original_timestamp", Type: wire.Timestamp},
	{Name: "timestamp", Type: wire.Timestamp},
	{Name: "anonymous_id", Type: wire.String},
	{Name: "user_id", Type: wire.String},
	{Name: "event", Type: wire.String},
	{Name: "context_ip", Type: wire.String},
	{Name: "context_locale", Type: wire.String},
	{Name: "context_library_name", Type: wire.String},
	{Name: "context_page_url", Type: wire.String},
	{Name: "context_page_referrer", Type: wire.String},
	{Name: "order_id", Type: wire.Int64},
	{Name: "total", Type: wire.Float64},
	{Name: "quantity", Type: wire.Int64},
	{Name: "currency", Type: wire.String},
	{Name: "coupon", Type: wire.String},
	{Name: "products", Type: wire.JSON},
	{Name: "_partition", Type: wire.Int64},
	{Name: "_offset", Type: wire.Int64},
}

// benchLake writes files of events and the commits that name them, as batchers
// do. It belongs to one goroutine.
type benchLake struct {
	l    *lake.Lake
	dir  string // for files that are not put yet
	rng  *rand.Rand
	next map[int32]int64
	prev map[int32]*int64
}

func newBenchLake(l *lake.Lake, dir string) *benchLake {
	return &benchLake{l: l, dir: dir, rng: rand.New(rand.NewPCG(1, 2)), next: map[int32]int64{}, prev: map[int32]*int64{}} //nolint:gosec // the same rows in each run
}

// benchPart is what a commit is to hold of a table.
type benchPart struct {
	table string // schema.table
	rows  int64
}

// commit puts a commit of partition part and returns it, and the bytes of its
// files.
func (b *benchLake) commit(ctx context.Context, part int32, parts []benchPart) (lake.Commit, int64, error) {
	first := b.next[part]
	fp := benchColumns.Fingerprint()
	c := lake.Commit{
		V: 1, Kind: lake.KindData, Topic: benchTopic, Partition: part, First: first, Next: first, Prev: b.prev[part], Cut: "age",
		Schemas: map[string]lake.CommitSchema{}, CreatedAt: lake.Time{Time: time.Now()},
	}
	var bytes int64
	for _, p := range parts {
		f, err := b.file(ctx, part, c.Next, p)
		if err != nil {
			return c, 0, fmt.Errorf("file of %s: %w", p.table, err)
		}
		c.Files = append(c.Files, f)
		c.Next, bytes = f.Next, bytes+f.Bytes
		// Tables of one shape share the fingerprint, and a commit has one entry for it.
		c.Schemas[f.Schema] = lake.CommitSchema{Table: p.table, Version: 1, Fingerprint: fp, Columns: benchColumns}
	}
	n := c.Next - first
	c.Accounting = []lake.Accounting{{Source: "bench", DT: c.CreatedAt.UTC().Format("2006-01-02"), Records: n, Primary: n}}
	body, err := c.Encode()
	if err != nil {
		return c, 0, err
	}
	if err := b.l.Store.Create(ctx, b.l.Paths.Commit(benchTopic, part, first), body); err != nil {
		return c, 0, err
	}
	b.prev[part], b.next[part] = &first, c.Next
	return c, bytes, nil
}

// file writes and puts a file whose rows begin at offset first.
func (b *benchLake) file(ctx context.Context, part int32, first int64, p benchPart) (lake.File, error) {
	schema, table, err := lake.SplitTable(p.table)
	if err != nil {
		return lake.File{}, err
	}
	since := time.Now().UTC().Add(-time.Minute)
	f := lake.File{
		Table: p.table, DT: since.Format("2006-01-02"), HH: since.Format("15"), Schema: wire.Schema8(benchColumns.Fingerprint()),
		First: first, Next: first + p.rows, Rows: p.rows, MaxBytes: map[string]int{},
		MinReceivedAt: lake.Time{Time: since.Truncate(time.Millisecond)}, MaxReceivedAt: lake.Time{Time: since.Add(time.Duration(p.rows) * time.Millisecond)},
	}
	f.Key = b.l.Paths.Data(schema, table, since, benchTopic, part, first, f.Next, f.Schema)
	path := filepath.Join(b.dir, "bench.parquet")
	options := parquetout.DefaultOptions()
	options.Plain = []string{"id", "_offset"}
	w, err := parquetout.Create(path, benchColumns, options)
	if err != nil {
		return f, err
	}
	for done := int64(0); done < p.rows; {
		n := min(p.rows-done, parquetout.MinRowGroup)
		if err := w.Append(b.record(part, first+done, n, table, since.Add(time.Duration(done)*time.Millisecond), f.MaxBytes)); err != nil {
			return f, err
		}
		done += n
	}
	foot, err := w.Finish()
	if err != nil {
		return f, err
	}
	f.Bytes, f.SHA256, f.CRC32C = foot.Bytes, foot.SHA256, foot.CRC32C
	body, err := os.ReadFile(path)
	if err != nil {
		return f, err
	}
	return f, errors.Join(b.l.Store.Create(ctx, f.Key, body), os.Remove(path))
}

// record returns n rows, and notes the longest value of each column.
func (b *benchLake) record(part int32, first, n int64, event string, since time.Time, longest map[string]int) parquetout.Record {
	cols := make([]*parquetout.Column, len(benchColumns))
	for i, c := range benchColumns {
		cols[i] = parquetout.NewColumn(c.Type)
	}
	for i := range n {
		at := since.Add(time.Duration(i) * time.Millisecond)
		user := strconv.Itoa(b.rng.IntN(50_000))
		page := strconv.Itoa(b.rng.IntN(2_000))
		quantity := b.rng.Int64N(5) + 1
		values := []any{
			fmt.Sprintf("%016x-%016x", b.rng.Uint64(), b.rng.Uint64()), at, at.Add(-time.Second), at.Add(-900 * time.Millisecond), "anon-" + user, "user-" + user,
			event, "203.0.113." + strconv.Itoa(b.rng.IntN(250)), "de-DE", "analytics.js", "https://shop.example/products/" + page, nil,
			first + i, float64(b.rng.IntN(100_000)) / 100, quantity, "EUR", nil,
			`[{"product_id":"` + page + `","quantity":` + strconv.FormatInt(quantity, 10) + `}]`, int64(part), first + i,
		}
		for j, v := range values {
			appendValue(cols[j], v)
		}
	}
	for i, c := range benchColumns {
		if c.Type == wire.String || c.Type == wire.JSON {
			longest[c.Name] = max(longest[c.Name], cols[i].Longest())
		}
	}
	return parquetout.NewRecord(cols)
}

func appendValue(c *parquetout.Column, v any) {
	switch v := v.(type) {
	case nil:
		c.AppendNulls(1)
	case string:
		c.AppendString(v)
	case int64:
		c.AppendInt(v)
	case float64:
		c.AppendFloat(v)
	case time.Time:
		c.AppendTime(v)
	}
}
