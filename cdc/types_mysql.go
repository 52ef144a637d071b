package cdc

import (
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/wire"
)

// mysqlType is a column's type as information_schema.columns has it.
type mysqlType struct {
	data      string // data_type
	full      string // column_type, such as int(10) unsigned
	length    int    // characters or bytes
	precision int    // of numbers, in digits; of bit, in bits
	scale     int
	fraction  int // digits of a second
	json      bool
	maria     bool
}

// setMySQL maps t by the table of types in cdc.md section 12; what has no rule of
// its own is carried as the server's text.
func (c *column) setMySQL(t mysqlType) {
	ident := mysqlDialect{}.ident(c.name)
	unsigned := strings.Contains(t.full, "unsigned")
	switch t.data {
	case "tinyint", "smallint", "mediumint", "int", "bigint":
		c.setMySQLInteger(t, unsigned)
	case "decimal":
		c.numeric = true
		if t.precision > 38 || t.scale > 37 {
			c.setType(valueText, event.FormText, wire.String, varchar(0))
			c.exact = true
			break
		}
		lake := wire.Decimal(t.precision, t.scale)
		c.setType(valueDecimal, event.FormText, lake, "NUMERIC"+strings.TrimPrefix(string(lake), "decimal"))
	case "float": // the plain text has six digits only
		c.setType(valueFloat32, event.FormNumber, wire.Float32, "REAL")
		c.expr, c.numeric = ident+" * 1e0", true
	case "double":
		c.setType(valueFloat64, event.FormNumber, wire.Float64, "DOUBLE PRECISION")
		c.numeric = true
	case "bit":
		c.setMySQLBits(t, ident)
	case "year":
		c.setType(valueInt, event.FormNumber, wire.Int16, "SMALLINT")
		c.numeric = true
	case "char", "varchar":
		c.setType(valueText, event.FormText, wire.String, varchar(t.length))
	case "enum", "set": // they sort by their numbers
		c.setType(valueText, event.FormText, wire.String, varchar(0))
		c.position, c.numeric = ident+" + 0", true
	case "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob":
		c.setType(valueBytes, event.FormBase64, wire.Bytes, "VARBYTE("+strconv.Itoa(min(max(t.length, 1), limitBytes))+")")
		c.binary, c.position = true, "HEX("+ident+")" // positions are kept as JSON
	case "date", "datetime", "timestamp":
		c.setMySQLTime(t)
	case "time":
		c.setType(valueText, event.FormText, wire.String, "VARCHAR(64)") // it goes to 838 hours
	case "json":
		c.setType(valueJSON, event.FormJSONText, wire.JSON, "SUPER")
	case "uuid":
		c.setType(valueText, event.FormText, wire.String, "VARCHAR(36)")
	case "inet4", "inet6":
		c.setType(valueText, event.FormText, wire.String, "VARCHAR(64)")
	case "vector":
		c.setType(valueJSON, event.FormJSON, wire.JSON, "SUPER")
		c.expr = map[bool]string{true: "VEC_ToText(", false: "VECTOR_TO_STRING("}[t.maria] + ident + ")"
	case "geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon", "geometrycollection", "geomcollection":
		c.setType(valueText, event.FormText, wire.String, varchar(0))
		c.expr = "HEX(" + ident + ")" // the first four bytes are the SRID
	case "tinytext", "text", "mediumtext", "longtext":
		c.setType(valueText, event.FormText, wire.String, varchar(0))
		if t.json {
			c.setType(valueJSON, event.FormJSONText, wire.JSON, "SUPER")
		}
	default:
		c.setType(valueText, event.FormText, wire.String, varchar(0))
		c.unknown = true
	}
	if c.expr != "" && c.numeric {
		c.position = c.expr
	}
}

func (c *column) setMySQLInteger(t mysqlType, unsigned bool) {
	c.numeric, c.cursor = true, cursorInteger
	signed := map[string]struct {
		lake   wire.LakeType
		target string
	}{
		"tinyint": {wire.Int16, "SMALLINT"}, "smallint": {wire.Int16, "SMALLINT"}, "mediumint": {wire.Int32, "INTEGER"},
		"int": {wire.Int32, "INTEGER"}, "bigint": {wire.Int64, "BIGINT"},
	}[t.data]
	c.setType(valueInt, event.FormNumber, signed.lake, signed.target)
	switch {
	case t.full == mysqlBool:
		c.setType(valueBool, event.FormBool, wire.Bool, "BOOLEAN")
		c.cursor = cursorNone
	case !unsigned:
	case t.data == "smallint":
		c.setType(valueInt, event.FormNumber, wire.Int32, "INTEGER")
	case t.data == "int":
		c.setType(valueInt, event.FormNumber, wire.Int64, "BIGINT")
	case t.data == "bigint":
		c.setType(valueDecimal, event.FormText, wire.Decimal(20, 0), "NUMERIC(20,0)")
	}
}

func (c *column) setMySQLBits(t mysqlType, ident string) {
	c.expr, c.numeric = ident+" + 0", true
	if t.precision <= 1 {
		c.setType(valueBit, event.FormBool, wire.Bool, "BOOLEAN")
		return
	}
	c.setType(valueBit, event.FormText, wire.String, "VARCHAR(64)")
	c.bits = t.precision
}

func (c *column) setMySQLTime(t mysqlType) {
	c.cursor = cursorStamp
	switch t.data {
	case "date":
		c.setType(valueDate, event.FormDays, wire.Date, "DATE")
		c.quantum, c.dateOnly = 24*time.Hour, true
		return
	case "datetime":
		c.setType(valueMicros, event.FormMicros, wire.Timestamp, "TIMESTAMP")
	case "timestamp":
		c.setType(valueISO, event.FormISO, wire.Timestamp, "TIMESTAMPTZ")
	}
	if t.fraction < 6 {
		c.quantum = time.Duration(math.Pow10(9 - t.fraction))
	}
}

// mysqlBool is a column that the application may use for more than false and true.
const mysqlBool = "tinyint(1)"

// retypeMySQL gives c another lake type, as columns.types wants it, and says
// whether its values have such a counterpart.
func (c *column) retypeMySQL(to wire.LakeType) bool {
	_, _, decimal := to.Decimal()
	number := c.kind == valueInt || c.kind == valueDecimal || c.exact
	switch {
	case to == c.lake:
	case to == wire.String:
		c.setType(valueText, event.FormText, wire.String, varchar(0))
	case to == wire.Int16 && c.kind == valueBool:
		c.setType(valueInt, event.FormNumber, wire.Int16, "SMALLINT")
	case decimal && number:
		c.setType(valueDecimal, event.FormText, to, "NUMERIC"+strings.TrimPrefix(string(to), "decimal"))
	case to == wire.Int64 && c.kind == valueInt:
		c.lake, c.target = to, "BIGINT"
	case to == wire.Int32 && c.lake == wire.Int16:
		c.lake, c.target = to, "INTEGER"
	case to == wire.Float64 && c.kind == valueFloat32:
		c.lake, c.target = to, "DOUBLE PRECISION"
	case to == lakeUUID && c.kind == valueBytes:
		c.setType(valueUUID, event.FormText, wire.String, "VARCHAR(36)")
	default:
		return to == lakeUUID && c.origin == "uuid"
	}
	return true
}

// widen makes the bools of MySQL that are named small numbers, which they have
// turned out to be.
func (r *relation) widen(names []string) {
	for i := range r.columns {
		if c := &r.columns[i]; c.origin == mysqlBool && c.kind == valueBool && slices.Contains(names, c.name) {
			c.setType(valueInt, event.FormNumber, wire.Int16, "SMALLINT")
			c.cursor = cursorInteger
		}
	}
}

// widened names the columns that are known to hold numbers: from a value that
// was met, or from the schema that was announced.
func (t *table) widened() []string {
	out := slices.Clone(t.wide)
	if t.last == nil {
		return out
	}
	for _, c := range t.last.Columns {
		if c.Origin == mysqlBool && c.Lake == string(wire.Int16) {
			out = append(out, c.Name)
		}
	}
	return out
}

// widenError tells that a tinyint(1) holds a number: the table is planned anew
// with its column as int16.
type widenError struct{ column string }

func (e *widenError) Error() string {
	return fmt.Sprintf("tinyint(1) column %s holds a number that is neither 0 nor 1", e.column)
}

func (e *widenError) Unwrap() error { return errChanged }

var errMySQLValue = errors.New("the driver's value is of another type than its column")

// mysql writes a value as the text protocol and the driver give it: int64,
// uint64, float64, bytes or nil.
func (e *encoder) mysql(c *column, v driver.Value) error {
	e.open(c)
	defer e.close()
	if v == nil {
		e.after = append(e.after, "null"...)
		return nil
	}
	switch v := v.(type) {
	case int64:
		if c.kind == valueBool && v != 0 && v != 1 {
			return &widenError{c.name}
		}
		return e.mysqlNumber(c, uint64(v), strconv.FormatInt(v, 10)) //nolint:gosec // bits of two's complement
	case uint64:
		return e.mysqlNumber(c, v, strconv.FormatUint(v, 10))
	case float64:
		switch c.kind {
		case valueFloat32:
			e.float(v, 32)
		case valueFloat64:
			e.float(v, 64)
		case valueText:
			e.text(c, strconv.FormatFloat(v, 'g', -1, 64))
		default:
			return fmt.Errorf("%s: %w: %T", c.name, errMySQLValue, v)
		}
		return nil
	case []byte:
		return e.mysqlBytes(c, v)
	}
	return fmt.Errorf("%s: %w: %T", c.name, errMySQLValue, v)
}

// mysqlNumber writes an integer of which bits and decimal text are given.
func (e *encoder) mysqlNumber(c *column, bits uint64, text string) error {
	switch c.kind {
	case valueBit:
		if c.bits > 0 {
			e.after = fmt.Appendf(e.after, `"%0*b"`, c.bits, bits)
			break
		}
		e.after = strconv.AppendBool(e.after, bits != 0)
	case valueBool:
		e.after = strconv.AppendBool(e.after, bits != 0)
	case valueInt:
		e.integer(c, int64(bits)) //nolint:gosec // two's complement
	case valueDecimal:
		e.decimal(c, text)
	case valueText:
		e.text(c, text)
	default:
		return fmt.Errorf("%s: %w: integer", c.name, errMySQLValue)
	}
	return nil
}

func (e *encoder) mysqlBytes(c *column, v []byte) error {
	switch c.kind {
	case valueText:
		e.text(c, view(v))
	case valueDecimal:
		e.decimal(c, view(v))
	case valueBytes:
		e.bytes(c, v)
	case valueUUID:
		e.uuid(c, v)
	case valueJSON:
		e.mysqlJSON(c, view(v))
	case valueDate, valueMicros, valueISO:
		micros, ok := mysqlMicros(view(v))
		switch {
		case !ok:
			e.null(c, string(v)) // zero dates, and days that do not exist
		case c.kind == valueDate:
			e.after = strconv.AppendInt(e.after, floorDiv(micros, dayMicros), 10)
		default:
			e.micros(c, micros)
		}
	case valueInt, valueBit: // an integer that the server calls a decimal
		bits, err := strconv.ParseUint(string(v), 10, 64)
		if err != nil {
			return fmt.Errorf("%s: %w: %q", c.name, errMySQLValue, v)
		}
		return e.mysqlNumber(c, bits, string(v))
	default:
		return fmt.Errorf("%s: %w: bytes", c.name, errMySQLValue)
	}
	return nil
}

// mysqlJSON writes JSON as the column's form says: a string that holds it, or
// itself. A check on a longtext can be switched off, and then anything is there.
func (e *encoder) mysqlJSON(c *column, s string) {
	if len(s) <= e.limits.JSON && !json.Valid([]byte(s)) {
		e.null(c, s)
		return
	}
	e.json(c, s)
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// mysqlMicros reads 2026-11-21, or the same with 06:15:02.113402, as microseconds
// since 1970 of a clock that shows UTC. It reports false for what is no day.
func mysqlMicros(s string) (int64, bool) {
	day, clock, _ := strings.Cut(s, " ")
	t, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return 0, false
	}
	micros := t.Unix() * 1_000_000
	if clock == "" {
		return micros, true
	}
	c, err := time.Parse("15:04:05", clock) // takes a fraction as well
	if err != nil {
		return 0, false
	}
	since := c.Sub(time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC))
	return micros + since.Microseconds(), true
}

// mysqlDouble writes a double so that the server takes it for one: without an
// exponent it would be a decimal.
func mysqlDouble(f float64) string { return strconv.FormatFloat(f, 'e', -1, 64) }
