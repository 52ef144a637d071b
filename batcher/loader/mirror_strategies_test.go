//go:build cgo

package loader

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/wire"
)

func TestBoundedKeepsFreshRows(t *testing.T) {
	t.Parallel()
	k := setup(t)
	o := k.origin(2)
	w := k.tenure(k.loader(k.client))
	load := func() { o.flush(); k.wave(w) }
	for key := range int64(10) {
		o.put(key, key*10)
	}
	load()
	o.remove(1) // outside of the range: a bounded poll cannot tell
	o.remove(5)
	o.remove(8)
	r := o.begin(event.PollBounded, func(v int64) bool { return v >= 30 && v < 90 })
	r.poll.Range = &event.PollRange{Column: "v", Lo: "30", Hi: "90"}
	r.read(2)
	load()
	o.put(20, 35) // fresh, within the range, by another strategy
	o.put(0, 40)  // moves into the range
	o.tell("d", 6, "other")
	o.remove(6)
	load()
	o.put(6, 60) // and comes back
	r.end()
	o.put(21, 36) // behind the end
	load()
	want := maps.Clone(o.rows)
	want[1] = 10
	o.has("after the poll", want)
	o.state("bounded|done")
	o.tidy()
	if got := k.one("SELECT rows_deleted FROM millstream.loads WHERE rows_deleted > 0 AND rows_staged = 0"); got != "2" {
		t.Errorf("%s rows were deleted, want 2", got)
	}
}

// A swap waits for whoever reads the old table, and is tried again after the
// next wave; loads go on meanwhile.
func TestSwapWaitsForReaders(t *testing.T) {
	t.Parallel()
	k := setup(t)
	o := k.origin(1)
	l := k.loader(k.client)
	l.swapTimeout, l.swapPause = 200*time.Millisecond, 0
	w := k.tenure(l)
	o.put(1, 1)
	o.put(2, 2)
	o.flush()
	k.wave(w)
	reader, err := k.open().Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	for _, s := range []string{"BEGIN", "SELECT COUNT(*) FROM shop_public.stock"} {
		if _, err := reader.Exec(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	o.remove(1)
	o.begin(event.PollFull, all).end()
	o.flush()
	k.wave(w)
	o.state("full|due")
	o.put(3, 3)
	o.flush()
	k.wave(w)
	o.has("while somebody reads", map[int64]int64{1: 1, 2: 2, 3: 3})
	if _, err := reader.Exec(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	k.wave(w)
	o.same("once nobody reads")
	o.state("full|done")
	if got := k.one("SELECT complete_through, deletes_through FROM millstream.freshness"); got != "2026-11-21 06:00:02|2026-11-21 06:00:02" {
		t.Errorf("complete through %s", got)
	}
	o.tidy()
	if got := value(t, l.metrics.swaps.WithLabelValues(swapReaders)); got != 2 {
		t.Errorf("put off %v times, want 2", got)
	}
	if got := value(t, l.metrics.swaps.WithLabelValues(swapCommitted)); got != 1 {
		t.Errorf("%v swaps, want 1", got)
	}
}

func TestFullIntoAnEmptyMirrorNeedsNoSwap(t *testing.T) {
	t.Parallel()
	k := setup(t)
	o := k.origin(2)
	l := k.loader(k.client)
	w := k.tenure(l)
	for key := range int64(5) {
		o.rows[key] = key
	}
	r := o.begin(event.PollFull, all).read(3)
	o.flush()
	k.wave(w)
	if got := k.one("SELECT COUNT(*) FROM shop_public.stock"); got != "3" {
		t.Errorf("%s rows show before the end, want 3", got)
	}
	r.end()
	o.flush()
	k.wave(w)
	o.same("at the end")
	o.state("full|done")
	o.tidy()
	if got := k.query("SELECT kind FROM millstream.loads WHERE kind = 'swap'"); len(got) > 0 {
		t.Error("there was a swap")
	}
	clear(o.rows) // and an empty table is a poll of no rows
	o.begin(event.PollFull, all).end()
	o.flush()
	k.wave(w)
	o.same("emptied")
	o.state("full|done")
	o.tidy()
}

// Whoever could read the old table can read the new one, and a table that
// somebody named like one of ours stays.
func TestSwapKeepsGrantsAndOthersTables(t *testing.T) {
	t.Parallel()
	k := setup(t)
	o := k.origin(1)
	w := k.tenure(k.loader(k.client))
	o.put(1, 1)
	o.flush()
	k.wave(w)
	for _, s := range []string{
		"GRANT SELECT ON shop_public.stock TO GROUP analysts", "GRANT SELECT, INSERT ON shop_public.stock TO PUBLIC",
		"CREATE TABLE shop_public.stock__old AS SELECT * FROM shop_public.stock", "CREATE TABLE shop_public.stock__refresh AS SELECT * FROM shop_public.stock",
	} {
		k.exec(s)
	}
	grants := "SELECT identity_type, identity_name, privilege_type FROM svv_relation_privileges WHERE relation_name = 'stock' AND identity_name <> current_user ORDER BY 1, 2, 3"
	want := k.query(grants)
	o.put(2, 2)
	o.begin(event.PollFull, all).end()
	o.flush()
	k.wave(w)
	o.same("after the swap")
	o.state("full|done")
	if got := k.query(grants); !slices.Equal(got, want) || len(want) != 3 {
		t.Errorf("grants: %v, want %v", got, want)
	}
	if got := k.one("SELECT (SELECT COUNT(*) FROM shop_public.stock__old) + (SELECT COUNT(*) FROM shop_public.stock__refresh)"); got != "2" {
		t.Errorf("somebody's tables have %s rows, want 2", got)
	}
}

// Counts that differ say that a row is missing: the old table stays, and the
// next refresh may do better.
func TestRefreshWithOtherCountsIsLeftOut(t *testing.T) {
	t.Parallel()
	k := setup(t)
	o := k.origin(1)
	l := k.loader(k.client)
	w := k.tenure(l)
	o.put(1, 1)
	o.put(2, 2)
	o.flush()
	k.wave(w)
	o.remove(1)
	r := o.begin(event.PollFull, all)
	r.poll.Rows = 5 // of which some were rejected
	r.end()
	o.flush()
	k.wave(w)
	o.has("with other counts", map[int64]int64{1: 1, 2: 2})
	o.state("full|counts")
	o.tidy()
	if got := k.query("SELECT rows, counted, deletes_through IS NULL FROM millstream.polls"); !slices.Equal(got, []string{"6|1|f"}) {
		t.Errorf("polls: %v", got)
	}
	if got := k.one("SELECT complete_through IS NULL AND deletes_through IS NULL FROM millstream.freshness"); got != "t" {
		t.Error("a poll that was left out makes the mirror complete")
	}
	if got := value(t, l.metrics.swaps.WithLabelValues(swapCounts)); got != 1 {
		t.Errorf("%v left out, want 1", got)
	}
	o.begin(event.PollFull, all).end()
	o.flush()
	k.wave(w)
	o.same("after the next")
	o.state("full|done")
}

func TestMirrorWithoutKeyIsSwapped(t *testing.T) {
	t.Parallel()
	k := setup(t)
	o := k.origin(1)
	o.target = "shop_public.log"
	k.mirrorSchema(o.target, nil, o.columns)
	w := k.tenure(k.loader(k.client))
	for round := range int64(3) {
		o.rows = map[int64]int64{round: 1, round + 1: 1, round + 2: round}
		r := o.begin(event.PollFull, all).read(1)
		r.tell("r", round, r.poll.Poll) // a second row that looks the same
		r.poll.Rows++
		o.flush()
		k.wave(w)
		r.end()
		o.flush()
		k.wave(w)
		want := []string{fmt.Sprintf("%d|1", round), fmt.Sprintf("%d|1", round), fmt.Sprintf("%d|1", round+1), fmt.Sprintf("%d|%d", round+2, round)}
		if got := k.query("SELECT id, v FROM shop_public.log ORDER BY 1, 2"); !slices.Equal(got, want) {
			t.Fatalf("log: %v, want %v", got, want)
		}
		o.tidy()
	}
}

// A column whose type has changed holds the mirror until a full refresh brings
// a table with the new type.
func TestRetypedMirrorIsHeldUntilItsRefresh(t *testing.T) {
	t.Parallel()
	k := setup(t)
	o := k.origin(1)
	w := k.tenure(k.loader(k.client, impatient))
	o.put(1, 1)
	o.put(2, 2)
	o.flush()
	k.wave(w)
	o.columns = changeColumns(col("id", wire.Int64), col("v", wire.String), col("note", wire.String))
	k.mirrorSchema(o.target, []string{"id"}, o.columns)
	text := func(o *origin) { // values in their new type
		for _, log := range o.logs {
			for _, r := range log {
				if n, ok := r.row["v"].(int64); ok {
					r.row["v"] = fmt.Sprintf("#%d", n)
				}
			}
		}
		o.flush()
	}
	o.put(2, 3)
	text(o)
	k.wave(w)
	if got := k.query("SELECT reason FROM millstream.held"); !slices.Equal(got, []string{"retyped"}) {
		t.Fatalf("held: %v", got)
	}
	o.remove(1)
	r := o.begin(event.PollFull, all)
	o.put(7, 7)
	text(o)
	k.exec("UPDATE millstream.held SET attempts = 0")
	k.wave(w)
	o.put(8, 8)
	r.end()
	text(o)
	k.wave(w)
	if got := k.query("SELECT id, v FROM shop_public.stock ORDER BY 1"); !slices.Equal(got, []string{"2|#3", "7|#7", "8|#8"}) {
		t.Errorf("stock: %v", got)
	}
	o.state("full|done")
	o.tidy()
}

func TestRenamedColumnKeepsItsValues(t *testing.T) {
	t.Parallel()
	k := setup(t)
	o := k.origin(1)
	w := k.tenure(k.loader(k.client))
	o.put(1, 1)
	o.flush()
	k.wave(w)
	o.put(2, 2)
	o.flush() // under the old name still, in the load that renames
	o.columns = changeColumns(col("id", wire.Int64), col("amount", wire.Int64), col("note", wire.String))
	k.mirrorSchemaRenamed(o.target, []string{"id"}, o.columns, map[string]string{"v": "amount"})
	o.rows[3] = 3
	o.tell("r", 3, "fresh")
	o.logs[0][0].row["amount"], o.logs[0][0].row["note"] = int64(3), "n"
	o.flush()
	k.wave(w)
	if got := k.query("SELECT id, amount, note FROM shop_public.stock ORDER BY 1"); !slices.Equal(got, []string{"1|1|", "2|2|", "3|3|n"}) {
		t.Errorf("stock: %v", got)
	}
	if got := k.query("SELECT column_name FROM svv_columns WHERE table_schema = 'shop_public' ORDER BY 1"); !slices.Equal(got, []string{"amount", "id", "note"}) {
		t.Errorf("columns: %v", got)
	}
	o.tidy()
}

func TestBoundViewsPutTheSwapOff(t *testing.T) {
	t.Parallel()
	k := setup(t)
	o := k.origin(1)
	l := k.loader(k.client)
	w := k.tenure(l)
	o.put(1, 1)
	o.put(2, 2)
	o.flush()
	k.wave(w)
	k.exec("CREATE VIEW shop_public.late AS SELECT * FROM shop_public.stock WITH NO SCHEMA BINDING")
	k.exec(`CREATE VIEW shop_public.early AS SELECT id FROM "shop_public"."stock"`)
	o.remove(1)
	o.begin(event.PollFull, all).end()
	o.flush()
	k.wave(w)
	o.has("with a view bound to it", map[int64]int64{1: 1, 2: 2})
	k.wave(w) // it leaves readers alone for a while
	if got := value(t, l.metrics.swaps.WithLabelValues(swapViews)); got != 1 {
		t.Errorf("put off %v times, want 1", got)
	}
	k.exec("DROP VIEW shop_public.early")
	w.putOff["shop_public.stock"].until = time.Now()
	k.wave(w)
	o.same("without it")
	if got := k.query("SELECT id FROM shop_public.late"); !slices.Equal(got, []string{"2"}) {
		t.Errorf("the late-binding view shows %v", got)
	}
}

func TestSequenceViolationsAreCounted(t *testing.T) {
	t.Parallel()
	k := setup(t)
	o := k.origin(1)
	l := k.loader(k.client)
	w := k.tenure(l)
	for _, page := range []int64{7, 7, 8, 5, 6} {
		o.page = page - 1
		o.put(page, page)
	}
	o.flush()
	k.wave(w)
	if got := value(t, l.metrics.sequence); got != 1 {
		t.Errorf("%v violations, want 1", got)
	}
	o.same("in the order of offsets")
}

// TestMirrorStrategiesModel runs incremental, bounded and full polls side by
// side over two partitions that are apart, cut into commits and loads at
// random. After a last refresh the mirror is what the origin is.
func TestMirrorStrategiesModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(seed, 11))
			k := setup(t)
			o := k.origin(2)
			w := k.tenure(k.loader(k.client))
			running := map[event.PollKind]*refresh{}
			for range 150 {
				switch rng.IntN(9) {
				case 0, 1, 2:
					o.put(rng.Int64N(20), rng.Int64N(100))
				case 3:
					o.remove(rng.Int64N(20))
				case 4, 5:
					advanceModel(rng, o, running)
				case 6, 7:
					o.batch(rng.Int64N(2), 1+rng.IntN(12))
				default:
					k.wave(w)
				}
			}
			for _, r := range running {
				r.end()
			}
			o.begin(event.PollFull, all).end()
			o.flush()
			k.wave(w)
			o.same("after the last refresh")
			o.tidy()
			if got := strings.Join(k.query("SELECT DISTINCT state FROM millstream.polls"), " "); got != "done" {
				t.Errorf("states of polls: %s", got)
			}
		})
	}
}

// advanceModel begins, reads or ends a full or a bounded poll, or leaves one for the
// next.
func advanceModel(rng *rand.Rand, o *origin, running map[event.PollKind]*refresh) {
	kind := []event.PollKind{event.PollFull, event.PollBounded}[rng.IntN(2)]
	switch r := running[kind]; {
	case r == nil || rng.IntN(12) == 0:
		lo := rng.Int64N(60)
		in := all
		if kind == event.PollBounded {
			in = func(v int64) bool { return v >= lo && v < lo+40 }
		}
		running[kind] = o.begin(kind, in)
		if kind == event.PollBounded {
			running[kind].poll.Range = &event.PollRange{Column: "v", Lo: fmt.Sprint(lo), Hi: fmt.Sprint(lo + 40)}
		}
	case rng.IntN(3) == 0:
		r.end()
		delete(running, kind)
	default:
		r.read(1 + rng.IntN(5))
	}
}
