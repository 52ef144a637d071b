package batcher

import (
	"strings"
	"testing"

	"github.com/millstream-data/millstream/internal/parquetout"
	"github.com/millstream-data/millstream/internal/wire"
)

// Every cell of the tables of types in docs/lake.md.
func TestTypeLattice(t *testing.T) {
	t.Parallel()
	t.Run("a column's type is the join of its values", latticeJoins)
	t.Run("every pair of kinds has a join that takes both", latticePairs)
	t.Run("a value is cast, or stays out", latticeCasts)
	t.Run("declared types lose nothing", latticeDeclared)
}

func latticeJoins(t *testing.T) {
	t.Parallel()
	for values, want := range map[string]wire.LakeType{
		`true`: wire.Bool, `true false`: wire.Bool, `1`: wire.Int64, `-0`: wire.Int64, `9007199254740993`: wire.Int64,
		`1 9223372036854775807`: wire.Int64, `1.0`: wire.Float64, `1e2`: wire.Float64, `1 1.5`: wire.Float64,
		`9007199254740992 1.5`: wire.Float64, `9007199254740993 1.5`: wire.String, `9223372036854775808`: wire.String, `1 9223372036854775808`: wire.String,
		`1e400`: wire.String, `1.5 1e400`: wire.String, `"2026-11-21T06:15:02Z"`: wire.Timestamp,
		`"2026-11-21T06:15:02.123456789+02:00"`: wire.Timestamp, `"2026-11-21T06:15:02"`: wire.String, `"2026-11-21"`: wire.String,
		`"0000-01-01T00:00:00Z"`: wire.String, `"9999-12-31T23:59:59Z"`: wire.Timestamp, `"0001-01-01T00:00:00+14:00"`: wire.String,
		`"2026-11-21T06:15:02Z" "x"`: wire.String, `"2026-11-21T06:15:02Z" 1`: wire.String, `"x"`: wire.String, `""`: wire.String,
		`"x" 1`: wire.String, `true 1`: wire.String, `true "x"`: wire.String, `[]`: wire.JSON, `[1] "x"`: wire.JSON, `{"a":1} 1`: wire.JSON,
		`1 true "x" [1]`: wire.JSON,
	} {
		var k kinds
		for v := range strings.FieldsSeq(values) {
			k |= kindOf([]byte(v))
		}
		if got := k.lakeType(); got != want {
			t.Errorf("%s: %s, want %s", values, got, want)
		}
	}
}

// The join of two kinds takes the values of both whole, whichever comes first.
func latticePairs(t *testing.T) {
	t.Parallel()
	samples := map[kinds][]string{
		sawBool: {`true`, `false`}, sawInt: {`0`, `-9007199254740992`}, sawBigInt: {`9007199254740993`, `-9223372036854775808`},
		sawFloat: {`1.5`, `1e300`}, sawHuge: {`9223372036854775809`, `1e400`}, sawTime: {`"2026-11-21T06:15:02Z"`}, sawText: {`"x"`, `""`},
		sawComplex: {`[1]`, `{"a":1}`},
	}
	for a, values := range samples {
		for b, others := range samples {
			typ := (a | b).lakeType()
			if typ != (b|a).lakeType() || typ != (a|b|a).lakeType() {
				t.Errorf("kinds %b and %b: the join depends on their order", a, b)
			}
			for _, v := range append(values, others...) {
				if k := kindOf([]byte(v)); k != a && k != b {
					t.Fatalf("%s is of kind %b", v, k)
				}
				castsTo(t, typ, fits, v)
			}
		}
	}
}

func castsTo(t *testing.T, typ wire.LakeType, want fit, values ...string) {
	t.Helper()
	for _, v := range values {
		var c caster
		col := parquetout.NewColumn(typ)
		if got := c.put(col, []byte(v)); got != want {
			t.Errorf("%s into %s: %d, want %d", v, typ, got, want)
		}
		if wrote := col.Len() == 1; wrote == (want == misfit) {
			t.Errorf("%s into %s: %d values written", v, typ, col.Len())
		}
	}
}

func latticeCasts(t *testing.T) {
	t.Parallel()
	f := func(typ wire.LakeType, want fit, values ...string) {
		t.Helper()
		castsTo(t, typ, want, values...)
	}
	long := `"` + strings.Repeat("x", maxText+1) + `"`
	f(wire.Bool, fits, `true`, `false`, `"true"`, `"false"`)
	f(wire.Bool, misfit, `1`, `0`, `"yes"`, `"TRUE"`, `[]`, `{}`)
	f(wire.Int64, fits, `1`, `-9223372036854775808`, `1.0`, `1e3`, `120e-1`, `"12"`, `"-3"`, `0.0`, `-0`)
	f(wire.Int64, misfit, `1.5`, `9223372036854775808`, `1e19`, `1e400`, `1e-400`, `"007"`, `"+1"`, `"1.0"`, `"x"`, `""`, `true`, `[1]`, `{}`, `1e-999999`)
	f(wire.Int64, fits, `0e999999`, `10e-1`)
	f(wire.Float64, fits, `1`, `1.5`, `0.1`, `1e300`, `9007199254740992`, `0.10`, `1.50e1`, `"1.25"`, `"1e3"`, `100000000000000000000`, `-0.0`)
	f(wire.Float64, lossy, `9007199254740993`, `0.30000000000000004441`, `1e-400`)
	f(wire.Float64, misfit, `1e400`, `"x"`, `"1e400"`, `"0x10"`, `"Inf"`, `"1_000"`, `"0.30000000000000004441"`, `true`, `[]`)
	f(wire.Timestamp, fits, `"2026-11-21T06:15:02Z"`, `"2026-11-21T06:15:02.123456+02:00"`, `"2026-11-21T06:15:02.123456000Z"`)
	f(wire.Timestamp, lossy, `"2026-11-21T06:15:02.1234567Z"`, `"2026-11-21T06:15:02.0000000001Z"`)
	f(wire.Timestamp, misfit, `1795241702`, `"2026-11-21"`, `"x"`, `true`, `[]`, `"2026-02-30T00:00:00Z"`)
	f(wire.String, fits, `"x"`, `""`, `1`, `1.50`, `true`, `[1, 2]`, `{"a":1}`, `"\u00e9\ud83d\ude00"`)
	f(wire.String, cleaned, `"a\u0000b"`, `"\ud800"`, "\"a\xffb\"", `["\u0000"]`)
	f(wire.String, lossy, long)
	f(wire.JSON, fits, `"x"`, `1`, `true`, `[1, 2]`, `{"a":"\u00e9"}`)
	f(wire.JSON, cleaned, `["\u0000"]`, `["\udc00x"]`)
	f(wire.JSON, digested, long, `[`+long+`]`)
}

func latticeDeclared(t *testing.T) {
	t.Parallel()
	f := func(typ wire.LakeType, want fit, values ...string) {
		t.Helper()
		castsTo(t, typ, want, values...)
	}
	f(wire.Int16, fits, `32767`, `-32768`, `"7"`, `1.0`, `3e2`)
	f(wire.Int16, misfit, `32768`, `-32769`, `1.5`, `"07"`, `true`, `"x"`, `[]`, `{}`)
	f(wire.Int32, fits, `2147483647`, `-2147483648`, `"7"`)
	f(wire.Int32, misfit, `2147483648`, `1e10`, `0.1`, `[1]`)
	f(wire.Float32, fits, `1`, `0.1`, `16777216`, `1.5e3`, `"0.25"`, `"0.1"`)
	f(wire.Float32, lossy, `16777217`, `0.123456789`, `1e-60`)
	f(wire.Float32, misfit, `1e39`, `"16777217"`, `"x"`, `true`, `[]`)
	f(wire.Decimal(9, 2), fits, `1`, `1.5`, `-9999999.99`, `"12.30"`, `1.2e1`, `120e-2`, `0e-400`, `0.10`, `1.000`)
	f(wire.Decimal(9, 2), misfit, `1.005`, `10000000`, `1e7`, `1e-3`, `1e-400`, `1e400`, `1e999999`, `1e-999999`, `"1,5"`, `""`, `"+1"`, `" 1"`, `true`, `[]`)
	f(wire.Decimal(38, 0), fits, `99999999999999999999999999999999999999`, `-1`, `1e37`)
	f(wire.Decimal(38, 0), misfit, `100000000000000000000000000000000000000`, `1e38`, `0.5`)
	f(wire.Date, fits, `"2026-11-21"`, `"0001-01-01"`, `"9999-12-31"`, `"1969-12-31"`)
	f(wire.Date, misfit, `"2026-02-30"`, `"0000-01-01"`, `"2026-11-21T00:00:00Z"`, `"20261121"`, `20776`, `true`, `[]`)
	f(wire.Bytes, fits, `"AQI="`, `""`, `"AQI\u003d"`)
	f(wire.Bytes, misfit, `"AQI"`, `"AQJ="`, `"?"`, `"AQ\nI="`, `1`, `true`, `[1]`, `"`+strings.Repeat("AAAA", maxBytes/3+1)+`"`)
}
