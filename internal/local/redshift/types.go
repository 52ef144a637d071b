package redshift

import (
	"fmt"
	"strconv"
	"strings"
)

// The object ids of Redshift's types, as its catalogue has them.
const (
	oidBool, oidInt8, oidInt2, oidInt4          = 16, 20, 21, 23
	oidText, oidFloat4, oidFloat8, oidBPChar    = 25, 700, 701, 1042
	oidVarchar, oidDate, oidTime, oidTimestamp  = 1043, 1082, 1083, 1114
	oidTimestamptz, oidInterval, oidTimetz      = 1184, 1186, 1266
	oidNumeric, oidSuper, oidVarbyte, oidBytea  = 1700, 4000, 6551, 17
	oidName, oidOID, oidChar, oidUnknown, oidID = 19, 26, 18, 705, 2950
)

// maxVarchar is the longest VARCHAR in bytes; a column of unknown length counts as this long.
const maxVarchar = 65535

// colType is a declared type: its name in the catalogue, what DuckDB stores it as, and the bound on its bytes.
type colType struct {
	declared string
	duck     string
	oid      uint32
	limit    int // bytes of VARCHAR and CHAR, else 0
	typmod   int
}

// column is one column of a result as the client is told of it.
type column struct {
	name string
	typ  colType
}

// simpleType has no parameters.
type simpleType struct {
	declared, duck string
	oid            uint32
}

// simpleTypes by every spelling.
var simpleTypes = map[string]simpleType{
	"bool": {"boolean", "BOOLEAN", oidBool}, "boolean": {"boolean", "BOOLEAN", oidBool},
	"smallint": {"smallint", "SMALLINT", oidInt2}, "int2": {"smallint", "SMALLINT", oidInt2},
	"integer": {"integer", "INTEGER", oidInt4}, "int": {"integer", "INTEGER", oidInt4}, "int4": {"integer", "INTEGER", oidInt4},
	"bigint": {"bigint", "BIGINT", oidInt8}, "int8": {"bigint", "BIGINT", oidInt8},
	"real": {"real", "FLOAT", oidFloat4}, "float4": {"real", "FLOAT", oidFloat4},
	"float": {"double precision", "DOUBLE", oidFloat8}, "float8": {"double precision", "DOUBLE", oidFloat8},
	"double precision": {"double precision", "DOUBLE", oidFloat8},
	"date":             {"date", "DATE", oidDate},
	"timestamp":        {"timestamp without time zone", "TIMESTAMP", oidTimestamp}, "timestamp without time zone": {"timestamp without time zone", "TIMESTAMP", oidTimestamp},
	"timestamptz": {"timestamp with time zone", "TIMESTAMPTZ", oidTimestamptz}, "timestamp with time zone": {"timestamp with time zone", "TIMESTAMPTZ", oidTimestamptz},
	"time": {"time without time zone", "TIME", oidTime}, "time without time zone": {"time without time zone", "TIME", oidTime},
	"timetz": {"time with time zone", "TIMETZ", oidTimetz}, "time with time zone": {"time with time zone", "TIMETZ", oidTimetz},
	"super":    {"super", "JSON", oidSuper},
	"interval": {"interval", "INTERVAL", oidInterval},
	// Only casts reach these; drivers write them.
	"oid": {"oid", "BIGINT", oidOID}, "name": {"name", "VARCHAR", oidName}, "regtype": {"regtype", "VARCHAR", oidText}, "regproc": {"regproc", "VARCHAR", oidText},
	"uuid": {"uuid", "UUID", oidID}, "bytea": {"bytea", "BLOB", oidBytea}, "unknown": {"unknown", "VARCHAR", oidUnknown},
}

// typeAt reads a type at i and returns the index behind it.
func typeAt(nodes []node, i int) (colType, int, error) {
	if parts, next := nameAt(nodes, i); len(parts) == 2 && parts[0] == "pg_catalog" {
		i = next - 1
	}
	if i >= len(nodes) || !nodes[i].name() {
		return colType{}, i, syntaxError("syntax error in type")
	}
	name := nodes[i].val
	i++
	for i < len(nodes) && typeContinues(name, nodes, i) {
		name += " " + nodes[i].val
		i++
	}
	var args []string
	if i < len(nodes) && nodes[i].open == '(' {
		for _, a := range splitNodes(nodes[i].kids) {
			args = append(args, render(a))
		}
		i++
		if tail := find(nodes, i, "with", "without"); tail == i && strings.HasPrefix(name, "time") && i+2 < len(nodes) {
			name += " " + nodes[i].val + " time zone"
			i += 3
		}
	}
	t, err := makeType(name, args)
	if err == nil && i < len(nodes) && nodes[i].open == '[' {
		err = unsupported("array types")
	}
	return t, i, err
}

// typeContinues reports whether the word at i belongs to the type that begins with name.
func typeContinues(name string, nodes []node, i int) bool {
	n := nodes[i]
	switch name {
	case "double":
		return n.is("precision")
	case "character", "national character", "binary":
		return n.is("varying")
	case "national":
		return n.is("character")
	case "time", "timestamp":
		return n.is("with", "without") && i+1 < len(nodes) && nodes[i+1].is("time")
	case "time with", "time without", "timestamp with", "timestamp without":
		return n.is("time")
	case "time with time", "time without time", "timestamp with time", "timestamp without time":
		return n.is("zone")
	}
	return false
}

func makeType(name string, args []string) (colType, error) {
	if s, found := simpleTypes[name]; found {
		return colType{declared: s.declared, duck: s.duck, oid: s.oid, typmod: -1}, nil
	}
	first := func(fallback, most int) (int, error) {
		if len(args) == 0 {
			return fallback, nil
		}
		if args[0] == "max" {
			return most, nil
		}
		n, err := strconv.Atoi(args[0])
		if err != nil || n < 1 || n > most {
			return 0, pgError("22023", "length for type %s must be between 1 and %d", name, most)
		}
		return n, nil
	}
	switch name {
	case "varchar", "character varying", "nvarchar", "national character varying", "text":
		n, err := first(256, maxVarchar)
		return colType{fmt.Sprintf("character varying(%d)", n), "VARCHAR", oidVarchar, n, n + 4}, err
	case "char", "character", "nchar", "bpchar":
		fallback := 1
		if name == "bpchar" {
			fallback = 256
		}
		n, err := first(fallback, 4096)
		return colType{fmt.Sprintf("character(%d)", n), "VARCHAR", oidBPChar, n, n + 4}, err
	case "varbyte", "varbinary", "binary varying":
		n, err := first(64000, 16777216)
		return colType{fmt.Sprintf("binary varying(%d)", n), "BLOB", oidVarbyte, n, n + 4}, err
	case "numeric", "decimal":
		return numericType(args)
	}
	return colType{}, pgError("42704", "type %q does not exist", name)
}

func numericType(args []string) (colType, error) {
	p, s := 18, 0
	var err error
	if len(args) > 0 {
		if p, err = strconv.Atoi(args[0]); err != nil || p < 1 || p > 38 {
			return colType{}, pgError("22023", "NUMERIC precision %s must be between 1 and 38", args[0])
		}
	}
	if len(args) > 1 {
		if s, err = strconv.Atoi(args[1]); err != nil || s < 0 || s > p {
			return colType{}, pgError("22023", "NUMERIC scale %s must be between 0 and precision %d", args[1], p)
		}
	}
	return colType{fmt.Sprintf("numeric(%d,%d)", p, s), fmt.Sprintf("DECIMAL(%d,%d)", p, s), oidNumeric, 0, (p<<16 | s) + 4}, nil
}

// parseType reads a type as the registry keeps it.
func parseType(declared string) (colType, error) {
	toks, err := lex(declared)
	if err != nil {
		return colType{}, err
	}
	t, _, err := typeAt(tree(toks), 0)
	return t, err
}

// fromDuck is the type of a result column whose declaration is not known.
func fromDuck(duck string) colType {
	name, args, _ := strings.Cut(strings.TrimSuffix(strings.ToLower(duck), ")"), "(")
	simple := func(s string) colType { t := simpleTypes[s]; return colType{t.declared, duck, t.oid, 0, -1} }
	if strings.HasSuffix(duck, "]") {
		return colType{"super", duck, oidSuper, 0, -1}
	}
	switch name {
	case "boolean", "smallint", "integer", "bigint", "date", "timestamp", "time", "timestamp with time zone", "time with time zone", "interval", "uuid":
		return simple(name)
	case "tinyint", "utinyint":
		return simple("smallint")
	case "usmallint":
		return simple("integer")
	case "uinteger":
		return simple("bigint")
	case "hugeint", "ubigint", "uhugeint", "bignum":
		return colType{"numeric(38,0)", duck, oidNumeric, 0, (38 << 16) + 4}
	case "float":
		return simple("real")
	case "double":
		return simple("double precision")
	case "decimal":
		t, err := numericType(strings.Split(strings.ReplaceAll(args, " ", ""), ","))
		if err == nil {
			return t
		}
	case "timestamp_s", "timestamp_ms", "timestamp_ns":
		return simple("timestamp")
	case "json", "struct", "map":
		return colType{"super", duck, oidSuper, 0, -1}
	case "blob":
		return colType{"binary varying(64000)", duck, oidVarbyte, 0, -1}
	}
	return colType{fmt.Sprintf("character varying(%d)", maxVarchar), duck, oidVarchar, 0, -1}
}
