package parquetout

import (
	"fmt"
	"os"

	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/schema"

	"github.com/millstream-data/millstream/internal/wire"
)

// schemaOf returns the columns as a flat schema of optional fields.
func schemaOf(columns wire.Columns) (*schema.GroupNode, error) {
	fields := make(schema.FieldList, len(columns))
	for i, c := range columns {
		physical, logical, size := forms(c.Type)
		n, err := schema.NewPrimitiveNodeLogical(c.Name, parquet.Repetitions.Optional, logical, physical, size, -1)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", c.Name, err)
		}
		fields[i] = n
	}
	return schema.NewGroupNode("schema", parquet.Repetitions.Required, fields, -1)
}

// forms returns how Parquet has a lake type; size is that of values of fixed length.
func forms(t wire.LakeType) (physical parquet.Type, logical schema.LogicalType, size int) {
	size = -1
	logical = schema.NoLogicalType{}
	switch t {
	case wire.Bool:
		physical = parquet.Types.Boolean
	case wire.Int16:
		physical, logical = parquet.Types.Int32, schema.NewIntLogicalType(16, true)
	case wire.Int32:
		physical, logical = parquet.Types.Int32, schema.NewIntLogicalType(32, true)
	case wire.Int64:
		physical, logical = parquet.Types.Int64, schema.NewIntLogicalType(64, true)
	case wire.Float32:
		physical = parquet.Types.Float
	case wire.Float64:
		physical = parquet.Types.Double
	case wire.Timestamp: // adjusted to UTC, always: other shapes are read wrongly or not at all
		physical, logical = parquet.Types.Int64, schema.NewTimestampLogicalType(true, schema.TimeUnitMicros)
	case wire.Date:
		physical, logical = parquet.Types.Int32, schema.DateLogicalType{}
	case wire.String, wire.JSON:
		physical, logical = parquet.Types.ByteArray, schema.StringLogicalType{}
	case wire.Bytes:
		physical = parquet.Types.ByteArray
	default:
		p, s, ok := t.Decimal()
		if !ok {
			panic(fmt.Sprintf("BUG: unknown lake type %q", t))
		}
		physical, logical = parquet.Types.FixedLenByteArray, schema.NewDecimalLogicalType(int32(p), int32(s)) //nolint:gosec // at most 38
		size = decimalBytes(p)
	}
	return physical, logical, size
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
	if err := compareSchema(r.MetaData().Schema, columns); err != nil {
		return fmt.Errorf("%s: %w: %w", path, ErrVerify, err)
	}
	return nil
}

// compareSchema compares what readers go by: order, names and types.
func compareSchema(got *schema.Schema, columns wire.Columns) error {
	if got.NumColumns() != len(columns) {
		return fmt.Errorf("%d columns of %d", got.NumColumns(), len(columns))
	}
	root, err := schemaOf(columns)
	if err != nil {
		return err
	}
	want := schema.NewSchema(root)
	for i := range columns {
		if g, w := describe(got.Column(i)), describe(want.Column(i)); g != w {
			return fmt.Errorf("column %d is %s, not %s", i, g, w)
		}
	}
	return nil
}

func describe(c *schema.Column) string {
	return fmt.Sprintf("%s: %s(%d), %s, %s, %s", c.Path(), c.PhysicalType(), max(c.TypeLength(), 0), c.ConvertedType(), c.LogicalType(), c.SchemaNode().RepetitionType())
}
