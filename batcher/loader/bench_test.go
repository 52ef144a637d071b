//go:build cgo

package loader

import (
	"fmt"
	"testing"

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
