package parquetout

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/file"

	"github.com/millstream-data/millstream/internal/wire"
)

// Reader reads the rows of a file that a Writer has made, a row group at a time,
// so that they can be written again. It holds the values of one row group; of the
// file's pages and dictionaries, which may be larger together, those of one
// column. It is not safe for concurrent use.
type Reader struct {
	path    string
	f       *file.Reader
	columns []*Column
	index   []int // of columns in the file
	group   int   // the next one
	scratch readScratch

	rows   int   // in columns
	at     int   // the next one of them
	values []int // of each column before at
}

// readRows is how many values the library is asked for at a time.
const readRows = 1024

// Open opens a file to read columns, which it must have with these types; it may
// have others.
func Open(path string, columns wire.Columns) (r *Reader, err error) {
	r = &Reader{path: path, values: make([]int, len(columns))}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	return r, r.guard(func() error {
		if r.f, err = file.OpenParquetFile(path, false); err != nil {
			return err
		}
		s := r.f.MetaData().Schema
		for _, c := range columns {
			i := s.ColumnIndexByName(c.Name)
			if i < 0 {
				return fmt.Errorf("there is no column %s", c.Name)
			}
			physical, logical, size := forms(c.Type)
			got := s.Column(i)
			if got.PhysicalType() != physical || !got.LogicalType().Equals(logical) || size >= 0 && got.TypeLength() != size || got.MaxDefinitionLevel() != 1 {
				return fmt.Errorf("column %s is no %s, but %s", c.Name, c.Type, got)
			}
			r.index, r.columns = append(r.index, i), append(r.columns, NewColumn(c.Type))
		}
		return nil
	})
}

// Names returns the file's columns in order.
func (r *Reader) Names() []string {
	s := r.f.MetaData().Schema
	out := make([]string, s.NumColumns())
	for i := range out {
		out[i] = s.Column(i).Name()
	}
	return out
}

// Rows is the number of rows in the file.
func (r *Reader) Rows() int64 { return r.f.NumRows() }

// Meta returns a value of the file's key-value metadata; empty if there is none.
func (r *Reader) Meta(key string) string {
	if v := r.f.MetaData().KeyValueMetadata().FindValue(key); v != nil {
		return *v
	}
	return ""
}

// Close closes the file. It may be called twice.
func (r *Reader) Close() error {
	if r.f == nil {
		return nil
	}
	f := r.f
	r.f = nil
	return f.Close()
}

// Len makes further rows available if there are none, and returns their number;
// 0 at the end of the file.
func (r *Reader) Len() (int, error) {
	if r.at < r.rows {
		return r.rows - r.at, nil
	}
	err := r.guard(r.fill)
	return r.rows, err
}

// Ints returns the values of an integer column in the rows that Len has made
// available; a null among them is an error. They are the Reader's, until the
// next call of Len.
func (r *Reader) Ints(column int) ([]int64, error) {
	c := r.columns[column]
	if len(c.ints) != r.rows {
		return nil, fmt.Errorf("read %s: a row has no %s", r.path, r.f.MetaData().Schema.Column(r.index[column]).Name())
	}
	return c.ints[r.at:], nil
}

// Skip passes over the first n of the rows that Len has made available.
func (r *Reader) Skip(n int) {
	for i, c := range r.columns {
		for _, l := range c.levels[r.at : r.at+n] {
			r.values[i] += int(l)
		}
	}
	r.at += n
}

// CopyTo appends the first n of the rows that Len has made available to columns,
// of which there may be more than the Reader has: those get nulls.
func (r *Reader) CopyTo(columns []*Column, n int) {
	for i, to := range columns {
		if i < len(r.columns) {
			r.values[i] += to.appendRows(r.columns[i], r.at, n, r.values[i])
			continue
		}
		to.AppendNulls(n)
	}
	r.at += n
}

// fill reads the next row group that has rows, column by column.
func (r *Reader) fill() error {
	for _, c := range r.columns {
		c.reset()
	}
	clear(r.values)
	r.rows, r.at = 0, 0
	for r.rows == 0 && r.group < r.f.NumRowGroups() {
		g := r.f.RowGroup(r.group)
		r.group++
		n := int(g.NumRows())
		for i, c := range r.columns {
			chunk, err := g.Column(r.index[i])
			if err != nil {
				return err
			}
			if err := c.read(chunk, n, &r.scratch); err != nil {
				return err
			}
		}
		r.rows = n
	}
	return nil
}

// guard makes an error of a panic, which the library has for damaged files.
func (r *Reader) guard(do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
		if err != nil {
			err = fmt.Errorf("read %s: %w", r.path, err)
		}
	}()
	return do()
}

// readScratch is room for values in the library's form.
type readScratch struct {
	int32s   []int32
	float32s []float32
	views    []parquet.ByteArray
	fixed    []parquet.FixedLenByteArray
}

var errShort = errors.New("column has fewer values than its row group has rows")

// read appends the next n rows of a column chunk.
func (c *Column) read(from file.ColumnChunkReader, n int, s *readScratch) error {
	start := len(c.levels)
	c.levels = slices.Grow(c.levels, n)[:start+n]
	for done := 0; done < n; {
		got, err := c.readSome(from, int64(min(n-done, readRows)), c.levels[start+done:], s)
		if err != nil {
			return err
		}
		if got == 0 {
			return errors.Join(errShort, from.Err(), io.ErrUnexpectedEOF)
		}
		done += int(got)
	}
	return from.Err()
}

func (c *Column) readSome(from file.ColumnChunkReader, n int64, levels []int16, s *readScratch) (rows int64, err error) {
	var values int
	switch from := from.(type) {
	case *file.BooleanColumnChunkReader:
		room := grown(c.bools, n)
		rows, values, err = from.ReadBatch(n, room[len(c.bools):], levels, nil)
		c.bools = room[:len(c.bools)+values]
	case *file.Int32ColumnChunkReader:
		s.int32s = grown(s.int32s[:0], n)
		rows, values, err = from.ReadBatch(n, s.int32s, levels, nil)
		for _, v := range s.int32s[:values] {
			c.ints = append(c.ints, int64(v))
		}
	case *file.Int64ColumnChunkReader:
		room := grown(c.ints, n)
		rows, values, err = from.ReadBatch(n, room[len(c.ints):], levels, nil)
		c.ints = room[:len(c.ints)+values]
	case *file.Float32ColumnChunkReader:
		s.float32s = grown(s.float32s[:0], n)
		rows, values, err = from.ReadBatch(n, s.float32s, levels, nil)
		for _, v := range s.float32s[:values] {
			c.floats = append(c.floats, float64(v))
		}
	case *file.Float64ColumnChunkReader:
		room := grown(c.floats, n)
		rows, values, err = from.ReadBatch(n, room[len(c.floats):], levels, nil)
		c.floats = room[:len(c.floats)+values]
	case *file.ByteArrayColumnChunkReader:
		s.views = grown(s.views[:0], n)
		rows, values, err = from.ReadBatch(n, s.views, levels, nil)
		for _, v := range s.views[:values] {
			c.appendValue(v)
		}
	case *file.FixedLenByteArrayColumnChunkReader:
		s.fixed = grown(s.fixed[:0], n)
		rows, values, err = from.ReadBatch(n, s.fixed, levels, nil)
		for _, v := range s.fixed[:values] {
			c.bytes = append(c.bytes, v...)
		}
	default:
		panic(fmt.Sprintf("BUG: a column of %s is read by %T", c.typ, from))
	}
	return rows, err
}

// grown returns s with n more elements, whose values do not matter.
func grown[T any](s []T, n int64) []T { return slices.Grow(s, int(n))[:len(s)+int(n)] }

func (c *Column) appendValue(v []byte) {
	c.bytes = append(c.bytes, v...)
	c.ends = append(c.ends, uint32(len(c.bytes))) //nolint:gosec // some thousand values
	c.longest = max(c.longest, len(v))
}

// appendRows appends rows [row, row+n) of src, whose values begin at the value
// numbered value, and returns how many values they have.
func (c *Column) appendRows(src *Column, row, n, value int) (values int) {
	levels := src.levels[row : row+n]
	for _, l := range levels {
		values += int(l)
	}
	c.levels = append(c.levels, levels...)
	end := value + values
	switch physical, _, size := forms(c.typ); physical {
	case parquet.Types.Boolean:
		c.bools = append(c.bools, src.bools[value:end]...)
	case parquet.Types.Int32, parquet.Types.Int64:
		c.ints = append(c.ints, src.ints[value:end]...)
	case parquet.Types.Float, parquet.Types.Double:
		c.floats = append(c.floats, src.floats[value:end]...)
	case parquet.Types.FixedLenByteArray:
		c.bytes = append(c.bytes, src.bytes[value*size:end*size]...)
	default:
		from := uint32(0)
		if value > 0 {
			from = src.ends[value-1]
		}
		for _, to := range src.ends[value:end] {
			c.appendValue(src.bytes[from:to])
			from = to
		}
	}
	return values
}
