package lake_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/testkit"
)

var chainID = lake.ChainID{Topic: "millstream.events", Partition: 3}

// extend puts n commits of size offsets each, from first on.
func extend(t *testing.T, l *lake.Lake, first, size int64, n int) {
	t.Helper()
	var prev *int64
	for range n {
		c := lake.Commit{
			V: 1, Kind: lake.KindEmpty, Topic: chainID.Topic, Partition: chainID.Partition, First: first, Next: first + size, Prev: prev,
			Accounting: []lake.Accounting{{Source: "app", DT: "2026-11-21", Records: size, Rejected: size}},
			Cut:        "age", Attempt: event.ULID(at.Time), CreatedAt: at,
		}
		put(t, l, c)
		before := first
		prev, first = &before, c.Next
	}
}

func put(t *testing.T, l *lake.Lake, c lake.Commit) {
	t.Helper()
	b, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Store.Create(t.Context(), l.Paths.Commit(c.Topic, c.Partition, c.First), b); err != nil {
		t.Fatal(err)
	}
}

func TestLastCommitIsFoundWithAnyHint(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		first, size int64
		n           int
	}{{0, 1, 1}, {0, 1, 40}, {0, 1000, 25}, {5_000_000_000, 7, 33}, {9, 1_000_000, 12}} {
		_, l := testkit.Lake(t)
		extend(t, l, c.first, c.size, c.n)
		want := c.first + c.size*int64(c.n-1)
		for _, hint := range []int64{-1, c.first, want, c.first + c.size*int64(c.n/2), want + 1, 123_456_789} {
			got, ok, err := l.Last(t.Context(), chainID, hint)
			if err != nil || !ok || got.First != want {
				t.Errorf("%+v, hint %d: found %d, %v, %v; want %d", c, hint, got.First, ok, err, want)
			}
		}
	}
}

func TestChainWithoutCommitHasNoLast(t *testing.T) {
	t.Parallel()
	_, l := testkit.Lake(t)
	for _, hint := range []int64{-1, 0, 7} {
		if _, ok, err := l.Last(t.Context(), chainID, hint); ok || err != nil {
			t.Errorf("hint %d: %v, %v", hint, ok, err)
		}
	}
}

func TestSinceStopsAtAGap(t *testing.T) {
	t.Parallel()
	_, l := testkit.Lake(t)
	extend(t, l, 0, 10, 5)
	if err := l.Store.Delete(t.Context(), l.Paths.Commit(chainID.Topic, chainID.Partition, 20)); err != nil {
		t.Fatal(err)
	}
	got, err := l.Since(t.Context(), chainID, 0, 0)
	if !errors.Is(err, lake.ErrChainGap) || len(got) != 2 {
		t.Errorf("%d commits, %v", len(got), err)
	}
}

func TestSchemaVersionsAreConditional(t *testing.T) {
	t.Parallel()
	_, l := testkit.Lake(t)
	s := eventsSchema()
	for v := 1; v <= 3; v++ {
		s.Version = v
		if err := l.CreateSchema(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.CreateSchema(t.Context(), s); err == nil {
		t.Error("a version was put twice")
	}
	latest, err := l.LatestSchema(t.Context(), s.Table)
	if err != nil || latest.Version != 3 {
		t.Errorf("latest is %d, %v", latest.Version, err)
	}
	all, err := l.Schemas(t.Context(), s.Table)
	if err != nil || len(all) != 3 || all[0].Version != 3 {
		t.Errorf("%d versions, %v", len(all), err)
	}
	if one, err := l.Schema(t.Context(), s.Table, 2); err != nil || one.Version != 2 {
		t.Errorf("version 2 is %d, %v", one.Version, err)
	}
}

func TestKeysSortLikeOffsets(t *testing.T) {
	t.Parallel()
	p := lake.Paths{Prefix: "millstream"}
	last := ""
	for _, first := range []int64{0, 9, 10, 99, 1 << 40, 1<<63 - 1} {
		key := p.Commit("t", 0, first)
		if key <= last {
			t.Errorf("%s is not after %s", key, last)
		}
		got, err := lake.CommitFirst(key)
		if err != nil || got != first {
			t.Errorf("%s: %d, %v", key, got, err)
		}
		last = key
	}
	if _, err := lake.CommitFirst(fmt.Sprintf("x/%d.json", 5)); err == nil {
		t.Error("a key without 20 digits was read")
	}
}
