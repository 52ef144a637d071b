// Package metrictest is the contract of metric.Store as tests. Both drivers
// pass it; a new one starts here.
package metrictest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/millstream-data/millstream/internal/metric"
)

// Open makes an empty database and returns a function that opens a store on
// it, as another process would, and closes it with the test.
type Open func(t *testing.T) func() metric.Store

// Run holds a driver to every sentence of metric.Store's comments.
func Run(t *testing.T, open Open) {
	t.Helper()
	for name, f := range map[string]func(*testing.T, func() metric.Store){
		"first claim begins where it is told, later ones where the last commit ended": claimPositions,
		"a later claim shuts the earlier owner out":                                   laterClaim,
		"of racing claims one can commit":                                             racingClaims,
		"a commit from another position is refused":                                   wrongExpected,
		"a flush is applied whole or not at all":                                      wholeOrNot,
		"reclaim tells a commit that landed":                                          reclaimLanded,
		"reclaim tells a commit that was lost":                                        reclaimLost,
		"reclaim of a lost claim is refused":                                          reclaimFenced,
		"reclaim waits for a commit in flight":                                        reclaimInFlight,
		"another topic id is another log":                                             recreated,
		"starts are kept":                                                             starts,
		"load gives rows of keys that exist":                                          load,
		"scan gives ranges in order and stops when told":                              scanOrder,
		"scan is one instant with its positions":                                      scanInstant,
		"unpublished rows are those at or above the published position":               unpublished,
		"a registered set is in force once":                                           registerOnce,
		"a changed meaning is a new version":                                          registerChange,
		"an old set is refused":                                                       registerOld,
		"racing registrations follow one another":                                     registerRace,
		"terms cannot change":                                                         agree,
		"many cells and large states":                                                 large,
		"close may be called twice":                                                   closeTwice,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, open(t))
		})
	}
}

func part(n int32) metric.Partition {
	return metric.Partition{Topic: "millstream.events", TopicID: "one", Part: n}
}

func claim(t *testing.T, s metric.Store, n int32) metric.Claim {
	t.Helper()
	c, err := s.Claim(t.Context(), part(n), "owner", metric.Position{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func row(c metric.Claim, zone string, bucket, n int64, vals ...string) metric.Row {
	r := metric.Row{Key: metric.Key{Metric: 1, Ver: 1, Zone: zone, Bucket: bucket, Src: c.Src, Rev: 1}, Vals: vals, N: n, State: []byte{byte(n)}, LastOff: n}
	if len(vals) > 0 {
		r.Dim = metric.DimHash(metric.AppendTuple(nil, vals...))
	}
	return r
}

func flush(next int64, rows ...metric.Row) metric.Flush {
	return metric.Flush{Position: metric.Position{Next: next, ClockMS: next * 10, DedupFloor: next / 2, FloorClockMS: next, WatermarkMS: next * 11, Published: next / 3}, Rows: rows}
}

func commit(t *testing.T, s metric.Store, c metric.Claim, f metric.Flush) metric.Claim {
	t.Helper()
	if err := s.Commit(t.Context(), c, f); err != nil {
		t.Fatal(err)
	}
	c.Position = f.Position
	return c
}

func everything() []metric.Range {
	v := metric.VersionID{Metric: 1, Ver: 1}
	return []metric.Range{
		{VersionID: v, Zone: "", From: -1e9, To: 1e9},
		{VersionID: v, Zone: "UTC", From: -1e9, To: 1e9},
		{VersionID: v, Zone: "Europe/Berlin", From: -1e9, To: 1e9},
	}
}

func scan(t *testing.T, s metric.Store, rs ...metric.Range) (rows []metric.Row, snap metric.Snapshot) {
	t.Helper()
	snap, err := s.Scan(t.Context(), rs, func(r metric.Row) bool { rows = append(rows, r); return true })
	if err != nil {
		t.Fatal(err)
	}
	return rows, snap
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
}

func claimPositions(t *testing.T, again func() metric.Store) {
	s := again()
	first := metric.Position{Next: 7, DedupFloor: 5, ClockMS: 3, FloorClockMS: 2, WatermarkMS: 1, Published: 7}
	c, err := s.Claim(t.Context(), part(0), "a", first)
	if err != nil {
		t.Fatal(err)
	}
	if c.Position != first || c.Src == 0 {
		t.Fatalf("first claim is %+v", c)
	}
	f := flush(20)
	commit(t, s, c, f)
	c, err = again().Claim(t.Context(), part(0), "b", first)
	if err != nil {
		t.Fatal(err)
	}
	if c.Position != f.Position {
		t.Fatalf("claim begins at %+v, want %+v", c.Position, f.Position)
	}
	if other := claim(t, s, 1); other.Src == c.Src || other.Next != 0 {
		t.Fatalf("another partition's claim is %+v", other)
	}
}

func laterClaim(t *testing.T, again func() metric.Store) {
	s := again()
	old := claim(t, s, 0)
	newer := claim(t, again(), 0)
	wantErr(t, s.Commit(t.Context(), old, flush(5, row(old, "UTC", 1, 5))), metric.ErrFenced)
	if rows, snap := scan(t, s, everything()...); len(rows) > 0 || snap.Positions[0].Next != 0 {
		t.Fatalf("a fenced commit wrote %v at %v", rows, snap.Positions)
	}
	commit(t, s, newer, flush(5, row(newer, "UTC", 1, 5)))
}

func racingClaims(t *testing.T, again func() metric.Store) {
	const n = 8
	stores := []metric.Store{again(), again()}
	claims := make([]metric.Claim, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			c, err := stores[i%2].Claim(t.Context(), part(0), fmt.Sprint(i), metric.Position{})
			if err != nil {
				t.Error(err)
			}
			claims[i] = c
		})
	}
	wg.Wait()
	won := 0
	fences := map[int64]bool{}
	for i, c := range claims {
		fences[c.Fence] = true
		if err := stores[i%2].Commit(t.Context(), c, flush(1)); err != nil {
			wantErr(t, err, metric.ErrFenced)
			continue
		}
		won++
	}
	if won != 1 || len(fences) != n {
		t.Fatalf("%d of the racing claims could commit, %d fences", won, len(fences))
	}
}

func wrongExpected(t *testing.T, again func() metric.Store) {
	s := again()
	c := claim(t, s, 0)
	commit(t, s, c, flush(10, row(c, "UTC", 1, 1)))
	wantErr(t, s.Commit(t.Context(), c, flush(10, row(c, "UTC", 1, 2))), metric.ErrFenced) // c.Next is still 0
	if rows, _ := scan(t, s, everything()...); len(rows) != 1 || rows[0].N != 1 {
		t.Fatalf("a flush was applied twice: %v", rows)
	}
}

func wholeOrNot(t *testing.T, again func() metric.Store) {
	s := again()
	c := claim(t, s, 0)
	bad := row(c, "UTC", 3, 3)
	bad.State = nil // a row that no store takes, after others that it takes
	f := flush(10, row(c, "", 1, 1, "a"), row(c, "UTC", 2, 2), bad)
	f.Starts = map[metric.VersionID]int64{{Metric: 1, Ver: 1}: 0}
	if err := s.Commit(t.Context(), c, f); err == nil {
		t.Fatal("a row without a state was taken")
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Commit(gone, c, flush(10, row(c, "UTC", 1, 1))); err == nil {
		t.Fatal("a commit with an ended context succeeded")
	}
	rows, snap := scan(t, s, everything()...)
	if len(rows) > 0 || snap.Positions[0].Next != 0 || len(snap.Starts[c.Src]) > 0 {
		t.Fatalf("half a flush: %v, %v, %v", rows, snap.Positions, snap.Starts)
	}
	c, err := s.Reclaim(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	commit(t, s, c, flush(10, row(c, "", 1, 1, "a"), row(c, "UTC", 2, 2)))
}

func reclaimLanded(t *testing.T, again func() metric.Store) {
	s := again()
	c := claim(t, s, 0)
	f := flush(10)
	commit(t, s, c, f)
	got, err := s.Reclaim(t.Context(), c) // as if the answer had been lost
	if err != nil {
		t.Fatal(err)
	}
	if got.Position != f.Position || got.Fence <= c.Fence || got.Src != c.Src {
		t.Fatalf("reclaimed %+v", got)
	}
	commit(t, s, got, flush(11))
}

func reclaimLost(t *testing.T, again func() metric.Store) {
	s := again()
	c := claim(t, s, 0)
	got, err := s.Reclaim(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if got.Next != 0 {
		t.Fatalf("reclaimed %+v", got)
	}
	wantErr(t, s.Commit(t.Context(), c, flush(5)), metric.ErrFenced) // the statement that was still on its way
	commit(t, s, got, flush(5))
}

func reclaimFenced(t *testing.T, again func() metric.Store) {
	s := again()
	c := claim(t, s, 0)
	claim(t, again(), 0)
	_, err := s.Reclaim(t.Context(), c)
	wantErr(t, err, metric.ErrFenced)
}

// reclaimInFlight lets a commit and the question about it race: the answer must
// agree with what the commit then says and with what is in the store.
func reclaimInFlight(t *testing.T, again func() metric.Store) {
	s, asker := again(), again()
	c := claim(t, s, 0)
	for round := range int64(20) {
		f := flush(c.Next + 1)
		for i := range 50 * (round % 5) {
			f.Rows = append(f.Rows, row(c, "UTC", i, f.Position.Next))
		}
		f.Rows = append(f.Rows, row(c, "", 1, f.Position.Next))
		result := make(chan error, 1)
		go func() { result <- s.Commit(t.Context(), c, f) }() // received below
		if round%2 == 1 {
			time.Sleep(time.Duration(round) * 100 * time.Microsecond) //nolint:forbidigo // the race is the test; any outcome must hold
		}
		got, err := asker.Reclaim(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		landed := <-result
		if (got.Next == f.Position.Next) != (landed == nil) || landed != nil && !errors.Is(landed, metric.ErrFenced) {
			t.Fatalf("reclaim says %d, the commit to %d says %v", got.Next, f.Position.Next, landed)
		}
		rows, _ := scan(t, s, everything()[0])
		if has := len(rows) == 1 && rows[0].N == f.Position.Next; has != (landed == nil) {
			t.Fatalf("the commit said %v, the store has %v", landed, rows)
		}
		c = got
	}
}

func recreated(t *testing.T, again func() metric.Store) {
	s := again()
	claim(t, s, 0)
	p := part(0)
	p.TopicID = "two"
	_, err := s.Claim(t.Context(), p, "owner", metric.Position{})
	wantErr(t, err, metric.ErrRecreated)
}

func starts(t *testing.T, again func() metric.Store) {
	s := again()
	c := claim(t, s, 0)
	if len(c.Starts) > 0 {
		t.Fatalf("a first claim has starts %v", c.Starts)
	}
	a, b := metric.VersionID{Metric: 1, Ver: 1}, metric.VersionID{Metric: 2, Ver: 3}
	f := flush(4)
	f.Starts = map[metric.VersionID]int64{a: 0}
	c = commit(t, s, c, f)
	f = flush(9)
	f.Starts = map[metric.VersionID]int64{a: 4, b: 9}
	commit(t, s, c, f)
	want := map[metric.VersionID]int64{a: 0, b: 9}
	if diff := cmp.Diff(want, claim(t, s, 0).Starts); diff != "" {
		t.Fatal(diff)
	}
	if _, snap := scan(t, s); cmp.Diff(want, snap.Starts[c.Src]) != "" {
		t.Fatal(snap.Starts)
	}
}

func load(t *testing.T, again func() metric.Store) {
	s := again()
	c := claim(t, s, 0)
	a, b := row(c, "", 1, 1, "x", `y"\u0000`), row(c, "Europe/Berlin", 2, 2)
	commit(t, s, c, flush(3, a, b))
	absentKey, unknown := b.Key, b.Key
	absentKey.Bucket, unknown.Zone = 3, "Asia/Tokyo"
	got, err := again().Load(t.Context(), []metric.Key{a.Key, absentKey, unknown, b.Key})
	if err != nil {
		t.Fatal(err)
	}
	a.Vals, b.Vals = nil, nil
	if diff := cmp.Diff(map[metric.Key]metric.Row{a.Key: a, b.Key: b}, got); diff != "" {
		t.Fatal(diff)
	}
	if got, err := s.Load(t.Context(), nil); err != nil || len(got) != 0 {
		t.Fatalf("loading nothing gives %v, %v", got, err)
	}
}

func scanOrder(t *testing.T, again func() metric.Store) {
	s := again()
	c := claim(t, s, 0)
	rows := []metric.Row{row(c, "", 5, 1), row(c, "", 6, 2), row(c, "UTC", 1, 3), row(c, "UTC", 2, 4, "b"), row(c, "UTC", 2, 5), row(c, "UTC", 3, 6)}
	f := flush(7, rows...)
	slices.Reverse(f.Rows)
	commit(t, s, c, f)
	v := metric.VersionID{Metric: 1, Ver: 1}
	got, snap := scan(t, s, metric.Range{VersionID: v, Zone: "UTC", From: 1, To: 3}, metric.Range{VersionID: v, Zone: "", From: 6, To: 7},
		metric.Range{VersionID: v, Zone: "Asia/Tokyo", From: 0, To: 9}, metric.Range{VersionID: metric.VersionID{Metric: 1, Ver: 2}, Zone: "UTC", From: 0, To: 9})
	if len(got) != 4 || got[0].N != 3 || got[3].N != 2 {
		t.Fatalf("scan gave %v", got)
	}
	if got[1].Bucket != 2 || got[2].Bucket != 2 {
		t.Fatalf("scan is not in order: %v", got)
	}
	for _, r := range got {
		if want := r.Dim != 0; want != (len(r.Vals) == 1 && r.Vals[0] == "b") {
			t.Fatalf("values of %v", r)
		}
	}
	if since := time.Since(snap.At); since > time.Hour || since < -time.Hour || len(snap.Positions) != 1 || snap.Positions[0].Position != f.Position {
		t.Fatalf("snapshot is %+v", snap)
	}
	n := 0
	if _, err := s.Scan(t.Context(), everything(), func(metric.Row) bool { n++; return n < 2 }); err != nil || n != 2 {
		t.Fatalf("scan went on to row %d, %v", n, err)
	}
}

// scanInstant lets a writer keep n of three cells equal to the position.
func scanInstant(t *testing.T, again func() metric.Store) {
	s := again()
	c := claim(t, s, 0)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := int64(1); ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			f := flush(n, row(c, "", 1, n), row(c, "UTC", 1, n), row(c, "UTC", 2, n, "a"))
			if err := s.Commit(t.Context(), c, f); err != nil {
				t.Error(err)
				return
			}
			c.Position = f.Position
		}
	})
	reader := again()
	for range 50 {
		rows, snap := scan(t, reader, everything()...)
		for _, r := range rows {
			if r.N != snap.Positions[0].Next {
				t.Errorf("a torn read: cell %v at position %d", r, snap.Positions[0].Next)
			}
		}
	}
	close(stop)
	wg.Wait()
}

func unpublished(t *testing.T, again func() metric.Store) {
	s := again()
	c, other := claim(t, s, 0), claim(t, s, 1)
	f := flush(30, row(c, "", 1, 9), row(c, "UTC", 1, 10, "a"), row(c, "UTC", 2, 11))
	commit(t, s, c, f) // published is 10
	commit(t, s, other, flush(30, row(other, "UTC", 5, 20)))
	c = claim(t, s, 0)
	var got []int64
	if err := s.Unpublished(t.Context(), c, func(r metric.Row) bool {
		got = append(got, r.LastOff)
		if (r.Dim != 0) != (len(r.Vals) == 1) {
			t.Errorf("values of %v", r)
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	if diff := cmp.Diff([]int64{10, 11}, got); diff != "" {
		t.Fatal(diff)
	}
}

func set(t *testing.T, yaml string) *metric.Set {
	t.Helper()
	out, err := metric.Parse([]metric.File{{Name: "m.yaml", Data: "version: 1\nmetrics:\n" + yaml}})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func registerOnce(t *testing.T, again func() metric.Store) {
	s := again()
	if reg, err := s.Current(t.Context()); err != nil || reg.No != 0 || reg.Set != nil {
		t.Fatalf("an empty store has %v, %v", reg, err)
	}
	for range 2 {
		reg, err := s.Register(t.Context(), set(t, "  a: {count: x}\n  b: {count: y}\n  c: {ratio: [a, b]}\n"))
		if err != nil {
			t.Fatal(err)
		}
		cur, err := again().Current(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range []metric.Registered{reg, cur} {
			if len(r.Versions) != 3 || r.No != 1 || r.Versions[1].Name != "b" || r.Versions[1].Ver != 1 || r.Versions[1].Def.Kind != metric.Count {
				t.Fatalf("in force is %+v", r)
			}
		}
	}
}

func registerChange(t *testing.T, again func() metric.Store) {
	s := again()
	if _, err := s.Register(t.Context(), set(t, "  a: {count: x}\n  b: {count: y}\n")); err != nil {
		t.Fatal(err)
	}
	reg, err := s.Register(t.Context(), set(t, "  a: {count: x, title: Other words}\n  c: {count: z}\n"))
	if err != nil {
		t.Fatal(err)
	}
	a, _ := reg.Version("a")
	c, ok := reg.Version("c")
	if _, has := reg.Version("b"); has || !ok || a.Ver != 1 || a.Def.Title != "Other words" || c.VersionID == a.VersionID || reg.No != 2 {
		t.Fatalf("in force is %+v", reg)
	}
	reg, err = s.Register(t.Context(), set(t, "  a: {count: other}\n  b: {count: y}\n"))
	if err != nil {
		t.Fatal(err)
	}
	newA, _ := reg.Version("a")
	b, _ := reg.Version("b")
	if newA.Metric != a.Metric || newA.Ver != 2 || b.Ver != 2 {
		t.Fatalf("versions are %+v and %+v", newA, b)
	}
}

func registerOld(t *testing.T, again func() metric.Store) {
	s := again()
	old, newer := set(t, "  a: {count: x}\n"), set(t, "  a: {count: y}\n")
	for _, x := range []*metric.Set{old, newer} {
		if _, err := s.Register(t.Context(), x); err != nil {
			t.Fatal(err)
		}
	}
	reg, err := s.Register(t.Context(), old)
	wantErr(t, err, metric.ErrOldSet)
	if reg.No != 2 || reg.Set.Hash != newer.Hash {
		t.Fatalf("in force is %+v", reg)
	}
}

func registerRace(t *testing.T, again func() metric.Store) {
	stores := []metric.Store{again(), again()}
	same := set(t, "  a: {count: x}\n  b: {count: y}\n")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if _, err := stores[i%2].Register(t.Context(), same); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	reg, err := stores[0].Current(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if a, ok := reg.Version("a"); reg.No != 1 || !ok || a.Ver != 1 {
		t.Fatalf("in force is %+v", reg)
	}
}

func agree(t *testing.T, again func() metric.Store) {
	s := again()
	terms := metric.Terms{Window: time.Hour, MaxRecords: 10}
	for range 2 {
		if err := s.Agree(t.Context(), terms); err != nil {
			t.Fatal(err)
		}
	}
	terms.MaxRecords = 11
	wantErr(t, again().Agree(t.Context(), terms), metric.ErrTerms)
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func large(t *testing.T, again func() metric.Store) {
	s := again()
	c := claim(t, s, 0)
	n := int64(20_000)
	if testing.Short() {
		n = 2_000
	}
	f := flush(n)
	for i := range n {
		f.Rows = append(f.Rows, row(c, "UTC", i%50, i, fmt.Sprint("value ", i)))
	}
	big := row(c, "", 1, 1)
	big.State = make([]byte, 1<<20)
	big.State[1<<19] = 7
	f.Rows = append(f.Rows, big)
	commit(t, s, c, f)
	rows, _ := scan(t, s, everything()...)
	if int64(len(rows)) != n+1 {
		t.Fatalf("%d rows came back of %d", len(rows), n+1)
	}
	if rows[0].State[1<<19] != 7 || len(rows[0].State) != 1<<20 {
		t.Fatal("the large state came back otherwise")
	}
}

func closeTwice(t *testing.T, again func() metric.Store) {
	s := again()
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Ping(t.Context()); err == nil {
		t.Fatal("a closed store answers")
	}
}
