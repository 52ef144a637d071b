//go:build cgo

package loader

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/millstream-data/millstream/internal/wire"
)

func TestCommittedRowsAreLoadedOnce(t *testing.T) {
	t.Parallel()
	k := setup(t)
	cols := eventColumns(col("total", wire.Float64), col("items", wire.JSON))
	k.commit(0, table{name: "app.tracks", columns: eventColumns(), rows: events(5)}, table{name: "app.order_completed", columns: cols, rows: events(3, row{"total": 12.5, "items": `[{"sku":"a"}]`})})
	k.commit(1, table{name: "app.tracks", columns: eventColumns(), rows: events(4)})
	w := k.tenure(k.loader(k.client))
	k.wave(w)
	k.wave(w)
	if got, want := k.one(`SELECT COUNT(*), COUNT(DISTINCT id) FROM app.tracks`), "9|9"; got != want {
		t.Errorf("tracks: %s, want %s", got, want)
	}
	if got, want := k.query(`SELECT total, JSON_SERIALIZE(items) FROM app.order_completed LIMIT 1`), []string{`12.5|[{"sku":"a"}]`}; !cmp.Equal(got, want) {
		t.Errorf("order_completed: %v, want %v", got, want)
	}
	k.commit(0, table{name: "app.tracks", columns: eventColumns(col("plan", wire.String)), rows: events(2, row{"plan": "pro"})})
	k.wave(w)
	if got, want := k.one(`SELECT COUNT(*), COUNT(plan) FROM app.tracks`), "11|2"; got != want {
		t.Errorf("tracks with a new column: %s, want %s", got, want)
	}
	if got, want := k.query(`SELECT target, SUM(rows_inserted) FROM millstream.loads GROUP BY 1 ORDER BY 1`), []string{"app.order_completed|3", "app.tracks|11"}; !cmp.Equal(got, want) {
		t.Errorf("history: %v, want %v", got, want)
	}
}
