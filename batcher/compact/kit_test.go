//go:build cgo

package compact_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/millstream-data/millstream/batcher/compact"
	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/local"
	"github.com/millstream-data/millstream/internal/objstore"
	"github.com/millstream-data/millstream/internal/parquetout"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/wire"
)

const topic = "millstream.events"

// hour is the hour of the files, and now is when it is long over.
var (
	hour = time.Date(2026, 11, 21, 6, 0, 0, 0, time.UTC)
	now  = hour.Add(5 * time.Hour)
)

// kit is a lake whose commits and files tests write as a batcher would.
type kit struct {
	t    *testing.T
	s3   *local.S3
	lake *lake.Lake
	next map[lake.ChainID]int64
	prev map[lake.ChainID]*int64
	want map[string][]string // rows by table
}

func setup(t *testing.T) *kit {
	t.Helper()
	t.Parallel()
	s, l := testkit.Lake(t)
	return &kit{t: t, s3: s, lake: l, next: map[lake.ChainID]int64{}, prev: map[lake.ChainID]*int64{}, want: map[string][]string{}}
}

func (k *kit) must(err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatal(err)
	}
}

// columns are those of a version of a table: each version has one more.
func columns(kind lake.SchemaKind, version int) wire.Columns {
	at := "received_at"
	if kind == lake.SchemaMirror {
		at = "_read_at"
	}
	cs := wire.Columns{
		{Name: "id", Type: wire.String},
		{Name: at, Type: wire.Timestamp},
		{Name: "_partition", Type: wire.Int64},
		{Name: "_offset", Type: wire.Int64},
	}
	for v := 2; v <= version; v++ {
		cs = append(cs, wire.Column{Name: fmt.Sprintf("c%d", v), Type: wire.JSON})
	}
	return cs
}

// schema puts a version of a table's schema, if the lake lacks it.
func (k *kit) schema(table string, kind lake.SchemaKind, version int) lake.Schema {
	k.t.Helper()
	s := lake.Schema{V: 1, Table: table, Version: version, Kind: kind, CreatedAt: lake.Time{Time: hour}}
	for _, c := range columns(kind, version) {
		s.Columns = append(s.Columns, lake.SchemaColumn{Name: c.Name, Type: c.Type, Since: 1})
	}
	s.Fingerprint = s.FileColumns().Fingerprint()
	if err := k.lake.CreateSchema(k.t.Context(), s); err != nil && !errors.Is(err, objstore.ErrExists) {
		k.t.Fatal(err)
	}
	return s
}

// commit puts a commit of one file with rows rows of an events table.
func (k *kit) commit(table string, partition int32, version, rows int) lake.File {
	k.t.Helper()
	return k.commitOf(table, lake.SchemaEvents, lake.ChainID{Topic: topic, Partition: partition}, version, rows)
}

func (k *kit) commitOf(table string, kind lake.SchemaKind, id lake.ChainID, version, rows int) lake.File {
	k.t.Helper()
	s := k.schema(table, kind, version)
	first := k.next[id]
	f := k.file(s, id, first, rows)
	source, _, err := lake.SplitTable(table)
	k.must(err)
	c := lake.Commit{
		V: 1, Kind: lake.KindData, Topic: id.Topic, TopicID: "id", Partition: id.Partition, First: first, Next: first + int64(rows), Prev: k.prev[id],
		Cut: "age", Attempt: event.ULID(hour), CreatedAt: lake.Time{Time: hour}, Files: []lake.File{f},
		Accounting: []lake.Accounting{{Source: source, DT: f.DT, Records: int64(rows), Primary: int64(rows)}},
		Schemas:    map[string]lake.CommitSchema{f.Schema: {Table: table, Version: version, Fingerprint: s.Fingerprint, Columns: s.FileColumns()}},
	}
	b, err := c.Encode()
	k.must(err)
	k.must(k.lake.Store.Create(k.t.Context(), k.lake.Paths.Commit(id.Topic, id.Partition, first), b))
	k.next[id], k.prev[id] = c.Next, &first
	return f
}

// file puts a data object with rows from first on, and remembers the rows.
func (k *kit) file(s lake.Schema, id lake.ChainID, first int64, rows int) lake.File {
	k.t.Helper()
	cols := make([]*parquetout.Column, len(s.Columns))
	for i, c := range s.Columns {
		cols[i] = parquetout.NewColumn(c.Type)
	}
	long := 0
	for i := range rows {
		offset := first + int64(i)
		text := fmt.Sprintf("%d-%d", id.Partition, offset)
		long = max(long, len(text))
		row := text
		cols[0].AppendString(text)
		cols[1].AppendTime(hour.Add(time.Duration(offset) * time.Millisecond))
		cols[2].AppendInt(int64(id.Partition))
		cols[3].AppendInt(offset)
		for _, c := range cols[4:] {
			if offset%3 == 0 {
				c.AppendNulls(1)
				row += "|"
				continue
			}
			c.AppendString(fmt.Sprintf(`{"n":%d}`, offset))
			row += fmt.Sprintf(`|{"n":%d}`, offset)
		}
		k.want[s.Table] = append(k.want[s.Table], row+strings.Repeat("|", 8-len(cols)))
	}
	path := filepath.Join(k.t.TempDir(), "f.parquet")
	w, err := parquetout.Create(path, s.FileColumns(), parquetout.DefaultOptions())
	k.must(err)
	k.must(w.Append(parquetout.NewRecord(cols)))
	w.SetMeta("millstream.table", s.Table)
	foot, err := w.Finish()
	k.must(err)
	schema, table, err := lake.SplitTable(s.Table)
	k.must(err)
	f := lake.File{
		Table: s.Table, DT: hour.Format(time.DateOnly), HH: hour.Format("15"), Schema: wire.Schema8(s.Fingerprint), First: first, Next: first + int64(rows),
		Rows: foot.Rows, Bytes: foot.Bytes, SHA256: foot.SHA256, CRC32C: foot.CRC32C, MaxBytes: map[string]int{"id": long},
		MinReceivedAt: lake.Time{Time: hour.Add(time.Duration(first) * time.Millisecond)},
		MaxReceivedAt: lake.Time{Time: hour.Add(time.Duration(first+int64(rows)-1) * time.Millisecond)},
	}
	f.Key = k.lake.Paths.Data(schema, table, hour, id.Topic, id.Partition, f.First, f.Next, f.Schema)
	b, err := os.ReadFile(path)
	k.must(err)
	k.must(k.lake.Store.Create(k.t.Context(), f.Key, b))
	return f
}

// options make a file of a few hundred bytes small, and outputs of any size.
func (k *kit) options() compact.Options {
	return compact.Options{
		Grace: 2 * time.Hour, MinFiles: 3, Small: 16 << 20, MaxBytes: 100 << 20,
		Parquet: parquetout.DefaultOptions(), Dir: filepath.Join(k.t.TempDir(), "spool"),
	}
}

func (k *kit) compactor(l *lake.Lake, o compact.Options) *compact.Compactor {
	return compact.New(o, compact.Deps{Lake: l, Log: testkit.Log(k.t)})
}

// round compacts once and returns what was done.
func (k *kit) round(o compact.Options) (out []compact.Result) {
	k.t.Helper()
	k.must(k.compactor(k.lake, o).Round(k.t.Context(), compact.Scope{}, now, func(r compact.Result) { out = append(out, r) }))
	return out
}

// sound checks the lake as millstream verify --deep does, and that readers see
// each row once.
func (k *kit) sound() {
	k.t.Helper()
	n := &compact.Inspector{Store: k.lake.Store, Dir: k.t.TempDir()}
	v := &lake.Verifier{Lake: k.lake, Deep: n.Deep, Lineage: n.Lineage}
	ids, err := k.lake.Chains(k.t.Context())
	k.must(err)
	for _, id := range ids {
		r, err := v.Chain(k.t.Context(), id)
		k.must(err)
		for _, p := range r.Problems {
			k.t.Error(p)
		}
	}
	for table, want := range k.want {
		schema, name, err := lake.SplitTable(table)
		k.must(err)
		r, err := v.Compactions(k.t.Context(), schema, name)
		k.must(err)
		for _, p := range r.Problems {
			k.t.Error(p)
		}
		if diff := cmp.Diff(set(want), set(k.rows(table))); diff != "" {
			k.t.Errorf("rows of %s (-want +got):\n%s", table, diff)
		}
	}
}

func set(rows []string) map[string]int {
	out := map[string]int{}
	for _, r := range rows {
		out[r]++
	}
	return out
}

// rows reads a table as readers do.
func (k *kit) rows(table string) (out []string) {
	k.t.Helper()
	files, err := k.lake.Files(k.t.Context(), table, "")
	k.must(err)
	versions, err := k.lake.Schemas(k.t.Context(), table)
	k.must(err)
	path := filepath.Join(k.t.TempDir(), "f.parquet")
	for _, f := range files {
		b, err := k.lake.Store.Get(k.t.Context(), f.Key)
		k.must(err)
		k.must(os.WriteFile(path, b, 0o600))
		for _, s := range versions {
			if wire.Schema8(s.Fingerprint) == f.Schema {
				out = append(out, readRows(k.t, path, s.FileColumns())...)
			}
		}
	}
	return out
}
