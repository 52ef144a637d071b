package parquetout

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/compress"
	"github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/schema"
)

// Files as others write them: a Writer's are of format 1.0 with data pages of version 1. Probes ask a cluster whether it
// reads these, too. Each has one column a, which is never null.

// ForeignIntegers is a file of format 2.4 with data pages of version 2, of 64-bit integers.
func ForeignIntegers(values ...int64) ([]byte, error) {
	return foreign(schema.NewInt64Node("a", parquet.Repetitions.Required, -1), func(w file.ColumnChunkWriter) error {
		_, err := w.(*file.Int64ColumnChunkWriter).WriteBatch(values, nil, nil)
		return err
	}, parquet.WithVersion(parquet.V2_4), parquet.WithDataPageVersion(parquet.DataPageV2))
}

// ForeignTimestamp is a file of one timestamp in the form of Impala and old Spark, for times from 1970 on.
func ForeignTimestamp(at time.Time) ([]byte, error) {
	const julianUnixEpoch = 2_440_588
	days := at.Unix() / 86_400
	var v parquet.Int96
	v.SetNanoSeconds(at.Sub(time.Unix(days*86_400, 0)).Nanoseconds())
	day := uint32(days + julianUnixEpoch) //nolint:gosec // not before 1970
	v[8], v[9], v[10], v[11] = byte(day), byte(day>>8), byte(day>>16), byte(day>>24)
	return foreign(schema.NewInt96Node("a", parquet.Repetitions.Required, -1), func(w file.ColumnChunkWriter) error {
		_, err := w.(*file.Int96ColumnChunkWriter).WriteBatch([]parquet.Int96{v}, nil, nil)
		return err
	})
}

// ForeignText is a file of texts of size bytes, which nothing makes smaller; rows is a multiple of 1,000.
func ForeignText(rows, size int) ([]byte, error) {
	return foreign(schema.NewByteArrayNode("a", parquet.Repetitions.Required, -1), func(w file.ColumnChunkWriter) error {
		values := make([]parquet.ByteArray, 1000)
		random := make([]byte, size/2)
		for n := 0; n < rows; n += len(values) {
			for i := range values {
				_, _ = rand.Read(random)
				values[i] = hex.AppendEncode(nil, random)
			}
			if _, err := w.(*file.ByteArrayColumnChunkWriter).WriteBatch(values, nil, nil); err != nil {
				return err
			}
		}
		return nil
	}, parquet.WithCompression(compress.Codecs.Uncompressed), parquet.WithDictionaryDefault(false))
}

// foreign writes a file of one column and one row group.
func foreign(column schema.Node, write func(file.ColumnChunkWriter) error, props ...parquet.WriterProperty) ([]byte, error) {
	root, err := schema.NewGroupNode("schema", parquet.Repetitions.Required, schema.FieldList{column}, -1)
	if err != nil {
		return nil, fmt.Errorf("schema of a foreign file: %w", err)
	}
	var out bytes.Buffer
	w := file.NewParquetWriter(&out, root, file.WithWriterProps(parquet.NewWriterProperties(props...)))
	chunk, err := w.AppendRowGroup().NextColumn()
	if err == nil {
		err = write(chunk)
	}
	if err == nil {
		err = chunk.Close()
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("write a foreign file: %w", err)
	}
	return out.Bytes(), nil
}
