//go:build cgo

package loader

import (
	"slices"
	"testing"

	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/wire"
)

func TestHigherRevisionReplacesADaysCells(t *testing.T) {
	t.Parallel()
	k := setup(t)
	w := k.tenure(k.loader(k.client))
	cols := wire.Columns{
		col("metric", wire.String), col("version", wire.Int32), col("day", wire.Date), col("zone", wire.String), col("dims", wire.JSON), col("dims_key", wire.String),
		col("value", wire.Decimal(38, 9)), col("revision", wire.Int32),
	}
	id := lake.ChainID{Topic: "millstream.daily_metrics"}
	file := func(revision int64, dims ...string) table {
		tb := table{name: "millstream.daily_metrics", columns: cols}
		for _, d := range dims {
			tb.rows = append(tb.rows, row{"metric": "orders", "version": int64(1), "day": int64(20000), "zone": "UTC", "dims": "{}", "dims_key": d, "revision": revision})
		}
		return tb
	}
	for _, step := range []struct {
		tb   table
		want []string
	}{
		{file(1, "a", "b"), []string{"a|1", "b|1"}},
		{file(3, "a", "c", "d"), []string{"a|3", "c|3", "d|3"}},
		{file(2, "z"), []string{"a|3", "c|3", "d|3"}},
		{file(3, "a", "c", "d"), []string{"a|3", "c|3", "d|3"}},
	} {
		k.commitTo(id, nil, step.tb)
		k.wave(w)
		if got := k.query("SELECT dims_key, revision FROM millstream.daily_metrics ORDER BY 1"); !slices.Equal(got, step.want) {
			t.Errorf("cells: %v, want %v", got, step.want)
		}
	}
}
