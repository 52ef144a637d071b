package parquetout

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/pqarrow"

	"github.com/millstream-data/millstream/internal/wire"
)

// Reference is what Arrow alone needs to write files that are in memory: the
// yardstick of what writes them from events.
type Reference struct {
	Rows    int64
	Bytes   int64 // of the files
	Elapsed time.Duration
}

// referenceFile is a file as records of 8,192 rows.
type referenceFile struct {
	columns wire.Columns
	schema  *arrow.Schema
	records []arrow.Record
}

// MeasureReference reads files that this package has written, keeps their rows
// as Arrow records and writes them again into dir for at least d, with the same
// columns and properties, by one goroutine and without any guard of Writer.
func MeasureReference(ctx context.Context, dir string, files []string, d time.Duration) (Reference, error) {
	var (
		out Reference
		all []referenceFile
	)
	for _, path := range files {
		f, err := readReference(ctx, path)
		if err != nil {
			return out, fmt.Errorf("reference %s: %w", path, err)
		}
		all = append(all, f)
	}
	for start := time.Now(); out.Elapsed < d || out.Rows == 0; out.Elapsed = time.Since(start) {
		for _, f := range all {
			if err := f.write(filepath.Join(dir, "reference.parquet"), &out); err != nil {
				return out, fmt.Errorf("reference: %w", err)
			}
		}
		if err := ctx.Err(); err != nil {
			return out, err
		}
	}
	return out, nil
}

func readReference(ctx context.Context, path string) (referenceFile, error) {
	var out referenceFile
	r, err := file.OpenParquetFile(path, false)
	if err != nil {
		return out, err
	}
	defer func() { _ = r.Close() }()
	fr, err := pqarrow.NewFileReader(r, pqarrow.ArrowReadProperties{BatchSize: 8192}, memory.DefaultAllocator)
	if err != nil {
		return out, err
	}
	rr, err := fr.GetRecordReader(ctx, nil, nil)
	if err != nil {
		return out, err
	}
	defer rr.Release()
	out.schema = rr.Schema()
	for _, f := range out.schema.Fields() {
		t := wire.String
		switch f.Type.ID() {
		case arrow.TIMESTAMP:
			t = wire.Timestamp
		case arrow.FLOAT64:
			t = wire.Float64
		default: // the others are written as a string is
		}
		out.columns = append(out.columns, wire.Column{Name: f.Name, Type: t})
	}
	for rr.Next() {
		rec := rr.Record()
		rec.Retain()
		out.records = append(out.records, rec)
	}
	return out, nil
}

func (f referenceFile) write(path string, out *Reference) error {
	dst, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { _ = dst.Close() }() // Arrow closes it, too
	o := DefaultOptions()
	o.Plain = []string{"id", "_offset"}
	w := &Writer{columns: f.columns, options: o}
	fw, err := pqarrow.NewFileWriter(f.schema, dst, w.properties(), pqarrow.DefaultWriterProps())
	if err != nil {
		return err
	}
	var inGroup int64
	for _, rec := range f.records {
		if inGroup == 0 || inGroup+rec.NumRows() > o.RowGroupRows {
			fw.NewBufferedRowGroup()
			inGroup = 0
		}
		if err := fw.WriteBuffered(rec); err != nil {
			return err
		}
		inGroup += rec.NumRows()
		out.Rows += rec.NumRows()
	}
	if err := fw.Close(); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	out.Bytes += info.Size()
	return nil
}
