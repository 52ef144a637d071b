package cdc

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/wire"
)

// pgType is a column's type with domains resolved.
type pgType struct {
	oid      uint32 // of the base type
	mod      int    // atttypmod, -1 for none
	name     string
	kind     byte // typtype
	category byte // typcategory
}

// pgMapping is a row of the table of types in cdc.md section 12.
type pgMapping struct {
	kind   valueKind
	form   event.Form
	lake   wire.LakeType
	target string
	binary bool
}

// Object identifiers of PostgreSQL's own types are the same everywhere
// (src/include/catalog/pg_type.dat).
var pgTypes = map[uint32]pgMapping{
	16:   {valueBool, event.FormBool, wire.Bool, "BOOLEAN", true},
	21:   {valueInt, event.FormNumber, wire.Int16, "SMALLINT", true},
	23:   {valueInt, event.FormNumber, wire.Int32, "INTEGER", true},
	20:   {valueInt, event.FormNumber, wire.Int64, "BIGINT", true},
	26:   {valueUint, event.FormNumber, wire.Int64, "BIGINT", true}, // oid
	28:   {valueUint, event.FormNumber, wire.Int64, "BIGINT", true}, // xid
	29:   {valueUint, event.FormNumber, wire.Int64, "BIGINT", true}, // cid
	700:  {valueFloat32, event.FormNumber, wire.Float32, "REAL", true},
	701:  {valueFloat64, event.FormNumber, wire.Float64, "DOUBLE PRECISION", true},
	17:   {valueBytes, event.FormBase64, wire.Bytes, "VARBYTE(1000000)", true},
	2950: {valueUUID, event.FormText, wire.String, "VARCHAR(36)", true},
	114:  {valueJSON, event.FormJSONText, wire.JSON, "SUPER", false},
	3802: {valueJSON, event.FormJSONText, wire.JSON, "SUPER", false},
	1082: {valueDate, event.FormDays, wire.Date, "DATE", true},
	1114: {valueMicros, event.FormMicros, wire.Timestamp, "TIMESTAMP", true},
	1184: {valueISO, event.FormISO, wire.Timestamp, "TIMESTAMPTZ", true},
	1083: {valueTime, event.FormText, wire.String, "TIME", true},
	1266: {valueTimeTZ, event.FormText, wire.String, "TIMETZ", false},
	1186: {valueText, event.FormText, wire.String, "VARCHAR(64)", false}, // interval
	869:  {valueText, event.FormText, wire.String, "VARCHAR(64)", false}, // inet
	650:  {valueText, event.FormText, wire.String, "VARCHAR(64)", false}, // cidr
	829:  {valueText, event.FormText, wire.String, "VARCHAR(64)", false}, // macaddr
	774:  {valueText, event.FormText, wire.String, "VARCHAR(64)", false}, // macaddr8
	18:   {valueText, event.FormText, wire.String, "VARCHAR(4)", false},  // "char"
	790:  {valueDecimal, event.FormText, wire.Decimal(19, 2), "NUMERIC(19,2)", false},
	5069: {valueDecimal, event.FormText, wire.Decimal(20, 0), "NUMERIC(20,0)", false}, // xid8
}

const (
	oidNumeric = 1700
	oidBPChar  = 1042
	oidVarchar = 1043
	oidBit     = 1560
	oidMoney   = 790
	oidDate    = 1082
	oidStamp   = 1114
	oidStampTZ = 1184
)

// setPostgres maps t; what has no rule of its own is carried as the server's text.
func (c *column) setPostgres(t pgType) {
	m, known := pgTypes[t.oid]
	switch {
	case t.oid == oidNumeric:
		c.setNumeric(t.mod)
	case t.oid == oidBPChar || t.oid == oidVarchar:
		c.setType(valueText, event.FormText, wire.String, varchar(t.mod-4))
	case t.oid == oidBit && t.mod == 1:
		c.setType(valueBit, event.FormBool, wire.Bool, "BOOLEAN")
	case known:
		c.setType(m.kind, m.form, m.lake, m.target)
		c.binary = m.binary
	case t.category == 'A':
		c.setType(valueJSON, event.FormJSON, wire.JSON, "SUPER")
		// Bounds that do not begin at 1 are part of the value, and in the server's text.
		q := quoteIdent(c.name)
		c.expr = fmt.Sprintf(`CASE WHEN array_dims(%[1]s) ~ '\[(?!1:)' THEN to_json(%[1]s::text) ELSE to_json(%[1]s) END`, q)
	case t.kind == 'c' || t.name == "hstore":
		c.setType(valueJSON, event.FormJSON, wire.JSON, "SUPER")
		c.expr = "to_json(" + quoteIdent(c.name) + ")"
	default:
		c.setType(valueText, event.FormText, wire.String, varchar(0))
	}
	if t.oid == oidMoney {
		c.expr = quoteIdent(c.name) + "::numeric" // its text depends on lc_monetary
	}
	c.setCursor(t)
}

func (c *column) setNumeric(mod int) {
	p, s := (mod-4)>>16&0xffff, (mod-4)&0x7ff
	if mod < 4 || p > 38 || s > 37 || s > p {
		c.setType(valueText, event.FormText, wire.String, varchar(0))
		return
	}
	t := wire.Decimal(p, s)
	c.setType(valueDecimal, event.FormText, t, "NUMERIC"+strings.TrimPrefix(string(t), "decimal"))
}

func (c *column) setCursor(t pgType) {
	switch t.oid {
	case 20, 21, 23:
		c.cursor = cursorInteger
	case oidDate:
		c.cursor, c.quantum, c.dateOnly = cursorStamp, 24*time.Hour, true
	case oidStamp, oidStampTZ:
		c.cursor = cursorStamp
		if t.mod >= 0 && t.mod < 6 {
			c.quantum = time.Duration(math.Pow10(9 - t.mod))
		}
	}
}

// postgres writes a value from its bytes on the wire; nil is NULL.
func (e *encoder) postgres(c *column, raw []byte) {
	e.open(c)
	defer e.close()
	if raw == nil {
		e.after = append(e.after, "null"...)
		return
	}
	switch c.kind {
	case valueBool:
		e.after = strconv.AppendBool(e.after, raw[0] != 0)
	case valueBit:
		e.after = strconv.AppendBool(e.after, raw[0] == '1')
	case valueInt:
		e.after = strconv.AppendInt(e.after, pgInt(raw), 10)
	case valueUint:
		e.after = strconv.AppendUint(e.after, uint64(binary.BigEndian.Uint32(raw)), 10)
	case valueFloat32:
		e.float(float64(math.Float32frombits(binary.BigEndian.Uint32(raw))), 32)
	case valueFloat64:
		e.float(math.Float64frombits(binary.BigEndian.Uint64(raw)), 64)
	case valueDecimal:
		e.decimal(c, string(raw))
	case valueBytes:
		e.bytes(c, raw)
	case valueUUID:
		e.after = fmt.Appendf(e.after, `"%x-%x-%x-%x-%x"`, raw[0:4], raw[4:6], raw[6:8], raw[8:10], raw[10:16])
	case valueJSON:
		e.pgJSON(c, string(raw))
	case valueDate:
		e.pgDate(c, int32(pgInt(raw))) //nolint:gosec // four bytes
	case valueMicros, valueISO:
		e.pgTime(c, pgInt(raw))
	case valueTime:
		e.pgClock(c, pgInt(raw))
	case valueTimeTZ:
		e.pgClockZone(c, string(raw))
	case valueText:
		e.text(c, string(raw))
	}
}

// pgInt reads a signed integer of 2, 4 or 8 bytes.
func pgInt(raw []byte) int64 {
	switch len(raw) {
	case 2:
		return int64(int16(binary.BigEndian.Uint16(raw))) //nolint:gosec // two's complement
	case 4:
		return int64(int32(binary.BigEndian.Uint32(raw))) //nolint:gosec // two's complement
	}
	return int64(binary.BigEndian.Uint64(raw)) //nolint:gosec // two's complement
}

// pgJSON writes JSON as the column's form says: a string that holds it, or itself.
func (e *encoder) pgJSON(c *column, s string) {
	if c.form == event.FormJSONText || len(s) > limitJSON {
		e.json(c, s)
		return
	}
	if clean, ok := carriableJSON(s); !ok {
		e.refuse(c, event.CodeInvalidUTF8, []byte(s))
		s = clean
	}
	e.after = append(e.after, s...)
}

// What the warehouse's DATE and TIMESTAMP hold, and what stands for more.
const (
	pgEpochDays   = 10957 // 2000-01-01
	pgEpochMicros = 946684800_000000
	leastDay      = -2440588  // 4713-01-01 BC
	greatestDay   = 106751991 // 294247-01-10, where int64 microseconds end
	clampLowDay   = -719162   // 0001-01-01
	clampHighDay  = 2932896   // 9999-12-31
	dayMicros     = 86400_000000
)

func (e *encoder) pgDate(c *column, since2000 int32) {
	day := int64(since2000) + pgEpochDays
	switch {
	case since2000 == math.MaxInt32:
		day = clampHighDay
		e.tell(c, `"infinity"`)
	case since2000 == math.MinInt32:
		day = clampLowDay
		e.tell(c, `"-infinity"`)
	case day > greatestDay:
		e.tell(c, string(appendString(nil, longDate(day))))
		day = clampHighDay
	case day < leastDay:
		e.tell(c, string(appendString(nil, longDate(day))))
		day = clampLowDay
	}
	e.after = strconv.AppendInt(e.after, day, 10)
}

func longDate(day int64) string {
	t := time.Unix(day*86400, 0).UTC()
	return longYear(t) + t.Format("-01-02")
}

// longYear writes years beyond 9999 or before 1 with their sign, astronomically.
func longYear(t time.Time) string {
	if y := t.Year(); y < 1 || y > 9999 {
		return fmt.Sprintf("%+05d", y)
	}
	return t.Format("2006")
}

func (e *encoder) pgTime(c *column, since2000 int64) {
	micros := since2000 + pgEpochMicros
	switch {
	case since2000 == math.MaxInt64:
		micros = clampHighDay * dayMicros
		e.tell(c, `"infinity"`)
	case since2000 == math.MinInt64:
		micros = clampLowDay * dayMicros
		e.tell(c, `"-infinity"`)
	case since2000 > math.MaxInt64-pgEpochMicros:
		e.tell(c, string(appendString(nil, longDate(since2000/dayMicros+pgEpochDays))))
		micros = clampHighDay * dayMicros
	}
	if c.kind == valueMicros {
		e.after = strconv.AppendInt(e.after, micros, 10)
		return
	}
	t := time.UnixMicro(micros).UTC()
	e.after = append(append(append(append(e.after, '"'), longYear(t)...), t.Format("-01-02T15:04:05.999999Z")...), '"')
}

func (e *encoder) pgClock(c *column, micros int64) {
	if micros >= dayMicros {
		e.tell(c, `"24:00:00"`)
		micros = dayMicros - 1
	}
	e.after = append(append(append(e.after, '"'), time.UnixMicro(micros).UTC().Format("15:04:05.999999")...), '"')
}

func (e *encoder) pgClockZone(c *column, s string) {
	zone := strings.LastIndexAny(s, "+-")
	switch {
	case zone > 0 && strings.Count(s[zone:], ":") > 1:
		e.null(c, s) // TIMETZ has no seconds of a zone
		return
	case strings.HasPrefix(s, "24:00:00"):
		e.tell(c, string(appendString(nil, s)))
		s = "23:59:59.999999" + s[zone:]
	}
	e.after = appendString(e.after, s)
}
