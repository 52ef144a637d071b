//go:build cgo

package loader

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/wire"
)

// TestTypeTable carries values of every lake type from file to table.
func TestTypeTable(t *testing.T) {
	t.Parallel()
	k := setup(t)
	micros := func(s string) int64 {
		at, err := time.Parse("2006-01-02 15:04:05.999999", s)
		if err != nil {
			t.Fatal(err)
		}
		return at.UnixMicro()
	}
	cases := []struct {
		lake      wire.LakeType
		warehouse string // as cdc's schema says it
		value     any
		query     string // of the column x
		want      string
	}{
		{wire.Bool, "", true, "x", "t"},
		{wire.Int16, "", -32768, "x", "-32768"},
		{wire.Int32, "", -2147483648, "x", "-2147483648"},
		{wire.Int64, "", int64(-9223372036854775808), "x", "-9223372036854775808"},
		{wire.Float32, "", 1.5, "x", "1.5"},
		{wire.Float64, "", 0.1, "x", "0.1"},
		{wire.Decimal(38, 9), "", "-12345678901234567890123456789.123456789", "x", "-12345678901234567890123456789.123456789"},
		{wire.Decimal(10, 2), "NUMERIC(10,2)", "12.30", "x", "12.30"},
		{wire.Timestamp, "", micros("1969-12-31 23:59:59.999999"), "x", "1969-12-31 23:59:59.999999"},
		{wire.Timestamp, "TIMESTAMPTZ", micros("2026-11-21 06:15:02.113402"), "x", "2026-11-21 06:15:02.113402+00"},
		{wire.Date, "", -1, "x", "1969-12-31"},
		{wire.Date, "DATE", 20000, "x", "2024-10-04"},
		{wire.String, "", "naïve \\ 'quote' \" 😀", "x", "naïve \\ 'quote' \" 😀"},
		{wire.String, "", "", "OCTET_LENGTH(x)", "0"},
		{wire.String, "", nil, "CASE WHEN x IS NULL THEN 1 END", "1"},
		{wire.String, "VARCHAR(36)", "9d2b4c1e-7f0a-4a53-9a51-2f6f0c1f7b11", "x", "9d2b4c1e-7f0a-4a53-9a51-2f6f0c1f7b11"},
		{wire.String, "TIME", "06:15:02.113402", "x", "06:15:02.113402"},
		// What origins have beside, by the word of cdc's schema mark (cdc.md §12).
		{wire.String, "TIMETZ", "06:15:02.113402+05:30", "x", "06:15:02.113402+05:30"},
		{wire.String, "TIME", "23:59:59.999999", "x", "23:59:59.999999"},
		{wire.String, "VARCHAR(64)", "P1Y2M3DT4H5M6.789S", "x", "P1Y2M3DT4H5M6.789S"},
		{wire.String, "VARCHAR(64)", "2001:db8::1/64", "x", "2001:db8::1/64"},
		{wire.String, "VARCHAR", strings.Repeat("9", 300) + ".5", "x", strings.Repeat("9", 300) + ".5"}, // numeric beyond 38 digits
		{wire.String, "VARCHAR(4)", "naïve", "x", "naïve"},                                              // longer than promised: wider, never cut
		{wire.String, "VARCHAR(400)", strings.Repeat("é", 200), "OCTET_LENGTH(x)", "400"},
		{wire.String, "VARCHAR(c)", "[1,5)", "x", "[1,5)"},
		{wire.String, "VARCHAR(65535)", strings.Repeat("x", 65535), "LEN(x)", "65535"},
		{wire.Decimal(20, 0), "NUMERIC(20,0)", "18446744073709551615", "x", "18446744073709551615"},   // bigint unsigned
		{wire.Decimal(19, 2), "NUMERIC(19,2)", "-92233720368547758.08", "x", "-92233720368547758.08"}, // money
		{wire.Decimal(38, 37), "NUMERIC(38,37)", "-9.9999999999999999999999999999999999999", "x", "-9.9999999999999999999999999999999999999"},
		{wire.Int32, "INTEGER", 4294967295 / 2, "x", "2147483647"},
		{wire.Int64, "BIGINT", int64(4294967295), "x", "4294967295"}, // int unsigned, oid
		{wire.Float32, "REAL", -0.25, "x", "-0.25"},
		{wire.Float64, "DOUBLE PRECISION", 1e308, "x", "1e+308"},
		{wire.Bool, "BOOLEAN", nil, "CASE WHEN x IS NULL THEN 1 END", "1"},
		{wire.Bytes, "VARBYTE(1000000)", "\x00\xff'\\", "TO_HEX(x)", "00ff275c"},
		{wire.Bytes, "VARBYTE(16)", nil, "CASE WHEN x IS NULL THEN 1 END", "1"},
		{wire.Date, "DATE", 2932896, "x", "9999-12-31"},
		{wire.Date, "DATE", -719162, "x", "0001-01-01"},
		{wire.Timestamp, "TIMESTAMP", micros("9999-12-31 23:59:59.999999"), "x", "9999-12-31 23:59:59.999999"},
		{wire.Timestamp, "TIMESTAMPTZ", micros("1969-12-31 23:59:59.5"), "x", "1969-12-31 23:59:59.5+00"},
		{wire.JSON, "SUPER", `[1.5,"NaN",null,[]]`, "JSON_SERIALIZE(x)", `[1.5,"NaN",null,[]]`}, // arrays, ranges of them, vectors
		{wire.JSON, "VARCHAR", `{"n":1e400}`, "x", `{"n":1e400}`},
		{wire.JSON, "", `{"a":[1,{"b":null}],"s":"é"}`, "JSON_SERIALIZE(x)", `{"a":[1,{"b":null}],"s":"é"}`},
		{wire.JSON, "SUPER", `"text"`, "JSON_SERIALIZE(x)", `"text"`},
		{wire.JSON, "", nil, "CASE WHEN x IS NULL THEN 1 END", "1"},
	}
	w := k.tenure(k.loader(k.client))
	for i, c := range cases {
		name := fmt.Sprint("shop_public.t", i)
		cols := changeColumns(col("id", wire.Int64), col("x", c.lake))
		s := lake.Schema{Table: name, Version: len(cols), Kind: lake.SchemaMirror, Key: []string{"id"}}
		for _, cc := range cols {
			s.Columns = append(s.Columns, lake.SchemaColumn{Name: cc.Name, Type: cc.Type})
		}
		s.Columns[1].Warehouse = c.warehouse
		if err := k.lake.CreateSchema(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		k.commit(0, table{name: name, columns: cols, rows: []row{{"id": int64(1), "_op": "r", "x": c.value}}})
	}
	k.wave(w)
	for _, h := range k.query("SELECT target, reason, error FROM millstream.held") {
		t.Errorf("held: %s", h)
	}
	for i, c := range cases {
		rows, err := k.ask("SELECT " + c.query + " FROM " + fmt.Sprint("shop_public.t", i))
		if err != nil || len(rows) != 1 || rows[0] != c.want {
			t.Errorf("%s as %q: %q, %v; want %q", c.lake, c.warehouse, rows, err, c.want)
		}
	}
}
