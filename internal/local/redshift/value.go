//go:build cgo

package redshift

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"

	duckdb "github.com/duckdb/duckdb-go/v2"
	"github.com/jackc/pgx/v5/pgtype"
)

// format is how a session wants its values written.
type format struct {
	zone   *time.Location
	digits int // extra_float_digits
}

// value turns a value of DuckDB's driver into one that pgtype encodes as t, in text and in binary.
func (f format) value(v any, t colType) any {
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
			return zonedClock{clockTime{at}}
		}
	case oidInt2, oidInt4, oidInt8, oidOID:
		if n, ok := intOf(v); ok {
			return n
		}
	case oidFloat4, oidFloat8:
		if v, ok := floatOf(v); ok {
			v.digits += f.digits
			return v
		}
	}
	switch v := v.(type) {
	case time.Time:
		if t.oid == oidTimestamptz {
			return zonedTime{v.In(f.zone)}
		}
		if t.oid == oidTime {
			return clockTime{v}
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
		return floatValue{float64(v), 32, 6}, true
	case float64:
		return floatValue{v, 64, 15}, true
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

// offset is the end of a time with time zone: +01, or +05:30.
func offset(t time.Time) string {
	if _, seconds := t.Zone(); seconds%3600 != 0 {
		return t.Format("-07:00")
	}
	return t.Format("-07")
}

// zonedTime writes a TIMESTAMPTZ as Redshift does, in the session's zone.
type zonedTime struct{ at time.Time }

// TextValue implements pgtype.TextValuer.
func (z zonedTime) TextValue() (pgtype.Text, error) {
	return pgtype.Text{String: z.at.Format("2006-01-02 15:04:05.999999") + offset(z.at), Valid: true}, nil
}

// TimestamptzValue implements pgtype.TimestamptzValuer.
func (z zonedTime) TimestamptzValue() (pgtype.Timestamptz, error) {
	return pgtype.Timestamptz{Time: z.at, Valid: true}, nil
}

// clockTime writes a TIME without the zeros that pgtype puts behind the seconds.
type clockTime struct{ at time.Time }

// TextValue implements pgtype.TextValuer.
func (c clockTime) TextValue() (pgtype.Text, error) {
	return pgtype.Text{String: c.at.Format("15:04:05.999999"), Valid: true}, nil
}

// TimeValue implements pgtype.TimeValuer.
func (c clockTime) TimeValue() (pgtype.Time, error) {
	midnight := time.Date(c.at.Year(), c.at.Month(), c.at.Day(), 0, 0, 0, 0, c.at.Location())
	return pgtype.Time{Microseconds: c.at.Sub(midnight).Microseconds(), Valid: true}, nil
}

// zonedClock is a TIMETZ.
type zonedClock struct{ clockTime }

// TextValue implements pgtype.TextValuer.
func (c zonedClock) TextValue() (pgtype.Text, error) {
	return pgtype.Text{String: c.at.Format("15:04:05.999999") + offset(c.at), Valid: true}, nil
}

// zonedClockCodec adds the binary form, which pgtype lacks: microseconds of the day and seconds west of Greenwich.
type zonedClockCodec struct{ pgtype.TextCodec }

// PlanEncode implements pgtype.Codec.
func (c zonedClockCodec) PlanEncode(m *pgtype.Map, oid uint32, format int16, value any) pgtype.EncodePlan {
	if _, ok := value.(zonedClock); ok && format == pgtype.BinaryFormatCode {
		return c
	}
	return c.TextCodec.PlanEncode(m, oid, format, value)
}

// Encode implements pgtype.EncodePlan.
func (zonedClockCodec) Encode(value any, buf []byte) ([]byte, error) {
	c, ok := value.(zonedClock)
	if !ok {
		return nil, fmt.Errorf("%T is no TIMETZ", value)
	}
	t, err := c.TimeValue()
	_, east := c.at.Zone()
	buf = binary.BigEndian.AppendUint64(buf, uint64(t.Microseconds))
	return binary.BigEndian.AppendUint32(buf, uint32(-int32(east))), err
}

// floatValue writes floats with as many digits as their type holds for certain, as PostgreSQL 8 does; with two or more
// of extra_float_digits, with as many as read back the same.
type floatValue struct {
	f      float64
	bits   int
	digits int
}

// TextValue implements pgtype.TextValuer.
func (f floatValue) TextValue() (pgtype.Text, error) {
	switch {
	case math.IsInf(f.f, 1):
		return pgtype.Text{String: "Infinity", Valid: true}, nil
	case math.IsInf(f.f, -1):
		return pgtype.Text{String: "-Infinity", Valid: true}, nil
	}
	digits := max(f.digits, 1)
	if digits >= 17 || f.bits == 32 && digits >= 8 {
		digits = -1
	}
	s := strconv.FormatFloat(f.f, 'e', digits-1, f.bits)
	if digits < 0 {
		s = strconv.FormatFloat(f.f, 'e', -1, f.bits)
	}
	mantissa, exponent, _ := strings.Cut(s, "e")
	if exp, _ := strconv.Atoi(exponent); exp >= -4 && exp < 15 { // C's %g
		if s = strconv.FormatFloat(f.f, 'f', max(digits-1-exp, 0), f.bits); digits < 0 {
			s = strconv.FormatFloat(f.f, 'f', -1, f.bits)
		}
		mantissa, exponent = s, ""
	}
	if strings.Contains(mantissa, ".") {
		mantissa = strings.TrimRight(strings.TrimRight(mantissa, "0"), ".")
	}
	if exponent != "" {
		mantissa += "e" + exponent
	}
	return pgtype.Text{String: mantissa, Valid: true}, nil
}

// Float64Value implements pgtype.Float64Valuer.
func (f floatValue) Float64Value() (pgtype.Float8, error) {
	return pgtype.Float8{Float64: f.f, Valid: true}, nil
}
