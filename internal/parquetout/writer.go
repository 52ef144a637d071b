// Package parquetout is the one place that reads and writes Parquet. It uses
// Arrow v15 in the dialect of Redshift's own UNLOAD and guards against that
// library's traps: an I/O error while a row group is flushed is swallowed there,
// so the file looks valid with rows missing; sizes of open row groups are
// estimated too small; misuse panics; statistics keep views of the values that
// they were shown, and tell 0 distinct values of every column; values of a
// dictionary go to the heap one by one.
package parquetout

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"os"
	"slices"

	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/compress"
	"github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/metadata"

	"github.com/millstream-data/millstream/internal/wire"
)

// MinRowGroup is the least number of rows of a row group but for a file's last.
const MinRowGroup = 8192

// batchRows is how many rows of a column the library takes between two looks at
// the size of its page.
const batchRows = 1024

// ErrVerify says that a file is not what was appended to it.
var ErrVerify = errors.New("file does not verify")

// Options say how a file is written; start from DefaultOptions.
type Options struct {
	Compression   Compression
	RowGroupRows  int64
	RowGroupBytes int64 // of raw values
	// Ratio is what a raw byte is likely to take in the file; Footer.Ratio of an
	// earlier file of the table.
	Ratio float64
	// Plain names columns that a dictionary cannot make smaller, beside those
	// whose type says so.
	Plain []string
	// Disk is what stands between the writer and its file; nil: nothing. It is
	// for disks that a test fills.
	Disk func(io.Writer) io.Writer
}

// Compression is how pages are compressed.
type Compression string

// The compressions that Redshift's COPY documents for Parquet, and Zstd, which
// it does not.
const (
	Snappy Compression = "snappy"
	Gzip   Compression = "gzip"
	Zstd   Compression = "zstd"
)

// DefaultOptions returns the values used in production.
func DefaultOptions() Options {
	return Options{Compression: Snappy, RowGroupRows: 131_072, RowGroupBytes: 32 << 20, Ratio: 0.4}
}

// Footer describes a finished file.
type Footer struct {
	Rows      int64
	Bytes     int64
	RowGroups int
	SHA256    string   // hex
	CRC32C    string   // base64, as S3 writes it
	Ratio     float64  // bytes in the file of a raw byte
	Plain     []string // columns that a dictionary did not make smaller, for the table's next file
}

// Writer writes one file. The first error stays: every later call returns it.
// It is not safe for concurrent use, and must be ended by Finish or Abort.
type Writer struct {
	path    string
	columns wire.Columns
	options Options
	f       *os.File
	sink    *sink
	fw      *file.Writer
	scratch scratch
	dicts   []*dictionary // by column; nil: it has none
	rows    int64
	groups  int                         // begun
	group   file.BufferedRowGroupWriter // the open one; nil: none
	inGroup int64                       // raw bytes in it
	groupN  int64                       // rows in it
	raw     int64                       // raw bytes in all
	err     error
}

// Create begins a file at path, which must be free, with columns in this order.
func Create(path string, columns wire.Columns, o Options) (*Writer, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", path, err)
	}
	w := &Writer{path: path, columns: columns, options: o, f: f}
	out := io.Writer(f)
	if o.Disk != nil {
		out = o.Disk(f)
	}
	if err := w.begin(out); err != nil {
		w.Abort()
		return nil, err
	}
	return w, nil
}

func (w *Writer) begin(out io.Writer) error {
	w.sink = newSink(out)
	return w.guard("begin", func() error {
		root, err := schemaOf(w.columns)
		if err != nil {
			return err
		}
		w.fw = file.NewParquetWriter(w.sink, root, file.WithWriterProps(w.properties()))
		return nil
	})
}

// properties sets everything that v15's defaults do otherwise: uncompressed, 64
// Mi rows a group, version 2.6.
func (w *Writer) properties() *parquet.WriterProperties {
	codec := compress.Codecs.Snappy
	switch w.options.Compression {
	case Gzip:
		codec = compress.Codecs.Gzip
	case Zstd:
		codec = compress.Codecs.Zstd
	case Snappy:
	}
	props := []parquet.WriterProperty{
		parquet.WithVersion(parquet.V1_0),
		parquet.WithDataPageVersion(parquet.DataPageV1),
		parquet.WithCompression(codec),
		parquet.WithBatchSize(batchRows),
		parquet.WithDictionaryDefault(true),
		parquet.WithStats(true),
		parquet.WithCreatedBy("millstream"),
	}
	w.dicts = make([]*dictionary, len(w.columns))
	for i, c := range w.columns {
		if c.Type == wire.Float64 || c.Type == wire.Timestamp || slices.Contains(w.options.Plain, c.Name) {
			props = append(props, parquet.WithDictionaryFor(c.Name, false))
			continue
		}
		if c.Type == wire.String || c.Type == wire.JSON || c.Type == wire.Bytes {
			w.dicts[i] = &dictionary{data: []byte{}}
		}
	}
	return parquet.NewWriterProperties(props...)
}

// Append writes a record whose columns are those of the file, and releases it.
// Its rows may stay in memory until the row group is full.
func (w *Writer) Append(rec Record) error {
	defer rec.Release()
	if len(rec.columns) != len(w.columns) {
		panic(fmt.Sprintf("BUG: %d columns for a file of %d", len(rec.columns), len(w.columns)))
	}
	return w.guard("append", func() error {
		if w.inGroup >= w.options.RowGroupBytes || w.groupN+int64(rec.rows) > w.options.RowGroupRows {
			if err := w.endGroup(); err != nil {
				return err
			}
		}
		if w.group == nil {
			w.group = w.fw.AppendBufferedRowGroup()
			w.groups++
		}
		for i, c := range rec.columns {
			to, err := w.group.Column(i)
			if err != nil {
				return err
			}
			if err := c.write(to, w.dicts[i], &w.scratch); err != nil {
				return fmt.Errorf("column %s: %w", w.columns[i].Name, err)
			}
		}
		w.rows += int64(rec.rows)
		w.groupN += int64(rec.rows)
		w.inGroup += rec.bytes
		w.raw += rec.bytes
		return nil
	})
}

// FlushRowGroup ends the open row group early and gives its memory back, which
// BufferedBytes shows. One of less than MinRowGroup rows stays open: small row
// groups are read slowly for ever.
func (w *Writer) FlushRowGroup() error {
	if w.groupN < MinRowGroup {
		return w.err
	}
	return w.guard("flush", w.endGroup)
}

// endGroup writes the open row group, if there is one, to the file.
func (w *Writer) endGroup() error {
	if w.group == nil {
		return nil
	}
	err := w.group.Close()
	w.options.Ratio = float64(w.sink.n) / float64(max(w.raw, 1))
	w.group, w.inGroup, w.groupN = nil, 0, 0
	for _, d := range w.dicts {
		if d != nil {
			d.reset()
		}
	}
	return err
}

// Rows is the number of rows appended.
func (w *Writer) Rows() int64 { return w.rows }

// BufferedBytes is the raw size of the open row group, which is in memory.
func (w *Writer) BufferedBytes() int64 { return w.inGroup }

// BufferedRows is the number of rows in the open row group.
func (w *Writer) BufferedRows() int64 { return w.groupN }

// WrittenBytes is the size of the file so far.
func (w *Writer) WrittenBytes() int64 { return w.sink.n }

// EstimatedBytes is what the file would be if it were finished now.
func (w *Writer) EstimatedBytes() int64 {
	return w.sink.n + int64(float64(w.inGroup)*w.options.Ratio)
}

// SetMeta adds a pair to the file's key-value metadata.
func (w *Writer) SetMeta(key, value string) {
	_ = w.guard("meta", func() error { return w.fw.AppendKeyValueMetadata(key, value) })
}

// Finish writes the footer, reads it back and compares it with what was
// appended. It is the only way to a usable file; after an error the file is gone.
func (w *Writer) Finish() (Footer, error) {
	_ = w.guard("finish", func() error {
		if err := w.endGroup(); err != nil {
			return err
		}
		return w.endFile()
	})
	if w.err == nil {
		w.err = w.f.Close()
	}
	if w.err == nil {
		w.err = verify(w.path, w.columns, w.rows, w.sink.n)
	}
	if w.err != nil {
		w.Abort()
		return Footer{}, w.err
	}
	foot := Footer{
		Rows: w.rows, Bytes: w.sink.n, RowGroups: w.groups, Ratio: w.options.Ratio,
		SHA256: hex.EncodeToString(w.sink.sha.Sum(nil)),
		CRC32C: base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, w.sink.crc.Sum32())),
	}
	if w.raw > 0 {
		foot.Ratio = float64(w.sink.n) / float64(w.raw)
	}
	for i, d := range w.dicts {
		if d != nil && d.failed {
			foot.Plain = append(foot.Plain, w.columns[i].Name)
		}
	}
	return foot, nil
}

// endFile writes the footer. The library would say of every column that it has 0
// distinct values, which it never counts: that is left out.
func (w *Writer) endFile() error {
	var held bytes.Buffer
	w.sink.held = &held
	err := w.fw.Close()
	w.sink.held = nil
	if err != nil {
		return err
	}
	const tail = 8 // the footer's length and the magic word
	foot, err := metadata.NewFileMetaData(held.Bytes()[:held.Len()-tail], nil)
	if err != nil {
		return err
	}
	for _, group := range foot.RowGroups {
		for _, c := range group.Columns {
			if c.MetaData.Statistics != nil {
				c.MetaData.Statistics.DistinctCount = nil
			}
		}
	}
	n, err := foot.WriteTo(w.sink, nil)
	if err != nil {
		return err
	}
	_, err = w.sink.Write(append(binary.LittleEndian.AppendUint32(nil, uint32(n)), "PAR1"...)) //nolint:gosec // a footer is small
	return err
}

// Abort removes the file. It may be called at any time and twice.
func (w *Writer) Abort() {
	if w.err == nil {
		w.err = errors.New("file was aborted")
	}
	if w.f != nil {
		_ = w.f.Close()
		_ = os.Remove(w.path)
	}
}

// guard runs do, unless an earlier call failed, and keeps its error, its panic
// or an error of the sink that the library has swallowed.
func (w *Writer) guard(op string, do func() error) (err error) {
	if w.err != nil {
		return w.err
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
		if w.sink.err != nil {
			err = w.sink.err
		}
		if err != nil {
			err = fmt.Errorf("%s %s: %w", op, w.path, err)
			w.err = err
		}
	}()
	return do()
}

// sink keeps its first error and fails every later write with it, so that a
// swallowed error at least spoils the footer. It has no Close: the library
// would call it.
type sink struct {
	w   io.Writer
	n   int64
	sha hash.Hash
	crc hash.Hash32
	err error
	// held takes what is written instead, while it is set.
	held *bytes.Buffer
}

func newSink(w io.Writer) *sink {
	return &sink{w: w, sha: sha256.New(), crc: crc32.New(crc32.MakeTable(crc32.Castagnoli))}
}

func (s *sink) Write(b []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	if s.held != nil {
		return s.held.Write(b)
	}
	n, err := s.w.Write(b)
	s.n += int64(n)
	s.sha.Write(b[:n])
	s.crc.Write(b[:n])
	if err == nil && n != len(b) {
		err = io.ErrShortWrite
	}
	s.err = err
	return n, err
}
