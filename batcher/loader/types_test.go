//go:build cgo

package loader

import (
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
		{wire.JSON, "", `{"a":[1,{"b":null}],"s":"é"}`, "JSON_SERIALIZE(x)", `{"a":[1,{"b":null}],"s":"é"}`},
		{wire.JSON, "SUPER", `"text"`, "JSON_SERIALIZE(x)", `"text"`},
		{wire.JSON, "", nil, "CASE WHEN x IS NULL THEN 1 END", "1"},
	}
	w := k.tenure(k.loader(k.client))
	for i, c := range cases {
		name := "shop_public.t" + string(rune('a'+i))
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
		rows, err := k.ask("SELECT " + c.query + " FROM shop_public.t" + string(rune('a'+i)))
		if err != nil || len(rows) != 1 || rows[0] != c.want {
			t.Errorf("%s as %q: %q, %v; want %q", c.lake, c.warehouse, rows, err, c.want)
		}
	}
}
