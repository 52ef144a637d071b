package warehouse

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/millstream-data/millstream/internal/wire"
)

// MaxVarchar is the most bytes that a VARCHAR holds.
const MaxVarchar = 65535

// varbyteWidth is above what cdc lets through of a binary value.
const varbyteWidth = 1_024_000

// varcharClasses are the widths that columns get. Few of them, so that a
// column is widened seldom; not the widest for all, because a query reserves
// memory by the declared width.
var varcharClasses = [...]int{64, 256, 1024, 4096, 16384, MaxVarchar}

// classFor returns the smallest class of at least n bytes.
func classFor(n int) int {
	for _, c := range varcharClasses {
		if c >= n {
			return c
		}
	}
	return MaxVarchar
}

// Kind is a type of Redshift without its parameters.
type Kind string

// The kinds that the loader makes.
const (
	Varchar     Kind = "VARCHAR"
	Varbyte     Kind = "VARBYTE"
	Numeric     Kind = "NUMERIC"
	Super       Kind = "SUPER"
	Boolean     Kind = "BOOLEAN"
	SmallInt    Kind = "SMALLINT"
	Integer     Kind = "INTEGER"
	BigInt      Kind = "BIGINT"
	Real        Kind = "REAL"
	Double      Kind = "DOUBLE PRECISION"
	TimestampTZ Kind = "TIMESTAMPTZ"
	Timestamp   Kind = "TIMESTAMP"
	Date        Kind = "DATE"
	TimeOfDay   Kind = "TIME"
	TimeTZ      Kind = "TIMETZ"
)

// Type is a type of Redshift.
type Type struct {
	Kind      Kind
	Width     int // bytes, of VARCHAR and VARBYTE
	Precision int // of NUMERIC
	Scale     int
}

// SQL is how the type is written.
func (t Type) SQL() string {
	switch t.Kind {
	case Varchar, Varbyte:
		return fmt.Sprintf("%s(%d)", t.Kind, t.Width)
	case Numeric:
		return fmt.Sprintf("%s(%d,%d)", t.Kind, t.Precision, t.Scale)
	default:
		return string(t.Kind)
	}
}

// encoding is what a column of the type is compressed with. COPY of Parquet
// chooses none, and a VARCHAR of text255, text32k, bytedict or runlength could
// never be widened.
func (t Type) encoding() string {
	switch t.Kind {
	case SmallInt, Integer, BigInt, Numeric, Date, Timestamp, TimestampTZ, TimeOfDay, TimeTZ:
		return "az64"
	case Boolean:
		return "raw"
	default:
		return "zstd"
	}
}

// aliases are the names by which catalogues and sources call a kind.
var aliases = map[string]Kind{
	"character varying": Varchar, "varchar": Varchar, "nvarchar": Varchar, "text": Varchar,
	"binary varying": Varbyte, "varbyte": Varbyte, "varbinary": Varbyte,
	"numeric": Numeric, "decimal": Numeric, "super": Super, "boolean": Boolean, "bool": Boolean,
	"smallint": SmallInt, "int2": SmallInt, "integer": Integer, "int": Integer, "int4": Integer, "bigint": BigInt, "int8": BigInt,
	"real": Real, "float4": Real, "double precision": Double, "float8": Double, "float": Double,
	"timestamp": Timestamp, "timestamp without time zone": Timestamp, "timestamptz": TimestampTZ, "timestamp with time zone": TimestampTZ,
	"date": Date, "time": TimeOfDay, "time without time zone": TimeOfDay, "timetz": TimeTZ, "time with time zone": TimeTZ,
}

// ParseType reads a type as cdc's schema marks and the catalogue write it. A
// VARCHAR or VARBYTE without a number has width 0: its class is the loader's.
// A type that the loader does not make keeps its name as Kind.
func ParseType(s string) Type {
	name, args, _ := strings.Cut(strings.TrimSuffix(strings.TrimSpace(s), ")"), "(")
	name = strings.ToLower(strings.TrimSpace(name))
	kind, ok := aliases[name]
	if !ok {
		return Type{Kind: Kind(strings.ToUpper(name))}
	}
	first, second, _ := strings.Cut(args, ",")
	n, _ := strconv.Atoi(strings.TrimSpace(first)) // of VARCHAR(c): 0
	m, _ := strconv.Atoi(strings.TrimSpace(second))
	switch kind {
	case Varchar, Varbyte:
		return Type{Kind: kind, Width: n}
	case Numeric:
		if n == 0 {
			n = 18 // Redshift's default
		}
		return Type{Kind: kind, Precision: n, Scale: m}
	default:
		return Type{Kind: kind}
	}
}

// TargetType is the type that a new column gets for values of lake type t, of
// which the longest has longest bytes.
func TargetType(name string, t wire.LakeType, longest int) Type {
	switch t {
	case wire.String:
		width := classFor(2 * longest)
		if name == "id" || strings.HasSuffix(name, "_id") {
			width = max(width, 256)
		}
		return Type{Kind: Varchar, Width: width}
	case wire.JSON:
		return Type{Kind: Super}
	case wire.Bytes:
		return Type{Kind: Varbyte, Width: varbyteWidth}
	default:
		return StagingType(t, 0)
	}
}

// StagingType is the type in which COPY takes values of lake type t: the width
// of a number in file and table must be equal, and text must fit.
func StagingType(t wire.LakeType, width int) Type {
	switch t {
	case wire.Bool:
		return Type{Kind: Boolean}
	case wire.Int16:
		return Type{Kind: SmallInt}
	case wire.Int32:
		return Type{Kind: Integer}
	case wire.Int64:
		return Type{Kind: BigInt}
	case wire.Float32:
		return Type{Kind: Real}
	case wire.Float64:
		return Type{Kind: Double}
	case wire.Timestamp:
		return Type{Kind: Timestamp}
	case wire.Date:
		return Type{Kind: Date}
	case wire.Bytes:
		return Type{Kind: Varbyte, Width: varbyteWidth}
	case wire.String, wire.JSON:
		return Type{Kind: Varchar, Width: max(width, varcharClasses[0])}
	}
	p, s, _ := t.Decimal()
	return Type{Kind: Numeric, Precision: p, Scale: s}
}

// Widened is the type that a VARCHAR of width w must get to hold longest
// bytes; ok is false if it holds them already.
func Widened(w, longest int) (Type, bool) {
	if longest <= w || w >= MaxVarchar {
		return Type{}, false
	}
	return Type{Kind: Varchar, Width: classFor(longest + longest/2)}, true
}

// Fits says that every value of lake type t can stand in a column of type
// target without being cut or rounded. An analyst may have retyped it.
func Fits(t wire.LakeType, target Type) bool {
	switch t {
	case wire.String:
		return target.Kind == Varchar || target.Kind == TimeOfDay || target.Kind == TimeTZ
	case wire.JSON:
		return target.Kind == Super || target.Kind == Varchar
	case wire.Timestamp:
		return target.Kind == Timestamp || target.Kind == TimestampTZ
	case wire.Int16:
		return target.Kind == SmallInt || target.Kind == Integer || target.Kind == BigInt
	case wire.Int32:
		return target.Kind == Integer || target.Kind == BigInt
	case wire.Float32:
		return target.Kind == Real || target.Kind == Double
	default:
		if p, s, ok := t.Decimal(); ok {
			return target.Kind == Numeric && target.Scale >= s && target.Precision-target.Scale >= p-s
		}
		return StagingType(t, 0).Kind == target.Kind
	}
}

// expr turns a staged value of lake type t into one of type target.
func expr(column string, t wire.LakeType, target Type) string {
	switch {
	case t == wire.JSON && target.Kind == Super:
		// One odd number or depth must not stop a table.
		return fmt.Sprintf("CASE WHEN CAN_JSON_PARSE(%[1]s) THEN JSON_PARSE(%[1]s) ELSE %[1]s::SUPER END", column)
	case t == wire.Timestamp && target.Kind == TimestampTZ:
		return column + " AT TIME ZONE 'UTC'"
	case t == wire.String && target.Kind != Varchar:
		return fmt.Sprintf("CAST(%s AS %s)", column, target.SQL())
	}
	return column
}
