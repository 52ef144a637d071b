package cdc

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

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
	element  pgElement
}

// pgElement is the type of an array's elements, with domains resolved; its oid
// is 0 of a type that is no array.
type pgElement struct {
	oid   uint32
	kind  byte
	delim byte
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
	18:   {valueByte, event.FormText, wire.String, "VARCHAR(4)", false},  // "char"
	790:  {valueDecimal, event.FormText, wire.Decimal(19, 2), "NUMERIC(19,2)", false},
	5069: {valueDecimal, event.FormText, wire.Decimal(20, 0), "NUMERIC(20,0)", false}, // xid8
}

const (
	oidNumeric = 1700
	oidBPChar  = 1042
	oidVarchar = 1043
	oidBit     = 1560
	oidMoney   = 790
	oidMoneys  = 791
	oidFirst   = 16384 // of types that are not PostgreSQL's own
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
	case t.oid == oidBPChar:
		c.setType(valuePadded, event.FormText, wire.String, varchar(t.mod-4))
	case t.oid == oidVarchar:
		c.setType(valueText, event.FormText, wire.String, varchar(t.mod-4))
	case t.oid == oidBit && t.mod == 1:
		c.setType(valueBit, event.FormBool, wire.Bool, "BOOLEAN")
	case known:
		c.setType(m.kind, m.form, m.lake, m.target)
		c.binary = m.binary
	case t.element.oid != 0:
		c.setArray(t.element)
	case t.kind == 'c' || t.name == "hstore":
		c.setType(valueJSON, event.FormJSON, wire.JSON, "SUPER")
		c.expr = "to_json(" + quoteIdent(c.name) + ")"
	case t.name == "vector" && t.oid >= oidFirst:
		c.setType(valueJSON, event.FormJSON, wire.JSON, "SUPER")
	default:
		c.setType(valueText, event.FormText, wire.String, varchar(0))
		c.unknown = t.oid >= oidFirst && t.kind == 'b' && !slices.Contains(pgTextTypes, t.name)
	}
	switch t.oid { // their text depends on lc_monetary
	case oidMoney:
		c.expr = quoteIdent(c.name) + "::numeric"
	case oidMoneys:
		c.expr = quoteIdent(c.name) + "::numeric[]"
	}
	c.setCursor(t)
}

// pgTextTypes are types of extensions whose text is known to say all.
var pgTextTypes = []string{"citext", "ltree", "lquery", "ltxtquery", "geometry", "geography", "halfvec", "sparsevec", "semver", "isbn", "ean13", "cube", "seg"}

// setArray maps arrays. Elements of PostgreSQL's own types and of enums and
// ranges are read from the array's text; what is left the server writes as JSON.
func (c *column) setArray(e pgElement) {
	c.setType(valueArray, event.FormJSON, wire.JSON, "SUPER")
	c.delim = e.delim
	switch e.oid {
	case 20, 21, 23, 26, 28, 29, 700, 701, oidMoney, oidNumeric:
		c.element = elementNumber
	case 16:
		c.element = elementBool
	case 114, 3802:
		c.element = elementJSON
	}
	if e.kind == 'c' || e.kind == 'b' && e.oid >= oidFirst {
		c.kind = valueJSON
		// Bounds that do not begin at 1 are part of the value, and to_json leaves them out.
		c.expr = fmt.Sprintf(`CASE WHEN array_dims(%[1]s) ~ '\[(?!1:)' THEN json_build_object('lower',
  (SELECT json_agg(array_lower(%[1]s, d) ORDER BY d) FROM generate_series(1, array_ndims(%[1]s)) d), 'values', to_json(%[1]s)) ELSE to_json(%[1]s) END`, quoteIdent(c.name))
	}
}

// retypePostgres gives c another lake type, as columns.types wants it, and says
// whether its values have such a counterpart.
func (c *column) retypePostgres(to wire.LakeType) bool {
	_, _, decimal := to.Decimal()
	number := c.kind == valueInt || c.kind == valueUint || c.kind == valueDecimal || c.exact
	switch {
	case to == c.lake:
	case to == wire.String:
		c.setType(valueText, event.FormText, wire.String, varchar(0))
		c.binary = false
	case decimal && number:
		c.setType(valueDecimal, event.FormText, to, "NUMERIC"+strings.TrimPrefix(string(to), "decimal"))
		c.binary = false
	case to == wire.Int64 && c.kind == valueInt:
		c.lake, c.target = to, "BIGINT"
	case to == wire.Int32 && c.lake == wire.Int16:
		c.lake, c.target = to, "INTEGER"
	case to == wire.Float64 && c.kind == valueFloat32:
		c.lake, c.target = to, "DOUBLE PRECISION"
	case to == lakeUUID && c.kind == valueBytes:
		c.setType(valueUUID, event.FormText, wire.String, "VARCHAR(36)")
	default:
		return to == lakeUUID && c.kind == valueUUID
	}
	return true
}

// lakeUUID is what columns.types calls sixteen bytes that are written as a UUID.
const lakeUUID wire.LakeType = "uuid"

func (c *column) setNumeric(mod int) {
	p, s := (mod-4)>>16&0xffff, (mod-4)&0x7ff
	if mod < 4 || p > 38 || s > 37 || s > p {
		c.setType(valueText, event.FormText, wire.String, varchar(0))
		c.exact = true
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

// postgres writes a value from its bytes on the wire; nil is NULL. It keeps none
// of them and allocates nothing for a value that is carried as it is.
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
		e.integer(c, pgInt(raw))
	case valueUint:
		e.after = strconv.AppendUint(e.after, uint64(binary.BigEndian.Uint32(raw)), 10)
	case valueFloat32:
		e.float(float64(math.Float32frombits(binary.BigEndian.Uint32(raw))), 32)
	case valueFloat64:
		e.float(math.Float64frombits(binary.BigEndian.Uint64(raw)), 64)
	case valueBytes:
		e.bytes(c, raw)
	case valueUUID:
		e.uuid(c, raw)
	case valueDate:
		e.pgDate(c, int32(pgInt(raw))) //nolint:gosec // four bytes
	case valueMicros, valueISO:
		e.pgTime(c, pgInt(raw))
	case valueTime:
		e.pgClock(c, pgInt(raw))
	default:
		e.pgText(c, view(raw))
	}
}

// pgText writes a value that comes as the server's text.
func (e *encoder) pgText(c *column, s string) {
	switch c.kind {
	case valueDecimal:
		e.decimal(c, s)
	case valueJSON:
		e.json(c, s)
	case valueArray:
		e.pgArray(c, s)
	case valueTimeTZ:
		e.pgClockZone(c, s)
	case valuePadded:
		if e.values.Trim {
			s = strings.TrimRight(s, " ")
		}
		e.text(c, s)
	case valueByte:
		// PostgreSQL 16 writes it so itself, its predecessors the bare byte.
		if len(s) == 1 && s[0] >= utf8.RuneSelf {
			e.after = append(append(append(e.after, `"\\`...), '0'+s[0]>>6, '0'+s[0]>>3&7, '0'+s[0]&7), '"')
			return
		}
		e.text(c, s)
	default:
		e.text(c, s)
	}
}

// integer writes a number, in quotes if it is a bigint and values.bigint says so.
func (e *encoder) integer(c *column, n int64) {
	if c.form == event.FormText {
		e.after = append(strconv.AppendInt(append(e.after, '"'), n, 10), '"')
		return
	}
	e.after = strconv.AppendInt(e.after, n, 10)
}

// uuid writes sixteen bytes as a UUID.
func (e *encoder) uuid(c *column, b []byte) {
	if len(b) != 16 {
		e.null(c, hex.EncodeToString(b))
		return
	}
	e.after = append(e.after, '"')
	for i, from := range uuidGroups {
		if i > 0 {
			e.after = append(e.after, '-')
		}
		e.after = hex.AppendEncode(e.after, b[from[0]:from[1]])
	}
	e.after = append(e.after, '"')
}

var uuidGroups = [...][2]int{{0, 4}, {4, 6}, {6, 8}, {8, 10}, {10, 16}}

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
