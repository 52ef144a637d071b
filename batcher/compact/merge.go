package compact

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/objstore"
	"github.com/millstream-data/millstream/internal/parquetout"
	"github.com/millstream-data/millstream/internal/wire"
)

// merge writes the rows of inputs in the order of (_partition, _offset).
type merge struct {
	c          *Compactor
	hour       lake.Hour
	generation int
	attempt    string
	schema     lake.Schema
	inputs     []input // by first; those whose first is not known lead

	open    []*source
	columns []*parquetout.Column // rows on their way to out
	out     *output              // nil: none
	files   []lake.File
	read    *lake.Lineage // of rows read
	written *lake.Lineage // of rows read back from what was written
	last    rowKey
	seq     int
}

// source is an input that is being read.
type source struct {
	input
	r    *parquetout.Reader
	path string
	rows int64 // taken

	partitions, offsets []int64 // of the rows that can be taken now
}

const (
	takeRows   = 1024
	flushRows  = 8192
	flushBytes = 4 << 20
	// Of the output: half of what the batcher's files have by default leaves room for the inputs.
	groupBytes = 16 << 20
)

// run merges everything and puts the files, which no compaction names yet.
func (m *merge) run(ctx context.Context) ([]lake.File, string, error) {
	m.read, m.written, m.last = lake.NewLineage(), lake.NewLineage(), rowKey{-1, -1}
	for _, c := range m.schema.Columns {
		m.columns = append(m.columns, parquetout.NewColumn(c.Type))
	}
	for pending := m.inputs; len(pending) > 0 || len(m.open) > 0; {
		next := rowKey{math.MaxInt64, math.MaxInt64} // of what is not open
		if len(pending) > 0 {
			next = pending[0].first
		}
		s, limit := m.least()
		if s == nil || len(pending) > 0 && (pending[0].partial || compareKeys(next, s.key(0)) <= 0) {
			if err := m.begin(ctx, pending[0]); err != nil {
				return nil, "", err
			}
			pending = pending[1:]
			continue
		}
		if compareKeys(next, limit) < 0 {
			limit = next
		}
		if err := m.take(ctx, s, limit); err != nil {
			return nil, "", err
		}
	}
	if err := m.flush(); err != nil {
		return nil, "", err
	}
	if err := m.finish(ctx); err != nil {
		return nil, "", err
	}
	if in, out := m.read.Sum(), m.written.Sum(); in != out {
		return nil, "", fmt.Errorf("%w: lineage %s was read, %s is in what was written", errUnequal, in, out)
	}
	return m.files, m.read.Sum(), nil
}

// least returns the open source with the least row, and the least row of the others.
func (m *merge) least() (least *source, limit rowKey) {
	limit = rowKey{math.MaxInt64, math.MaxInt64}
	for _, s := range m.open {
		switch {
		case least == nil:
			least = s
		case compareKeys(s.key(0), least.key(0)) < 0:
			least, limit = s, least.key(0)
		case compareKeys(s.key(0), limit) < 0:
			limit = s.key(0)
		}
	}
	return least, limit
}

// begin fetches an input, proves that it is what the lake says and opens it.
func (m *merge) begin(ctx context.Context, in input) error {
	m.seq++
	s := &source{input: in, path: filepath.Join(m.c.o.Dir, fmt.Sprintf("in-%d.parquet", m.seq))}
	m.open = append(m.open, s)
	if in.columns.Index("_partition") < 0 || in.columns.Index("_offset") < 0 {
		return fmt.Errorf("file %s has no _partition and _offset", in.file.Key)
	}
	sum, err := fetch(ctx, m.c.d.Lake.Store, in.file.Key, s.path)
	if err != nil {
		return err
	}
	if sum.sha256 != in.file.SHA256 || sum.bytes != in.file.Bytes {
		return fmt.Errorf("file %s has %d bytes with the SHA-256 %s, the lake says %d and %s", in.file.Key, sum.bytes, sum.sha256, in.file.Bytes, in.file.SHA256)
	}
	if s.r, err = parquetout.Open(s.path, in.columns); err != nil {
		return err
	}
	return m.advance(s)
}

// advance makes a row of s available; a source without one is closed.
func (m *merge) advance(s *source) error {
	n, err := s.r.Len()
	if err != nil {
		return err
	}
	if n > 0 {
		if s.partitions, err = s.r.Ints(s.columns.Index("_partition")); err == nil {
			s.offsets, err = s.r.Ints(s.columns.Index("_offset"))
		}
		return err
	}
	if s.rows != s.file.Rows {
		return fmt.Errorf("%w: file %s has %d rows, the lake says %d", errUnequal, s.file.Key, s.rows, s.file.Rows)
	}
	for i, o := range m.open {
		if o == s {
			m.open = append(m.open[:i], m.open[i+1:]...)
			break
		}
	}
	return s.close()
}

func (s *source) key(i int) rowKey { return rowKey{s.partitions[i], s.offsets[i]} }

func (s *source) close() error {
	var err error
	if s.r != nil {
		err = s.r.Close()
	}
	return errors.Join(err, os.RemoveAll(s.path))
}

// take moves the available rows of s that are before limit on.
func (m *merge) take(ctx context.Context, s *source, limit rowKey) error {
	n := 0
	for ; n < min(len(s.offsets), takeRows); n++ {
		k := s.key(n)
		if compareKeys(k, limit) >= 0 {
			break
		}
		if compareKeys(k, m.last) <= 0 {
			return fmt.Errorf("file %s: the row (%d, %d) comes after (%d, %d): rows are out of order or there twice", s.file.Key, k.partition, k.offset, m.last.partition, m.last.offset)
		}
		m.last = k
		m.read.Add(k.partition, k.offset)
	}
	if n == 0 {
		return fmt.Errorf("file %s: the row (%d, %d) is there twice", s.file.Key, limit.partition, limit.offset)
	}
	s.r.CopyTo(m.columns, n)
	s.rows += int64(n)
	var held int64
	for _, c := range m.columns {
		held += c.RawBytes()
	}
	if m.columns[0].Len() >= flushRows || held >= flushBytes {
		if err := m.flush(); err != nil {
			return err
		}
		if m.out.w.EstimatedBytes() >= m.c.o.MaxBytes {
			if err := m.finish(ctx); err != nil {
				return err
			}
		}
	}
	return m.advance(s)
}

// output is a file that is being written.
type output struct {
	w    *parquetout.Writer
	path string
	file lake.File
}

// flush writes what columns hold.
func (m *merge) flush() error {
	if m.columns[0].Len() == 0 {
		return nil
	}
	if m.out == nil {
		path := filepath.Join(m.c.o.Dir, fmt.Sprintf("out-%d.parquet", len(m.files)))
		o := m.c.o.Parquet
		o.Plain = []string{"id", "_offset"}
		o.RowGroupBytes = min(o.RowGroupBytes, groupBytes)
		w, err := parquetout.Create(path, m.schema.FileColumns(), o)
		if err != nil {
			return err
		}
		m.out = &output{w: w, path: path, file: lake.File{
			Table: m.hour.Name(), DT: m.hour.DT, HH: m.hour.HH, Schema: wire.Schema8(m.schema.Fingerprint), First: math.MaxInt64, MaxBytes: map[string]int{},
		}}
	}
	m.out.describe(m.schema, m.columns)
	return m.out.w.Append(parquetout.NewRecord(m.columns))
}

// describe notes what the lake says of the rows in columns.
func (o *output) describe(schema lake.Schema, columns []*parquetout.Column) {
	f := &o.file
	for i, c := range schema.Columns {
		least, greatest, ok := columns[i].IntRange()
		switch {
		case c.Type == wire.String || c.Type == wire.JSON:
			f.MaxBytes[c.Name] = max(f.MaxBytes[c.Name], columns[i].Longest())
		case c.Name == "_offset" && ok:
			f.First, f.Next = min(f.First, least), max(f.Next, greatest+1)
		case c.Name == receivedAt(schema.Kind) && ok:
			lo, hi := time.UnixMicro(least).UTC(), time.UnixMicro(greatest).UTC()
			if f.MinReceivedAt.IsZero() || lo.Before(f.MinReceivedAt.Time) {
				f.MinReceivedAt.Time = lo
			}
			if hi.After(f.MaxReceivedAt.Time) {
				f.MaxReceivedAt.Time = hi
			}
		}
	}
}

// receivedAt is the column by which a row has its hour.
func receivedAt(k lake.SchemaKind) string {
	if k == lake.SchemaMirror {
		return "_read_at"
	}
	return "received_at"
}

// finish ends the open file, reads it back and puts it.
func (m *merge) finish(ctx context.Context) error {
	if m.out == nil {
		return nil
	}
	o := m.out
	m.out = nil
	defer os.Remove(o.path) //nolint:errcheck // the next round empties the folder
	for _, kv := range [][2]string{
		{"v", "1"},
		{"table", o.file.Table},
		{"schema", m.schema.Fingerprint},
		{"generation", strconv.Itoa(m.generation)},
		{"rows", strconv.FormatInt(o.w.Rows(), 10)},
		{"order", "_partition,_offset"},
	} {
		o.w.SetMeta("millstream."+kv[0], kv[1])
	}
	foot, err := o.w.Finish()
	if err != nil {
		return err
	}
	if err := addLineage(m.written, o.path); err != nil {
		return err
	}
	o.file.Rows, o.file.Bytes, o.file.SHA256, o.file.CRC32C = foot.Rows, foot.Bytes, foot.SHA256, foot.CRC32C
	o.file.Key = m.c.d.Lake.Paths.Compacted(m.hour, m.generation, len(m.files), m.attempt, o.file.Schema)
	m.files = append(m.files, o.file)
	return m.put(ctx, o)
}

func (m *merge) put(ctx context.Context, o *output) error {
	store := m.c.d.Lake.Store
	body, err := os.Open(o.path)
	if err != nil {
		return fmt.Errorf("open spool: %w", err)
	}
	defer func() { _ = body.Close() }()
	err = store.CreateFrom(ctx, o.file.Key, body, o.file.Bytes, objstore.Meta{SHA256: o.file.SHA256, CRC32C: o.file.CRC32C})
	if !errors.Is(err, objstore.ErrExists) {
		return err
	}
	info, head := store.Head(ctx, o.file.Key)
	if head != nil {
		return head
	}
	if info.Size != o.file.Bytes || info.Meta.SHA256 != o.file.SHA256 {
		return fmt.Errorf("put %s: the key is taken by other bytes", o.file.Key) // not ErrExists: no rival has won
	}
	return nil // an earlier attempt of ours had landed
}

// drop removes what is on the spool.
func (m *merge) drop() {
	for _, s := range m.open {
		_ = s.close() // the next round empties the folder
	}
	if m.out != nil {
		m.out.w.Abort()
	}
}
