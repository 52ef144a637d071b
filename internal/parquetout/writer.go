// Package parquetout is the one place that writes Parquet. It uses Arrow v15 in
// the dialect of Redshift's own UNLOAD and guards against that library's traps:
// an I/O error while a row group is flushed is swallowed there, so the file
// looks valid with rows missing; sizes of open row groups are estimated too
// small; misuse panics.
package parquetout

import (
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

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/compress"
	"github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/pqarrow"

	"github.com/millstream-data/millstream/internal/wire"
)

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
}

// Compression is how pages are compressed.
type Compression string

// The compressions that Redshift's COPY documents for Parquet.
const (
	Snappy Compression = "snappy"
	Gzip   Compression = "gzip"
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
	SHA256    string  // hex
	CRC32C    string  // base64, as S3 writes it
	Ratio     float64 // bytes in the file of a raw byte
}

// Writer writes one file. The first error stays: every later call returns it.
// It is not safe for concurrent use, and must be ended by Finish or Abort.
type Writer struct {
	path    string
	columns wire.Columns
	options Options
	schema  *arrow.Schema
	f       *os.File
	sink    *sink
	fw      *pqarrow.FileWriter
	rows    int64
	groups  int   // begun
	inGroup int64 // raw bytes in the open row group
	groupN  int64 // rows in it
	raw     int64 // raw bytes in all
	err     error
}

// Create begins a file at path, which must be free, with columns in this order.
func Create(path string, columns wire.Columns, o Options) (*Writer, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", path, err)
	}
	w := &Writer{path: path, columns: columns, options: o, f: f}
	if err := w.begin(f); err != nil {
		w.Abort()
		return nil, err
	}
	return w, nil
}

func (w *Writer) begin(out io.Writer) error {
	fields := make([]arrow.Field, len(w.columns))
	for i, c := range w.columns {
		fields[i] = arrow.Field{Name: c.Name, Type: arrowType(c.Type), Nullable: true}
	}
	w.schema = arrow.NewSchema(fields, nil)
	w.sink = newSink(out)
	return w.guard("begin", func() (err error) {
		w.fw, err = pqarrow.NewFileWriter(w.schema, w.sink, w.properties(), pqarrow.NewArrowWriterProperties(
			pqarrow.WithCoerceTimestamps(arrow.Microsecond)))
		return err
	})
}

// properties sets everything that v15's defaults do otherwise: uncompressed, 64
// Mi rows a group, version 2.6.
func (w *Writer) properties() *parquet.WriterProperties {
	codec := compress.Codecs.Snappy
	if w.options.Compression == Gzip {
		codec = compress.Codecs.Gzip
	}
	props := []parquet.WriterProperty{
		parquet.WithVersion(parquet.V1_0),
		parquet.WithDataPageVersion(parquet.DataPageV1),
		parquet.WithCompression(codec),
		parquet.WithMaxRowGroupLength(w.options.RowGroupRows),
		parquet.WithDictionaryDefault(true),
		parquet.WithStats(true),
		parquet.WithCreatedBy("millstream"),
	}
	for _, c := range w.columns {
		if c.Type == wire.Float64 || c.Type == wire.Timestamp {
			props = append(props, parquet.WithDictionaryFor(c.Name, false))
		}
	}
	for _, name := range w.options.Plain {
		props = append(props, parquet.WithDictionaryFor(name, false))
	}
	return parquet.NewWriterProperties(props...)
}

// Append writes a record whose columns are those of the file, and releases it.
// Its rows may stay in memory until the row group is full.
func (w *Writer) Append(rec Record) error {
	defer rec.Release()
	if len(rec.arrays) != len(w.columns) {
		panic(fmt.Sprintf("BUG: %d columns for a file of %d", len(rec.arrays), len(w.columns)))
	}
	return w.guard("append", func() error {
		if w.groups == 0 || w.inGroup >= w.options.RowGroupBytes || w.groupN+int64(rec.rows) > w.options.RowGroupRows {
			w.fw.NewBufferedRowGroup()
			if w.raw > 0 {
				w.options.Ratio = float64(w.sink.n) / float64(w.raw)
			}
			w.groups, w.inGroup, w.groupN = w.groups+1, 0, 0
		}
		r := array.NewRecord(w.schema, rec.arrays, int64(rec.rows))
		defer r.Release()
		if err := w.fw.WriteBuffered(r); err != nil {
			return err
		}
		w.rows += int64(rec.rows)
		w.groupN += int64(rec.rows)
		w.inGroup += rec.bytes
		w.raw += rec.bytes
		return nil
	})
}

// Rows is the number of rows appended.
func (w *Writer) Rows() int64 { return w.rows }

// BufferedBytes is the raw size of the open row group, which is in memory.
func (w *Writer) BufferedBytes() int64 { return w.inGroup }

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
	_ = w.guard("finish", w.fw.Close)
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
	return foot, nil
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
}

func newSink(w io.Writer) *sink {
	return &sink{w: w, sha: sha256.New(), crc: crc32.New(crc32.MakeTable(crc32.Castagnoli))}
}

func (s *sink) Write(b []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
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

// verify reads the footer and compares it with what was written.
func verify(path string, columns wire.Columns, rows, size int64) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%s: %w: panic: %v", path, ErrVerify, r)
		}
	}()
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	if info.Size() != size {
		return fmt.Errorf("%s: %w: %d bytes of %d", path, ErrVerify, info.Size(), size)
	}
	r, err := file.OpenParquetFile(path, false)
	if err != nil {
		return fmt.Errorf("%s: %w: %w", path, ErrVerify, err)
	}
	defer func() { _ = r.Close() }()
	var sum int64
	for i := range r.NumRowGroups() {
		sum += r.MetaData().RowGroup(i).NumRows()
	}
	if r.NumRows() != rows || sum != rows {
		return fmt.Errorf("%s: %w: %d rows appended, %d in the footer, %d in row groups", path, ErrVerify, rows, r.NumRows(), sum)
	}
	got := r.MetaData().Schema
	if got.NumColumns() != len(columns) {
		return fmt.Errorf("%s: %w: %d columns of %d", path, ErrVerify, got.NumColumns(), len(columns))
	}
	for i, c := range columns {
		if got.Column(i).Name() != c.Name {
			return fmt.Errorf("%s: %w: column %d is %s, not %s", path, ErrVerify, i, got.Column(i).Name(), c.Name)
		}
	}
	return nil
}
