//go:build cgo

package loader

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/internal/dedup"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/local/redshift"
	"github.com/millstream-data/millstream/internal/parquetout"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/testkit/warehousetest"
	"github.com/millstream-data/millstream/internal/warehouse"
	"github.com/millstream-data/millstream/internal/wire"
)

const topic = "millstream.events"

// kit is a lake and a warehouse, and the test's hand on both.
type kit struct {
	t      testing.TB
	lake   *lake.Lake
	server *redshift.Server
	client *warehouse.Client
	next   map[lake.ChainID]int64
	prev   map[lake.ChainID]*int64
	now    time.Time // received_at of the next row
}

func setup(t testing.TB) *kit { return setupWith(t, redshift.IsolationSnapshot) }

func setupWith(t testing.TB, isolation string) *kit {
	t.Helper()
	_, l := testkit.Lake(t)
	return setupOn(t, l, isolation)
}

func setupOn(t testing.TB, l *lake.Lake, isolation string, change ...func(*redshift.Config)) *kit {
	t.Helper()
	server := warehousetest.Server(t, l.Store, func(cfg *redshift.Config) {
		cfg.Isolation = isolation
		for _, f := range change {
			f(cfg)
		}
	})
	k := &kit{t: t, lake: l, server: server, next: map[lake.ChainID]int64{}, prev: map[lake.ChainID]*int64{}, now: time.Date(2026, 11, 21, 6, 0, 0, 0, time.UTC)}
	k.client = k.open()
	return k
}

func (k *kit) open() *warehouse.Client { return warehousetest.Client(k.t, k.server) }

func testConfig() Config {
	cfg := DefaultConfig()
	cfg.Interval, cfg.MaxInterval, cfg.Connections = 100*time.Millisecond, time.Second, 2
	cfg.Lease.TTL, cfg.Lease.Renew = 20*time.Second, 200*time.Millisecond
	cfg.Retry.HoldMin, cfg.Retry.HoldMax = time.Hour, time.Hour // what is held stays so until a test says otherwise
	cfg.DDLTimeout = 5 * time.Second
	return cfg
}

// impatient tries again soon what is held.
func impatient(cfg *Config) { cfg.Retry.HoldMin, cfg.Retry.HoldMax = 2*time.Second, 4*time.Second }

// loader returns a loader that talks to the warehouse by client.
func (k *kit) loader(client *warehouse.Client, change ...func(*Config)) *Loader {
	k.t.Helper()
	cfg := testConfig()
	for _, f := range change {
		f(&cfg)
	}
	l, err := New(cfg, Deps{Warehouse: client, Lake: k.lake, Dedup: dedup.DefaultConfig(), Log: testkit.Log(k.t), Registry: prometheus.NewRegistry()})
	if err != nil {
		k.t.Fatal(err)
	}
	return l
}

// start runs a loader until the returned function is called, which waits.
func (k *kit) start(l *Loader) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := l.Run(ctx); err != nil {
			k.t.Errorf("run: %v", err)
		}
	})
	stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	k.t.Cleanup(stop)
	return stop
}

// tenure returns waves of a loader that has just taken the lease: a test makes
// them one by one.
func (k *kit) tenure(l *Loader) *waves {
	k.t.Helper()
	ctx := k.t.Context()
	conn, err := l.warehouse.Connect(ctx)
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(conn.Close)
	if err := conn.EnsureLedger(ctx); err != nil {
		k.t.Fatal(err)
	}
	fence, err := conn.TakeLease(ctx, l.holder, time.Hour)
	if err != nil {
		k.t.Fatal(err)
	}
	return &waves{Loader: l, conn: conn, fence: fence, seen: catalogue{lake: l.lake}}
}

// wave makes one wave and fails the test if anything went wrong in it.
func (k *kit) wave(w *waves) {
	k.t.Helper()
	failures, err := w.once(k.t.Context(), k.t.Context())
	if err = errors.Join(append(failures, err)...); err != nil {
		k.t.Fatal(err)
	}
}

// query returns the rows of a query, columns joined by "|".
func (k *kit) query(sql string) []string {
	k.t.Helper()
	rows, err := k.ask(sql)
	if err != nil {
		k.t.Fatal(err)
	}
	return rows
}

func (k *kit) ask(sql string) ([]string, error) {
	k.t.Helper()
	conn, err := k.open().Connect(k.t.Context())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	res, err := conn.Exec(k.t.Context(), sql)
	out := []string{}
	for _, row := range res.Rows {
		out = append(out, strings.Join(row, "|"))
	}
	return out, err
}

func (k *kit) exec(sql string) { k.t.Helper(); k.query(sql) }

// one is query for one row.
func (k *kit) one(sql string) string {
	k.t.Helper()
	rows := k.query(sql)
	if len(rows) != 1 {
		k.t.Fatalf("%s: %d rows, want 1: %v", sql, len(rows), rows)
	}
	return rows[0]
}

type row map[string]any

// table is what a commit holds of a table.
type table struct {
	name    string
	columns wire.Columns
	rows    []row
	change  func(*lake.File) // what the commit says wrongly of the file
}

// eventColumns are a small event table's, with more after them.
func eventColumns(more ...wire.Column) wire.Columns {
	return append(wire.Columns{
		{Name: "id", Type: wire.String},
		{Name: "received_at", Type: wire.Timestamp},
		{Name: "user_id", Type: wire.String},
		{Name: "_unmapped", Type: wire.JSON},
		{Name: "_partition", Type: wire.Int64},
		{Name: "_offset", Type: wire.Int64},
	}, more...)
}

func changeColumns(own ...wire.Column) wire.Columns {
	return append(own,
		wire.Column{Name: "_op", Type: wire.String}, wire.Column{Name: "_pass", Type: wire.Int64}, wire.Column{Name: "_page", Type: wire.Int64}, wire.Column{Name: "_strategy", Type: wire.String},
		wire.Column{Name: "_poll", Type: wire.String}, wire.Column{Name: "_read_at", Type: wire.Timestamp}, wire.Column{Name: "_partition", Type: wire.Int64}, wire.Column{Name: "_offset", Type: wire.Int64})
}

func col(name string, t wire.LakeType) wire.Column { return wire.Column{Name: name, Type: t} }

// commit writes files and the commit that names them, as a batcher does, to
// partition part of the topic of events.
func (k *kit) commit(part int32, tables ...table) lake.Commit {
	k.t.Helper()
	return k.commitTo(lake.ChainID{Topic: topic, Partition: part}, nil, tables...)
}

func (k *kit) commitTo(id lake.ChainID, marks [][]byte, tables ...table) lake.Commit {
	k.t.Helper()
	first := k.next[id]
	c := lake.Commit{
		V: 1, Kind: lake.KindData, Topic: id.Topic, Partition: id.Partition, First: first, Prev: k.prev[id], Cut: "age",
		Schemas: map[string]lake.CommitSchema{}, CreatedAt: lake.Time{Time: time.Now()},
	}
	at := first
	for _, tb := range tables {
		f, schema := k.file(id, at, tb)
		if tb.change != nil {
			tb.change(&f)
		}
		c.Schemas[f.Schema] = schema
		c.Files = append(c.Files, f)
		at = max(at, f.Next)
	}
	for _, m := range marks {
		c.Marks = append(c.Marks, m)
		var mark lake.Mark
		if err := json.Unmarshal(m, &mark); err != nil {
			k.t.Fatal(err)
		}
		at = max(at, mark.Offset+1)
	}
	c.Next = max(at, first+1)
	c.Accounting = []lake.Accounting{{Source: "app", DT: "2026-11-21", Records: c.Next - first, Primary: c.Next - first}}
	body, err := c.Encode()
	if err != nil {
		k.t.Fatal(err)
	}
	if err := k.lake.Store.Create(k.t.Context(), k.lake.Paths.Commit(id.Topic, id.Partition, first), body); err != nil {
		k.t.Fatal(err)
	}
	k.prev[id], k.next[id] = &first, c.Next
	return c
}

// file writes the rows of a table from offset first on. Rows without an id,
// received_at or offset get one.
func (k *kit) file(id lake.ChainID, first int64, tb table) (lake.File, lake.CommitSchema) {
	k.t.Helper()
	fp := tb.columns.Fingerprint()
	f := lake.File{Table: tb.name, DT: "2026-11-21", HH: "06", Schema: wire.Schema8(fp), First: first, MaxBytes: map[string]int{}, Rows: int64(len(tb.rows))}
	cols := make([]*parquetout.Column, len(tb.columns))
	for i, c := range tb.columns {
		cols[i] = parquetout.NewColumn(c.Type)
	}
	for n, r := range tb.rows {
		r = maps.Clone(r)
		offset := first + int64(n)
		if v, ok := r["_offset"].(int64); ok {
			offset = v
		}
		k.now = k.now.Add(time.Second)
		for name, v := range (row{"id": fmt.Sprintf("m-%d-%d", id.Partition, offset), "received_at": k.now, "_partition": int64(id.Partition), "_offset": offset, "_read_at": k.now}) {
			if _, has := r[name]; !has {
				r[name] = v
			}
		}
		f.Next = max(f.Next, offset+1)
		if at, ok := r["received_at"].(time.Time); ok && (f.MinReceivedAt.IsZero() || at.Before(f.MinReceivedAt.Time)) {
			f.MinReceivedAt.Time = at
		}
		if at, ok := r["received_at"].(time.Time); ok && at.After(f.MaxReceivedAt.Time) {
			f.MaxReceivedAt.Time = at
		}
		for i, c := range tb.columns {
			appendTo(k.t, cols[i], r[c.Name])
		}
	}
	schema, name, _ := strings.Cut(tb.name, ".")
	f.Key = k.lake.Paths.Data(schema, name, k.now, id.Topic, id.Partition, first, f.Next, f.Schema)
	for i, c := range tb.columns {
		if c.Type == wire.String || c.Type == wire.JSON {
			f.MaxBytes[c.Name] = cols[i].Longest()
		}
	}
	path := filepath.Join(k.t.TempDir(), "f.parquet")
	w, err := parquetout.Create(path, tb.columns, parquetout.DefaultOptions())
	if err != nil {
		k.t.Fatal(err)
	}
	if err := w.Append(parquetout.NewRecord(cols)); err != nil {
		k.t.Fatal(err)
	}
	foot, err := w.Finish()
	if err != nil {
		k.t.Fatal(err)
	}
	body, err := os.ReadFile(path)
	if err != nil {
		k.t.Fatal(err)
	}
	if err := k.lake.Store.Create(k.t.Context(), f.Key, body); err != nil {
		k.t.Fatal(err)
	}
	f.Bytes, f.SHA256, f.CRC32C = foot.Bytes, foot.SHA256, foot.CRC32C
	return f, lake.CommitSchema{Table: tb.name, Version: len(tb.columns), Fingerprint: fp, Columns: tb.columns}
}

func appendTo(t testing.TB, c *parquetout.Column, v any) {
	t.Helper()
	switch v := v.(type) {
	case nil:
		c.AppendNulls(1)
	case string:
		if _, _, decimal := c.Type().Decimal(); decimal {
			c.AppendDecimal(v)
			return
		}
		c.AppendBytes([]byte(v))
	case int64:
		c.AppendInt(v)
	case int:
		c.AppendInt(int64(v))
	case float64:
		c.AppendFloat(v)
	case bool:
		c.AppendBool(v)
	case time.Time:
		c.AppendTime(v)
	default:
		t.Fatalf("no way to write a %T", v)
	}
}

// mirrorSchema puts the schema object of a mirrored table.
func (k *kit) mirrorSchema(name string, key []string, columns wire.Columns) {
	k.t.Helper()
	k.mirrorSchemaRenamed(name, key, columns, nil)
}

// mirrorSchemaRenamed is mirrorSchema for a version that gave columns new names.
func (k *kit) mirrorSchemaRenamed(name string, key []string, columns wire.Columns, renamed map[string]string) {
	k.t.Helper()
	s := lake.Schema{Table: name, Version: len(columns), Kind: lake.SchemaMirror, Key: key, Renamed: renamed}
	for _, c := range columns {
		s.Columns = append(s.Columns, lake.SchemaColumn{Name: c.Name, Type: c.Type})
	}
	if err := k.lake.CreateSchema(k.t.Context(), s); err != nil {
		k.t.Fatal(err)
	}
}

// events returns n rows with a value each.
func events(n int, more ...row) []row {
	out := make([]row, n)
	for i := range out {
		out[i] = row{"user_id": fmt.Sprintf("u%d", i%3)}
		for _, m := range more {
			maps.Copy(out[i], m)
		}
	}
	return out
}

// eventually polls until query gives want.
func (k *kit) eventually(sql string, want ...string) {
	k.t.Helper()
	testkit.Eventually(k.t, sql, func() error {
		got, err := k.ask(sql)
		if err == nil && !slices.Equal(got, want) {
			err = fmt.Errorf("got %v, want %v", got, want)
		}
		return err
	})
}
