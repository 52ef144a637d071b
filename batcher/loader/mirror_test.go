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

// TestMirrorOps applies random changes and wants the table as a map would have it.
func TestMirrorOps(t *testing.T) {
	t.Parallel()
	cols := changeColumns(col("a", wire.Int64), col("b", wire.String), col("v", wire.Int64))
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(seed, 3))
			k := setup(t)
			key := [][]string{{"a"}, {"a", "b"}}[seed%2]
			k.mirrorSchema("shop_public.orders", key, cols)
			w := k.tenure(k.loader(k.client))
			want := map[string]string{}
			for range 12 {
				for range 1 + rng.IntN(3) {
					part := rng.Int32N(2)
					var rows []row
					for range 1 + rng.IntN(8) {
						a := int64(rng.IntN(6))*2 + int64(part) // a key stays in its partition
						r := row{"a": a, "b": "b", "v": rng.Int64N(1000), "_op": []string{"r", "c", "u", "d"}[rng.IntN(4)]}
						id := fmt.Sprintf("%d|b", a)
						want[id] = fmt.Sprintf("%s|%d", id, r["v"])
						if r["_op"] == "d" {
							delete(want, id)
							r["v"] = nil
						}
						rows = append(rows, r)
					}
					k.commit(part, table{name: "shop_public.orders", columns: cols, rows: rows})
				}
				k.wave(w)
				got := k.query("SELECT a, b, v FROM shop_public.orders")
				slices.Sort(got)
				if diff := cmp.Diff(slices.Sorted(maps.Values(want)), got, cmp.Transformer("empty", func(s []string) []string { return append([]string{}, s...) })); diff != "" {
					t.Fatalf("orders (-want +got):\n%s", diff)
				}
			}
			if got := k.query("SELECT column_name FROM svv_columns WHERE table_schema = 'shop_public' ORDER BY ordinal_position"); !slices.Equal(got, []string{"a", "b", "v"}) {
				t.Errorf("columns %v, want the origin's", got)
			}
		})
	}
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
	orders := table{name: "shop_public.orders", columns: orderColumns, rows: []row{{"id": int64(1), "_op": "r"}}}
	state := func(want ...string) {
		t.Helper()
		if got := k.query("SELECT poll, part, started_offset, completed_offset, complete_through FROM millstream.polls"); !slices.Equal(got, want) {
			t.Errorf("polls: %v, want %v", got, want)
		}
	}
	k.commitTo(id, [][]byte{mark("p0", "completed", 2, &first)}) // the table of polls is empty yet
	k.wave(w)
	state("p0|0||2|2026-11-21 06:15:01.102345")
	k.commitTo(id, [][]byte{mark("p1", "started", 3, nil)}, orders)
	k.wave(w)
	state("p1|0|3||")
	k.commitTo(id, [][]byte{mark("p1", "completed", 7, &first)}, orders)
	k.wave(w)
	state("p1|0|3|7|2026-11-21 06:15:01.102345")
	k.commitTo(id, [][]byte{mark("p2", "completed", 9, &second)}) // a quiet table's: no rows, no start
	k.wave(w)
	state("p2|0||9|2026-11-21 06:16:01.5")
	if got := k.query("SELECT target, loads, complete_through FROM millstream.freshness"); !slices.Equal(got, []string{"shop_public.orders|4|2026-11-21 06:16:01.5"}) {
		t.Errorf("freshness: %v", got)
	}
}
