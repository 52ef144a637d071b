package cdc

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"testing"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/wire"
)

// pgEncoder returns an encoder of a table with one column besides its key.
func pgEncoder(t pgType, edit func(*TableConfig)) (*encoder, *column) {
	var cfg TableConfig
	cfg.SetDefaults()
	if edit != nil {
		edit(&cfg)
	}
	p := &plan{kind: kindPostgres, name: "public.t", cfg: cfg, key: []int{0}}
	p.rel.columns = []column{{name: "id"}, {name: "c"}}
	p.rel.columns[0].setPostgres(pgType{oid: 20})
	c := &p.rel.columns[1]
	c.setPostgres(t)
	if err := p.retype(); err != nil {
		panic(err)
	}
	return newEncoder(p), c
}

// written is the form of a value and what source.adjusted tells of it.
func written(e *encoder, c *column, raw []byte) (after, told string) {
	e.begin()
	e.postgres(c, raw)
	return string(e.after[len(`{"c":`):]), string(e.adjusted)
}

func bigEndian(n int64, size int) []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(n)) //nolint:gosec // two's complement
	return b[8-size:]
}

func TestPostgresDatesAndTimes(t *testing.T) {
	t.Parallel()
	nulled := func(c *TableConfig) { c.Values.Infinity = valueNull }
	cases := []struct {
		what  string
		oid   uint32
		raw   []byte
		edit  func(*TableConfig)
		after string
		told  string
	}{
		{"a date", oidDate, bigEndian(0, 4), nil, "10957", ""},
		{"the warehouse's first date", oidDate, bigEndian(leastDay-pgEpochDays, 4), nil, "-2440550", ""},
		{"a date before it", oidDate, bigEndian(leastDay-pgEpochDays-1, 4), nil, "-719162", `{"c":"-4713-12-31"`},
		{"the warehouse's last date", oidDate, bigEndian(greatestDay-pgEpochDays, 4), nil, "106762939", ""},
		{"a date after it", oidDate, bigEndian(greatestDay-pgEpochDays+1, 4), nil, "2932896", `{"c":"+294277-01-01"`},
		{"an infinite date", oidDate, bigEndian(math.MaxInt32, 4), nil, "2932896", `{"c":"infinity"`},
		{"an infinite date as NULL", oidDate, bigEndian(math.MinInt32, 4), nulled, "null", `{"c":"-infinity"`},
		{"a timestamp", oidStamp, bigEndian(500_000, 8), nil, "946684800500000", ""},
		{"the last timestamp", oidStamp, bigEndian(math.MaxInt64-pgEpochMicros, 8), nil, "9223372036854775807", ""},
		{"one beyond it", oidStamp, bigEndian(math.MaxInt64-pgEpochMicros+1, 8), nil, "253402214400000000", `{"c":"+294247-01-10T04:00:54.775808Z"`},
		{"one before the warehouse's first", oidStampTZ, bigEndian((leastDay-1)*dayMicros-pgEpochMicros, 8), nil, `"0001-01-01T00:00:00Z"`, `{"c":"-4713-12-31T00:00:00Z"`},
		{"an infinite timestamptz", oidStampTZ, bigEndian(math.MaxInt64, 8), nil, `"9999-12-31T00:00:00Z"`, `{"c":"infinity"`},
		{"one as NULL", oidStampTZ, bigEndian(math.MaxInt64, 8), nulled, "null", `{"c":"infinity"`},
		{"midnight of the next day", 1083, bigEndian(dayMicros, 8), nil, `"23:59:59.999999"`, `{"c":"24:00:00"`},
		{"a time with zone", 1266, []byte("06:15:02+05:30"), nil, `"06:15:02+05:30"`, ""},
		{"its midnight", 1266, []byte("24:00:00-07"), nil, `"23:59:59.999999-07"`, `{"c":"24:00:00-07"`},
		{"a zone with seconds", 1266, []byte("06:15:02+00:19:32"), nil, "null", `{"c":"06:15:02+00:19:32"`},
	}
	for _, c := range cases {
		e, col := pgEncoder(pgType{oid: c.oid, mod: -1}, c.edit)
		if after, told := written(e, col, c.raw); after != c.after || told != c.told {
			t.Errorf("%s: got %s told %s, want %s told %s", c.what, after, told, c.after, c.told)
		}
	}
}

func TestValuePolicies(t *testing.T) {
	t.Parallel()
	small := func(c *TableConfig) { c.Limits.String, c.Limits.JSON, c.Limits.Bytes = 5, 8, 3 }
	cut := func(c *TableConfig) { small(c); c.Values.Oversize = valueCut }
	types := func(as string) func(*TableConfig) {
		return func(c *TableConfig) { c.Columns.Types = map[string]string{"c": as} }
	}
	cases := []struct {
		what  string
		typ   pgType
		raw   []byte
		edit  func(*TableConfig)
		after string
		told  string // reason
	}{
		{"a text at the limit", pgType{oid: 25}, []byte("grüß"), small, "null", "value_too_large"},
		{"a text that is cut", pgType{oid: 25}, []byte("grüß"), cut, `"grü"`, "value_too_large"},
		{"a blob above the limit", pgType{oid: 17}, []byte("four"), small, "null", "value_too_large"},
		{"NUL in JSON", pgType{oid: 114}, []byte(`"\u0000"`), nil, `"\"\\ufffd\""`, "invalid_utf8"},
		{"a lone surrogate", pgType{oid: 114}, []byte(`"\ud800x"`), nil, `"\"\\ufffdx\""`, "invalid_utf8"},
		{"a pair of surrogates", pgType{oid: 114}, []byte(`"\ud83d\ude00"`), nil, `"\"\\ud83d\\ude00\""`, ""},
		{"padding", pgType{oid: oidBPChar, mod: 8}, []byte("ab  "), nil, `"ab  "`, ""},
		{"padding taken off", pgType{oid: oidBPChar, mod: 8}, []byte("ab  "), func(c *TableConfig) { c.Values.Trim = true }, `"ab"`, ""},
		{"a bigint as text", pgType{oid: 20}, bigEndian(-1, 8), func(c *TableConfig) { c.Values.BigInt = valueAsText }, `"-1"`, ""},
		{"a byte of \"char\"", pgType{oid: 18}, []byte{0x80}, nil, `"\\200"`, ""},
		{"a number as decimal", pgType{oid: oidNumeric, mod: -1}, []byte("1.5"), types("decimal(38,9)"), `"1.500000000"`, ""},
		{"one that does not fit", pgType{oid: oidNumeric, mod: -1}, []byte("1.0000000001"), types("decimal(38,9)"), "null", "null"},
		{"jsonb as text", pgType{oid: 3802}, []byte(`{"a": 1e400}`), types("string"), `"{\"a\": 1e400}"`, ""},
		{"bytes as uuid", pgType{oid: 17}, []byte("0123456789abcdef"), types("uuid"), `"30313233-3435-3637-3839-616263646566"`, ""},
		{"other bytes as uuid", pgType{oid: 17}, []byte("01"), types("uuid"), "null", "null"},
	}
	for _, c := range cases {
		e, col := pgEncoder(c.typ, c.edit)
		after, _ := written(e, col, c.raw)
		told := ""
		if len(e.told) > 0 {
			told = e.told[0].reason
		}
		if after != c.after || told != c.told {
			t.Errorf("%s: got %s because of %q, want %s because of %q", c.what, after, told, c.after, c.told)
		}
	}
	e, col := pgEncoder(pgType{oid: 1007, element: pgElement{oid: 23, kind: 'b', delim: ','}}, small)
	after, _ := written(e, col, []byte("{1000000,2}"))
	var object map[string]any
	if err := json.Unmarshal([]byte(after), &object); err != nil || object["_bytes"] != 11.0 {
		t.Errorf("an array above limits.json: got %s, want an object of its size and hash", after)
	}
}

func TestArrayText(t *testing.T) {
	t.Parallel()
	cases := []struct {
		element elementKind
		s, want string
	}{
		{elementNumber, "{}", "[]"},
		{elementNumber, "{1,-2,3.50,1e+20,NaN,-Infinity,NULL}", `[1,-2,3.50,1e+20,"NaN","-Infinity",null]`},
		{elementBool, "{t,f,NULL}", "[true,false,null]"},
		{elementText, `{a,"NULL",NULL,"","a b","q\"b\\s","{x}","1,2"}`, `["a","NULL",null,"","a b","q\"b\\s","{x}","1,2"]`},
		{elementNumber, "{{1,2},{3,NULL}}", "[[1,2],[3,null]]"},
		{elementNumber, "[0:1]={7,8}", `{"lower":[0],"values":[7,8]}`},
		{elementNumber, "[-2:-1][3:4]={{1,2},{3,4}}", `{"lower":[-2,3],"values":[[1,2],[3,4]]}`},
		{elementNumber, "[1:2]={7,8}", "[7,8]"},
		{elementJSON, `{"{\"a\": 1.10}","[]",null,NULL}`, `[{"a": 1.10},[],null,null]`},
		{elementText, `{2026-11-21,"2026-11-21 06:15:02"}`, `["2026-11-21","2026-11-21 06:15:02"]`},
	}
	for _, c := range cases {
		a := arrayText{s: c.s, element: c.element, delim: ','}
		if ok := a.parse(); !ok || string(a.out) != c.want {
			t.Errorf("%s: got %s, %t, want %s", c.s, a.out, ok, c.want)
		}
	}
	boxes := arrayText{s: "{(1,1),(0,0);(2,2),(1,1)}", delim: ';'}
	if ok := boxes.parse(); !ok || string(boxes.out) != `["(1,1),(0,0)","(2,2),(1,1)"]` {
		t.Errorf("boxes: got %s, %t", boxes.out, ok)
	}
	for _, s := range []string{"", "{", "}", "{1", "{1,}", "{,1}", `{"a}`, `{"a\`, "{1}2", "[0:1]", "[0]={1}", "[x:1]={1}", "[01:2]={1}", "{{{{{{{1}}}}}}}", `{a"b}`} {
		a := arrayText{s: s, delim: ','}
		if a.parse() {
			t.Errorf("%q: got %s, want it refused", s, a.out)
		}
	}
}

// Whatever is read as an array is JSON, and what quoting can write is read back.
func FuzzArrayText(f *testing.F) {
	for _, s := range []string{"{}", `{1,"a\"b",NULL}`, "[0:1]={7,8}", "{{1,2},{3,4}}", `{"\\"}`} {
		f.Add(s, byte(0))
	}
	f.Fuzz(func(t *testing.T, s string, kind byte) {
		a := arrayText{s: s, element: elementKind(kind % 4), delim: ','}
		if a.parse() && !json.Valid(a.out) {
			t.Errorf("%q is read as %s, which is no JSON", s, a.out)
		}
		if kind%4 != byte(elementText) {
			return
		}
		text := []byte(`{"`)
		for i := range len(s) {
			if s[i] == '"' || s[i] == '\\' {
				text = append(text, '\\')
			}
			text = append(text, s[i])
		}
		one := arrayText{s: string(text) + `",NULL}`, delim: ','}
		want := append(append(appendString([]byte("["), s), ",null"...), ']')
		if !one.parse() || string(one.out) != string(want) {
			t.Errorf("%q as an element: got %s, want %s", s, one.out, want)
		}
	})
}

func BenchmarkPostgresDecoders(b *testing.B) {
	cases := map[string]struct {
		typ pgType
		raw []byte
	}{
		"bool": {pgType{oid: 16}, []byte{1}}, "int8": {pgType{oid: 20}, bigEndian(math.MinInt64, 8)},
		"float8":  {pgType{oid: 701}, bigEndian(int64(math.Float64bits(1.1)), 8)}, //nolint:gosec // bits
		"numeric": {pgType{oid: oidNumeric, mod: 10<<16 + 6}, []byte("12345678.9")}, "text": {pgType{oid: 25}, []byte("a text with \"quotes\" and Grüße")},
		"bytea": {pgType{oid: 17}, []byte("0123456789abcdef")}, "uuid": {pgType{oid: 2950}, []byte("0123456789abcdef")},
		"jsonb": {pgType{oid: 3802}, []byte(`{"a": [1, 2, {"b": null}]}`)}, "date": {pgType{oid: oidDate}, bigEndian(9000, 4)},
		"timestamp": {pgType{oid: oidStamp}, bigEndian(848556902113402, 8)}, "timestamptz": {pgType{oid: oidStampTZ}, bigEndian(848556902113402, 8)},
		"time": {pgType{oid: 1083}, bigEndian(22502113402, 8)}, "timetz": {pgType{oid: 1266}, []byte("06:15:02+01")},
		"int4[]": {pgType{oid: 1007, element: pgElement{oid: 23, kind: 'b', delim: ','}}, []byte("{1,2,NULL,4}")},
		"text[]": {pgType{oid: 1009, element: pgElement{oid: 25, kind: 'b', delim: ','}}, []byte(`{a,"b c",NULL,"d\"e"}`)},
	}
	for _, name := range sortedKeys(cases) {
		c := cases[name]
		b.Run(name, func(b *testing.B) {
			e, col := pgEncoder(c.typ, nil)
			b.ReportAllocs()
			for b.Loop() {
				e.begin()
				e.postgres(col, c.raw)
			}
		})
	}
}

func TestPostgresDecodersAllocateNothing(t *testing.T) {
	r := map[string]pgType{
		"int8": {oid: 20}, "text": {oid: 25}, "numeric": {oid: oidNumeric, mod: 10<<16 + 6}, "timestamptz": {oid: oidStampTZ},
		"text[]": {oid: 1009, element: pgElement{oid: 25, kind: 'b', delim: ','}}, "jsonb": {oid: 3802},
	}
	raw := map[string][]byte{
		"int8": bigEndian(7, 8), "text": []byte("Grüße"), "numeric": []byte("12.3"), "timestamptz": bigEndian(1, 8),
		"text[]": []byte(`{a,"b c"}`), "jsonb": []byte(`{"a": 1}`),
	}
	for name, typ := range r {
		e, c := pgEncoder(typ, nil)
		write := func() { e.begin(); e.postgres(c, raw[name]) }
		write()
		if n := testing.AllocsPerRun(100, write); n > 0 {
			t.Errorf("%s: got %v allocations a value, want none", name, n)
		}
	}
}

func TestPostgresRetypes(t *testing.T) {
	t.Parallel()
	refused := map[string]pgType{"int16": {oid: 20}, "date": {oid: oidStamp}, "json": {oid: 25}, "decimal(10,2)": {oid: 701}, "uuid": {oid: 25}}
	for to, typ := range refused {
		c := column{name: "c"}
		c.setPostgres(typ)
		if c.retypePostgres(wire.LakeType(to)) {
			t.Errorf("type %d as %s: got %s, want it refused", typ.oid, to, c.lake)
		}
	}
	unknown := &plan{kind: kindPostgres, name: "t"}
	unknown.cfg.Values.Unknown = valueRefuse
	unknown.rel.columns = []column{{name: "c", origin: "mystery"}}
	unknown.rel.columns[0].setPostgres(pgType{oid: oidFirst + 1, name: "mystery", kind: 'b'})
	if got := fmt.Sprint(unknown.retype()); got == "<nil>" {
		t.Error("values.unknown refuse: got a plan of an unknown type")
	}
	if c := unknown.rel.columns[0]; c.form != event.FormText || c.lake != wire.String {
		t.Errorf("an unknown type: got %s as %s, want text", c.form, c.lake)
	}
}
