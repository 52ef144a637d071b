package upload

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/millstream-data/millstream/internal/objstore"
	"github.com/millstream-data/millstream/internal/parquetout"
	"github.com/millstream-data/millstream/internal/wire"
)

// Size of a Parquet file, rows and raw bytes that are gathered before they go to
// its writer.
const (
	partBytes   = 256 << 20
	gatherRows  = 8192
	gatherBytes = 8 << 20
)

// part is a Parquet file in the object store.
type part struct {
	key   string
	bytes int64
}

// parts writes the rows of the file as Parquet objects: one at a time lies in
// dir, and the rows of at most a row group in memory.
type parts struct {
	ctx     context.Context //nolint:containedctx // of the pass over the file, whose callback takes none
	store   *objstore.Client
	dir     string
	key     func(n int) string
	schema  wire.Columns
	columns []*parquetout.Column
	writer  *parquetout.Writer
	path    string
	out     []part
}

// write makes the second pass.
func write(ctx context.Context, s *source, t *Table, o Options, store *objstore.Client, key func(int) string, progress func(int64)) ([]part, error) {
	dir, err := os.MkdirTemp("", "millstream-upload-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	p := &parts{ctx: ctx, store: store, dir: dir, key: key, schema: t.schema()}
	for _, c := range t.Columns {
		p.columns = append(p.columns, parquetout.NewColumn(c.Type))
	}
	nulls, head, rows := o.nulls(), true, int64(0)
	err = s.rows(progress, func(line int64, fields []string) error {
		if head {
			head = false
			if !t.headed(fields) {
				return errChanged
			}
			return nil
		}
		rows++
		for i, f := range fields {
			if slices.Contains(nulls, f) {
				p.columns[i].AppendNulls(1)
			} else if err := appendValue(p.columns[i], f); err != nil {
				return &LineError{line, fmt.Sprintf("column %s: %v; --type %[1]s=string takes anything", t.Columns[i].Name, err)}
			}
		}
		return p.flush(gatherRows, gatherBytes)
	})
	if err == nil && rows != t.Rows {
		err = errChanged
	}
	if err == nil {
		err = p.end()
	}
	if p.writer != nil {
		p.writer.Abort()
	}
	return p.out, err
}

// headed says that a header is the one which the table was made of.
func (t *Table) headed(fields []string) bool {
	return slices.EqualFunc(t.Columns, fields, func(c *Column, f string) bool { return c.Header == strings.TrimSpace(f) })
}

func (t *Table) schema() wire.Columns {
	out := make(wire.Columns, len(t.Columns))
	for i, c := range t.Columns {
		out[i] = wire.Column{Name: c.Name, Type: c.Type}
	}
	return out
}

// flush hands what was gathered to the writer, if it is so much.
func (p *parts) flush(rows int, most int64) error {
	n := p.columns[0].Len()
	var raw int64
	if n < rows && n%256 != 0 {
		return nil // sizes are looked at now and then
	}
	for _, c := range p.columns {
		raw += c.RawBytes()
	}
	if n == 0 || n < rows && raw < most {
		return nil
	}
	return p.append()
}

func (p *parts) append() (err error) {
	if err := p.ctx.Err(); err != nil {
		return err
	}
	if p.writer == nil {
		p.path = filepath.Join(p.dir, fmt.Sprintf("%d.parquet", len(p.out)))
		if p.writer, err = parquetout.Create(p.path, p.schema, parquetout.DefaultOptions()); err != nil {
			return err
		}
	}
	if err := p.writer.Append(parquetout.NewRecord(p.columns)); err != nil {
		return err
	}
	if p.writer.EstimatedBytes() < partBytes {
		return nil
	}
	return p.put()
}

// end writes what is left.
func (p *parts) end() error {
	if p.columns[0].Len() > 0 {
		if err := p.append(); err != nil {
			return err
		}
	}
	if p.writer == nil {
		return nil
	}
	return p.put()
}

// put finishes the open file and puts it.
func (p *parts) put() (err error) {
	foot, err := p.writer.Finish()
	p.writer = nil
	if err != nil {
		return err
	}
	f, err := os.Open(p.path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(p.path)) }()
	key := p.key(len(p.out))
	if err := p.store.CreateFrom(p.ctx, key, f, foot.Bytes, objstore.Meta{SHA256: foot.SHA256, CRC32C: foot.CRC32C}); err != nil {
		return fmt.Errorf("put %s: %w", key, err)
	}
	p.out = append(p.out, part{key, foot.Bytes})
	return nil
}
