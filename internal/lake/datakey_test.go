package lake_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/millstream-data/millstream/internal/lake"
)

func TestDataKeysAreReadBack(t *testing.T) {
	t.Parallel()
	p := lake.Paths{Prefix: "a/lake"}
	h := lake.Hour{Schema: "_3shop", Table: "order_completed", DT: "2026-11-21", HH: "06"}
	begin := time.Date(2026, 11, 21, 6, 59, 0, 0, time.UTC)
	data := p.Data(h.Schema, h.Table, begin, "my-topic.changes.x", 12, 0, 1<<62, "9f2c1a7b")
	for key, want := range map[string]lake.DataKey{
		data: {Hour: h, Schema8: "9f2c1a7b", Chain: lake.ChainID{Topic: "my-topic.changes.x", Partition: 12}, Next: 1 << 62},
		p.Rescue(data, "01jd3x9k2m7q"): {
			Hour: h, Schema8: "9f2c1a7b", Chain: lake.ChainID{Topic: "my-topic.changes.x", Partition: 12}, Next: 1 << 62, Rescue: "01jd3x9k",
		},
		p.Compacted(h, 3, 0, "01234567", "00000000"): {Hour: h, Schema8: "00000000", Generation: 3, Attempt: "01234567"},
	} {
		want.Key = key
		got, ok := p.ParseData(key)
		if diff := cmp.Diff(want, got); !ok || diff != "" {
			t.Errorf("%s: %v\n%s", key, ok, diff)
		}
	}
	if got := h.End(); !got.Equal(begin.Add(time.Minute)) {
		t.Errorf("the hour ends at %s", got)
	}
}

func TestWhatIsNoDataKeyIsNotRead(t *testing.T) {
	t.Parallel()
	p := lake.Paths{Prefix: "lake"}
	for _, key := range []string{
		"", "lake", "lake/", "other/app/tracks/dt=2026-11-21/hh=06/t-0-1-2-9f2c1a7b.parquet",
		"lake/_commits/t/0/00000000000000000000.json",
		"lake/_compact/tracks/dt=2026-11-21/hh=06/t-0-1-2-9f2c1a7b.parquet",
		"lake/app/tracks/dt=2026-11-21/hh=06/t-0-1-2-9f2c1a7b.parquet.tmp",
		"lake/app/tracks/dt=2026-11-21/hh=06/t-0-1-2-9f2c1a7.parquet",
		"lake/app/tracks/dt=2026-11-21/hh=06/t-0-2-1-9f2c1a7b.parquet",
		"lake/app/tracks/dt=2026-11-21/hh=06/t-9999999999-1-2-9f2c1a7b.parquet",
		"lake/app/tracks/dt=2026-11-21/hh=06/t-0-1-9999999999999999999-9f2c1a7b.parquet",
		"lake/app/tracks/dt=2026-11-21/hh=24/t-0-1-2-9f2c1a7b.parquet",
		"lake/app/tracks/dt=2026-02-30/hh=06/t-0-1-2-9f2c1a7b.parquet",
		"lake/app/tracks/dt=2026-11-21/hh=06/compact-0-0-01234567-9f2c1a7b.parquet",
		"lake/app/tracks/dt=2026-11-21/hh=06/part-00000.snappy.parquet",
	} {
		if k, ok := p.ParseData(key); ok {
			t.Errorf("%s was read as %+v", key, k)
		}
	}
}

func FuzzParseData(f *testing.F) {
	f.Add("lake/app/tracks/dt=2026-11-21/hh=06/t-0-1-2-9f2c1a7b-r01jd3x9k.parquet")
	f.Add("lake/app/tracks/dt=2026-11-21/hh=06/compact-1-0-01jd3x9k-9f2c1a7b.parquet")
	p := lake.Paths{Prefix: "lake"}
	f.Fuzz(func(t *testing.T, key string) {
		k, ok := p.ParseData(key)
		if !ok {
			return
		}
		begin := k.End().Add(-time.Hour)
		again := p.Data(k.Schema, k.Table, begin, k.Chain.Topic, k.Chain.Partition, k.First, k.Next, k.Schema8)
		if k.Rescue != "" {
			again = p.Rescue(again, k.Rescue)
		}
		if k.Compacted() {
			again = p.Compacted(k.Hour, k.Generation, k.N, k.Attempt, k.Schema8)
		}
		if q, ok := p.ParseData(again); !ok || q.Hour != k.Hour || q.First != k.First || q.Next != k.Next || q.Generation != k.Generation {
			t.Errorf("%s was read, written as %s and read as %+v", key, again, q)
		}
	})
}
