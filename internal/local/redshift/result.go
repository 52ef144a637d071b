//go:build cgo

package redshift

import (
	"database/sql"
	"encoding/hex"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"time"

	duckdb "github.com/duckdb/duckdb-go/v2"
	"github.com/jackc/pgx/v5/pgtype"
	wire "github.com/jeroenrinzema/psql-wire"
)

// result is what a statement answers: rows of DuckDB, rows of the front, or a tag alone.
type result struct {
	cols    []column
	rows    *sql.Rows
	data    [][]any
	tag     string
	counted bool // the tag ends with a number of rows
	count   int64
	stop    func()
}

// batchRows is how many rows go to the client at a time.
const batchRows = 512

func (r *result) close() {
	if r.rows != nil {
		_ = r.rows.Close()
		r.rows = nil
		r.stop()
	}
}

// next returns up to n more rows, none at the end.
func (r *result) next(n int) ([][]any, error) {
	if r.rows == nil {
		n = min(n, len(r.data))
		out := r.data[:n]
		r.data = r.data[n:]
		return out, nil
	}
	var out [][]any
	for len(out) < n && r.rows.Next() {
		row := make([]any, len(r.cols))
		into := make([]any, len(r.cols))
		for i := range row {
			into[i] = &row[i]
		}
		if err := r.rows.Scan(into...); err != nil {
			return nil, err
		}
		for i := range row {
			row[i] = wireValue(row[i], r.cols[i].typ)
		}
		out = append(out, row)
	}
	return out, r.rows.Err()
}

// buffer takes the rows into memory, up to limit bytes as text would need them.
func (r *result) buffer(limit int) error {
	if r.rows == nil {
		return nil
	}
	var all [][]any
	size := 0
	for {
		rows, err := r.next(batchRows)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			break
		}
		all = append(all, rows...)
		for _, row := range rows {
			for _, v := range row {
				size += 16
				if s, ok := v.(string); ok {
					size += len(s)
				}
			}
		}
		if size > limit {
			return pgError("54000", "the results before the last of one query string exceed %d bytes", limit)
		}
	}
	r.close()
	r.data = all
	return nil
}

// completion is the command tag.
func (r *result) completion(sent int64) string {
	if r.cols != nil && r.tag == "SELECT" || r.tag == "FETCH" {
		return r.tag + " " + strconv.FormatInt(sent, 10)
	}
	if r.counted {
		return r.tag + " " + strconv.FormatInt(r.count, 10)
	}
	return r.tag
}

// wireColumns describes cols to psql-wire.
func wireColumns(cols []column) wire.Columns {
	out := make(wire.Columns, len(cols))
	for i, c := range cols {
		out[i] = wire.Column{Name: c.name, Oid: c.typ.oid, Width: typeWidth(c.typ.oid), AttrNo: int16(i + 1)}
	}
	return out
}

func typeWidth(oid uint32) int16 {
	switch oid {
	case oidBool:
		return 1
	case oidInt2:
		return 2
	case oidInt4, oidFloat4, oidDate:
		return 4
	case oidInt8, oidFloat8, oidTimestamp, oidTimestamptz, oidTime:
		return 8
	}
	return -1
}

// extendTypes teaches psql-wire the types that PostgreSQL lacks; they go out as text.
func extendTypes(m *pgtype.Map) {
	for name, oid := range map[string]uint32{"super": oidSuper, "varbyte": oidVarbyte, "timetz": oidTimetz} {
		m.RegisterType(&pgtype.Type{Name: name, OID: oid, Codec: pgtype.TextCodec{}})
	}
}

// wireValue turns a value of DuckDB's driver into one that pgtype encodes as t, in text and in binary.
func wireValue(v any, t colType) any {
	if v == nil {
		return nil
	}
	switch t.oid {
	case oidVarchar, oidText, oidBPChar, oidSuper, oidName:
		return textOf(v)
	case oidVarbyte:
		if b, ok := v.([]byte); ok {
			return hex.EncodeToString(b)
		}
	case oidTimetz:
		if at, ok := v.(time.Time); ok {
			return at.Format("15:04:05.999999-07")
		}
	case oidInt2, oidInt4, oidInt8, oidOID:
		if n, ok := intOf(v); ok {
			return n
		}
	case oidFloat4, oidFloat8:
		if f, ok := floatOf(v); ok {
			return f
		}
	}
	switch v := v.(type) {
	case time.Time:
		if t.oid == oidTimestamptz {
			return zonedTime{v.UTC()}
		}
		if t.oid == oidTime {
			midnight := time.Date(v.Year(), v.Month(), v.Day(), 0, 0, 0, 0, v.Location())
			return pgtype.Time{Microseconds: v.Sub(midnight).Microseconds(), Valid: true}
		}
		return v
	case *big.Int:
		return pgtype.Numeric{Int: v, Valid: true}
	case uint64:
		return pgtype.Numeric{Int: new(big.Int).SetUint64(v), Valid: true}
	case duckdb.Decimal:
		return pgtype.Numeric{Int: v.Value, Exp: -int32(v.Scale), Valid: true}
	case duckdb.Interval:
		return pgtype.Interval{Months: v.Months, Days: v.Days, Microseconds: v.Micros, Valid: true}
	}
	return v
}

func intOf(v any) (int64, bool) {
	switch v := v.(type) {
	case int8:
		return int64(v), true
	case int16:
		return int64(v), true
	case int32:
		return int64(v), true
	case int64:
		return v, true
	case uint8:
		return int64(v), true
	case uint16:
		return int64(v), true
	case uint32:
		return int64(v), true
	case *big.Int:
		return v.Int64(), v.IsInt64()
	}
	return 0, false
}

func floatOf(v any) (floatValue, bool) {
	switch v := v.(type) {
	case float32:
		return floatValue{float64(v), 32}, true
	case float64:
		return floatValue{v, 64}, true
	}
	return floatValue{}, false
}

func textOf(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case []byte:
		return string(v)
	case time.Time:
		return v.Format("2006-01-02 15:04:05.999999")
	case duckdb.Decimal:
		return v.String()
	}
	return fmt.Sprint(v)
}

// zonedTime writes a TIMESTAMPTZ as Redshift does, +00 where pgtype writes Z.
type zonedTime struct{ at time.Time }

// TextValue implements pgtype.TextValuer.
func (z zonedTime) TextValue() (pgtype.Text, error) {
	return pgtype.Text{String: z.at.Format("2006-01-02 15:04:05.999999") + "+00", Valid: true}, nil
}

// TimestamptzValue implements pgtype.TimestamptzValuer.
func (z zonedTime) TimestamptzValue() (pgtype.Timestamptz, error) {
	return pgtype.Timestamptz{Time: z.at, Valid: true}, nil
}

// floatValue writes floats with the shortest digits that read back, in exponents where those are shorter.
type floatValue struct {
	f    float64
	bits int
}

// TextValue implements pgtype.TextValuer.
func (f floatValue) TextValue() (pgtype.Text, error) {
	s := strconv.FormatFloat(f.f, 'g', -1, f.bits)
	switch abs := math.Abs(f.f); {
	case math.IsInf(f.f, 1):
		s = "Infinity"
	case math.IsInf(f.f, -1):
		s = "-Infinity"
	case abs >= 1e-4 && abs < 1e15:
		s = strconv.FormatFloat(f.f, 'f', -1, f.bits)
	}
	return pgtype.Text{String: s, Valid: true}, nil
}

// Float64Value implements pgtype.Float64Valuer.
func (f floatValue) Float64Value() (pgtype.Float8, error) {
	return pgtype.Float8{Float64: f.f, Valid: true}, nil
}
