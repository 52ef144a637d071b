//go:build cgo

package loader

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/wire"
)

func TestHigherRevisionReplacesADaysCells(t *testing.T) {
	t.Parallel()
	k := setup(t)
	w := k.tenure(k.loader(k.client))
	cols := cellColumns
	id := lake.ChainID{Topic: "millstream.daily_metrics"}
	file := func(revision int64, dims ...string) table {
		tb := table{name: "millstream.daily_metrics", columns: cols}
		for _, d := range dims {
			tb.rows = append(tb.rows, row{"metric": "orders", "version": int64(1), "day": int64(20000), "zone": "UTC", "dims": "{}", "dims_key": d, "revision": revision})
		}
		return tb
	}
	for _, step := range []struct {
		files []table // of one load
		want  []string
	}{
		{[]table{file(1, "a", "b")}, []string{"a|1", "b|1"}},
		{[]table{file(3, "a", "c", "d")}, []string{"a|3", "c|3", "d|3"}},
		{[]table{file(2, "z")}, []string{"a|3", "c|3", "d|3"}},
		{[]table{file(3, "a", "c", "d")}, []string{"a|3", "c|3", "d|3"}}, // a replay
		{[]table{file(5, "a", "e"), file(4, "a"), file(6, "f")}, []string{"f|6"}},
	} {
		for _, tb := range step.files {
			k.commitTo(id, nil, tb)
		}
		k.wave(w)
		if got := k.query("SELECT dims_key, revision FROM millstream.daily_metrics ORDER BY 1"); !slices.Equal(got, step.want) {
			t.Errorf("cells: %v, want %v", got, step.want)
		}
	}
}

// cellColumns are those of rollup's export.
var cellColumns = wire.Columns{
	col("metric", wire.String), col("version", wire.Int32), col("day", wire.Date), col("zone", wire.String), col("dims", wire.JSON), col("dims_key", wire.String),
	col("value", wire.Decimal(38, 9)), col("estimate", wire.Float64), col("method", wire.String), col("events", wire.Int64), col("late", wire.Int64),
	col("revision", wire.Int32), col("sealed_at", wire.Timestamp),
}

// cell is a row of an export.
func cell(day, revision int64, key string, more row) row {
	r := row{
		"metric": "revenue", "version": int64(1), "day": day, "zone": "Europe/Berlin", "dims": `{"plan":"pro"}`, "dims_key": key, "value": "12.500000000",
		"method": "sum", "events": int64(3), "late": int64(1), "revision": revision, "sealed_at": time.Date(2026, 11, 21, 6, 15, 2, 113_402_000, time.UTC).UnixMicro(),
	}
	maps.Copy(r, more)
	return r
}

func TestDailyMetricsHaveTheirTypes(t *testing.T) {
	t.Parallel()
	k := setup(t)
	s := lake.Schema{Table: "millstream.daily_metrics", Version: len(cellColumns), Kind: lake.SchemaMetrics}
	for _, c := range cellColumns {
		s.Columns = append(s.Columns, lake.SchemaColumn{Name: c.Name, Type: c.Type})
	}
	if err := k.lake.CreateSchema(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	k.commitTo(lake.ChainID{Topic: "millstream.daily_metrics"}, nil, table{name: "millstream.daily_metrics", columns: cellColumns, rows: []row{
		cell(20000, 1, "total", row{"dims": "{}"}),
		cell(20000, 1, "00000000000000a1", row{"method": "hll15 0.57%", "value": nil, "estimate": 17.5}),
	}})
	k.wave(k.tenure(k.loader(k.client)))
	want := []string{
		"revenue|1|2024-10-04|Europe/Berlin|pro||17.5|hll15 0.57%|3|1|1|2026-11-21 06:15:02.113402",
		"revenue|1|2024-10-04|Europe/Berlin||12.500000000||sum|3|1|1|2026-11-21 06:15:02.113402",
	}
	if got := k.query("SELECT metric, version, day, zone, dims.plan::VARCHAR, value, estimate, method, events, late, revision, sealed_at FROM millstream.daily_metrics ORDER BY dims_key"); !slices.Equal(got, want) {
		t.Errorf("cells: %q, want %q", got, want)
	}
	types := []string{
		"metric|character varying|128", "version|integer|", "day|date|", "zone|character varying|64", "dims|super|", "dims_key|character varying|64", "value|numeric|", "estimate|double precision|",
		"method|character varying|32", "events|bigint|", "late|bigint|", "revision|integer|", "sealed_at|timestamp without time zone|",
	}
	if got := k.query("SELECT column_name, data_type, character_maximum_length FROM svv_columns WHERE table_schema = 'millstream' AND table_name = 'daily_metrics' ORDER BY ordinal_position"); !slices.Equal(got, types) {
		t.Errorf("types: %q, want %q", got, types)
	}
}
