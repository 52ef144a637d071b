package loader

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/warehouse"
	"github.com/millstream-data/millstream/internal/wire"
)

var testColumns = wire.Columns{{Name: "id", Type: wire.String}, {Name: "received_at", Type: wire.Timestamp}}

// chainOf makes a chain of commits of ten offsets; each holds one file of ten
// rows of each of its targets.
func chainOf(t *testing.T, part int32, commits ...[]string) *chain {
	t.Helper()
	ch := &chain{id: warehouse.Chain{Topic: "t", Part: part}, started: true}
	for i, targets := range commits {
		c := lake.Commit{Topic: "t", Partition: part, First: int64(i * 10), Next: int64(i*10 + 10), Schemas: map[string]lake.CommitSchema{}, CreatedAt: lake.Time{Time: time.Unix(int64(i), 0)}}
		for _, target := range targets {
			c.Schemas["s"] = lake.CommitSchema{Table: target, Fingerprint: testColumns.Fingerprint(), Columns: testColumns}
			c.Files = append(c.Files, lake.File{Key: fmt.Sprintf("%s-%d-%d", target, part, i), Table: target, Schema: "s", Rows: 10, Bytes: 1000, First: c.First, Next: c.Next})
		}
		e, err := newEntry(ch.id, c)
		if err != nil {
			t.Fatal(err)
		}
		ch.commits, ch.next = append(ch.commits, e), c.Next
	}
	return ch
}

func TestDueIsWhatPositionsDoNotCover(t *testing.T) {
	t.Parallel()
	a, b := []string{"app.a"}, []string{"app.a", "app.b"}
	ch := chainOf(t, 0, a, b, nil, a)
	led := newLedger([]warehouse.Position{{Target: "app.a", Chain: ch.id, Next: 10}}, nil)
	loads := gather([]*chain{ch}, led, DefaultConfig().Wave, "")
	if got, want := loads["app.a"].spans[ch.id], (&span{from: 10, first: 10, next: 40, commits: 2}); *got != *want {
		t.Errorf("app.a: %+v, want %+v", got, want)
	}
	if got, want := loads["app.b"].spans[ch.id], (&span{from: -1, first: 10, next: 20, commits: 1}); *got != *want {
		t.Errorf("app.b: %+v, want %+v", got, want)
	}
}

func TestFullLoadIsARunWithoutGaps(t *testing.T) {
	t.Parallel()
	a := []string{"app.a"}
	ch := chainOf(t, 0, a, a, a, a)
	ch.commits[2].parts["app.a"].files[0].Bytes = 1 // would fit where the one before did not
	ld := gather([]*chain{ch}, newLedger(nil, nil), WaveConfig{Bytes: 1500, Files: 100}, "")["app.a"]
	if got, want := *ld.spans[ch.id], (span{from: -1, first: 0, next: 10, commits: 1}); got != want {
		t.Errorf("span: %+v, want %+v", got, want)
	}
	if ld.remain[ch.id] != 10 {
		t.Errorf("the rest begins at %d, want 10", ld.remain[ch.id])
	}
}

func TestLowWaterPassesHeldTargetsOnly(t *testing.T) {
	t.Parallel()
	ch := chainOf(t, 0, []string{"app.a"}, []string{"app.b"}, []string{"app.a"})
	led := newLedger([]warehouse.Position{{Target: "app.a", Chain: ch.id, Next: 10}}, nil)
	if low, held := lowWater(ch, led); low != 10 || held != nil {
		t.Errorf("low water %d, held %v; want 10 and none", low, held)
	}
	led = newLedger([]warehouse.Position{{Target: "app.a", Chain: ch.id, Next: 30}},
		[]warehouse.Held{{Target: "app.b", Chain: warehouse.Chain{Topic: "other"}, FileKey: warehouse.WholeTarget, Attempts: 2}})
	low, held := lowWater(ch, led)
	if low != 30 {
		t.Errorf("low water %d, want 30", low)
	}
	want := []warehouse.Held{{Target: "app.b", Chain: ch.id, First: 10, FileKey: warehouse.WholeTarget, Reason: "behind", Attempts: 2}}
	if diff := cmp.Diff(want, held); diff != "" {
		t.Errorf("held (-want +got):\n%s", diff)
	}
}

func TestGroupsKeepToTheirBounds(t *testing.T) {
	t.Parallel()
	cfg := GroupConfig{Targets: 3, Rows: 100, Bytes: config.Bytes(1000)}
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		loads := map[string]*load{}
		for i := range rng.IntN(20) {
			n := warehouse.Name{Schema: fmt.Sprintf("s%d", rng.IntN(3)), Table: []string{"tracks", fmt.Sprintf("t%d", i)}[rng.IntN(2)]}
			loads[n.String()] = &load{name: n, rows: rng.Int64N(120), bytes: rng.Int64N(1200)}
		}
		got := groups(loads, cfg, func(*load) bool { return false })
		total := 0
		for _, g := range got {
			var rows, bytes int64
			for i, ld := range g {
				rows, bytes = rows+ld.rows, bytes+ld.bytes
				if ld.name.Schema != g[0].name.Schema || i > 0 && ld.name.Table == "tracks" {
					t.Fatalf("seed %d: %s stands at %d of a group of %s", seed, ld.target(), i, g[0].name.Schema)
				}
			}
			if total += len(g); len(g) > cfg.Targets || len(g) > 1 && (rows > cfg.Rows || bytes > int64(cfg.Bytes)) {
				t.Fatalf("seed %d: group of %d targets, %d rows, %d bytes", seed, len(g), rows, bytes)
			}
		}
		if total != len(loads) {
			t.Fatalf("seed %d: %d of %d loads are in groups", seed, total, len(loads))
		}
	}
}

func TestHeldWorkWaitsLongerEachTime(t *testing.T) {
	t.Parallel()
	r := RetryConfig{HoldMin: 5 * time.Minute, HoldMax: time.Hour}
	var due []time.Duration
	for attempts := range 8 {
		age := time.Duration(0)
		for !retryDue(attempts, age, r) {
			age += time.Minute
		}
		due = append(due, age)
	}
	want := []time.Duration{0, 5, 15, 35, 75, 135, 195, 255}
	for i := range want {
		want[i] *= time.Minute
	}
	if !slices.Equal(due, want) {
		t.Errorf("tried at %v, want %v", due, want)
	}
}

func TestSchemasOfALoadAreInOrderOfVersion(t *testing.T) {
	t.Parallel()
	var ld load
	for _, v := range []int{3, 1, 2, 1} {
		ld.files = append(ld.files, dueFile{schema: lake.CommitSchema{Version: v, Fingerprint: fmt.Sprint("f", v), Columns: testColumns[:min(v, 2)]}})
	}
	var got []int
	for _, files := range ld.bySchema() {
		got = append(got, files[0].schema.Version*10+len(files))
	}
	if want := []int{12, 21, 31}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestRetypedColumnIsTheTargetsFault(t *testing.T) {
	t.Parallel()
	n := warehouse.Name{Schema: "app", Table: "a"}
	cols := []warehouse.Column{{Name: "total", Lake: wire.Float64}}
	if _, err := fit(n, cols, warehouse.Existing{"total": {Kind: warehouse.BigInt}}, tableInfo{}, warehouse.Layout{}); err == nil {
		t.Error("floats went into a BIGINT")
	}
	sh, err := fit(n, []warehouse.Column{{Name: "note", Lake: wire.String, Longest: 100}}, warehouse.Existing{"note": {Kind: warehouse.Varchar, Width: 64}}, tableInfo{}, warehouse.Layout{})
	if err != nil || len(sh.widens) != 1 || sh.widens[0].Type.Width != 256 {
		t.Errorf("widens %+v, %v", sh.widens, err)
	}
}

func TestSmallTargetsWaitWhileWavesAreSlow(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	var d time.Duration
	for i, step := range []struct{ took, want time.Duration }{
		{time.Second, 0},
		{16 * time.Second, 30 * time.Second},
		{10 * time.Second, 30 * time.Second},
		{time.Minute, time.Minute},
		{time.Hour, 2 * time.Minute},
		{time.Hour, 4 * time.Minute},
		{time.Hour, 8 * time.Minute},
		{time.Hour, 10 * time.Minute},
		{time.Second, 5 * time.Minute},
		{time.Second, 150 * time.Second},
		{time.Second, 75 * time.Second},
		{time.Second, 37500 * time.Millisecond},
		{time.Second, 18750 * time.Millisecond},
		{time.Second, 0},
	} {
		if d = (pace{step.took, cfg.Connections + 1}).deferral(d, cfg); d != step.want {
			t.Errorf("step %d: small loads wait %s after a wave of %s, want %s", i, d, step.took, step.want)
		}
	}
	for _, was := range []time.Duration{0, time.Minute} {
		if d := (pace{time.Hour, cfg.Connections}).deferral(was, cfg); d != was {
			t.Errorf("small loads that waited %s wait %s after a slow wave in which each group had its own session", was, d)
		}
	}
	w := &waves{deferral: time.Minute}
	for _, c := range []struct {
		table string
		rows  int64
		age   time.Duration
		want  bool
	}{{"a", 10, 30 * time.Second, true}, {"a", 10, 61 * time.Second, false}, {"a", smallRows, 0, false}, {"tracks", 10, 0, false}} {
		if got := w.deferSmall(&load{name: warehouse.Name{Schema: "app", Table: c.table}, rows: c.rows, created: time.Now().Add(-c.age)}); got != c.want {
			t.Errorf("%+v waits: %v", c, got)
		}
	}
}

func TestFreshnessOfTargets(t *testing.T) {
	t.Parallel()
	var f freshness
	at := time.Date(2026, 11, 21, 6, 0, 0, 0, time.UTC)
	for i := range freshTargets + 2 {
		f.through(fmt.Sprintf("app.t%d", i), at)
	}
	waiting := func(newest time.Duration) *load {
		return &load{rows: 3, files: []dueFile{{File: lake.File{MinReceivedAt: lake.Time{Time: at.Add(newest / 2)}, MaxReceivedAt: lake.Time{Time: at.Add(newest)}}}}}
	}
	got := f.report(map[string]*load{"app.t0": waiting(time.Minute), "app.t200": waiting(time.Hour), "app.new": waiting(10 * time.Second)})
	if len(got) != freshTargets+1 || got["app.t0"] != (due{3, time.Minute}) || got["app.t1"] != (due{}) || got[otherTargets] != (due{6, time.Hour}) {
		t.Errorf("%d labels: t0 %v, t1 %v, other %v", len(got), got["app.t0"], got["app.t1"], got[otherTargets])
	}
}
