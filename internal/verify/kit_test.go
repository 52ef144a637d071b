//go:build cgo

package verify_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/metric"
	"github.com/millstream-data/millstream/internal/metric/sqlitestore"
	"github.com/millstream-data/millstream/internal/parquetout"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/testkit/warehousetest"
	"github.com/millstream-data/millstream/internal/verify"
	"github.com/millstream-data/millstream/internal/warehouse"
	"github.com/millstream-data/millstream/internal/wire"
)

const topic = "millstream.events"

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// outcome is what the batcher has made of a record.
type outcome int

const (
	asRow outcome = iota
	asDuplicate
	asRejected
	asHole // no record at all
)

// record is one of the log: a call of type table, of a track event's own table, too.
type record struct {
	source, table, event string
	id                   string
	at                   time.Time
	what                 outcome
}

// row is one of the lake.
type row struct {
	record
	target, key string
	part        int32
	offset      int64
	in          bool // the warehouse
}

// kit is a lake, a warehouse and a metric store that a test fills by hand, as
// the roles do.
type kit struct {
	t       testing.TB
	lake    *lake.Lake
	client  *warehouse.Client
	conn    *warehouse.Conn
	store   metric.Store
	claims  map[int32]metric.Claim
	next    map[int32]int64
	prev    map[int32]*int64
	records map[int32][]record // by partition, from offset 0
	rows    []*row
	options verify.Options
}

func setup(t testing.TB, definitions string) *kit {
	t.Helper()
	_, l := testkit.Lake(t)
	k := &kit{
		t: t, lake: l, client: warehousetest.Client(t, warehousetest.Server(t, l.Store, nil)), claims: map[int32]metric.Claim{},
		next: map[int32]int64{}, prev: map[int32]*int64{}, records: map[int32][]record{},
		options: verify.Options{From: noon.Truncate(24 * time.Hour), To: noon.Truncate(24 * time.Hour), Wait: time.Millisecond},
	}
	var err error
	if k.conn, err = k.client.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.conn.Close)
	if err := k.conn.EnsureLedger(t.Context()); err != nil {
		t.Fatal(err)
	}
	if definitions == "" {
		return k
	}
	store, err := sqlitestore.Open(t.Context(), filepath.Join(t.TempDir(), "metrics.db"), metric.DefaultStoreConfig())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	set, err := metric.Parse([]metric.File{{Name: "m.yaml", Data: definitions}})
	if err == nil {
		_, err = store.Register(t.Context(), set)
	}
	if err != nil {
		t.Fatal(err)
	}
	k.store = store
	return k
}

const eventsMetric = `
version: 1
metrics:
  events: {count: "*", source: [app], time: received}
  others: {count: "*", source: [web], time: received}
  orders: {count: Order Completed, source: [app]}
`

// tracks are n records of calls of Order Completed, a second apart.
func tracks(n int, more ...func(int, *record)) []record {
	out := make([]record, n)
	for i := range out {
		out[i] = record{source: "app", table: "tracks", event: "order_completed", at: noon.Add(time.Duration(i) * time.Second)}
		for _, f := range more {
			f(i, &out[i])
		}
	}
	return out
}

var columns = wire.Columns{
	{Name: "id", Type: wire.String}, {Name: "received_at", Type: wire.Timestamp}, {Name: "_partition", Type: wire.Int64}, {Name: "_offset", Type: wire.Int64},
}

// commit writes records as a batcher does: files for each table and hour, and
// the commit that names and accounts for them.
func (k *kit) commit(part int32, records ...record) lake.Commit {
	k.t.Helper()
	first := k.next[part]
	c := lake.Commit{
		V: 1, Kind: lake.KindData, Topic: topic, Partition: part, First: first, Next: first + int64(len(records)), Prev: k.prev[part], Cut: "age",
		Schemas: map[string]lake.CommitSchema{}, CreatedAt: lake.Time{Time: noon},
	}
	accounts, files := map[string]*lake.Accounting{}, map[string][]*row{}
	for i, r := range records {
		if r.id == "" {
			r.id = fmt.Sprintf("m-%d-%d", part, first+int64(i))
		}
		k.records[part] = append(k.records[part], r)
		if r.what == asHole {
			c.Holes++
			continue
		}
		dt := r.at.Format(time.DateOnly)
		a := accounts[r.source+dt]
		if a == nil {
			a = &lake.Accounting{Source: r.source, DT: dt}
			accounts[r.source+dt] = a
		}
		a.Records++
		switch r.what {
		case asDuplicate:
			a.Duplicates++
			continue
		case asRejected:
			a.Rejected++
			continue
		case asRow, asHole:
			a.Primary++
		}
		for _, table := range []string{r.table, r.event} {
			if table != "" {
				key := r.source + "." + table + "/" + r.at.Format("2006-01-02/15")
				files[key] = append(files[key], &row{record: r, target: r.source + "." + table, part: part, offset: first + int64(i)})
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(accounts)) {
		c.Accounting = append(c.Accounting, *accounts[key])
	}
	for _, key := range slices.Sorted(maps.Keys(files)) {
		f := k.file(files[key])
		c.Files = append(c.Files, f)
		c.Schemas[f.Schema] = lake.CommitSchema{Table: f.Table, Version: 1, Fingerprint: columns.Fingerprint(), Columns: columns}
		k.rows = append(k.rows, files[key]...)
	}
	body, err := c.Encode()
	if err == nil {
		_, err = lake.DecodeCommit(body)
	}
	if err == nil {
		err = k.lake.Store.Create(k.t.Context(), k.lake.Paths.Commit(topic, part, first), body)
	}
	if err != nil {
		k.t.Fatal(err)
	}
	k.prev[part], k.next[part] = &first, c.Next
	return c
}

func (k *kit) file(rows []*row) lake.File {
	k.t.Helper()
	cols := make([]*parquetout.Column, len(columns))
	for i, c := range columns {
		cols[i] = parquetout.NewColumn(c.Type)
	}
	for _, r := range rows {
		cols[0].AppendString(r.id)
		cols[1].AppendTime(r.at)
		cols[2].AppendInt(int64(r.part))
		cols[3].AppendInt(r.offset)
	}
	path := filepath.Join(k.t.TempDir(), "f.parquet")
	w, err := parquetout.Create(path, columns, parquetout.DefaultOptions())
	if err != nil {
		k.t.Fatal(err)
	}
	err = w.Append(parquetout.NewRecord(cols))
	foot, finished := w.Finish()
	body, read := os.ReadFile(path)
	if err := errors.Join(err, finished, read); err != nil {
		k.t.Fatal(err)
	}
	one, last := rows[0], rows[len(rows)-1]
	schema, table, _ := strings.Cut(one.target, ".")
	schema8 := wire.Schema8(columns.Fingerprint())
	f := lake.File{
		Key:   k.lake.Paths.Data(schema, table, one.at, topic, one.part, one.offset, last.offset+1, schema8),
		Table: one.target, DT: one.at.Format(time.DateOnly), HH: one.at.Format("15"), Schema: schema8,
		First: one.offset, Next: last.offset + 1, Rows: int64(len(rows)), Bytes: foot.Bytes,
	}
	if err := k.lake.Store.Create(k.t.Context(), f.Key, body); err != nil {
		k.t.Fatal(err)
	}
	for _, r := range rows {
		r.key = f.Key
	}
	return f
}

func (k *kit) exec(statements ...string) {
	k.t.Helper()
	for _, s := range statements {
		if _, err := k.conn.Exec(k.t.Context(), s); err != nil {
			k.t.Fatal(err)
		}
	}
}

// load brings the rows of targets, or of all of them, into the warehouse, but
// those that leave names, and moves positions to the ends of chains.
func (k *kit) load(leave func(*row) bool, targets ...string) {
	k.t.Helper()
	chains := map[string]map[int32]bool{}
	values := map[string][]string{}
	for _, r := range k.rows {
		if len(targets) > 0 && !slices.Contains(targets, r.target) {
			continue
		}
		if chains[r.target] == nil {
			chains[r.target] = map[int32]bool{}
		}
		chains[r.target][r.part] = true
		if r.in || leave != nil && leave(r) {
			continue
		}
		r.in = true
		values[r.target] = append(values[r.target], fmt.Sprintf("(%s, %s, %d, %d)", warehouse.Literal(r.id), warehouse.Time(r.at), r.part, r.offset))
	}
	for target, parts := range chains {
		name, _ := warehouse.ParseName(target)
		k.exec("CREATE SCHEMA IF NOT EXISTS "+warehouse.Ident(name.Schema),
			"CREATE TABLE IF NOT EXISTS "+name.SQL()+` ("id" VARCHAR(256), "received_at" TIMESTAMP, "_partition" BIGINT, "_offset" BIGINT) DISTKEY ("id") SORTKEY ("received_at")`)
		if len(values[target]) > 0 {
			k.exec("INSERT INTO " + name.SQL() + " VALUES " + strings.Join(values[target], ", "))
		}
		var positions []warehouse.Position
		for part := range parts {
			positions = append(positions, warehouse.Position{Target: target, Chain: warehouse.Chain{Topic: topic, Part: part}, Next: k.next[part]})
		}
		k.exec(warehouse.ReplacePositions([]string{target}, positions)...)
	}
}

// count brings what partition part has below next into the metric store, from
// offset start on.
func (k *kit) count(part int32, start, next int64) {
	k.t.Helper()
	reg, err := k.store.Current(k.t.Context())
	if err != nil {
		k.t.Fatal(err)
	}
	c, ok := k.claims[part]
	if !ok {
		if c, err = k.store.Claim(k.t.Context(), metric.Partition{Topic: topic, TopicID: "id", Part: part}, "test", metric.Position{}); err != nil {
			k.t.Fatal(err)
		}
	}
	f := metric.Flush{Position: metric.Position{Next: next}, Starts: map[metric.VersionID]int64{}}
	for name, source := range map[string]string{"events": "app", "others": "web"} {
		v, ok := reg.Version(name)
		if !ok {
			continue
		}
		f.Starts[v.VersionID] = start
		n := map[int64]int64{}
		for i, r := range k.records[part][:next] {
			if r.source == source && r.what == asRow && int64(i) >= start {
				n[r.at.Unix()/86400]++
			}
		}
		for bucket, n := range n {
			st := v.Def.NewState()
			for range n {
				_ = st.Add(0, false)
			}
			f.Rows = append(f.Rows, metric.Row{Key: metric.Key{Metric: v.Metric, Ver: v.Ver, Zone: "UTC", Bucket: bucket, Src: c.Src, Rev: 1}, N: n, State: st.Append(nil)})
		}
	}
	if err := k.store.Commit(k.t.Context(), c, f); err != nil {
		k.t.Fatal(err)
	}
	c.Position = f.Position
	k.claims[part] = c
}

// verify compares, and fails the test where that does not work.
func (k *kit) verify(change ...func(*verify.Options, *verify.Deps)) *verify.Report {
	k.t.Helper()
	o, d := k.options, verify.Deps{Lake: k.lake, Warehouse: k.client, Window: 24 * time.Hour, Metrics: k.store, Dir: k.t.TempDir(), Log: testkit.Log(k.t)}
	for _, f := range change {
		f(&o, &d)
	}
	r, err := verify.Run(k.t.Context(), o, d)
	if err != nil {
		k.t.Fatal(err)
	}
	return r
}

func withRows(o *verify.Options, _ *verify.Deps) { o.Rows = true }

// text is what a person reads.
func text(t testing.TB, r *verify.Report) string {
	t.Helper()
	var b strings.Builder
	if err := r.Text(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
