//go:build cgo

package loader

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/wire"
)

// TestMirrorOpsProperty applies random changes, of several versions of the
// columns in one load, and wants the table as a map would have it.
func TestMirrorOpsProperty(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			key := [][]string{{"a"}, {"a", "b"}}[seed%2]
			m := &mirrorModel{kit: setup(t), rng: rand.New(rand.NewPCG(seed, 3)), want: map[string]string{}, versions: []wire.Columns{
				changeColumns(col("a", wire.Int64), col("b", wire.String), col("v", wire.Int64)),
				changeColumns(col("b", wire.String), col("v", wire.Int64), col("note", wire.String), col("a", wire.Int64)),
			}}
			for _, cols := range m.versions {
				m.mirrorSchema("shop_public.orders", key, cols)
			}
			w := m.tenure(m.loader(m.client))
			m.change(m.versions[1])
			for range 12 {
				for range 1 + m.rng.IntN(3) {
					m.change(m.versions[m.rng.IntN(2)])
				}
				m.wave(w)
				got := m.query("SELECT a, b, v, note FROM shop_public.orders")
				slices.Sort(got)
				if diff := cmp.Diff(slices.Sorted(maps.Values(m.want)), got, cmp.Transformer("empty", func(s []string) []string { return append([]string{}, s...) })); diff != "" {
					t.Fatalf("orders (-want +got):\n%s", diff)
				}
			}
			if got := m.query("SELECT column_name FROM svv_columns WHERE table_schema = 'shop_public' ORDER BY 1"); !slices.Equal(got, []string{"a", "b", "note", "v"}) {
				t.Errorf("columns %v, want the origin's", got)
			}
		})
	}
}

// mirrorModel is an origin whose keys stay in their partition.
type mirrorModel struct {
	*kit
	rng      *rand.Rand
	versions []wire.Columns
	want     map[string]string // rows by key
}

// change commits a few changes: inserts, updates, deletes, and rows whose key
// becomes another one.
func (m *mirrorModel) change(cols wire.Columns) {
	part := m.rng.Int32N(2)
	var rows []row
	put := func(op string, a int64, v any) {
		id, note, shown := fmt.Sprintf("%d|b", a), any(nil), ""
		if cols.Index("note") >= 0 && op != "d" {
			note, shown = "n", "n"
		}
		_, known := m.want[id]
		switch {
		case op == "d":
			delete(m.want, id)
		case !known && m.rng.IntN(2) == 0:
			op = "c"
			fallthrough
		default:
			m.want[id] = fmt.Sprintf("%s|%v|%s", id, v, shown)
		}
		rows = append(rows, row{"a": a, "b": "b", "v": v, "note": note, "_op": op})
	}
	for range 1 + m.rng.IntN(8) {
		a := int64(m.rng.IntN(6))*2 + int64(part)
		switch m.rng.IntN(5) {
		case 0, 1:
			put("d", a, nil)
		case 2: // another key
			put("d", a, nil)
			put("r", (a+2)%12, m.rng.Int64N(1000))
		default:
			put("r", a, m.rng.Int64N(1000))
		}
	}
	m.commit(part, table{name: "shop_public.orders", columns: cols, rows: rows})
}

func TestMirrorWithoutKeyIsHeld(t *testing.T) {
	t.Parallel()
	k := setup(t)
	k.mirrorSchema("shop_public.orders", nil, orderColumns)
	k.commit(0, table{name: "shop_public.orders", columns: orderColumns, rows: []row{{"id": int64(1), "_op": "r"}}})
	k.wave(k.tenure(k.loader(k.client)))
	if got := k.query("SELECT target, reason FROM millstream.held"); !slices.Equal(got, []string{"shop_public.orders|no_key"}) {
		t.Errorf("held: %v", got)
	}
}

func TestMarksSayThroughWhenAMirrorIsComplete(t *testing.T) {
	t.Parallel()
	k := setup(t)
	k.mirrorSchema("shop_public.orders", []string{"id"}, orderColumns)
	w := k.tenure(k.loader(k.client))
	id := lake.ChainID{Topic: "millstream.changes.shop.public.orders"}
	mark := func(poll, state string, offset int64, through *string) []byte {
		b, err := json.Marshal(lake.Mark{Offset: offset, Target: "shop_public.orders", Poll: event.Poll{
			V: 1, Poll: poll, Strategy: "fresh", Kind: event.PollIncremental, Publish: "upsert", State: state, Parts: 1, Rows: 1, CompleteThrough: through, Basis: "activity",
		}})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	first, second := "2026-11-21T06:15:01.102345Z", "2026-11-21T06:16:01.5Z"
	orders := table{name: "shop_public.orders", columns: orderColumns, rows: []row{{"id": int64(1), "_op": "r", "_poll": "p1"}}}
	state := func(want ...string) {
		t.Helper()
		if got := k.query("SELECT poll, part, started_offset, completed_offset, complete_through, state FROM millstream.polls ORDER BY 1"); !slices.Equal(got, want) {
			t.Errorf("polls: %v, want %v", got, want)
		}
	}
	k.commitTo(id, [][]byte{mark("p0", "completed", 2, &first)}) // the table of polls is empty yet
	k.wave(w)
	state("p0|0||2|2026-11-21 06:15:01.102345|done")
	k.commitTo(id, [][]byte{mark("p1", "started", 3, nil)}, orders)
	k.wave(w)
	state("p0|0||2|2026-11-21 06:15:01.102345|done", "p1|0|3|||running") // p0 tells until p1 is done
	k.commitTo(id, [][]byte{mark("p1", "completed", 7, &first)})
	k.wave(w)
	state("p1|0|3|7|2026-11-21 06:15:01.102345|done")
	k.commitTo(id, [][]byte{mark("p2", "completed", 9, &second)}) // a quiet table's: no rows, no start
	k.wave(w)
	state("p2|0||9|2026-11-21 06:16:01.5|done")
	if got := k.query("SELECT target, loads, complete_through FROM millstream.freshness"); !slices.Equal(got, []string{"shop_public.orders|4|2026-11-21 06:16:01.5"}) {
		t.Errorf("freshness: %v", got)
	}
}
