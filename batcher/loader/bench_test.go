//go:build cgo

package loader

import (
	"fmt"
	"testing"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/local/redshift"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/wire"
)

// BenchmarkLoad loads 20 tables of 10,000 rows in one wave.
func BenchmarkLoad(b *testing.B) {
	const tables, rows = 20, 10_000
	total := 0
	for b.Loop() {
		b.StopTimer()
		k := setup(b)
		for i := range tables {
			k.commit(int32(i%4), table{name: fmt.Sprintf("app.event_%d", i), columns: eventColumns(col("total", wire.Float64), col("note", wire.String)), rows: events(rows, row{"total": 1.5, "note": "some words"})})
		}
		w := k.tenure(k.loader(k.client))
		b.StartTimer()
		k.wave(w)
		total += tables * rows
	}
	b.ReportMetric(float64(total)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkManyTargets loads 10 rows into each of 300 tables that exist, as
// often as the benchmark loops: what a minute of a large source comes to.
func BenchmarkManyTargets(b *testing.B) {
	const tables, rows = 300, 10
	_, l := testkit.Lake(b)
	k := setupOn(b, l, redshift.IsolationSnapshot, func(cfg *redshift.Config) { cfg.Memory = config.GiB })
	commit := func() {
		list := make([]table, tables)
		for i := range list {
			list[i] = table{name: fmt.Sprintf("app.event_%d", i), columns: eventColumns(col("note", wire.String)), rows: events(rows, row{"note": "some words"})}
		}
		k.commit(0, list...)
	}
	w := k.tenure(k.loader(k.client, func(c *Config) { c.Connections = 4 }))
	commit()
	k.wave(w)
	for b.Loop() {
		b.StopTimer()
		commit()
		b.StartTimer()
		k.wave(w)
	}
	b.ReportMetric(float64(b.N*tables)/b.Elapsed().Seconds(), "targets/s")
}
