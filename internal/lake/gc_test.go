package lake_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/testkit"
)

const week = 168 * time.Hour

// collect runs a gc over l, a while from now.
func collect(t *testing.T, l *lake.Lake, after time.Duration, tweak func(g *lake.GC)) (lake.GCReport, []string) {
	t.Helper()
	g := lake.GC{Lake: l, Keep: week, RespectLoader: true, Now: time.Now().Add(after)}
	tweak(&g)
	var out []string
	r, err := g.Run(t.Context(), func(g lake.Garbage) {
		out = append(out, string(g.Kind)+" "+g.Key[strings.LastIndexByte(g.Key, '/')+1:]+": "+g.Why)
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return r, out
}

func asIs(*lake.GC) {}

// objects returns every key of the lake.
func keys(t *testing.T, l *lake.Lake) (out []string) {
	t.Helper()
	all, err := l.Store.List(t.Context(), "", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range all {
		out = append(out, o.Key)
	}
	return out
}

// told is what the loader says of how far it is.
func told(t *testing.T, l *lake.Lake, text string) {
	t.Helper()
	if err := l.Store.Put(t.Context(), l.Paths.Positions(), []byte(text)); err != nil {
		t.Fatal(err)
	}
}

const past = `{"v":1,"low_water":[{"topic":"millstream.events","part":3,"next":124510}],"held":[]}`

// littered is a lake with a compaction, and one of each kind of what is no garbage or not yet.
func littered(t *testing.T) (*lake.Lake, lake.Compaction) {
	t.Helper()
	l, c, k := compacted(t)
	if err := l.CreateCompaction(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	name := func(from, to string) lake.File {
		f := c.Files[0]
		f.Key = strings.Replace(f.Key, from, to, 1)
		return f
	}
	putFile(t, l, name("123456-124479", "123456-124400"))                            // an orphan
	putFile(t, l, name(".parquet", "-r01jd3x9k.parquet"))                            // one with a rescue key
	putFile(t, l, name("123456-124479", "124500-124511"))                            // beyond the chain
	putFile(t, l, name("events-3-", "events-4-"))                                    // of a chain without commits
	putFile(t, l, name("123456-124479-03578723", "part-0"))                          // somebody else's
	putFile(t, l, name("millstream.events-3-123456-124479", "compact-1-0-00000000")) // the output of a loser
	putFile(t, l, name("hh=06/millstream.events-3-123456-124479", "hh=07/compact-1-0-00000000"))
	return l, k
}

func TestGCFindsWhatNobodyCanNeed(t *testing.T) {
	t.Parallel()
	l, _ := littered(t)
	told(t, l, past)
	before := keys(t, l)
	r, got := collect(t, l, week+time.Minute, asIs)
	want := []string{
		"orphan millstream.events-3-123456-124400-03578723.parquet: no commit names it, and chain millstream.events/3 is at 124510",
		"orphan millstream.events-3-123456-124479-03578723-r01jd3x9k.parquet: no commit names it, and chain millstream.events/3 is at 124510",
		"output compact-1-0-00000000-03578723.parquet: no compaction names it",
		"output compact-1-0-00000000-03578723.parquet: no compaction names it",
		"replaced millstream.events-3-123456-124479-03578723.parquet: generation 1 has replaced it",
		"replaced millstream.events-3-124500-124510-03578723.parquet: generation 1 has replaced it",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if r.Objects[lake.GarbageOrphan] != 2 || r.Bytes[lake.GarbageOrphan] != 2*48211 || r.Unknown != 1 || len(r.Problems) > 0 || len(r.Later) > 0 {
		t.Errorf("report %+v", r)
	}
	if diff := cmp.Diff(before, keys(t, l)); diff != "" {
		t.Errorf("a dry run has changed something:\n%s", diff)
	}
	if _, again := collect(t, l, week+time.Minute, func(g *lake.GC) { g.Delete = true }); len(again) != len(want) {
		t.Errorf("deleted %v", again)
	}
	if left := keys(t, l); len(left) != len(before)-len(want) {
		t.Errorf("%d objects of %d are left", len(left), len(before))
	}
	if _, again := collect(t, l, week+time.Minute, asIs); len(again) > 0 {
		t.Errorf("left to be found: %v", again)
	}
	if v, err := l.VerifyChain(t.Context(), chainID); err != nil || len(v.Problems) > 0 {
		t.Errorf("%v, %v", v.Problems, err)
	}
	if files, err := l.Files(t.Context(), "app.tracks", ""); err != nil || len(files) != 1 {
		t.Errorf("readers take %v, %v", files, err)
	}
}

func TestGCKeepsWhatIsYoung(t *testing.T) {
	t.Parallel()
	l, _ := littered(t)
	told(t, l, past)
	r, got := collect(t, l, week-time.Minute, asIs)
	want := map[lake.GarbageKind]int{lake.GarbageOrphan: 2, lake.GarbageOutput: 2, lake.GarbageReplaced: 2}
	if diff := cmp.Diff(want, r.Later); len(got) > 0 || diff != "" {
		t.Errorf("found %v\n%s", got, diff)
	}
}

func TestGCWaitsForTheLoader(t *testing.T) {
	t.Parallel()
	l, _ := littered(t)
	replaced := func(tweak func(g *lake.GC)) (n int, r lake.GCReport) {
		r, _ = collect(t, l, 2*week, tweak)
		return r.Objects[lake.GarbageReplaced], r
	}
	if n, r := replaced(asIs); n != 0 || r.Later[lake.GarbageReplaced] != 2 {
		t.Errorf("a loader that has not told: %+v", r)
	}
	if n, _ := replaced(func(g *lake.GC) { g.RespectLoader = false }); n != 2 {
		t.Errorf("no loader: %d", n)
	}
	for text, want := range map[string]int{
		past: 2,
		`{"v":1,"low_water":[{"topic":"millstream.events","part":3,"next":124500}]}`:                                                                                    1,
		`{"v":1,"low_water":[{"topic":"millstream.events","part":2,"next":124510}]}`:                                                                                    0,
		`{"v":1,"low_water":[{"topic":"millstream.events","part":3,"next":124510}],"held":[{"target":"app.pages","topic":"millstream.events","part":3,"next":124490}]}`: 1,
		`{"v":1,"low_water":[{"topic":"millstream.events","part":3,"next":124510}],"held":[{"topic":"millstream.events","part":4,"next":0}]}`:                           2,
		`{"v":2}`: 0,
		`{`:       0,
	} {
		told(t, l, text)
		n, r := replaced(asIs)
		if n != want || (len(r.Problems) > 0) != (len(text) < 10) {
			t.Errorf("%s: %d replaced files, want %d; %v", text, n, want, r.Problems)
		}
		if r.Objects[lake.GarbageOrphan] != 2 || r.Objects[lake.GarbageOutput] != 2 {
			t.Errorf("%s: report %+v", text, r)
		}
	}
}

func TestGCLeavesAChainAloneThatDoesNotHold(t *testing.T) {
	t.Parallel()
	for name, disturb := range map[string]func(t *testing.T, l *lake.Lake){
		"a gap": func(t *testing.T, l *lake.Lake) {
			c := emptyCommit()
			c.First, c.Next, c.Holes = 200000, 200003, 1
			put(t, l, c)
		},
		"a beginning that is gone": func(t *testing.T, l *lake.Lake) {
			remove(t, l, l.Paths.Commit(chainID.Topic, chainID.Partition, 123456))
			c := emptyCommit()
			c.First, c.Next = 124510, 124513
			put(t, l, c)
		},
		"bytes that are no commit": func(t *testing.T, l *lake.Lake) {
			if err := l.Store.Put(t.Context(), l.Paths.Commit(chainID.Topic, chainID.Partition, 124510), []byte("{")); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, _ := littered(t)
			told(t, l, past)
			disturb(t, l)
			r, got := collect(t, l, 2*week, asIs)
			if r.Objects[lake.GarbageOrphan]+r.Objects[lake.GarbageReplaced] > 0 || len(r.Problems) != 1 || !strings.HasPrefix(r.Problems[0], "chain millstream.events/3 is left alone: ") {
				t.Errorf("found %v, problems %v", got, r.Problems)
			}
		})
	}
}

func TestGCKeepsWhatACompactionHasNotReplacedWhole(t *testing.T) {
	t.Parallel()
	l, k := littered(t)
	told(t, l, past)
	remove(t, l, k.Files[0].Key)
	r, _ := collect(t, l, 2*week, asIs)
	if r.Objects[lake.GarbageReplaced] > 0 || len(r.Problems) != 2 || !strings.Contains(r.Problems[0], "is kept: what generation 1 of app.tracks 2026-11-21 06 has written instead is not there") {
		t.Errorf("%+v", r)
	}
}

func TestGCLeavesADayAloneWhoseCompactionsItCannotRead(t *testing.T) {
	t.Parallel()
	l, k := littered(t)
	told(t, l, past)
	if err := l.Store.Put(t.Context(), l.Paths.Compaction(k.Hour(), 2), []byte(`{"v":2}`)); err != nil {
		t.Fatal(err)
	}
	r, _ := collect(t, l, 2*week, asIs)
	if r.Objects[lake.GarbageReplaced]+r.Objects[lake.GarbageOutput] > 0 || r.Objects[lake.GarbageOrphan] != 2 || len(r.Problems) != 1 {
		t.Errorf("%+v", r)
	}
}

func TestGCRemovesWhatASecondGenerationHasReplaced(t *testing.T) {
	t.Parallel()
	l, k := littered(t)
	told(t, l, past)
	next := k
	next.Generation, next.Replaces, next.Files = 2, []string{k.Files[0].Key}, []lake.File{k.Files[0]}
	next.Files[0].Key = strings.Replace(k.Files[0].Key, "compact-1", "compact-2", 1)
	putFile(t, l, next.Files[0])
	if err := l.CreateCompaction(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	r, got := collect(t, l, 2*week, func(g *lake.GC) { g.Delete = true })
	if r.Objects[lake.GarbageReplaced] != 3 || len(r.Problems) > 0 {
		t.Errorf("found %v, problems %v", got, r.Problems)
	}
	v := &lake.Verifier{Lake: l}
	if c, err := v.Compactions(t.Context(), "app", "tracks"); err != nil || len(c.Problems) > 0 {
		t.Errorf("%v, %v", c.Problems, err)
	}
}

func TestGCRemovesWhatUploadsAndLoadsLeft(t *testing.T) {
	t.Parallel()
	_, l := testkit.Lake(t)
	for _, key := range []string{
		l.Paths.Upload("uploads.spend", "01jd", 0), l.Paths.UploadManifest("uploads.spend", "01jd"), l.Paths.Manifest("app.tracks", "01jd", "9f2c1a7b"), l.Paths.Positions(),
	} {
		if err := l.Store.Create(t.Context(), key, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	whole := func(g *lake.GC) { g.Delete, g.RespectLoader = true, false }
	if r, found := collect(t, l, week/2, whole); len(found) != 0 || r.Later[lake.GarbageUpload] != 2 || r.Later[lake.GarbageManifest] != 1 {
		t.Errorf("young: %v, %+v", found, r)
	}
	if _, found := collect(t, l, 2*week, whole); len(found) != 3 || !slices.Equal(keys(t, l), []string{l.Paths.Positions()}) {
		t.Errorf("old: %v; left %v", found, keys(t, l))
	}
}
