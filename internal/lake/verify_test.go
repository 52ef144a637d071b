package lake_test

import (
	"context"
	"strings"
	"testing"

	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/objstore"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/wire"
)

// putFile puts an object of the size that f says.
func putFile(t *testing.T, l *lake.Lake, f lake.File) {
	t.Helper()
	if err := l.Store.Create(t.Context(), f.Key, make([]byte, f.Bytes)); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, l *lake.Lake, key string) {
	t.Helper()
	if err := l.Store.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
}

// tracks is the schema of eventsCommit's file.
func tracks() lake.Schema {
	cs := eventsCommit().Schemas
	s := lake.Schema{V: 1, Table: "app.tracks", Version: 4, Kind: lake.SchemaEvents, CreatedAt: at}
	for _, c := range cs {
		for _, col := range c.Columns {
			s.Columns = append(s.Columns, lake.SchemaColumn{Name: col.Name, Type: col.Type, Since: 1})
		}
	}
	return s
}

func TestVerifyNamesEachFinding(t *testing.T) {
	t.Parallel()
	f := func(name, want string, disturb func(t *testing.T, l *lake.Lake, c *lake.Commit)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, l := testkit.Lake(t)
			c := eventsCommit()
			c.Prev = nil
			putFile(t, l, c.Files[0])
			if err := l.CreateSchema(t.Context(), tracks()); err != nil {
				t.Fatal(err)
			}
			disturb(t, l, &c)
			put(t, l, c)
			r, err := l.VerifyChain(t.Context(), chainID)
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Join(r.Problems, "\n")
			if want == "" && got != "" || !strings.Contains(got, want) || len(r.Problems) > 1 {
				t.Errorf("problems %q, want %q", got, want)
			}
		})
	}
	f("nothing", "", func(*testing.T, *lake.Lake, *lake.Commit) {})
	f("a missing file", "is missing", func(t *testing.T, l *lake.Lake, c *lake.Commit) { remove(t, l, c.Files[0].Key) })
	f("a file of another size", "has 5 bytes of 48211", func(t *testing.T, l *lake.Lake, c *lake.Commit) {
		if err := l.Store.Put(t.Context(), c.Files[0].Key, []byte("short")); err != nil {
			t.Fatal(err)
		}
	})
	f("rows that nobody counted", "its files have 1009", func(_ *testing.T, _ *lake.Lake, c *lake.Commit) {
		c.Accounting[0].Primary--
		c.Accounting[0].Rejected++
	})
	f("rows of a source that is not accounted for", "files that it does not account for", func(_ *testing.T, _ *lake.Lake, c *lake.Commit) {
		c.Accounting[0].Primary, c.Accounting[0].Rejected = 0, 1012
		c.Accounting = append(c.Accounting[:0:0], c.Accounting[0])
		c.Accounting[0].Source = "other"
	})
	f("a beginning that is none", "says that 5 came before", func(_ *testing.T, _ *lake.Lake, c *lake.Commit) {
		prev := int64(5)
		c.Prev = &prev
	})
	f("a gap", "does not begin where the one before ends", func(t *testing.T, l *lake.Lake, c *lake.Commit) {
		next := emptyCommit()
		next.First, next.Next = c.Next+7, c.Next+10
		put(t, l, next)
	})
	f("an overlap", "does not begin where the one before ends", func(t *testing.T, l *lake.Lake, c *lake.Commit) {
		next := emptyCommit()
		next.First, next.Next = c.Next-1, c.Next+2
		put(t, l, next)
	})
	f("a wrong prev", "does not name the one before, 123456", func(t *testing.T, l *lake.Lake, _ *lake.Commit) {
		next := emptyCommit()
		next.Prev = nil
		put(t, l, next)
	})
	f("another log", "is of the topic with id other, the one before of 9d2b", func(t *testing.T, l *lake.Lake, _ *lake.Commit) {
		next := emptyCommit()
		next.TopicID = "other"
		put(t, l, next)
	})
	f("arithmetic of an entry", "does not add up", func(t *testing.T, l *lake.Lake, _ *lake.Commit) {
		next := emptyCommit()
		next.Accounting[0].Duplicates++
		put(t, l, next)
	})
	f("arithmetic of the range", "are not the 3 offsets of the range", func(t *testing.T, l *lake.Lake, _ *lake.Commit) {
		next := emptyCommit()
		next.Holes++
		put(t, l, next)
	})
	f("a key that is not first", "holds the commit millstream.events/3/124480", func(t *testing.T, l *lake.Lake, c *lake.Commit) {
		b, err := emptyCommit().Encode()
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Store.Create(t.Context(), l.Paths.Commit(c.Topic, c.Partition, c.Next+1), b); err != nil {
			t.Fatal(err)
		}
	})
	f("a key that is none of a commit", "want 20 digits and .json", func(t *testing.T, l *lake.Lake, c *lake.Commit) {
		if err := l.Store.Create(t.Context(), l.Paths.Chain(c.Topic, c.Partition)+"notes.txt", []byte("x")); err != nil {
			t.Fatal(err)
		}
	})
	f("bytes that are no commit", "decode commit", func(t *testing.T, l *lake.Lake, c *lake.Commit) {
		if err := l.Store.Create(t.Context(), l.Paths.Commit(c.Topic, c.Partition, c.Next), []byte("{")); err != nil {
			t.Fatal(err)
		}
	})
	f("a schema that the lake lacks", "which is no version of app.tracks", func(t *testing.T, l *lake.Lake, _ *lake.Commit) {
		remove(t, l, l.Paths.Schema("app", "tracks", 4))
	})
	f("a file of another hour than its key says", "is not what its key says", func(_ *testing.T, _ *lake.Lake, c *lake.Commit) { c.Files[0].HH = "07" })
	f("a file that is named twice", "twice", func(_ *testing.T, _ *lake.Lake, c *lake.Commit) {
		c.Files = append(c.Files, c.Files[0])
		c.Accounting[0].Primary *= 2
		c.Accounting[0].Rejected, c.Accounting[0].Duplicates = 0, 0
		c.Accounting[0].Records, c.Next = 2018, c.First+2018
	})
}

// compacted is a lake with a commit of two files that a compaction has replaced by one.
func compacted(t *testing.T) (*lake.Lake, lake.Commit, lake.Compaction) {
	t.Helper()
	_, l := testkit.Lake(t)
	c, k := eventsCommit(), compaction()
	late := c.Files[0]
	late.Key, late.First, late.Next, late.Rows = k.Replaces[1], 124500, 124510, 10
	c.Prev, c.Next, c.Files = nil, 124510, append(c.Files, late)
	c.Accounting[0].Primary, c.Accounting[0].Records, c.Holes = 1019, 1034, 20
	put(t, l, c)
	for _, f := range append(c.Files, k.Files...) {
		putFile(t, l, f)
	}
	if err := l.CreateSchema(t.Context(), tracks()); err != nil {
		t.Fatal(err)
	}
	return l, c, k
}

func TestVerifyNamesEachFindingOfCompactions(t *testing.T) {
	t.Parallel()
	f := func(name, want string, disturb func(t *testing.T, l *lake.Lake, k *lake.Compaction)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, _, k := compacted(t)
			disturb(t, l, &k)
			b, err := k.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if err := l.Store.Create(t.Context(), l.Paths.Compaction(k.Hour(), max(k.Generation, 1)), b); err != nil {
				t.Fatal(err)
			}
			v := &lake.Verifier{Lake: l}
			r, err := v.Compactions(t.Context(), "app", "tracks")
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Join(r.Problems, "\n")
			if want == "" && got != "" || !strings.Contains(got, want) {
				t.Errorf("problems %q, want %q", got, want)
			}
			if want == "" && (r.Compactions != 1 || r.Replaced != 2 || r.Files != 1 || r.Rows != 1019) {
				t.Errorf("report %+v", r)
			}
		})
	}
	f("nothing", "", func(*testing.T, *lake.Lake, *lake.Compaction) {})
	f("replaced files that gc has removed", "", func(t *testing.T, l *lake.Lake, k *lake.Compaction) {
		for _, key := range k.Replaces {
			remove(t, l, key)
		}
	})
	f("a missing output", "is missing", func(t *testing.T, l *lake.Lake, k *lake.Compaction) { remove(t, l, k.Files[0].Key) })
	f("an output of another size", "has 48211 bytes of 47120", func(t *testing.T, l *lake.Lake, k *lake.Compaction) {
		if err := l.Store.Put(t.Context(), k.Files[0].Key, make([]byte, 48211)); err != nil {
			t.Fatal(err)
		}
	})
	f("a file replaced that nobody names", "which no commit and no earlier generation names", func(t *testing.T, l *lake.Lake, k *lake.Compaction) {
		k.Replaces[1] = strings.Replace(k.Replaces[1], "124510", "124511", 1)
	})
	f("rows that are lost", "has 1018 rows, what it replaces has 1019", func(_ *testing.T, _ *lake.Lake, k *lake.Compaction) {
		k.Rows, k.Files[0].Rows = 1018, 1018
	})
	f("a generation that is missing", "follows generation 0", func(_ *testing.T, _ *lake.Lake, k *lake.Compaction) {
		k.Generation = 2
	})
	f("sums of its own", "it has 7", func(_ *testing.T, _ *lake.Lake, k *lake.Compaction) { k.Rows = 7 })
	f("an output of another hour", "is not what its key says", func(t *testing.T, l *lake.Lake, k *lake.Compaction) {
		k.Files[0].Key = strings.Replace(k.Files[0].Key, "hh=06", "hh=07", 1)
		putFile(t, l, k.Files[0])
	})
	f("a schema that the lake lacks", "which is no version of app.tracks", func(t *testing.T, l *lake.Lake, _ *lake.Compaction) {
		remove(t, l, l.Paths.Schema("app", "tracks", 4))
	})
	f("a file replaced twice", "or which was replaced before", func(t *testing.T, l *lake.Lake, k *lake.Compaction) {
		first := *k
		if err := l.CreateCompaction(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		k.Generation, k.Files = 2, append([]lake.File(nil), k.Files...)
		k.Files[0].Key = strings.Replace(k.Files[0].Key, "compact-1", "compact-2", 1)
		putFile(t, l, k.Files[0])
	})
}

func TestFilesThatACompactionReplacedMayBeGone(t *testing.T) {
	t.Parallel()
	l, _, k := compacted(t)
	if err := l.CreateCompaction(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	remove(t, l, k.Replaces[0])
	if r, err := l.VerifyChain(t.Context(), chainID); err != nil || len(r.Problems) > 0 {
		t.Errorf("%v, %v", r.Problems, err)
	}
	files, err := l.Files(t.Context(), "app.tracks", "2026-11-21")
	if err != nil || len(files) != 1 || files[0].Key != k.Files[0].Key {
		t.Errorf("readers take %v, %v", files, err)
	}
	remove(t, l, k.Files[0].Key)
	if _, err := l.Files(t.Context(), "app.tracks", ""); err == nil || !strings.Contains(err.Error(), k.Files[0].Key+" is missing") {
		t.Errorf("a compacted file is missing: %v", err)
	}
}

func TestReadersTakeWhatCommitsName(t *testing.T) {
	t.Parallel()
	l, c, _ := compacted(t)
	orphan := c.Files[0]
	orphan.Key = strings.Replace(orphan.Key, "123456-124479", "123456-124400", 1)
	putFile(t, l, orphan)
	for _, dt := range []string{"", "2026-11-21"} {
		files, err := l.Files(t.Context(), "app.tracks", dt)
		if err != nil || len(files) != 2 || files[0].Key != c.Files[0].Key || files[1].Key != c.Files[1].Key {
			t.Errorf("readers take %v, %v", files, err)
		}
	}
	if files, err := l.Files(t.Context(), "app.tracks", "2026-11-20"); err != nil || len(files) > 0 {
		t.Errorf("another day has %v, %v", files, err)
	}
}

func TestCompactionOfOurOwnThatHadLandedIsNoError(t *testing.T) {
	t.Parallel()
	l, _, k := compacted(t)
	for range 2 {
		if err := l.CreateCompaction(t.Context(), k); err != nil {
			t.Fatal(err)
		}
	}
	rival := k
	rival.Lineage = "sha256:" + strings.Repeat("0d", 32)
	if err := l.CreateCompaction(t.Context(), rival); err == nil {
		t.Error("a rival's generation was overwritten")
	}
}

func TestDeepFindingsAreNamed(t *testing.T) {
	t.Parallel()
	l, _, k := compacted(t)
	if err := l.CreateCompaction(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	v := &lake.Verifier{
		Lake: l,
		Deep: func(_ context.Context, f lake.File, columns wire.Columns) ([]string, error) {
			if len(columns) != 4 {
				t.Errorf("%s has %d columns", f.Key, len(columns))
			}
			return []string{"is damaged"}, nil
		},
		Lineage: func(_ context.Context, keys []string) (string, bool, error) {
			return "sha256:other", len(keys) == 2, nil
		},
	}
	r, err := v.Chain(t.Context(), chainID)
	if err != nil || len(r.Problems) != 2 || !strings.HasSuffix(r.Problems[0], "124479-03578723.parquet is damaged") {
		t.Errorf("%v, %v", r.Problems, err)
	}
	c, err := v.Compactions(t.Context(), "app", "tracks")
	if err != nil || len(c.Problems) != 2 || !strings.Contains(c.Problems[1], "the rows of 2 files have sha256:other") {
		t.Errorf("%v, %v", c.Problems, err)
	}
}

func TestLineageIsTheSumOfItsLines(t *testing.T) {
	t.Parallel()
	l := lake.NewLineage()
	l.Add(0, 7)
	l.Add(12, 345)
	if got, want := l.Sum(), "sha256:"+objstore.SumSHA256([]byte("0\t7\n12\t345\n")); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
